"""Wrong gradients, made by making a mistake on the recorded graph: what a person's gradients are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from ..autodiff import unbroadcast
from ..graph import Node
from ..vjps.helpers import axes_of, count
from .recordings import (
    DIVIDE,
    MEAN,
    MULTIPLY,
    NEGATIVE,
    SUBTRACT,
    SUM,
    Array,
    Change,
    Gradients,
    Pull,
    Recording,
    attempt,
    operation,
)
from .regions import Logits, Region, is_of_cost, logits, regions, softmaxes

_MOST_NODES = 400  # that candidates are made for
_PRODUCTS = frozenset(("matmul", "linear"))


class Candidate(NamedTuple):
    """A mistake at a place.

    number  in the catalogue
    claim   what has been done, in words
    change  the mistake on the way back, for any recording of the loss; None if it is not one of a way back
    make    the gradients that come out; None where the mistake does not even run
    second  the number of the other mistake, if there are two in one
    whole   whether it is made wherever it can be made, and not at one of several such places
    """

    number: int
    claim: str
    change: Callable[[Recording], Change] | None
    make: Callable[[Recording], Gradients | None]
    second: int = 0
    whole: bool = True


def on_the_way_back(
    number: int, claim: str, change: Callable[[Recording], Change], second: int = 0, whole: bool = True
) -> Candidate:
    """A mistake that is a change of the way back."""
    return Candidate(number, claim, change, lambda r: attempt(lambda: r.back(change(r))), second, whole)


def candidates(recording: Recording) -> Iterator[Candidate]:
    """All mistakes that can be made on this graph, those of one kind together."""
    if len(recording.nodes) <= _MOST_NODES:
        for make in (
            _statistics, _activations, _softmax, _cross_entropy, _fan_out, _signs, _factors, _orders, _axes, _averages,
        ):  # fmt: skip
            yield from make(recording)
    yield from _batches(recording)


def place(recording: Recording, k: int) -> str:
    """A node as a sentence names it: its name, and the person's line that made it."""
    node = recording.nodes[k]
    where = node.extras.where if node.extras else None
    code = where.partition(": ")[2] if where else ""
    name = f"{node.name!r}" if node.name else f"the result {node.shape} of {node.op.name if node.op else 'a leaf'}"
    return f"{name} in `{code:.70}`" if code else name


def _places(recording: Recording, ks: Sequence[int]) -> str:
    return place(recording, ks[0]) if len(ks) == 1 else f"all {len(ks)} places, the last {place(recording, max(ks))}"


def _groups(items: Sequence[Any], key: Callable[[Any], Any]) -> Iterator[tuple[list[Any], bool]]:
    """Each item alone, then those with equal keys together: a mistake is often made at every step.

    With each comes whether it is all that have this key.
    """
    groups = [list(group) for _, group in groupby(sorted(items, key=lambda x: str(key(x))), key=lambda x: str(key(x)))]
    single = {id(group[0]) for group in groups if len(group) == 1}
    yield from [([item], id(item) in single) for item in items]
    yield from [(group, True) for group in groups if len(group) > 1]


# -------------------------------------------------------------------------------------------- activations


Factor = Callable[[Recording, Region], Callable[[Array], Array]]


def _wrong_slopes(region: Region, cost: bool) -> Iterator[tuple[int, str, Factor]]:
    """What people write in the place of g * φ'(z), with the number of the mistake."""
    name = region.name
    yield 7, f"the derivative of {name} is missing", lambda r, a: lambda g: g
    if cost:
        yield 7, f"the derivative of {name} is missing", lambda r, a: lambda g: np.sign(g) / (r.m if r.is_mean else 1)
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
           lambda r, a: lambda g: g * formula(g / (r.weight or 1)))  # fmt: skip
    yield 8, f"the derivative of {name} is taken of {own}, which is lost", lambda r, a: lambda g: formula(g)
    yield (8, f"the derivative of {name} is taken of {own}, which is lost",
           lambda r, a: lambda g: formula(g / (r.weight or 1)) * (r.weight or 1))  # fmt: skip
    if name in ("tanh", "sigmoid"):
        yield (8, f"the derivative of {name} is wrong: 1 - h, with h its result",
               lambda r, a: lambda g: g * (1 - r.value(r.nodes[a.top])))  # fmt: skip


def _activations(recording: Recording) -> Iterator[Candidate]:
    for group, whole in _groups(regions(recording), lambda a: a.name):
        cost = is_of_cost(recording, group[0].top)
        for number, claim, factor in _wrong_slopes(group[0], cost):

            def change(r: Recording, group: list[Region] = group, factor: Factor = factor) -> Change:
                return Change(jumps={a.top: (a.base, factor(r, a)) for a in group})

            at = _places(recording, [a.top for a in group])
            yield on_the_way_back(22 if cost and number == 7 else number, f"{claim}, at {at}", change, whole=whole)


def _softmax(recording: Recording) -> Iterator[Candidate]:
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


def _cross_entropy(recording: Recording) -> Iterator[Candidate]:
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


# ------------------------------------------------------------------------ what joins elements, and what shares them


def _statistics(recording: Recording) -> Iterator[Candidate]:
    """Means and variances whose own derivative is left out."""
    found: list[tuple[int, str]] = []
    terms = set(recording.terms)
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
    sets = [[k] for k, _ in found]
    for kind in ("mean", "variance", ""):
        sets.append([k for k, what in found if kind in what])
    for ks in sets:
        if not ks:
            continue
        kinds = sorted({what for k, what in found if k in ks})

        def change(r: Recording, ks: list[int] = ks) -> Change:
            return Change(at={k: lambda g: 0 * g for k in ks})

        counts = "counts as a constant" if len(kinds) == 1 else "count as constants"
        yield on_the_way_back(17, f"the {' and the '.join(kinds)} {counts}, at {_places(recording, ks)}", change)


def _broadcasting(recording: Recording, node: Node) -> Iterator[Node]:
    """What uses a node, or an array of the same size that is made of it alone."""
    for user, _ in recording.users[node]:
        yield user
        if np.prod(user.shape, initial=1) == np.prod(node.shape, initial=1):
            yield from _broadcasting(recording, user)


def _fan_out(recording: Recording) -> Iterator[Candidate]:
    """Values that are used several times, and get what only one of the uses gives."""
    shared = []
    for k, node in enumerate(recording.nodes):
        uses = [u for u, at in recording.users[node] if u in recording.flow and _has_rule(u, at)]
        if len(uses) > 1 and node.plan is not None:
            shared.append((k, len(uses)))
    params = set(recording.params.values())
    for group, whole in _groups(shared, lambda item: (item[1], recording.nodes[item[0]] in params)):
        n = group[0][1]
        for i in range(n) if n <= 8 else (0, n - 1):

            def change(r: Recording, group: Any = group, i: int = i) -> Change:
                return Change(joins={k: lambda parts: parts[i if i < len(parts) else -1] for k, _ in group})

            which = "its last use" if i == 0 else "its first use" if i == n - 1 else f"one of its {n} uses"
            at = _places(recording, [k for k, _ in group])
            if recording.nodes[group[0][0]].op is None:
                at = " and ".join([str(recording.nodes[k].name) for k, _ in group])
            yield on_the_way_back(19, f"only {which} counts (`=` for `+=`): {at} is used {n} times", change, whole=whole)


def _has_rule(node: Node, position: int) -> bool:
    return node.plan is not None and any(rule.position == position for rule in node.plan.rules)


# --------------------------------------------------------------------------------------------------- single edges


def _edges(recording: Recording) -> Iterator[tuple[int, int, Node, Pull]]:
    """Node, position of the argument, and the rule, newest first; those that lead to a regulariser are left out."""
    for k in range(len(recording.nodes) - 1, -1, -1):
        node = recording.nodes[k]
        if node.op is not None and node.plan is not None and node in recording.flow:
            for rule in node.plan.rules:
                yield k, rule.position, node, rule.pull


def _edge_group(
    number: int, claim: str, recording: Recording, edges: list[tuple[int, int, Any]], same: Callable[[Any], Any]
) -> Iterator[Candidate]:
    """Candidates for (node, position, its wrong rule for a recording): each alone, and those that are the same."""
    for group, whole in _groups(edges, same):

        def change(r: Recording, group: Any = group) -> Change:
            return Change(edges={(k, position): rule(r) for k, position, rule in group})

        yield on_the_way_back(number, f"{claim}, at {_places(recording, [k for k, _, _ in group])}", change, whole=whole)


def _signs(recording: Recording) -> Iterator[Candidate]:
    edges = [
        (k, position, lambda r: lambda g, node, saved: g)
        for k, position, node, _ in _edges(recording)
        if node.op is NEGATIVE or (node.op is SUBTRACT and position == 1)
    ]
    yield from _edge_group(5, "the minus is lost on the way back", recording, edges, lambda e: e[:2])


def _factors(recording: Recording) -> Iterator[Candidate]:
    """Products in which the other factor is left out."""

    def alone(k: int, position: int) -> Callable[[Recording], Pull]:
        def rule(r: Recording) -> Pull:
            return lambda g, node, saved: _spread(g, len(node.inputs[position].shape))

        return rule

    edges: dict[str, list[tuple[int, int, Any]]] = {}
    for k, position, node, _ in _edges(recording):
        product = node.op is MULTIPLY or (operation(node).name in _PRODUCTS and position == 0)
        if (not product and not (node.op is DIVIDE and position == 0)) or len(node.inputs) < 2:
            continue
        other = node.inputs[1 - position] if position < 2 else None
        if other is not None and other is not node.inputs[position]:
            edges.setdefault(_factor_name(recording, node, other), []).append((k, position, alone(k, position)))
    terms = set(recording.terms)
    for k, position, node, pull in _edges(recording):
        if node.op in (MEAN, SUM) and node not in terms:
            n = count(node.inputs[0].shape, node.params[0])
            other, number, does = (float(n), 22, "left out") if node.op is MEAN else (1 / n, 3, "one too many")

            def scaled(r: Recording, pull: Pull = pull, other: float = other) -> Pull:
                return lambda g, node, saved: other * pull(g, node, saved)

            claim = f"the factor 1/{n} of a mean is {does}"
            yield from _edge_group(number, claim, recording, [(k, position, scaled)], lambda e: e[:2])
    for k, node in enumerate(recording.nodes):
        if node.op is DIVIDE and node in recording.flow and isinstance(node.inputs[1], Node) and node.shape:
            for j, older in enumerate(recording.nodes[:k]):
                if older.op is not None and older.shape == node.shape and older in recording.flow:

                    def change(r: Recording, k: int = k, j: int = j) -> Change:
                        divisor = r.value(r.nodes[k].inputs[1])
                        return Change(at={j: lambda g: g * divisor})

                    claim = f"the factor {_factor_name(recording, node, node.inputs[1])} is left out"
                    yield on_the_way_back(22, f"{claim}, at {place(recording, j)}", change)
    for name, found in edges.items():
        same = len({k for k, _, _ in found}) > 1 and name[:1] != "("
        yield from _edge_group(22, f"the factor {name} is left out", recording, found, lambda e, s=same: s or e)


def _factor_name(recording: Recording, node: Node, other: Any) -> str:
    divided = "1 / " if node.op is DIVIDE else ""
    if not isinstance(other, Node):
        return f"{divided}{float(other):.6g}"
    if other.op is not None and other.name is None and isinstance(other.inputs[0], Node) and other.inputs[0].name:
        return f"{divided}{operation(other).name}({other.inputs[0].name})"
    return divided + (other.name or str(other.shape))


def _spread(g: Array, ndim: int) -> Array:
    return g[(...,) + (None,) * (ndim - g.ndim)] if g.ndim < ndim else g


def _orders(recording: Recording) -> Iterator[Candidate]:
    """Products with W in the place of its transpose."""

    def straight(r: Recording) -> Pull:
        return lambda g, node, saved: g @ r.value(node.inputs[1])

    edges: dict[str, list[tuple[int, int, Any]]] = {}
    for k, position, node, _ in _edges(recording):
        if operation(node).name in _PRODUCTS and position == 0 and isinstance(node.inputs[1], Node):
            shape = node.inputs[1].shape
            if len(shape) >= 2 and shape[-1] == shape[-2]:
                edges.setdefault(_factor_name(recording, node, node.inputs[1]), []).append((k, position, straight))
    for name, found in edges.items():
        claim = f"the error terms are multiplied by {name}, not by its transpose"
        yield from _edge_group(12, claim, recording, found, lambda e: True)


def _axes(recording: Recording) -> Iterator[Candidate]:
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

    for k, position, node, _ in _edges(recording):
        name, edge = operation(node).name, (k, position)
        claim = f"what {name} gives back is put at wrong places (the sum is right)"
        ways: list[Callable[[Recording], Pull]] = []
        if node.op in (MEAN, SUM) and node.shape != () and node.params[0] is not None:
            shape = node.inputs[0].shape
            axes = axes_of(node.params[0], len(shape))
            ways = [tiled] + [along(a) for a in range(len(shape)) if len(axes) == 1 and a != axes[0]]
        elif name in ("transpose", "swapaxes"):
            ways = [flat]
        elif name == "reshape":
            ways = [columns]
        for way in ways:
            yield from _edge_group(21, claim, recording, [(*edge, way)], lambda e: e)


def _share(g: Array, node: Node) -> Array:
    return g / count(node.inputs[0].shape, node.params[0]) if node.op is MEAN else g


def _less(node: Node) -> tuple[int, ...]:
    """The shape of a reduction's result without axes that it keeps."""
    shape = node.inputs[0].shape
    axes = axes_of(node.params[0], len(shape))
    return tuple([n for k, n in enumerate(shape) if k not in axes])


# --------------------------------------------------------------------------------------------------- the examples


def _mean(x: Array) -> Array:
    return np.broadcast_to(x.mean(axis=0, keepdims=True), x.shape)


def _averages(recording: Recording) -> Iterator[Candidate]:
    """Errors, activations or both averaged over the examples."""

    def of_examples(r: Recording, how: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda x: how(x) if np.shape(x)[:1] == (r.m,) and np.asarray(x).dtype.kind == "f" else x

    def of_slopes(r: Recording, k: int, how: Callable[[Array], Array]) -> dict[int, Any]:
        jumps = {}
        for a in regions(r):
            if a.top < k and r.nodes[a.top].shape[:1] == (r.m,):
                formula, z, h = a.formula(), r.value(r.nodes[a.base]), r.value(r.nodes[a.top])
                slope = formula(how(h)) if formula else a.slope_at(r, how(z))
                jumps[a.top] = a.base, lambda g, slope=slope: g * slope
        return jumps

    def one(i: int) -> Callable[[Array], Array]:
        return lambda x: np.broadcast_to(x[i : i + 1] if i >= 0 else x[-1:], x.shape)

    ways: list[tuple[str, Callable[[Array], Array] | None]] = [
        ("the errors are averaged over the examples before they go back", None),
        ("errors and activations are averaged over the examples before they go back", _mean),
        ("the errors are averaged over the examples, and go back through the last example alone", one(-1)),
        ("the errors are averaged over the examples, and go back through the first example alone", one(0)),
    ]
    for claim, how in ways:
        for k in recording.batched():

            def change(r: Recording, k: int = k, how: Any = how) -> Change:
                if how is None:
                    return Change(at={k: _mean})
                return Change(at={k: _mean}, saved=(k, of_examples(r, how)), jumps=of_slopes(r, k, how))

            yield on_the_way_back(6, f"{claim}, at {place(recording, k)}", change)

    def products(r: Recording) -> Change:
        params = set(r.params.values())
        return Change(edges={
            (k, position): lambda g, node, saved, pull=pull: pull(_mean(g), node, saved)
            for k, position, node, pull in _edges(r)
            if operation(node).name in _PRODUCTS and node.shape[:1] == (r.m,) and node.inputs[position] in params
        })  # fmt: skip

    claim = "weights get the product of the averages, of error terms and of activations, not the average of products"
    yield on_the_way_back(6, claim, products)

    def slopes(r: Recording) -> Change:
        return Change(jumps={
            a.top: (a.base, lambda g, a=a: g * _mean(a.slope(r)))
            for a in regions(r) if r.nodes[a.top].shape[:1] == (r.m,) and not is_of_cost(r, a.top)
        })  # fmt: skip

    yield on_the_way_back(6, "the derivatives of activations are averaged over the examples", slopes)


def _batches(recording: Recording) -> Iterator[Candidate]:
    """Mistakes that are made with the batch, before or around the loss."""

    def averaged(r: Recording) -> Gradients | None:
        other = r.on(r.averaged())
        return None if other is None else {p: other.truth[p] for p in r.params}

    yield Candidate(
        6, "inputs and targets are averaged over the examples first: one forward, one backward", None, averaged
    )
    for j, x in enumerate(recording.batch.leaves):
        shape = np.shape(x)
        if shape[:1] == (recording.m,) and np.prod(shape) == recording.m:

            def all_pairs(r: Recording, j: int = j) -> Gradients | None:
                return _over_rolls(r, j)

            claim = (
                "each prediction is compared with every target, on an array (m, m): a column (m, 1) met a vector (m,)"
            )
            yield Candidate(20, claim, None, all_pairs)
    for size in range(2, recording.m):
        if recording.m % size:

            def chunks(r: Recording, size: int = size) -> Gradients | None:
                return _means_of_means(r, size)

            claim = f"the means of micro-batches of {size} are averaged, and the last one is smaller"
            yield Candidate(14, claim, None, chunks)


def _over_rolls(r: Recording, j: int) -> Gradients | None:
    """The gradient of the loss on all pairs (prediction, target): the mean over all ways to shift the targets."""
    if r.m > 64:
        return None
    total: Gradients = {}
    for shift in range(r.m):
        leaves = list(r.batch.leaves)
        leaves[j] = np.roll(leaves[j], shift, axis=0)
        other = r.on(leaves)
        if other is None:
            return None
        for p in r.params:
            total[p] = total.get(p, 0) + other.truth[p] / r.m
    return total


def _means_of_means(r: Recording, size: int) -> Gradients | None:
    if not r.rows or size >= r.m:
        return None
    chunks = [range(k, min(k + size, r.m)) for k in range(0, r.m, size)]
    weights = [r.m / (len(chunks) * len(chunk)) for chunk in chunks for _ in chunk]
    extra = r.regularisation
    return {p: sum([w * row[p] for w, row in zip(weights, r.rows, strict=True)]) + extra.get(p, 0) for p in r.truth}


# ------------------------------------------------------------------------------------------- weights changed early


def updated_too_early(
    recording: Recording, hand: Gradients, close: Callable[[Array, Array, Array], bool]
) -> Candidate | None:
    """Weights that are updated before the error terms go back through them, at the learning rate that fits best."""

    def change(r: Recording, rate: float) -> Change:
        edges: dict[tuple[int, int], Pull] = {}
        rules = {(k, position): pull for k, position, _, pull in _edges(r)}
        for (k, position), pull in rules.items():
            node = r.nodes[k]
            for other, parent in enumerate(node.inputs[: operation(node).arrays]):
                weights = isinstance(parent, Node) and (k, other) in rules and r.is_of_parameters(parent)
                if other != position and weights and node.plan is not None and other in node.plan.saves:
                    edges[k, position] = _moved(pull, rules[k, other], node.plan.saves.index(other), rate)
        return Change(edges=edges)

    truth = recording.truth
    order = [n for n in recording.order() if n in hand]
    square = float(np.square(truth[order[0]]).sum())
    scale = float((hand[order[0]] * truth[order[0]]).sum()) / square if square else 1.0  # another factor, if there is one
    small = attempt(lambda: recording.back(change(recording, 1e-6)))
    wrong = [n for n in order if scale and not close(hand[n] / scale, truth[n], truth[n])]
    if not wrong or small is None:
        return None
    slope = (small[wrong[0]] - truth[wrong[0]]) / 1e-6
    square = float(np.square(slope).sum())
    rate = float(((hand[wrong[0]] / scale - truth[wrong[0]]) * slope).sum()) / square if square else 0.0
    if rate == 0:
        return None
    claim = f"the weights are updated, with a learning rate of {rate:.6g}, before the error terms go back through them"
    return on_the_way_back(18, claim, lambda r: change(r, rate))


def _moved(pull: Pull, of_weights: Pull, at: int, rate: float) -> Pull:
    """A rule that reads weights after a step along the contribution that they have just got."""

    def moved(g: Array, node: Node, saved: Any) -> Array:
        step = unbroadcast(of_weights(g, node, saved), saved[at].shape)
        return pull(g, node, (*saved[:at], saved[at] - rate * step, *saved[at + 1 :]))

    return moved
