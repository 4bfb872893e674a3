"""Factors that a wrong gradient may have, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..graph import Node
from .candidates import PRODUCTS, place
from .loss_parts import DIVIDE, MEAN, MULTIPLY
from .recordings import Recording, operation
from .reports import number

_CLOSE = 1e-6
_NEARLY_ONE = 1e-4  # nearer to 1 than that, a factor is an error of computation
_MOST = 1000  # the largest number of replicas, or of examples in a nominal batch, that is thought of

OfBatch = Callable[[Recording], float]
Reason = Callable[[Recording], str]


class Factor(NamedTuple):
    """What a gradient is multiplied by.

    number  of the mistake in the catalogue; 0 for a number that nothing explains
    claim   what has been done
    value   the factor, for a batch
    reason  why it is this number, for a batch
    """

    number: int
    claim: str
    value: OfBatch
    reason: Reason


def factors(r: Recording, of_some: bool = False) -> list[Factor]:
    """The factors that have a name for this loss, likelier ones first.

    ``of_some`` are those that some parameters may have, while others have not: what is wrong with the error terms of
    the prediction is wrong with all parameters.
    """
    return list(_factors(r, of_some))


def _factors(r: Recording, of_some: bool) -> Iterator[Factor]:
    yield Factor(5, "the sign is wrong" + ("" if of_some else " (y - f for f - y)"), _always(-1.0), _nothing)
    yield Factor(4, "there is a 2 too many, or the loss's 1/2 is missing", _always(2.0), _nothing)
    yield Factor(4, "the 2 of the square is missing, or there is a 1/2 too many", _always(0.5), _nothing)
    if r.parts.is_mean:
        yield Factor(1, "the 1/m of the mean is missing", _examples, _has_examples)
        yield Factor(2, "it is divided by m twice", _one_over(_examples), _has_examples)
    else:
        yield Factor(2, "it is divided by m, and the loss is a sum", _one_over(_examples), _has_examples)
        yield Factor(1, "it is multiplied by m", _examples, _has_examples)
    if r.parts.weight is not None and not any(math.isclose(r.parts.weight, w, rel_tol=_CLOSE) for w in (1, 1 / r.m)):
        yield Factor(1, "the loss's own division is missing", _one_over(_weight), _has_weight)
        claim = "it is divided by the number of examples, and the loss is not"
        yield Factor(3, claim, lambda r: 1 / (r.m * _weight(r)), _has_weight)
        claim = "it is divided by the number of all elements, and the loss is not"
        yield Factor(3, claim, lambda r: 1 / (_elements(r) * _weight(r)), _has_weight)
    if of_some or r.parts.losses is None:
        return
    cost = _cost(r)
    divisors = _divisors(r, cost)
    for n, reason in _sizes(r, cost):
        yield Factor(3, f"it is divided by {n} as well: averaged over elements, not examples", _always(1 / n), reason)
        if any(_is_whole(d / n) for d in divisors):
            claim = f"a division by {n} is missing: the loss averages over elements"
            yield Factor(3, claim, _always(float(n)), reason)


def _always(value: float) -> OfBatch:
    return lambda r: value


def _one_over(value: OfBatch) -> OfBatch:
    return lambda r: 1 / value(r)


def _examples(r: Recording) -> float:
    return float(r.m)


def _weight(r: Recording) -> float:
    return r.parts.weight or 1.0


def _elements(r: Recording) -> int:
    return 1 if r.parts.losses is None else math.prod(r.nodes[r.parts.losses].shape)


def _nothing(r: Recording) -> str:
    return ""


def _has_examples(r: Recording) -> str:
    return f"the batch has {r.m} examples"


def _has_weight(r: Recording) -> str:
    return f"the loss divides by {number(1 / _weight(r))}"


def _cost(r: Recording) -> list[Node]:
    """The examples' losses, and what they are made of, as far back as the prediction."""
    assert r.parts.losses is not None
    found = [r.nodes[r.parts.losses]]
    for node in found:
        if node.op is None or operation(node).name in PRODUCTS:
            continue
        parents = [p for p in node.inputs if isinstance(p, Node) and p.plan is not None]
        if r.of_parameters.isdisjoint(parents):
            found += [p for p in parents if p not in found]
    return found


def _divisors(r: Recording, cost: Sequence[Node]) -> list[float]:
    """What the loss divides by besides the number of examples."""
    found = [1 / (r.m * r.parts.weight)] if r.parts.weight else []
    for node in cost:
        if node.op is MEAN:
            found.append(math.prod(node.inputs[0].shape) / math.prod(node.shape))
        elif node.op is DIVIDE and math.prod(getattr(node.inputs[1], "shape", ())) == 1:
            found.append(float(r.value(node.inputs[1])))
    return found


def _sizes(r: Recording, nodes: Sequence[Node]) -> Iterator[tuple[int, Reason]]:
    """Lengths of axes that results for all examples have besides that of the examples, and their products."""
    seen: set[int] = {1}
    for node in nodes:
        if node.op is not None and node.shape[:1] == (r.m,):
            named = repr(node.name) if node.name else f"the result of {node.op.name}"
            of = f"{named} {node.shape}"
            for k, n in enumerate(node.shape[1:], 1):
                if n not in seen:
                    seen.add(n)
                    yield n, lambda r, n=n, k=k, of=of: f"{n} is the length of axis {k} of {of}"  # type: ignore[misc]
            n = math.prod(node.shape[1:])
            if n not in seen:
                seen.add(n)
                yield n, lambda r, n=n, of=of: f"an example has {n} elements in {of}"  # type: ignore[misc]


def named(recordings: Sequence[Recording], values: Sequence[float], known: list[Factor]) -> list[tuple[Factor, ...]]:
    """What has these values on these batches, likeliest first: one factor, or two; else a number without a name.

    Nothing if the values follow no rule, or are so near to 1 that they are no factor.
    """
    if all(abs(v - 1) < _NEARLY_ONE for v in values):
        return []
    found: list[tuple[Factor, ...]] = [(f,) for f in known if _agree([f], recordings, values)]
    if found:
        return found
    if len(recordings) > 1:
        found = [(f,) for f in _nominal(recordings, values[0]) if _agree([f], recordings, values)]
        if found:
            return found[:1]
    pairs = [(a, b) for k, a in enumerate(known) for b in known[k + 1 :] if a.number != b.number]
    found = [pair for pair in pairs if _agree(pair, recordings, values)]
    if found:
        return found[:1]
    value = values[0]
    if any(not math.isclose(v, value, rel_tol=_CLOSE, abs_tol=1e-12) for v in values):
        return []
    if recordings[0].parts.weight == 1 and value and _is_whole(1 / value) and 1 / value > 1:
        n = round(1 / value)
        claim = f"{n} parts, such as replicas, are averaged, and the loss is their sum"
        return [(Factor(16, claim, _always(1 / n), lambda r: "at every batch size"),)]
    claim = f"no factor that was looked at explains the number {number(value)}{_by_chance(recordings[0], value)}"
    return [(Factor(0, claim, _always(value), _nothing),)]


def _by_chance(r: Recording, value: float) -> str:
    """Where else a number stands that nothing explains."""
    for n, reason in _sizes(r, r.nodes[::-1]):
        if any(math.isclose(abs(value), v, rel_tol=_CLOSE) for v in (n, 1 / n)):
            return f" ({reason(r)}, which may be chance)"
    for k, node in enumerate(r.nodes):
        if node.op in (MULTIPLY, DIVIDE) and node in r.flow:
            for c in filter(None, map(partial(_constant, r), node.inputs)):
                if any(math.isclose(abs(value), v, rel_tol=_CLOSE) for v in (c, 1 / c)):
                    does = "divides" if node.op is DIVIDE else "multiplies"
                    return f" (the loss {does} by {number(c)} at {place(r, k)}: is that taken once more, or left out?)"
    return ""


def _constant(r: Recording, x: Any) -> float:
    """The number that an operand is, or that all entries are which are not 0; 0 for what is no constant."""
    value = r.value(x) if not isinstance(x, Node) or x.plan is None else None
    if value is None:
        return 0.0
    levels = np.unique(abs(np.asarray(value)))
    levels = levels[levels != 0]
    return float(levels[0]) if len(levels) == 1 else 0.0


def _nominal(recordings: Sequence[Recording], value: float) -> Iterator[Factor]:
    """Divisions by a fixed number of examples."""
    n = round(recordings[0].m / value) if value else 0
    if 1 < n < _MOST:
        yield Factor(15, f"it is divided by {n}, whatever the size of the batch", lambda r: r.m / n, _has_examples)
    for size in range(2, max([r.m for r in recordings]) + 1):
        claim = f"the last of the micro-batches of {size} is smaller, and is divided by {size}, too"
        yield Factor(15, claim, lambda r, size=size: r.m / (size * math.ceil(r.m / size)), _has_examples)  # type: ignore[misc]


def _agree(factors: Sequence[Factor], recordings: Sequence[Recording], values: Sequence[float]) -> bool:
    return all(
        math.isclose(math.prod([f.value(r) for f in factors]), v, rel_tol=_CLOSE)
        for r, v in zip(recordings, values, strict=True)
    )


def _is_whole(x: float) -> bool:
    return abs(x) < _MOST and abs(x - round(x)) < _CLOSE * abs(x)
