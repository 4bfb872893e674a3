"""What backward passes on: for each value the uses that its δ comes from, and what it hands to each of its operands.

The δ are those of the engine's own walk.  Each rule is then run once more by itself, on the δ of its node; and where
that δ has places of each example's own, it is run on ``Rows``, which knows them.  So it is found, and not guessed,
where a rule adds up what the examples contribute.  One thing is read off the numbers: whether contributions that
``Rows`` does not follow any further meet anywhere, or have places of their own; those of a parameter count as a sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import autodiff, errors
from ..broadcasting import unbroadcast
from ..carriers.factors import Factors
from ..carriers.hidden import Carrier
from ..carriers.rows import Rows
from ..graph import Node, ancestors, differentiable_ancestors
from ..modes import new_level
from ..primitives import PlannedRule

ROOM = 1 << 25  # numbers, m times the largest value: what a rule takes that does not keep the examples apart


class Use:
    """One use of a value: what the operation that used it passes back.

    node      the operation
    rule      its derivative rule for the value
    parent    the value
    summed    the axes of what the rule gives that are summed over, since broadcasting made them
    places    the places of the examples in what is passed on, where each has its own; None elsewhere
    each      what each example contributes, where the contributions are added up here; None elsewhere
    lost      whether the examples stay apart here, and at places that are not followed any further
    hidden    the lengths of the axes that vmap hides from the operation, and not from the value: they are summed over
    """

    __slots__ = ("each", "hidden", "lost", "node", "parent", "places", "rule", "summed")

    def __init__(self, node: Node, rule: PlannedRule, summed: tuple[int, ...], passed: Any) -> None:
        self.node = node
        self.rule = rule
        self.parent: Node = node.inputs[rule.position]
        self.summed = summed
        self.places = passed if isinstance(passed, Rows) else None
        self.hidden = _hidden_from(self.parent, passed) if node.level else ()
        self.each: Carrier | None = None
        self.lost = False
        if isinstance(passed, Carrier) and self.places is None and not (node.level or self.parent.level):
            self.lost = not summed and self.parent.op is not None and _stay_apart(passed)
            self.each = None if self.lost else passed

    def of_example(self, example: int) -> Any:
        """What one example contributes to the sum over examples."""
        if isinstance(self.each, Factors):
            return self.each.rows(slice(example, example + 1))[0]
        assert self.each is not None
        return autodiff.bare(self.each.dense())[example]


def _hidden_from(parent: Node, passed: Any) -> tuple[int, ...]:
    """The lengths of the hidden axes that a value was made outside of."""
    found = []
    while isinstance(passed, Carrier):
        if passed._level > parent.level:
            found.append(passed.examples)
        passed = passed._data
    return tuple(found)


def _stay_apart(passed: Carrier) -> bool:
    """Whether the examples' arrays do not meet, and each has places of its own among those of the sum.

    NB: sums that no two examples contribute to anywhere look the same, if they have room for all examples.
    """
    if isinstance(passed, Factors) or passed.examples == 1 or math.prod(passed.shape) % passed.examples:
        return False
    return not ((autodiff.bare(passed.dense()) != 0).sum(axis=0) > 1).any()


class Step:
    """A value whose turn it is in backward, with its complete δ.

    node      the value
    delta     the derivative of the loss by it; of a value inside vmap with the hidden axes in front
    places    ``delta``, which knows the places of the examples, where each has its own; None elsewhere
    saved     the arrays that the rules of its operation read
    received  the uses of the value, whose contributions make up ``delta``
    passed    the uses that this value makes of others: what goes on from here
    """

    __slots__ = ("_carried", "delta", "node", "passed", "places", "received", "saved")

    def __init__(self, node: Node, delta: Any) -> None:
        self.node = node
        self.delta = autodiff.bare(delta)
        self.saved = node.saved
        self._carried = delta
        self.places: Rows | None = None
        self.received: list[Use] = []
        self.passed: list[Use] = []

    @property
    def cotangent(self) -> Any:
        """The δ as rules take it: with all that is known of its axes."""
        return self._carried if self.places is None else self.places

    @property
    def mixing(self) -> list[Use]:
        """The uses by which other examples' losses come in at an example's places."""
        if self.places is None or not any(use.places is not None for use in self.received):
            return []
        return [use for use in self.received if use.places is None]

    def of_example(self, example: int) -> Any:
        """One example's own places of the δ."""
        assert self.places is not None
        axis = self.places.axis
        own = self.places.apart(self.delta, axis).take(example, axis + 1)
        return own.reshape([n for k, n in enumerate(own.shape) if k not in (axis, axis + 1) or n != 1])


class Walk:
    """All steps of backward from a loss, the newest value first.

    steps     by their values
    starts    the losses of the examples, along their first axis
    examples  how many there are; 0 if they are not told apart
    reason    why they are not, in that case

    Raises ``GraphFreedError`` if an earlier backward has freed what the rules need.
    """

    def __init__(self, root: Node) -> None:
        if root.level:
            raise errors.NotDifferentiableError(
                f"explain: {errors.describe_node(root)} was computed inside vmap, where a line stands for all examples "
                "at once: explain a loss that is computed outside"
            )
        nodes = differentiable_ancestors([root])
        deltas = autodiff.gradient({root: np.ones(root.shape, root.dtype)}, nodes)
        self.steps = {node: Step(node, deltas[node]) for node in nodes}
        self.starts, self.examples, self.reason = _losses(root, nodes)
        level = new_level()
        for node in self.starts:
            self.steps[node].places = Rows(deltas[node], level, 0, self.examples)
        with np.errstate(all="ignore"):  # the walk has said already what there is to say
            for step in self.steps.values():
                self._find_places(step)
                self._pass_on(step)

    @staticmethod
    def _find_places(step: Step) -> None:
        found = [use.places for use in step.received if use.places is not None]
        if step.places is None and found and all(found[0].fits(other) for other in found[1:]):
            step.places = found[0].moved(step.delta, found[0].axis)

    def _pass_on(self, step: Step) -> None:
        node = step.node
        for rule in node.plan.rules:  # type: ignore[union-attr]  # only nodes with a plan get here
            parent = node.inputs[rule.position]
            passed = rule.pull(step.cotangent, node, node.saved)
            summed = _broadcast_axes(passed.shape, parent.shape)
            if summed:
                passed = unbroadcast(passed, parent.shape)
            use = Use(node, rule, summed, passed)
            step.passed.append(use)
            self.steps[parent].received.append(use)


def _broadcast_axes(shape: tuple[int, ...], parent: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that broadcasting ``parent`` has made or stretched."""
    lead = len(shape) - len(parent)
    return tuple(k for k, n in enumerate(shape) if k < lead or n != parent[k - lead])


def _losses(root: Node, nodes: Sequence[Node]) -> tuple[list[Node], int, str]:
    """The arrays of one loss for each example, how many examples there are, and if there are none, why.

    They are what the loss, or the numbers that it is computed from, are reductions of, where they depend on data of
    that length.  NB: a penalty on weights that is made with constants of the same length would be taken for one, too.
    """
    if any(node.level for node in nodes):
        return [], 0, "a part of the loss is computed inside vmap"
    if root.shape:
        found = [root]
    else:
        found, scalars = [], [root]
        for scalar in scalars:  # grows on the way
            for rule in scalar.plan.rules:  # type: ignore[union-attr]
                parent = scalar.inputs[rule.position]
                if parent.shape and parent not in found and _is_of_data(parent):
                    found.append(parent)
                elif not parent.shape and parent not in scalars:
                    scalars.append(parent)
    sizes = sorted({node.shape[0] for node in found})
    if len(sizes) > 1:
        return [], 0, f"arrays of {' and of '.join(map(str, sizes))} rows are reduced to the loss"
    if not found or not sizes[0]:
        return [], 0, "the loss is no sum or mean over the rows of an array that is computed from data"
    if sizes[0] * max(math.prod(node.shape) for node in nodes) > ROOM:
        return [], 0, f"the batch is too large for that, with {sizes[0]} rows"
    return found, sizes[0], ""


def _is_of_data(node: Node) -> bool:
    """Whether a value depends on constants, or on indices, along an axis of which its rows can stand."""
    m = node.shape[0]
    for found in ancestors(node):
        arrays: list[Any] = [found] if found.op is None and found.plan is None else []
        index = found.params[0] if found.op is not None and found.op.name == "index" else ()
        arrays += [part for part in (index if isinstance(index, tuple) else (index,)) if isinstance(part, np.ndarray)]
        if any(n and m and n % m == 0 for array in arrays for n in array.shape):
            return True
    return False
