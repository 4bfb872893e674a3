"""Where a function has a corner, several derivatives are as good as each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from ..wording import listed
from .candidates import place
from .recordings import Recording, operation
from .reports import number
from .walks import Array, Change, Pull

_SLOPES = {  # the derivatives that are as good as each other at a corner
    **dict.fromkeys(("relu", "maximum", "minimum"), (1.0, 0.5, 0.0)),
    **dict.fromkeys(("absolute", "fabs"), (1.0, 0.5, 0.0, -1.0)),
}


def kinks(recording: Recording) -> list[tuple[int, Array]]:
    """The nodes with arguments exactly at a corner, and where."""
    found = []
    for k, node in enumerate(recording.nodes):
        if node.op is not None and node.op.name in _SLOPES and node in recording.flow:
            x = recording.value(node.inputs[0])
            other = recording.value(node.inputs[1]) if len(node.inputs) > 1 else 0
            if x is not None and other is not None and (at := np.asarray(x == other)).any():
                found.append((k, at))
    return found


def explained_by_kinks(cases: Sequence[Any], confirmed: bool) -> tuple[str, bool]:
    """A sentence, if the gradients differ by another derivative at the corners alone; and whether that is right.

    ``confirmed`` says that they are right where there is no corner.
    """
    r = cases[0].recording
    ops = sorted({_kind(c.recording, k) for c in cases for k, _ in kinks(c.recording)})
    for chosen in product(*[_SLOPES[op] for op in ops]):
        slopes = dict(zip(ops, chosen, strict=True))
        if ops and all(_explains(slopes, case) for case in cases):
            break
    else:
        return "", False
    corners = kinks(r) or [c for case in cases for c in kinks(case.recording)]
    count, size = sum(int(a.sum()) for _, a in corners), sum(a.size for _, a in corners)
    yours = listed([number(slope) + (f" for {op}" if len(ops) > 1 else "") for op, slope in slopes.items()])
    text = (
        f"There is a kink at {count} of {size} arguments ({place(r, corners[0][0])}), where any slope between "
        f"those of the two sides is a derivative: yours is {yours}, and the engine takes another."
    )
    full = next((k for k, at in corners if at.all()), None)
    if full is None or confirmed:
        return f"{text} That is no mistake.", True
    return (
        f"{text} But every argument of {place(r, full)} is at the kink, so that this batch cannot tell that slope from "
        "a derivative that is forgotten: check with other parameters, such as random ones."
    ), False


def _explains(slopes: dict[str, float], case: Any) -> bool:
    """Whether these derivatives at the corners give what was handed in."""
    r = case.recording
    made = r.back(Change(edges=_edges(r, slopes)))
    return made is not None and all(case.close(u, made[name], r.truth[name]) for name, u in case.hand.items())


def _kind(recording: Recording, k: int) -> str:
    return operation(recording.nodes[k]).name


def _edges(recording: Recording, slopes: dict[str, float]) -> dict[tuple[int, int], Pull]:
    edges: dict[tuple[int, int], Pull] = {}
    for k, at in kinks(recording):
        node, slope = recording.nodes[k], slopes[_kind(recording, k)]
        assert node.plan is not None
        for position, pull, _, _ in node.plan.rules:
            share = slope if position == 0 else 1 - slope
            edges[k, position] = _at_corners(pull, at, share)
    return edges


def _at_corners(pull: Pull, at: Array, slope: float) -> Pull:
    return lambda g, node, saved: np.where(at, g * slope, pull(g, node, saved))
