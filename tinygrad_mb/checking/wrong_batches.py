"""Examples averaged too early, compared with each other, or weighted wrongly; weights changed too early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..broadcasting import unbroadcast
from ..graph import Node
from ..pytrees import Nest
from .candidates import PRODUCTS, Candidate, edges_of, on_the_way_back, place, repeated
from .loss_parts import MOST_EXAMPLES
from .recordings import Recording, attempt, operation
from .regions import is_of_cost, regions
from .walks import Array, Change, Gradients, Pull

Way = Callable[[Recording, Array], Array]


def _times(slope: Array) -> Callable[[Array], Array]:
    return lambda g: g * slope


def _of_mean(r: Recording, pull: Pull) -> Pull:
    return lambda g, node, saved: pull(r.mean(g), node, saved)


def averages(recording: Recording) -> Iterator[Candidate]:
    """Errors, activations or both averaged over the examples."""

    def of_examples(r: Recording, how: Way) -> Callable[[Array], Array]:
        return lambda x: how(r, x) if r.axis_of(np.shape(x)) is not None and np.asarray(x).dtype.kind == "f" else x

    def of_slopes(r: Recording, how: Way) -> dict[int, Any]:
        jumps = {}
        for a in regions(r):
            if r.axis_of(r.nodes[a.top].shape) is not None:
                formula, z, h = a.formula(), r.value(r.nodes[a.base]), r.value(r.nodes[a.top])
                jumps[a.top] = a.base, _times(formula(how(r, h)) if formula else a.slope_at(r, how(r, z)))
        return jumps

    def one(i: int) -> Way:
        return lambda r, x: np.broadcast_to(np.take(x, [i], r.axis_of(x.shape) or 0), x.shape)

    ways: list[tuple[str, Way | None]] = [
        ("the errors are averaged over the examples before they go back", None),
        ("errors and activations are averaged over the examples before they go back", Recording.mean),
        ("the errors are averaged over the examples, and go back through the last example alone", one(-1)),
        ("the errors are averaged over the examples, and go back through the first example alone", one(0)),
    ]
    in_loops = repeated(recording)
    places = [k for k in recording.batched() if k not in in_loops]
    for claim, how in ways:
        for last in places:

            def change(r: Recording, last: int = last, claim: str = claim, how: Any = how) -> Change:
                if how is None:
                    return Change(at={last: r.mean})
                jumps = {k: jump for k, jump in r.once(claim, partial(of_slopes, r, how)).items() if k < last}
                return Change(at={last: r.mean}, saved=(last, of_examples(r, how)), jumps=jumps)

            yield on_the_way_back(6, f"{claim}, at {place(recording, last)}", change)

    def products(r: Recording) -> Change:
        params = set(r.params.values())
        return Change(edges={
            (k, position): _of_mean(r, pull)
            for k, position, node, pull in edges_of(r)
            if operation(node).name in PRODUCTS
            and node.inputs[position] in params and r.axis_of(node.shape) is not None
        })  # fmt: skip

    claim = "weights get the product of the averages, of error terms and of activations, not the average of products"
    yield on_the_way_back(6, claim, products)

    def slopes(r: Recording) -> Change:
        return Change(jumps={
            a.top: (a.base, _times(r.mean(a.slope(r))))
            for a in regions(r) if r.axis_of(r.nodes[a.top].shape) is not None and not is_of_cost(r, a.top)
        })  # fmt: skip

    yield on_the_way_back(6, "the derivatives of activations are averaged over the examples", slopes)


def batches(recording: Recording) -> Iterator[Candidate]:
    """Mistakes that are made with the batch, before or around the loss."""

    def averaged(r: Recording) -> Gradients | None:
        other = r.on(r.averaged())
        return None if other is None else {p: other.truth[p] for p in r.params}

    yield Candidate(
        6, "inputs and targets are averaged over the examples first: one forward, one backward", None, averaged
    )
    for j, (x, axis) in enumerate(zip(recording.batch.leaves, recording.axes, strict=True)):
        if axis is not None and np.size(x) == recording.m:

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


def pairs(recording: Recording) -> int | None:
    """Where the loss itself makes all pairs of a column (m, 1) and a vector (m,); None if it does not."""
    m = recording.m
    for k, node in enumerate(recording.nodes):
        if node.op is not None and node.shape == (m, m) and m > 1:
            shapes = [x.shape if isinstance(x, Node) else np.shape(x) for x in node.inputs]
            if sorted(shapes) == [(m,), (m, 1)]:
                return k
    return None


def with_columns(recording: Recording) -> Iterator[Recording]:
    """The loss with vectors (m,) of the batch as columns (m, 1): all of them, or one."""
    vectors = [j for j, x in enumerate(recording.batch.leaves) if np.shape(x) == (recording.m,)]
    for chosen in dict.fromkeys([tuple(vectors), *[(j,) for j in vectors]]):
        leaves = [x[:, None] if j in chosen else x for j, x in enumerate(recording.batch.leaves)]
        batch = Nest(recording.batch.fill(leaves, whole=True))
        other = attempt(partial(Recording, recording.loss_fn, recording.nest, batch, recording.axes))
        if other is not None and pairs(other) is None:
            yield other


def _over_rolls(r: Recording, j: int) -> Gradients | None:
    """The gradient of the loss on all pairs (prediction, target): the mean over all ways to shift the targets."""
    if r.m > MOST_EXAMPLES:
        return None
    total: Gradients = {}
    for shift in range(r.m):
        leaves = list(r.batch.leaves)
        leaves[j] = np.roll(leaves[j], shift, axis=r.axes[j])
        other = r.on(leaves)
        if other is None:
            return None
        for p in r.params:
            total[p] = total.get(p, 0) + other.truth[p] / r.m
    return total


def _means_of_means(r: Recording, size: int) -> Gradients | None:
    if size >= r.m:
        return r.truth
    if not r.parts.rows:
        return None
    chunks = [range(k, min(k + size, r.m)) for k in range(0, r.m, size)]
    weighted = [(r.m / (len(chunks) * len(chunk)), r.parts.rows[i]) for chunk in chunks for i in chunk]
    return {p: sum([w * row[p] for w, row in weighted]) + r.parts.regularisation.get(p, 0) for p in r.truth}


def updated_too_early(
    recording: Recording, hand: Gradients, close: Callable[[Array, Array, Array], bool]
) -> Candidate | None:
    """Weights that are updated before the error terms go back through them, at the learning rate that fits best."""

    def change(r: Recording, rate: float) -> Change:
        edges: dict[tuple[int, int], Pull] = {}
        rules = {(k, position): pull for k, position, _, pull in edges_of(r)}
        for (k, position), pull in rules.items():
            node = r.nodes[k]
            for other, parent in enumerate(node.inputs[: operation(node).arrays]):
                weights = isinstance(parent, Node) and (k, other) in rules and parent in r.of_parameters
                if other != position and weights and node.plan is not None and other in node.plan.saves:
                    edges[k, position] = _moved(pull, rules[k, other], node.plan.saves.index(other), rate)
        return Change(edges=edges)

    truth = recording.truth
    order = [n for n in recording.order() if n in hand]
    square = float(np.square(truth[order[0]]).sum())
    scale = (
        float((hand[order[0]] * truth[order[0]]).sum()) / square if square else 1.0
    )  # another factor, if there is one
    small = attempt(lambda: recording.back(change(recording, 1e-6)))
    wrong = [n for n in order if scale and not close(hand[n] / scale, truth[n], truth[n])]
    if sum([hand[n].size for n in wrong]) < 2 or small is None:  # one number would be explained by any rate
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
