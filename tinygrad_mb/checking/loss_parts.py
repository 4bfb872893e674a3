"""The parts of a loss: its terms, the regularisers among them, and the losses of the examples."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..graph import Node
from ..primitives import PRIMITIVES
from .walks import Change, Gradients

if TYPE_CHECKING:
    from .recordings import Recording

ADD, SUBTRACT, NEGATIVE = PRIMITIVES[np.add], PRIMITIVES[np.subtract], PRIMITIVES[np.negative]
MULTIPLY, DIVIDE = PRIMITIVES[np.multiply], PRIMITIVES[np.divide]
MEAN, SUM = PRIMITIVES[np.mean], PRIMITIVES[np.sum]
MOST_EXAMPLES = 64  # of a batch whose examples are looked at one by one
LINEAR = frozenset((ADD, SUBTRACT, NEGATIVE, MULTIPLY, DIVIDE, MEAN, SUM, PRIMITIVES[np.positive]))


class Parts:
    """What the loss of a recording is made of."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._parts: dict[tuple[int, ...], Gradients] = {}

    @cached_property
    def terms(self) -> list[Node]:
        """The nodes that the loss is a linear combination of, and those in between, newest first."""
        found = [self.recording.root]
        for node in found:
            if node.op in LINEAR and node not in self.recording.of_parameters:
                parents = [p for p in node.inputs if isinstance(p, Node) and p.plan is not None]
                if len(parents) == 1 or node.op in (ADD, SUBTRACT):
                    found += [p for p in parents if p not in found]
        return found

    @cached_property
    def regularisers(self) -> list[int]:
        """The terms of the loss that are made of parameters and numbers alone."""
        return [self.recording.index[n] for n in self.terms if n.op is not None and n in self.recording.of_parameters]

    @cached_property
    def regularisation(self) -> Gradients:
        """The part of the gradients that the regularisers make."""
        return self.part_of(self.regularisers)

    def part_of(self, terms: Sequence[int]) -> Gradients:
        """The part of the gradients that comes through these terms of the loss."""
        if not terms:
            return {}
        if tuple(terms) not in self._parts:
            r = self.recording
            others = r.back(Change(at={k: lambda g: 0 * g for k in terms})) or {}
            self._parts[tuple(terms)] = {name: g - others[name] for name, g in r.gradients(r.flow).items()}
        return self._parts[tuple(terms)]

    @cached_property
    def losses(self) -> int | None:
        """The array whose sum or mean over the examples is the loss; None if there is none."""
        for node in self.terms:
            axis_of = self.recording.axis_of
            if node.op in (MEAN, SUM) and axis_of(node.inputs[0].shape) is not None and axis_of(node.shape) is None:
                return self.recording.index[node.inputs[0]]
        return None

    @cached_property
    def weight(self) -> float | None:
        """What the loss divides by on its way from the examples' losses, as 1/m; None if they count differently.

        Numbers that the loss is multiplied by, and a division by 2, belong to the examples' losses.
        """
        if self.losses is None or not self.recording.followed:
            return None
        weights = self.recording.flow[self.recording.nodes[self.losses]]
        if np.ptp(weights) > 1e-12 * abs(weights).max():
            return None
        share = 1.0
        after = {self.recording.nodes[self.losses]}
        for node in self.recording.nodes[self.losses + 1 :]:
            parents = [p for p in node.inputs if isinstance(p, Node)]
            if node not in self.terms or after.isdisjoint(parents):
                continue
            after.add(node)
            if node.op is MEAN:
                share *= float(np.prod(node.shape)) / float(np.prod(node.inputs[0].shape))
            elif node.op is DIVIDE:
                divisor = float(self.recording.value(node.inputs[1]))
                share /= divisor if divisor != 2 or self.recording.m == 2 else 1.0
        return share

    @property
    def is_mean(self) -> bool:
        """Whether the loss divides by something that grows with the batch, or with its elements."""
        return self.weight is not None and self.recording.m > 1 and self.weight < 1

    def row(self, i: int) -> Gradients:
        """The contribution of one example to the gradients, as it stands in the sum; nothing of the regulariser."""
        assert self.losses is not None
        node = self.recording.nodes[self.losses]
        one = np.zeros(node.shape)
        at = (slice(None),) * (self.recording.axis_of(node.shape) or 0) + (i,)
        one[at] = self.recording.flow[node][at]
        return self.recording.gradients(self.recording.walk.spread({node: one}))

    @cached_property
    def rows(self) -> list[Gradients]:
        """The contributions of all examples."""
        m = self.recording.m
        return [self.row(i) for i in range(m)] if self.losses is not None and m <= MOST_EXAMPLES else []
