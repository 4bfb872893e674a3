"""Paths and factors left out on the way back, added where they should not be, or put at wrong places."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import Any

import numpy as np

from ..graph import Node
from ..wording import listed
from .candidates import (
    PRODUCTS,
    Candidate,
    at_edges,
    edges_of,
    factor_name,
    groups,
    nothing,
    on_the_way_back,
    place,
    places,
    repeated,
    site,
)
from .loss_parts import DIVIDE, MEAN, MULTIPLY, NEGATIVE, SUBTRACT, SUM
from .recordings import Recording, operation
from .regions import is_of_cost, regions
from .walks import Array, Change, Pull


def regularisers(recording: Recording) -> Iterator[Candidate]:
    """A regulariser that is forgotten, or one of its terms."""
    terms = recording.parts.regularisers
    if terms:
        change = _forgotten(terms)
        yield on_the_way_back(13, f"the regulariser is forgotten, {places(recording, terms)}", change)
    for k in terms if len(terms) > 1 else ():
        change = _forgotten([k])
        yield on_the_way_back(13, f"a term of the regulariser is forgotten, {place(recording, k)}", change)


def _forgotten(terms: list[int]) -> Callable[[Recording], Change]:
    return lambda r: Change(at={k: lambda g: 0 * g for k in terms})


def statistics(recording: Recording) -> Iterator[Candidate]:
    """Means and variances whose own derivative is left out."""
    found: list[tuple[int, str]] = []
    terms, in_loops = set(recording.parts.terms), repeated(recording)
    for k, node in enumerate(recording.nodes):
        if node.op is None or node.plan is None or node in terms or node not in recording.flow:
            continue
        if not (node.op in (MEAN, SUM) or node.op.name in ("std", "norm")) or len(node.inputs[0].shape) < 2:
            continue
        if not any(len(u.shape) > len(node.shape) or np.prod(u.shape) > np.prod(node.shape, initial=1)
                   for u in _broadcasting(recording, node)):  # fmt: skip
            continue
        before = node.inputs[0].op
        spread = node.op.name in ("std", "norm") or (before is not None and recording.value(node.inputs[0]).min() >= 0)
        found.append((k, "variance" if spread else "mean"))
    sets = [[k] for k, _ in found if k not in in_loops]
    for kind in ("mean", "variance", ""):
        sets.append([k for k, what in found if kind in what])
    for ks in sets:
        if not ks:
            continue
        kinds = sorted({what for k, what in found if k in ks})

        def change(r: Recording, ks: list[int] = ks) -> Change:
            return Change(at={k: lambda g: 0 * g for k in ks})

        counts = "counts as a constant" if len(kinds) == 1 else "count as constants"
        yield on_the_way_back(17, f"the {' and the '.join(kinds)} {counts}, at {places(recording, ks)}", change)


def _broadcasting(recording: Recording, node: Node) -> Iterator[Node]:
    """What uses a node, or an array of the same size that is made of it alone; not products, which need no copies."""
    for user, _ in recording.users[node]:
        if operation(user).name in PRODUCTS:
            continue
        yield user
        if np.prod(user.shape, initial=1) == np.prod(node.shape, initial=1):
            yield from _broadcasting(recording, user)


def fan_out(recording: Recording) -> Iterator[Candidate]:
    """Values that are used several times, and do not get what all of the uses give."""
    shared = []
    for k, node in enumerate(recording.nodes):
        uses = [(u, at) for u, at in recording.users[node] if u in recording.flow and _has_rule(u, at)]
        if len(uses) > 1 and node.plan is not None:
            shared.append((k, uses))
    params = [(k, uses) for k, uses in shared if recording.nodes[k].op is None]
    for group, whole in groups(recording, params, lambda item: len(item[1])):
        n = len(group[0][1])
        for i, which in ((0, "last"), (-1, "first")):

            def change(r: Recording, group: Any = group, i: int = i) -> Change:
                return Change(joins={k: lambda parts: parts[i] for k, _ in group})

            names = listed([str(recording.nodes[k].name) for k, _ in group])
            in_loop = n > 2 and len({site(recording, recording.index[u])[0] for u, _ in group[0][1]}) == 1
            what = f"steps of the loop counts in the gradient by {names}" if in_loop else f"uses of {names} counts"
            claim = f"only the {which} of the {n} {what}"
            yield on_the_way_back(19, f"{claim} (`=` for `+=`)", change, whole=whole)
    cut = [(recording.index[u], at, lambda r: nothing) for _, uses in shared for u, at in uses]
    yield from at_edges(19, "of a value with several uses one use is forgotten (`=` for `+=`)", recording, cut)
    for k, node in enumerate(recording.nodes):
        if node.op is not None and node.op.name == "index" and node in recording.flow:
            claim = "what is picked several times gets only the last of its gradients (`=` for `np.add.at`)"
            yield from at_edges(19, claim, recording, [(k, 0, lambda r: _assigned)])


def _assigned(g: Array, node: Node, saved: Any) -> Array:
    out = np.zeros(node.inputs[0].shape)
    out[node.params[0]] = g
    return out


def _has_rule(node: Node, position: int) -> bool:
    return node.plan is not None and any(rule.position == position for rule in node.plan.rules)


def signs(recording: Recording) -> Iterator[Candidate]:
    """Differences whose minus is lost."""
    edges = [
        (k, position, lambda r: lambda g, node, saved: g)
        for k, position, node, _ in edges_of(recording)
        if node.op is NEGATIVE or (node.op is SUBTRACT and position == 1)
    ]
    yield from at_edges(5, "the minus is lost on the way back", recording, edges)


def factors(recording: Recording) -> Iterator[Candidate]:
    """Products in which the other factor is left out."""

    def alone(k: int, position: int) -> Callable[[Recording], Pull]:
        def rule(r: Recording) -> Pull:
            return lambda g, node, saved: _spread(g, len(node.inputs[position].shape))

        return rule

    of_parameters = recording.of_parameters
    edges: dict[str, list[tuple[int, int, Any]]] = {}
    for k, position, node, _ in edges_of(recording):
        product = node.op is MULTIPLY or (operation(node).name in PRODUCTS and position == 0)
        if (not product and not (node.op is DIVIDE and position == 0)) or len(node.inputs) < 2:
            continue
        other = node.inputs[1 - position] if position < 2 else None
        if other is not None and other is not node.inputs[position]:
            edges.setdefault(factor_name(recording, node, other), []).append((k, position, alone(k, position)))
    terms = set(recording.parts.terms)
    for k, position, node, pull in edges_of(recording):
        if node.op in (MEAN, SUM) and node not in terms:
            number, does = (22, "left out") if node.op is MEAN else (3, "one too many")

            def scaled(r: Recording, pull: Pull = pull, power: int = 1 if node.op is MEAN else -1) -> Pull:
                return lambda g, reduced, saved: _joined_elements(reduced) ** power * pull(g, reduced, saved)

            claim = f"the factor 1/{_joined_elements(node):g} of a mean is {does}"
            yield from at_edges(number, claim, recording, [(k, position, scaled)])
    for k, node in enumerate(recording.nodes):
        if node.op is DIVIDE and node in recording.flow and isinstance(node.inputs[1], Node) and node.shape:
            for j, older in enumerate(recording.nodes[:k]):
                if older.op is not None and older.shape == node.shape and older in recording.flow:

                    def change(r: Recording, k: int = k, j: int = j) -> Change:
                        divisor = r.value(r.nodes[k].inputs[1])
                        return Change(at={j: lambda g: g * divisor})

                    claim = f"the factor {factor_name(recording, node, node.inputs[1])} is left out"
                    yield on_the_way_back(22, f"{claim}, at {place(recording, j)}", change)
    for name, found in edges.items():
        yield from at_edges(22, f"the factor {name} is left out", recording, found)
    for k, position, node, _ in edges_of(recording):
        other = node.inputs[1 - position] if node.op is MULTIPLY and node.inputs[position] in of_parameters else None
        if isinstance(other, Node) and other.op in (MULTIPLY, DIVIDE) and other in recording.flow:
            for q in (0, 1) if other.op is MULTIPLY else (0,):

                def bare(r: Recording, q: int = q, at: int = 1 - position) -> Pull:
                    return lambda g, product, saved: g * r.value(product.inputs[at].inputs[q])

                name = factor_name(recording, other, other.inputs[1 - q])
                claim = f"the factor {name} of what a weight is multiplied by is left out in the weight's gradient"
                yield from at_edges(22, claim, recording, [(k, position, bare)])


def _spread(g: Array, ndim: int) -> Array:
    return g[(...,) + (None,) * (ndim - g.ndim)] if g.ndim < ndim else g


def orders(recording: Recording) -> Iterator[Candidate]:
    """Products with a factor in the place of its transpose."""

    def straight(r: Recording) -> Pull:
        return lambda g, node, saved: g @ r.value(node.inputs[1])

    def straight_left(r: Recording) -> Pull:
        return lambda g, node, saved: r.value(node.inputs[0]) @ g

    def turned(pull: Pull) -> Callable[[Recording], Pull]:
        return lambda r: lambda g, node, saved: pull(g.swapaxes(-1, -2), node, saved)

    def turned_back(pull: Pull) -> Pull:
        return lambda g, node, saved: pull(g, node, saved).swapaxes(-1, -2)

    of_weights: dict[str, list[tuple[int, int, Any]]] = {}
    of_errors = []
    for k, position, node, pull in edges_of(recording):
        if operation(node).name in PRODUCTS:
            if position == 0 and isinstance(node.inputs[1], Node) and _is_square(node.inputs[1]):
                name = factor_name(recording, node, node.inputs[1])
                of_weights.setdefault(name, []).append((k, position, straight))
            if position == 1 and isinstance(node.inputs[0], Node) and _is_square(node.inputs[0]):
                name = factor_name(recording, node, node.inputs[0])
                of_weights.setdefault(name, []).append((k, position, straight_left))
            if _is_square(node):
                of_errors.append((k, position, turned(pull)))
    for name, edges in of_weights.items():
        claim = f"the error terms are multiplied by {name}, not by its transpose"
        yield from at_edges(12, claim, recording, edges)
    yield from at_edges(12, "the error terms are transposed on their way to a factor", recording, of_errors)
    for k, node in enumerate(recording.nodes):
        if node.op is None or node not in recording.flow or node.op.name not in PRODUCTS:
            continue
        shapes = [x.shape for x in node.inputs[:2] if isinstance(x, Node) and len(x.shape) > 1]
        both = _has_rule(node, 0) and _has_rule(node, 1)
        if both and len(shapes) == 2 and shapes[0] == (*shapes[1][:-2], *shapes[1][:-3:-1]):

            def change(r: Recording, k: int = k) -> Change:
                pulls = {rule.position: rule.pull for rule in r.nodes[k].plan.rules}  # type: ignore[union-attr]
                return Change(edges={(k, 0): turned_back(pulls[1]), (k, 1): turned_back(pulls[0])})

            claim = f"the error terms of the two factors are exchanged, at {place(recording, k)}"
            yield on_the_way_back(12, claim, change)


def operands(recording: Recording) -> Iterator[Candidate]:
    """Gradients of weights that are made with z where h stands in the product, or the reverse."""
    partner: dict[int, tuple[int, str]] = {}
    for region in regions(recording):
        if not is_of_cost(recording, region.top):
            partner.setdefault(region.base, (region.top, f"the result of {region.name} stands in the place of its"))
            partner.setdefault(region.top, (region.base, f"the argument of {region.name} stands in the place of its"))
    edges: dict[str, list[tuple[int, int, Any]]] = {}
    for k, position, node, pull in edges_of(recording):
        q = 1 - position
        if operation(node).name not in PRODUCTS or position > 1 or node.inputs[position] not in recording.of_parameters:
            continue
        other = _unmasked(recording, node.inputs[q], partner)
        assert node.plan is not None
        if other in partner and q in node.plan.saves:
            at, claim = partner[other]
            what = "argument" if claim.startswith("the result") else "result"
            rule = reading(pull, node.plan.saves.index(q), at)
            edges.setdefault(f"{claim} {what} in the gradient of weights", []).append((k, position, rule))
    for claim, found in edges.items():
        yield from at_edges(25, claim, recording, found)
        if len(found) > 1:

            def change(r: Recording, found: Any = found) -> Change:
                return Change(edges={(k, position): rule(r) for k, position, rule in found})

            yield on_the_way_back(25, f"{claim}, in every layer", change)


def _unmasked(recording: Recording, node: Any, known: Container[int]) -> int | None:
    """The place of what is known, if a mask or a number has been put on it."""
    while isinstance(node, Node) and recording.index[node] not in known and node.op in (MULTIPLY, DIVIDE):
        node = next((p for p in node.inputs if isinstance(p, Node) and p.plan is not None), None)
    return recording.index[node] if isinstance(node, Node) else None


def reading(pull: Pull, saved_at: int, at: int) -> Callable[[Recording], Pull]:
    """A rule that reads another node's value."""
    return lambda r: (
        lambda g, node, saved: pull(g, node, (*saved[:saved_at], r.value(r.nodes[at]), *saved[saved_at + 1 :]))
    )


def _is_square(node: Node) -> bool:
    return len(node.shape) >= 2 and node.shape[-1] == node.shape[-2]


def axes(recording: Recording) -> Iterator[Candidate]:
    """Reductions and reshapes whose cotangents come back at wrong places."""

    def tiled(r: Recording) -> Pull:
        return lambda g, node, saved: np.resize(_share(g, node), node.inputs[0].shape)

    def along(axis: int) -> Callable[[Recording], Pull]:
        return lambda r: (
            lambda g, node, saved: np.broadcast_to(
                np.expand_dims(_share(g, node).reshape(_less(node)), axis), node.inputs[0].shape
            )
        )

    def flat(r: Recording) -> Pull:
        return lambda g, node, saved: g.reshape(node.inputs[0].shape)

    def columns(r: Recording) -> Pull:
        return lambda g, node, saved: g.reshape(node.inputs[0].shape, order="F")

    for k, position, node, _ in edges_of(recording):
        name, edge = operation(node).name, (k, position)
        claim = f"what {name} gives back is put at wrong places (the sum is right)"
        ways: list[Callable[[Recording], Pull]] = []
        if node.op in (MEAN, SUM) and node.shape != () and node.params[0] is not None:
            shape = node.inputs[0].shape
            axes = _reduced(node)
            ways = [tiled] + [along(a) for a in range(len(shape)) if len(axes) == 1 and a != axes[0]]
        elif name in ("transpose", "swapaxes"):
            ways = [flat]
        elif name == "reshape":
            ways = [columns]
        for way in ways:
            yield from at_edges(21, claim, recording, [(*edge, way)])


def _joined_elements(node: Node) -> float:
    """How many elements a reduction makes one of."""
    return float(np.prod(node.inputs[0].shape)) / float(np.prod(node.shape))


def _share(g: Array, node: Node) -> Array:
    return g / _joined_elements(node) if node.op is MEAN else g


def _reduced(node: Node) -> tuple[int, ...]:
    axis, ndim = node.params[0], len(node.inputs[0].shape)
    return tuple([k % ndim for k in (axis if isinstance(axis, tuple) else (axis,))])


def _less(node: Node) -> tuple[int, ...]:
    """The shape of a reduction's result without axes that it keeps."""
    shape = node.inputs[0].shape
    axes = _reduced(node)
    return tuple([n for k, n in enumerate(shape) if k not in axes])
