"""Cut a data set into mini-batches."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..autodiff import as_array
from ..errors import ShapeError, describe


class Batches:
    """A data set in mini-batches; each iteration is an epoch, with a new order if they are shuffled."""

    def __init__(self, arrays: tuple[Any, ...], size: int, rng: np.random.Generator | None) -> None:
        self.arrays = arrays
        self.size = size
        self._rng = rng

    def __len__(self) -> int:
        return -(-len(self.arrays[0]) // self.size)

    def __iter__(self) -> Iterator[Any]:
        m = len(self.arrays[0])
        order = None if self._rng is None else self._rng.permutation(m)
        for start in range(0, m, self.size):
            part = slice(start, start + self.size)
            batch = tuple([a[part if order is None else order[part]] for a in self.arrays])
            yield batch if len(batch) > 1 else batch[0]

    def __repr__(self) -> str:
        return f"<{len(self)} batches of up to {self.size} of {len(self.arrays[0])} examples>"


def batches(*arrays: Any, size: int, shuffle: bool = True, rng: np.random.Generator | int | None = None) -> Batches:
    """The data in mini-batches of ``size`` examples, the last with what is left; axis 0 is that of the examples.

    Iterating gives a tuple with one part of each array, or the part itself for a single array; ``len`` is the
    number of batches.  With ``shuffle`` each iteration draws a new order with ``rng``, a generator or a seed; without,
    the parts are views of the arrays.

    Raises ``ShapeError`` for arrays of different lengths, ``ValueError`` for no arrays and for a size below 1.

    >>> import numpy as np, tinygrad_mb as tg
    >>> X, Y = np.arange(10).reshape(5, 2), np.arange(5)
    >>> for x, y in tg.minibatch.batches(X, Y, size=2, shuffle=False):
    ...     print(x.shape, y)
    (2, 2) [0 1]
    (2, 2) [2 3]
    (1, 2) [4]
    """
    if not arrays:
        raise ValueError("batches: there are no arrays to cut")
    data = tuple([as_array(a) for a in arrays])
    if any(not a.shape for a in data):
        raise ShapeError("batches: an array without axes has no examples")
    if len({a.shape[0] for a in data}) > 1:
        what = ", ".join([describe(a, f"array {k}") for k, a in enumerate(data)])
        raise ShapeError(f"batches: the arrays have different numbers of examples along axis 0: {what}")
    try:
        size = operator.index(size)
    except TypeError:
        raise TypeError(f"batches: size must be an integer, not {size!r:.60}") from None
    if size < 1:
        raise ValueError(f"batches: size must be 1 or more, not {size}")
    return Batches(data, size, np.random.default_rng(rng) if shuffle else None)
