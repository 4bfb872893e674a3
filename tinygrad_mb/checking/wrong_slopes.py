"""Wrong derivatives of activations, of softmax, and of cross-entropy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .candidates import Candidate, groups, on_the_way_back, place, places, site
from .recordings import Recording
from .regions import Logits, Region, is_of_cost, logits, regions, softmaxes
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
    for group, whole in groups(regions(recording), lambda a: site(recording, a.top), lambda a: a.name):
        cost = is_of_cost(recording, group[0].top)
        for number, claim, factor in _wrong_slopes(group[0], cost):

            def change(r: Recording, group: list[Region] = group, factor: Factor = factor) -> Change:
                return Change(jumps={a.top: (a.base, factor(r, a)) for a in group})

            at = places(recording, [a.top for a in group])
            yield on_the_way_back(22 if cost and number == 7 else number, f"{claim}, at {at}", change, whole=whole)


def softmax(recording: Recording) -> Iterator[Candidate]:
    """A softmax inside of the model with another Jacobian."""
    ways: list[tuple[str, Callable[[Array, Array, int], Array]]] = [
        ("only the diagonal s(1 - s) of its Jacobian is used", lambda g, s, axis: g * s * (1 - s)),
        ("its Jacobian is applied twice", lambda g, s, axis: _jacobian(_jacobian(g, s, axis), s, axis)),
        ("its Jacobian is missing", lambda g, s, axis: g),
        ("the sum in its denominator counts as constant", lambda g, s, axis: g * s),
    ]
    for one in softmaxes(recording):
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
    ]
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
