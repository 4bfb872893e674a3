"""Where a function has a corner, several derivatives are as good as each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .candidates import place
from .recordings import Array, Change, Pull, Recording
from .reports import number

_CORNERS = frozenset(("relu", "maximum", "minimum", "absolute", "fabs"))


def kinks(recording: Recording) -> list[tuple[int, Array]]:
    """The nodes with arguments exactly at a corner, and where."""
    found = []
    for k, node in enumerate(recording.nodes):
        if node.op is not None and node.op.name in _CORNERS and node in recording.flow:
            x = recording.value(node.inputs[0])
            other = recording.value(node.inputs[1]) if len(node.inputs) > 1 else 0
            if x is not None and other is not None and (at := np.asarray(x == other)).any():
                found.append((k, at))
    return found


def explained_by_kinks(cases: Sequence[Any]) -> str:
    """A sentence, if another derivative at the corners is all that the person's gradients differ by; else nothing."""
    for slope in (1.0, 0.5, 0.0, -1.0):
        for case in cases:
            r = case.recording
            made = r.back(Change(edges=_edges(r, slope)))
            if not all(case.close(u, made[name], r.truth[name]) for name, u in case.hand.items()):
                break
        else:
            r = cases[0].recording
            corners = kinks(r)
            if not corners:
                return ""
            count, size = sum(int(a.sum()) for _, a in corners), sum(a.size for _, a in corners)
            return (
                f"There is a kink at {count} of {size} arguments ({place(r, corners[0][0])}), where any slope between "
                f"those of the two sides is a derivative: yours is {number(slope)}, the one used here another. That is "
                "no mistake."
            )
    return ""


def _edges(recording: Recording, slope: float) -> dict[tuple[int, int], Pull]:
    edges: dict[tuple[int, int], Pull] = {}
    for k, at in kinks(recording):
        node = recording.nodes[k]
        assert node.plan is not None
        for position, pull, _, _ in node.plan.rules:
            share = slope if position == 0 else 1 - slope
            edges[k, position] = _at_corners(pull, at, share)
    return edges


def _at_corners(pull: Pull, at: Array, slope: float) -> Pull:
    return lambda g, node, saved: np.where(at, g * slope, pull(g, node, saved))
