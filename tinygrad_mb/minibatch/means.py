"""Sums with their count: parts of a batch add up as vectors do, and the division by the count comes once, at the end.

Everything that a batch is split for is a quotient of two sums over its examples,

    L = (Σ wᵢ ℓᵢ) / (Σ wᵢ),   ∂L/∂θ = (Σ wᵢ ∂ℓᵢ/∂θ) / (Σ wᵢ),

and sums do not care how the examples are split, quotients do: the mean of the parts' means is the mean of the whole
only if all parts have the same count.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from ..arraylike import Array
from ..autodiff import data_of
from ..errors import ShapeError, describe
from ..tensor import Tensor


class Totals:
    """A vector of float64 sums, the last two of which are a sum of values and its count.

    ``unit`` says what is counted, and ``_point`` at which values of the parameters the sums were computed, if it
    matters.  Two that have one signature and one point add up.
    """

    unit: str
    _packed: Array
    _point: bytes = b""

    @property
    def count(self) -> float:
        """How many units have been added, or the sum of their weights."""
        return float(self._packed[-1])

    @property
    def _signature(self) -> dict[str, str]:
        """What must be equal for two of them to add up, in words."""
        return {"kind": type(self).__name__, "unit": self.unit}

    def _with(self, packed: Array) -> Self:
        """The same with other sums."""
        new = object.__new__(type(self))
        vars(new).update(vars(self), _packed=packed)
        return new

    def _place(self) -> bytes:
        """The point, also where nothing was added yet."""
        return self._point

    def __add__(self, other: Any) -> Self:
        if not isinstance(other, Totals):
            return NotImplemented
        if problem := differences(self._signature, other._signature):
            raise ValueError(f"{self!r} + {other!r}: these do not add up, having different {problem}")
        if self._point and other._point and self._point != other._point:
            raise ValueError(
                f"{self!r} + {other!r}: the parameters had different values when these were computed, and gradients at "
                "different points do not add up"
            )
        new = self._with(self._packed + other._packed)
        new._point = self._point or other._point
        return new

    def __radd__(self, other: Any) -> Self:
        return self._with(self._packed.copy()) if type(other) is int and other == 0 else NotImplemented

    def __copy__(self) -> Self:
        return self._with(self._packed.copy())

    def __deepcopy__(self, memo: Any) -> Self:
        return self._with(self._packed.copy())

    def _mean(self) -> float:
        if not self.count:
            raise ValueError(
                f"{self!r} has no mean: nothing was added, or everything that was had weight 0. Where that is no "
                "mistake, ask first: `if sums.count:`"
            )
        return float(self._packed[-2] / self._packed[-1])

    def _counted(self) -> str:
        return f"{self.count:.15g} {self.unit}{'' if self.count == 1 else 's'}"


def differences(one: dict[str, str], other: dict[str, str]) -> str:
    """Where two signatures differ, in words; empty if they do not."""
    keys = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    return "; ".join(f"{key}: {one.get(key, 'missing')} and {other.get(key, 'missing')}" for key in keys)


class Mean(Totals):
    """A mean that is carried as (Σ value, count), so that parts of any sizes can be merged.

    ``add`` takes one value per example, or per token with ``unit="token"``; ``value`` divides.  Means of parts are
    merged with ``+`` and ``sum``, those of several processes by ``Workers.sum``.  It serves for every quantity that
    is a mean: the loss of a test set, or the accuracy, which is the mean of right and wrong.

    >>> import numpy as np, tinygrad_mb as tg
    >>> first, last = tg.minibatch.Mean(), tg.minibatch.Mean()
    >>> first.add(np.array([True, True, True, False]))
    >>> last.add(np.array([False]))
    >>> accuracy = first + last
    >>> accuracy.value, accuracy.count
    (0.6, 5.0)
    >>> accuracy
    <Mean 0.6 of 5 examples>
    """

    def __init__(self, unit: str = "example") -> None:
        self.unit = unit
        self._packed = np.zeros(2)

    def add(self, values: Any, weights: Any = None) -> None:
        """Add the values of a part, an array of any number of them.

        ``weights`` are numbers from 0, or a mask, of the same shape; values at weight 0 do not count, not even
        where they are nan.  Raises as ``Sums.add`` does.
        """
        self._packed += measure("Mean.add", "value", values, weights, self.unit).sums

    @property
    def value(self) -> float:
        """The mean; raises ``ValueError`` if the count is 0."""
        return self._mean()

    def __repr__(self) -> str:
        return f"<Mean{f' {self.value:.6g}' if self.count else ''} of {self._counted()}>"


# ------------------------------------------------------------------------------------------ measuring


class Part(NamedTuple):
    """What a part of a batch adds.

    sums               (Σ wᵢ ℓᵢ, Σ wᵢ)
    seed               the weights as the cotangent of the losses; None if nothing counts
    finite             whether all losses that count are finite
    masked_not_finite  how many of those with weight 0 are not
    """

    sums: Array
    seed: Array | None
    finite: bool
    masked_not_finite: int


def measure(operation: str, noun: str, values: Any, weights: Any, unit: str) -> Part:
    """Add up the values of a part; raises for what is not one value per unit."""
    data = data_of(values)
    if not isinstance(data, (np.ndarray, np.generic, float, int, bool, list)):
        raise TypeError(f"{operation} wants an array with one {noun} per {unit}, not a {type(data).__name__}")
    data = np.asarray(data)
    if data.dtype.kind not in "fiub":
        raise TypeError(f"{operation} wants an array of numbers, and got {describe(data)}")
    if not data.shape:
        op = values.node.op if isinstance(values, Tensor) else None
        made = f", made by {op.name}" if op else ""
        raise ShapeError(
            f"{operation} wants one {noun} per {unit}, and got a single number, {describe(values)}{made}. A mean has "
            "lost its count, and the mean of the parts' means is not the mean of the whole: leave out .mean() or "
            f".sum(), since {operation.partition('.')[0]} divides, once, at the end. For a single {unit}, .reshape(1)."
        )
    if unit == "example" and data.ndim > 1:
        raise ShapeError(
            f"{operation} counts examples, and wants one {noun} per example, of shape (m,), not {describe(values)}. If "
            f'each {noun} counts by itself, say what it belongs to, as in unit="token"; if that of an example is their '
            "sum, add .sum(axis=1)."
        )
    if weights is None:
        seed = np.ones(data.shape, data.dtype) if data.size else None
        return Part(np.array([np.add.reduce(data, None, np.float64), data.size]), seed, True, 0)
    w = _weights(operation, noun, values, weights)
    counts = w > 0
    total = np.add.reduce(np.where(counts, data, 0) * w, None)
    finite = np.isfinite(data)
    return Part(
        np.array([total, np.add.reduce(w, None)]),
        w if counts.any() else None,
        bool(finite[counts].all()),
        int((~finite[~counts]).sum()),
    )


def _weights(operation: str, noun: str, values: Any, weights: Any) -> Array:
    if isinstance(weights, Tensor) and weights.requires_grad:
        raise TypeError(
            f"{operation}: the weights {describe(weights)} require a gradient, which would be lost: weights are "
            "constants here, weights.detach()"
        )
    w = np.asarray(data_of(weights))
    if w.dtype.kind not in "fiub":
        raise TypeError(f"{operation}: weights are numbers or a mask, not {describe(w)}")
    shape = np.shape(data_of(values))
    if w.shape != shape:
        hint = ""
        if len(shape) > 1 and w.shape == shape[:1]:
            hint = f" For one weight per example, np.broadcast_to(weights[:, None], {shape})."
        raise ShapeError(
            f"{operation} wants one weight per {noun}: the weights are {describe(weights)}, and the shape of what they "
            f"weigh is {shape}.{hint}"
        )
    bad = ~((w >= 0) & (w < np.inf))
    if bad.any():
        place = tuple(int(k) for k in np.argwhere(bad)[0])
        raise ValueError(
            f"{operation}: weights must be finite and at least 0, since their sum is the count, and "
            f"weights[{', '.join(map(str, place))}] is {w[place]}"
        )
    return w.astype(np.float64)
