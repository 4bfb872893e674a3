"""Wrong derivatives of activations, of softmax, and of cross-entropy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..vjps.special import sigmoid
from ..vjps.special import softmax as softmax_of
from .candidates import Candidate, groups, on_the_way_back, place, places, site
from .recordings import Recording
from .regions import Logits, Region, Softmax, is_of_cost, logits, regions, softmaxes
from .walks import Array, Change

Factor = Callable[[Recording, Region], Callable[[Array], Array]]


def _wrong_slopes(region: Region, cost: bool) -> Iterator[tuple[int, str, Factor]]:
    """What people write in the place of g * φ'(z), with the number of the mistake."""
    name = region.name
    yield 7, f"the derivative of {name} is missing", lambda r, a: lambda g: g
    if cost:
        yield (7, f"the derivative of {name} is missing",
               lambda r, a: lambda g: np.sign(g) / (r.m if r.parts.is_mean else 1))  # fmt: skip
    if name not in ("relu", "sqrt"):
        yield (8, f"the derivative of {name} is taken at its result, not at its argument",
               lambda r, a: lambda g: g * a.slope_at(r, r.value(r.nodes[a.top])))  # fmt: skip
    formula = region.formula()
    if formula is None:
        return
    yield (8, f"the derivative of {name}, a formula in its result, is given its argument",
           lambda r, a: lambda g: g * formula(r.value(r.nodes[a.base])))  # fmt: skip
    own = "the error term that comes in, in the place of the activation"
    yield 8, f"the derivative of {name} is taken of {own}", lambda r, a: lambda g: g * formula(g)
    yield (8, f"the derivative of {name} is taken of {own}",
           lambda r, a: lambda g: g * formula(g / (r.parts.weight or 1)))  # fmt: skip
    yield 8, f"the derivative of {name} is taken of {own}, which is lost", lambda r, a: lambda g: formula(g)
    yield (8, f"the derivative of {name} is taken of {own}, which is lost",
           lambda r, a: lambda g: formula(g / (r.parts.weight or 1)) * (r.parts.weight or 1))  # fmt: skip
    if name in ("tanh", "sigmoid"):
        yield (8, f"the derivative of {name} is wrong: 1 - h, with h its result",
               lambda r, a: lambda g: g * (1 - r.value(r.nodes[a.top])))  # fmt: skip


def activations(recording: Recording) -> Iterator[Candidate]:
    """Activations, and costs, whose derivative is missing or taken at the wrong argument."""
    for group, whole in groups(recording, regions(recording), lambda a: site(recording, a.top), lambda a: a.name):
        cost = is_of_cost(recording, group[0].top)
        for number, claim, factor in _wrong_slopes(group[0], cost):

            def change(r: Recording, group: list[Region] = group, factor: Factor = factor) -> Change:
                return Change(jumps={a.top: (a.base, factor(r, a)) for a in group})

            at = places(recording, [a.top for a in group])
            yield on_the_way_back(22 if cost and number == 7 else number, f"{claim}, at {at}", change, whole=whole)


_OTHERS: dict[str, dict[str, Callable[[Array, Array], Array]]] = {
    "relu": {"z > 0": lambda z, h: 1.0 * (z > 0), "h > 0": lambda z, h: 1.0 * (h > 0)},
    "tanh": {"1 - h²": lambda z, h: 1 - h * h, "1 - tanh²(z)": lambda z, h: 1 - np.tanh(z) ** 2},
    "sigmoid": {
        "h(1 - h)": lambda z, h: h * (1 - h),
        "s(1 - s) with s = sigmoid(z)": lambda z, h: sigmoid(z) * (1 - sigmoid(z)),
    },
    "softplus": {"sigmoid(z)": lambda z, h: sigmoid(z)},
    "exp": {"h": lambda z, h: h},
}


def of_others(recording: Recording) -> Iterator[Candidate]:
    """Activations with the derivative of another function."""
    for group, whole in groups(recording, regions(recording), lambda a: site(recording, a.top), lambda a: a.name):
        name = group[0].name
        if is_of_cost(recording, group[0].top):
            continue
        for other, formulas in _OTHERS.items():
            for formula, slope in formulas.items() if other != name else ():

                def change(r: Recording, group: list[Region] = group, slope: Any = slope) -> Change:
                    jumps: dict[int, tuple[int, Callable[[Array], Array]]] = {}
                    for a in group:
                        made = slope(r.value(r.nodes[a.base]), r.value(r.nodes[a.top]))
                        jumps[a.top] = a.base, lambda g, made=made: g * made  # type: ignore[misc]
                    return Change(jumps=jumps)

                at = places(recording, [a.top for a in group])
                claim = f"the derivative of {other}, {formula}, stands in the place of that of {name}, at {at}"
                yield on_the_way_back(23, claim, change, whole=whole)


def softmax(recording: Recording) -> Iterator[Candidate]:
    """A softmax inside of the model with another Jacobian."""
    ways: list[tuple[str, Callable[[Array, Array, int], Array]]] = [
        ("only the diagonal s(1 - s) of its Jacobian is used", lambda g, s, axis: g * s * (1 - s)),
        ("its Jacobian is applied twice", lambda g, s, axis: _jacobian(_jacobian(g, s, axis), s, axis)),
        ("its Jacobian is missing", lambda g, s, axis: g),
        ("the sum in its denominator counts as constant", lambda g, s, axis: g * s),
    ]
    for one in softmaxes(recording):
        for axis in range(len(recording.nodes[one.top].shape)):
            if axis != one.axis % len(recording.nodes[one.top].shape):

                def along(r: Recording, one: Softmax = one, axis: int = axis) -> Change:
                    s = softmax_of(r.value(r.nodes[one.base]), axis)
                    return Change(jumps={one.top: (one.base, lambda g: _jacobian(g, s, axis))})

                def summed(r: Recording, one: Softmax = one, axis: int = axis) -> Change:
                    s = r.value(r.nodes[one.top])
                    return Change(jumps={one.top: (one.base, lambda g: _jacobian(g, s, axis))})

                at = place(recording, one.top)
                yield on_the_way_back(9, f"softmax: it is normalised over axis {axis} in backward, at {at}", along)
                yield on_the_way_back(9, f"softmax: its Jacobian sums over axis {axis}, at {at}", summed)
        for claim, way in ways:

            def change(r: Recording, one: Any = one, way: Any = way) -> Change:
                s = r.value(r.nodes[one.top])
                return Change(jumps={one.top: (one.base, lambda g: way(g, s, one.axis))})

            yield on_the_way_back(9, f"softmax: {claim}, at {place(recording, one.top)}", change)


def _jacobian(g: Array, s: Array, axis: int) -> Array:
    return s * (g - (g * s).sum(axis=axis, keepdims=True))


def cross_entropy(recording: Recording) -> Iterator[Candidate]:
    """Wrong error terms of a softmax, or a sigmoid, with cross-entropy."""
    softmax_ways: list[tuple[int, str, Callable[[Logits, Array], Array]]] = [
        (9, "only s(1 - s), the diagonal of softmax's Jacobian, is used", lambda a, g: -a.c * a.target * (1 - a.s)),
        (9, "only s(1 - s), the diagonal of softmax's Jacobian, stands there", lambda a, g: a.c * a.s * (1 - a.s)),
        (9, "s - y, which has it already, is multiplied by s(1 - s) once more", lambda a, g: g * a.s * (1 - a.s)),
        (9, "softmax's Jacobian is applied twice: s - y has it already", lambda a, g: _jacobian(g, a.s, -1)),
        (22, "the target is forgotten: s in the place of s - y", lambda a, g: a.c * a.s),
        (9, "the cost's derivative -y/s is used without softmax's Jacobian", lambda a, g: -a.c * a.target / a.s),
        (9, "s is normalised over the examples, not over each example's classes",
         lambda a, g: a.c * (softmax_of(a.z, 0) - a.target)),
    ]  # fmt: skip
    sigmoid_ways: list[tuple[int, str, Callable[[Logits, Array], Array]]] = [
        (9, "p - y, which has the sigmoid's derivative already, is multiplied by p(1 - p) once more",
         lambda a, g: g * a.s * (1 - a.s)),
        (7, "the derivative p(1 - p) of the sigmoid is missing", lambda a, g: g / (a.s * (1 - a.s))),
        (22, "the target is forgotten: p in the place of p - y", lambda a, g: a.c * a.s),
        (22, "p(1 - p) stands in the place of p - y", lambda a, g: a.c * a.s * (1 - a.s)),
    ]  # fmt: skip
    for k in recording.batched():
        found = logits(recording, k)
        if found is None:
            continue
        for number, claim, way in softmax_ways if found.kind == "softmax" else sigmoid_ways:

            def change(r: Recording, k: int = k, way: Any = way) -> Change:
                here = logits(r, k)
                return Change(at={k: lambda g: way(here, g)})

            yield on_the_way_back(number, f"{found.kind} with cross-entropy: {claim}, at {place(recording, k)}", change)
