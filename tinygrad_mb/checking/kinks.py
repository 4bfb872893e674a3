"""Where a function has a corner, several derivatives are as good as each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from ..graph import Node
from ..wording import listed
from .candidates import place
from .parameters import Case
from .recordings import Recording, operation
from .reports import number
from .walks import Array, Change, Edge, Pull

Bend = Callable[[Pull, int, Array, Array], Pull]  # a rule, its position, where the corner is, the value there


class Corner(NamedTuple):
    """A node with arguments exactly at a corner: its place, where that is, and the node's kind of corner."""

    at: int
    where: Array
    kind: str


def _slope(slope: float, first: int = 0) -> Bend:
    """The share of the argument at position ``first`` in a cotangent at the corner; another one has the rest."""

    def bend(pull: Pull, position: int, where: Array, value: Array) -> Pull:
        share = slope if position == first else 1 - slope
        return lambda g, node, saved: np.where(where, g * share, pull(g, node, saved))

    return bend


def _one_of_the_ties(step: int) -> Bend:
    """The first of several largest arguments, or the last one, gets the whole cotangent."""

    def bend(pull: Pull, position: int, where: Array, value: Array) -> Pull:
        def rule(g: Array, node: Node, saved: Array) -> Array:
            ties = pull(np.ones(node.shape), node, saved) != 0
            axes = node.params[0]
            axes = tuple(range(ties.ndim)) if axes is None else tuple(np.atleast_1d(axes) % ties.ndim)
            moved = np.moveaxis(ties, axes, range(-len(axes), 0))
            flat = moved.reshape(*moved.shape[: moved.ndim - len(axes)], -1)
            chosen = np.zeros(flat.shape)
            picks = flat.argmax(-1) if step > 0 else flat.shape[-1] - 1 - flat[..., ::-1].argmax(-1)
            np.put_along_axis(chosen, picks[..., None], 1.0, -1)
            back = np.moveaxis(chosen.reshape(moved.shape), range(-len(axes), 0), axes)
            whole = g if g.ndim == ties.ndim else np.expand_dims(g, axes)
            return back * whole

        return rule

    return bend


def _exchanged(even: bool) -> Bend:
    """What is sorted and equal is in the other order, or shares alike."""

    def bend(pull: Pull, position: int, where: Array, value: Array) -> Pull:
        def rule(g: Array, node: Node, saved: Array) -> Array:
            other = np.array(g)
            for row, values in zip(other.reshape(-1, other.shape[-1]), value.reshape(-1, value.shape[-1]), strict=True):
                for v in np.unique(values):
                    row[values == v] = row[values == v].mean() if even else row[values == v][::-1]
            return pull(other, node, saved)

        return rule

    return bend


_NUMBERS = {f"is {number(slope)}": _slope(slope) for slope in (1.0, 0.5, 0.0)}
_SIGNS = {**_NUMBERS, "is -1": _slope(-1.0)}
_TIES = {"goes to the first": _one_of_the_ties(1), "goes to the last": _one_of_the_ties(-1)}
_ORDERS = {"goes to them in the other order": _exchanged(False), "goes to them evenly": _exchanged(True)}
_BENDS: dict[str, dict[str, Bend]] = {  # derivatives that are as good as each other at a corner
    **dict.fromkeys(("relu", "maximum", "minimum"), _NUMBERS),
    **dict.fromkeys(("absolute", "fabs"), _SIGNS),
    **dict.fromkeys(("max", "min"), _TIES),
    "where": {f"is that of {side}": _slope(share, first=1) for side, share in (
        ("the first choice", 1.0), ("the mean of both choices", 0.5), ("the second choice", 0.0))},
    "sort": _ORDERS,
}  # fmt: skip


def corners(recording: Recording) -> list[Corner]:
    """The nodes with arguments exactly at a corner, and where."""
    return recording.once("corners", lambda: [
        Corner(k, where, kind)
        for k, node in enumerate(recording.nodes)
        if node.op is not None and node in recording.flow
        for kind, where in [_corner(recording, node)]
        if where is not None and where.any()
    ])  # fmt: skip


def _corner(recording: Recording, node: Node) -> tuple[str, Array | None]:
    name, value = operation(node).name, recording.value(node)
    inputs = [recording.value(p) for p in node.inputs]
    if any(x is None for x in inputs):
        return name, None
    if _BENDS.get(name) in (_NUMBERS, _SIGNS):
        return name, np.asarray(inputs[0] == (inputs[1] if len(inputs) > 1 else 0))
    if name in ("max", "min"):
        axis, x = node.params[0], inputs[0]
        best = x.max(axis, keepdims=True) if name == "max" else x.min(axis, keepdims=True)
        return name, np.asarray((x == best).sum(axis) > 1)
    if name == "where" and np.shape(inputs[0]) == node.shape:
        equal = np.isclose(inputs[1], inputs[2], 1e-6, 1e-6)
        return name, equal & recording.flips(recording.index[node.inputs[0]]) if equal.any() else None
    if name == "index" and node.shape == node.inputs[0].shape and node.shape[-1] > 1:  # as np.sort is computed
        steps = np.diff(value, axis=-1)
        ordered = (steps >= 0).all() or (steps <= 0).all()
        return "sort", np.append(steps == 0, steps[..., -1:] == 0, -1) if ordered else None
    return name, None


def explained_by_kinks(cases: Sequence[Case], confirmed: bool) -> tuple[str, bool]:
    """A sentence, if the gradients differ by another derivative at the corners alone; and whether that is right.

    ``confirmed`` says that they are right where there is no corner.
    """
    r = cases[0].recording
    kinds = sorted({corner.kind for c in cases for corner in corners(c.recording)})
    for labels in product(*[_BENDS[kind] for kind in kinds]):
        chosen = dict(zip(kinds, labels, strict=True))
        if kinds and all(_explains(chosen, case) for case in cases):
            break
    else:
        return "", False
    found = corners(r) or [corner for case in cases for corner in corners(case.recording)]
    count, size = sum(int(c.where.sum()) for c in found), sum(c.where.size for c in found)
    yours = listed([label + (f" for {kind}" if len(kinds) > 1 else "") for kind, label in chosen.items()])
    text = (
        f"There is a kink at {count} of {size} arguments ({place(r, found[0].at)}), where any slope between "
        f"those of the two sides is a derivative: yours {yours}, and the engine takes another."
    )
    full = next((c.at for c in found if c.where.all()), None)
    if full is None or confirmed:
        return f"{text} That is no mistake.", True
    return (
        f"{text} But every argument of {place(r, full)} is at the kink, so that this batch cannot tell that slope from "
        "a derivative that is forgotten: check with other parameters, such as random ones."
    ), False


def _explains(chosen: dict[str, str], case: Case) -> bool:
    """Whether these derivatives at the corners give what was handed in."""
    r = case.recording
    made = r.back(Change(edges=_edges(r, chosen)))
    return made is not None and all(case.close(u, made[name], r.truth[name]) for name, u in case.hand.items())


def _edges(recording: Recording, chosen: dict[str, str]) -> dict[Edge, Pull]:
    edges: dict[Edge, Pull] = {}
    for at, where, kind in corners(recording):
        node = recording.nodes[at]
        assert node.plan is not None
        first = min(rule.position for rule in node.plan.rules) if kind != "where" else 0
        for rule in node.plan.rules:  # np.maximum(0, z) has the slope of its argument that is no constant
            bend = _BENDS[kind][chosen[kind]]
            edges[at, rule.position] = bend(rule.pull, rule.position - first, where, recording.value(node))
    return edges
