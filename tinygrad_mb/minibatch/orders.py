"""The examples of an epoch, in an order that a generator draws."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError, describe
from .sources import Indices


class Shuffled:
    """Every example once, all orders equally probable."""

    def __init__(self, examples: int) -> None:
        self.count = examples
        self.name = "shuffled"

    def draw(self, rng: np.random.Generator) -> Indices:
        """A permutation of the examples."""
        return rng.permutation(self.count)


class Stratified:
    """Every example once, and each batch of ``size`` with less than one example too many or too few of any class.

    A batch of b out of m examples should have b·m_c/m of a class with m_c.  Lay the examples out by class.  A short
    last batch takes every (m/b)-th of them, from a random place on; J full batches are dealt like cards to J players.
    Either way a class that lies in one piece is shared out as evenly as whole examples allow, and each example comes
    to each batch with the same probability, b/m.
    """

    def __init__(self, labels: Any, examples: int, size: int) -> None:
        labels = _one_for_each(labels, examples, "stratify")
        classes, which = np.unique(labels, return_inverse=True)
        self._classes = which.astype(np.min_scalar_type(len(classes)))  # short integers are sorted faster
        self._size = size
        self.count = examples
        self.name = f"stratified {zlib.crc32(self._classes.tobytes()):08x}"

    def draw(self, rng: np.random.Generator) -> Indices:
        """A permutation of the examples, the full batches before the last; each batch is mixed in itself."""
        m, last = self.count, self.count % self._size
        mixed = rng.permutation(m)
        by_class = mixed[self._classes[mixed].argsort(kind="stable")]
        picked = (np.arange(last) * m + (rng.integers(m) if last else 0)) // max(last, 1)
        full = np.delete(by_class, picked).reshape(self._size, -1).T
        full = rng.permuted(rng.permutation(full), axis=1)
        return np.concatenate([full.reshape(-1), rng.permutation(by_class[picked])])


class Weighted:
    """Independent draws with replacement, each of an example with probability ∝ its weight."""

    def __init__(self, weights: Any, examples: int, draws: int) -> None:
        weights = _one_for_each(weights, examples, "weights")
        if weights.dtype.kind not in "buif":
            raise TypeError(f"batches: weights must be real numbers, not {describe(weights)}")
        weights = weights.astype(np.float64)
        wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
        if wrong.size:
            k = int(wrong[0])
            raise ValueError(f"batches: weights must be finite and not negative, and weight {k} is {weights[k]}")
        largest = weights.max(initial=0.0)
        if largest == 0:
            raise ValueError("batches: all weights are zero, so that no example can be drawn")
        bounds = (weights / largest).cumsum()  # example i has the interval [bounds[i - 1], bounds[i])
        self._bounds: npt.NDArray[np.float64] = bounds / bounds[-1]
        self.count = draws
        self.name = f"weighted {zlib.crc32(weights.tobytes()):08x}"

    def draw(self, rng: np.random.Generator) -> Indices:
        """As many examples as an epoch has draws."""
        return self._bounds.searchsorted(rng.random(self.count), side="right")


def _one_for_each(values: Any, examples: int, what: str) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.shape != (examples,):
        raise ShapeError(
            f"batches: {what} must be one number or label for each of the {examples} examples, of shape "
            f"({examples},), not {describe(array)}"
        )
    return array
