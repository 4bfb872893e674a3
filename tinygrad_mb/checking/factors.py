"""Factors that a wrong gradient may have, and what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .recordings import Recording
from .reports import number

_CLOSE = 1e-6
_MOST = 1000  # the largest number of replicas, or of examples in a nominal batch, that is thought of


class Factor(NamedTuple):
    """What a gradient is multiplied by, at every batch size.

    number  of the mistake in the catalogue; 0 for a number that nothing explains
    claim   what has been done
    reason  why it is this number, for a batch
    """

    number: int
    claim: str
    value: Callable[[Recording], float]
    reason: Callable[[Recording], str]


def factors(r: Recording) -> Iterator[Factor]:
    """The factors that have a name for this loss."""
    mean = r.weight is not None and r.m > 1 and r.weight < 1
    whole = lambda r: f"the batch has {r.m} examples"  # noqa: E731
    yield Factor(5, "the sign is wrong (y - f for f - y)", lambda r: -1.0, lambda r: "")
    yield Factor(4, "the 2 of the square, or a 1/2 before it, is mixed up", lambda r: 2.0, lambda r: "")
    yield Factor(
        4, "the 2 of the square is lost, or there is a 1/2 that the loss does not have", lambda r: 0.5, lambda r: ""
    )
    if mean:
        yield Factor(1, "the 1/m of the mean is missing", lambda r: float(r.m), whole)
        yield Factor(2, "it is divided by m twice", lambda r: 1 / r.m, whole)
    else:
        yield Factor(2, "it is divided by m, and the loss is a sum", lambda r: 1 / r.m, whole)
        yield Factor(1, "it is multiplied by m", lambda r: float(r.m), whole)
    for size, axis in _sizes(r):
        reason = lambda r, axis=axis: axis  # noqa: E731
        yield Factor(
            3, f"it is divided by {size} as well: averaged over elements, not examples", lambda r, n=size: 1 / n, reason
        )
        yield Factor(
            3,
            f"it is not divided by {size}: summed over elements that the loss averages",
            lambda r, n=size: float(n),
            reason,
        )
    if r.weight is not None and not any(math.isclose(r.weight, w, rel_tol=_CLOSE) for w in (1, 1 / r.m)):
        why = lambda r: f"the loss divides by {number(1 / (r.weight or 1))}"  # noqa: E731
        yield Factor(1, "the loss's own division is missing", lambda r: 1 / (r.weight or 1), why)
        yield Factor(3, "it is divided by the number of examples, and the loss is not",
                     lambda r: 1 / (r.m * (r.weight or 1)), why)  # fmt: skip


def _sizes(r: Recording) -> Iterator[tuple[int, str]]:
    """Lengths of axes that results for all examples have besides that of the examples, and their products."""
    seen: set[int] = {1}
    for node in reversed(r.nodes):
        if node.op is not None and node.shape[:1] == (r.m,):
            inner = node.shape[1:]
            for size, what in [
                *[(n, f"axis {k} of") for k, n in enumerate(inner, 1)],
                (math.prod(inner), "an example in"),
            ]:
                if size not in seen:
                    seen.add(size)
                    named = repr(node.name) if node.name else f"the result of {node.op.name}"
                    yield size, f"{size} is the length of {what} {named} {node.shape}".replace(
                        "the length of an example in", "the number of elements of an example in")  # fmt: skip


def name(recordings: Sequence[Recording], values: Sequence[float], known: list[Factor]) -> list[Factor]:
    """The factors that have these values on these batches, likeliest first; a number that nothing explains last."""
    found = [f for f in known if _agree(f, recordings, values)]
    if found:
        return found
    found = [
        Factor(
            a.number, f"{a.claim}, and {b.claim}",
            lambda r, a=a, b=b: a.value(r) * b.value(r), lambda r, a=a, b=b: ", ".join(filter(None, (a.reason(r), b.reason(r)))),
        )
        for k, a in enumerate(known) for b in known[k + 1 :] if a.number != b.number
    ]  # fmt: skip
    found = [f for f in found if _agree(f, recordings, values)][:1]
    if len(recordings) > 1:
        r = recordings[0]
        nominal = r.m / values[0]
        if _is_whole(nominal) and nominal > 1:
            n = round(nominal)
            found.append(
                Factor(
                    15,
                    f"it is divided by {n}, whatever the size of the batch",
                    lambda r: r.m / n,
                    lambda r: f"this batch has {r.m} examples",
                )
            )
        for n in range(2, max([r.m for r in recordings]) + 1):
            found.append(Factor(
                15, f"the last of the micro-batches of {n} is smaller, and is divided by {n}, too",
                lambda r, n=n: r.m / (n * math.ceil(r.m / n)), lambda r, n=n: f"its size is {r.m % n or n}",
            ))  # fmt: skip
        found = [f for f in found if _agree(f, recordings, values)]
    if found:
        return found
    value = values[0]
    if any(not math.isclose(v, value, rel_tol=_CLOSE) for v in values):
        return []
    if recordings[0].weight == 1 and _is_whole(1 / value) and 1 < 1 / value:
        n = round(1 / value)
        return [
            Factor(
                16,
                f"{n} parts, such as replicas, are averaged, and the loss is their sum",
                lambda r: 1 / n,
                lambda r: "at every batch size",
            )
        ]
    return [Factor(0, f"nothing in the loss explains the number {number(value)}", lambda r: value, lambda r: "")]


def _agree(factor: Factor, recordings: Sequence[Recording], values: Sequence[float]) -> bool:
    return all(math.isclose(factor.value(r), v, rel_tol=_CLOSE) for r, v in zip(recordings, values, strict=True))


def _is_whole(x: float) -> bool:
    return abs(x) < _MOST and abs(x - round(x)) < _CLOSE * abs(x)
