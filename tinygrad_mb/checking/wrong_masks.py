"""Masks that are forgotten on the way back, and means over what a mask leaves that are divided by another count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..graph import Node
from .candidates import Candidate, at_edges, edges_of
from .loss_parts import DIVIDE, MULTIPLY, SUM
from .recordings import Recording
from .regions import chooses
from .walks import Array, Pull

Rule = Callable[[Recording], Pull]


def masks(recording: Recording) -> Iterator[Candidate]:
    """Masks, of dropout or padding, that errors go through as if there were none."""
    forgotten: list[tuple[int, int, Rule]] = []
    bare: list[tuple[int, int, Rule]] = []
    unscaled: list[tuple[float, int, int, Rule]] = []
    for k, position, node, _ in edges_of(recording):
        if node.op is MULTIPLY and (scale := _scale(recording, node.inputs[1 - position])):
            forgotten.append((k, position, lambda r: lambda g, node, saved: g))
            if scale != 1:
                bare.append((k, position, lambda r, scale=scale: lambda g, node, saved: g * scale))  # type: ignore[misc]
                unscaled.append((scale, k, position, lambda r, q=1 - position: _without_scale(r, q)))  # type: ignore[misc]
        elif node.op is not None and node.op.name == "where" and not chooses(recording, node):
            forgotten.append((k, position, lambda r: lambda g, node, saved: g))
    yield from at_edges(24, "the mask is forgotten on the way back", recording, forgotten)
    yield from at_edges(24, "the mask is forgotten on the way back, and only its scale is applied", recording, bare)
    for scale in sorted({scale for scale, *_ in unscaled}):
        claim = f"the scale {scale:g} of an array of 0 and {scale:g}, a mask or weights, is left out"
        yield from at_edges(22, claim, recording, [(k, at, rule) for other, k, at, rule in unscaled if other == scale])


def _scale(recording: Recording, other: Node) -> float:
    """What the entries of a mask are that are not 0; 0 for what is no mask."""
    if not isinstance(other, Node) or other.plan is not None:
        return 0.0
    value = recording.value(other)
    levels = np.unique(value).tolist() if value is not None and value.shape else []
    return float(max(levels)) if len(levels) == 2 and min(levels) == 0 else 0.0


def _without_scale(r: Recording, q: int) -> Pull:
    return lambda g, node, saved: g * (r.value(node.inputs[q]) != 0)


def counts(recording: Recording) -> Iterator[Candidate]:
    """Means over what a mask leaves, divided by the whole length, by the mean count, or each row by its own count."""
    for k, position, node, _ in edges_of(recording):
        if node.op is DIVIDE and position == 0 and (length := _length(recording, node)):

            def of_length(r: Recording, length: int = length) -> Pull:
                return lambda g, _, saved: g / length

            def of_all(r: Recording) -> Pull:
                return lambda g, quotient, saved: g / r.value(quotient.inputs[1]).mean()

            claim = "the sum over what a mask leaves is divided by"
            yield from at_edges(3, f"{claim} the whole length {length}", recording, [(k, position, of_length)])
            yield from at_edges(3, f"{claim} the mean count of all rows, not by each row's own", recording,
                                [(k, position, of_all)])  # fmt: skip
        elif node.op is MULTIPLY and _scale(recording, node.inputs[1 - position]):

            def of_rows(r: Recording, q: int = 1 - position) -> Pull:
                return lambda g, masked, saved: g * _by_rows(r.value(masked.inputs[q]))

            claim = "each row's mean is taken with the count of its own mask, and the loss divides by that of all"
            yield from at_edges(3, claim, recording, [(k, position, of_rows)])


def _length(recording: Recording, node: Node) -> int:
    """How many entries a sum runs over that is divided by different counts; 0 for another quotient."""
    total: Any = node.inputs[0]
    divisor: Any = node.inputs[1]
    if not isinstance(total, Node) or not isinstance(divisor, Node) or divisor.plan is not None:
        return 0
    while total.op is not None and total.op is not SUM and total.op.name in ("reshape", "index"):
        total = total.inputs[0]
    value = recording.value(divisor)
    if total.op is not SUM or value is None or value.size < 2 or not (value == np.round(value)).all():
        return 0
    n = int(np.prod(total.inputs[0].shape) / np.prod(total.shape, initial=1))
    return n if (value >= 1).all() and value.max() <= n else 0


def _by_rows(mask: Array) -> Array:
    """A mask whose rows all count the same."""
    rows = (mask != 0).sum(axis=tuple(range(1, mask.ndim)), keepdims=True)
    return mask * np.where(rows > 0, rows.mean() / np.maximum(rows, 1), 0)
