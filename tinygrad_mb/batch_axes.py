"""Where the examples stand in the arrays of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

Axes = list[int | None]  # for each array of a batch its axis of examples; None if it has none
_MOST = 8


def first_axes(arrays: Sequence[Any]) -> Axes:
    """The first axis of arrays of which most are equally long."""
    lengths = Counter([len(x) for x in arrays if np.shape(x)])
    m = max(lengths, key=lengths.__getitem__, default=1)
    return [0 if np.shape(x)[:1] == (m,) else None for x in arrays]


def found_axes(arrays: Sequence[Any], loss: Callable[[list[Any]], float]) -> tuple[Axes, bool]:
    """The axes of examples, and whether they are more than assumed.

    These are axes of one length, one in each array, along which the examples can change places without a change of the
    loss; the first axes come first.  What is no such axis is found only where no other choice is.
    """
    usual = first_axes(arrays)
    found = [
        axes for axes in choices(arrays) if all(a is not None for a, x in zip(axes, arrays, strict=True) if np.shape(x))
    ]
    if usual not in found:
        found.append(usual)
    found.sort(key=lambda axes: (axes.count(None), axes != usual))
    if len(found) == 1:
        return usual, True
    value = loss(list(arrays))
    even = [axes for axes in found[:_MOST] if is_even(arrays, axes, loss, value)]
    if not even:
        return usual, False
    rivals = [axes for axes in even if axes.count(None) == even[0].count(None)]
    return even[0], len(rivals) == 1


def choices(arrays: Sequence[Any]) -> list[Axes]:
    """Axes of one length, in each array one that has it, in all ways there are; those in most arrays come first."""
    shapes = [np.shape(x) for x in arrays]
    found: list[Axes] = []
    for n in sorted({n for shape in shapes for n in shape} - {1}):
        ways: list[Axes] = [[k for k, length in enumerate(shape) if length == n] or [None] for shape in shapes]
        found += [list(axes) for axes in product(*ways)]
    return sorted(found, key=lambda axes: axes.count(None))


def is_even(arrays: Sequence[Any], axes: Axes, loss: Callable[[list[Any]], float], value: float) -> bool:
    """Whether the loss stays as it is when the examples change places."""
    m = next((np.shape(x)[a] for x, a in zip(arrays, axes, strict=True) if a is not None), 1)
    near = 1e-4 if getattr(value, "dtype", None) == np.float32 else 1e-10
    for places in (np.roll(np.arange(m), 1), np.random.default_rng(0).permutation(m)):
        try:
            other = loss(taken(arrays, axes, places))
        except (ValueError, TypeError, IndexError):
            return False
        if not np.isclose(other, value, near, 0, equal_nan=True):
            return False
    return True


def taken(arrays: Sequence[Any], axes: Axes, places: Any) -> list[Any]:
    """The arrays with the examples at these places; what has none stays."""
    return [x if a is None else np.take(x, places, a) for x, a in zip(arrays, axes, strict=True)]
