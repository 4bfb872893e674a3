"""Per-example gradients as sums of outer products, which are small where the gradients themselves are not.

Where a parameter W (d, h) meets its examples in a product, the gradient of example i is a sum over its places t (one,
or the steps of a sequence, or the patches of an image) of outer products of what came in with what comes back:

    G_i = sum over t of a_it ⊗ δ_it        a (m, t, d), δ (m, t, h)

All that is linear or quadratic in these gradients can be computed from a and δ alone, and never needs their m · d · h
numbers: |a ⊗ δ| = |a| |δ| (I. Goodfellow, "Efficient per-example gradient computations", 2015, arXiv 1510.01799), and
with several places the sum over t and s of (a_t · a_s)(δ_t · δ_s) (X. Li et al., 2021, arXiv 2110.05679).
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from ..vjps import shapes
from ..vjps.helpers import resolved
from ..vjps.indexing import scatter_add
from .batched import Batched
from .hidden import Carrier, Rules

_FEW = 4  # places, of which all pairs are less work than the arrays multiplied out
ROOM = 1 << 22  # how many numbers to make at a time, where they cannot be avoided

Term = tuple[Any, Any]


class Factors(Carrier):
    """For each example a sum of outer products.

    ``terms`` are pairs (left, right) of arrays (m, t, d) and (m, t, h), so that d * h is the product of ``shape``.
    Instead of an array of rows of zeros with a single one, left may be the places of the ones, integers (m, t).
    """

    __slots__ = ("_shape",)
    rules: ClassVar[Rules] = {}

    def __init__(self, terms: list[Term], shape: tuple[int, ...], level: int) -> None:
        self._data = terms
        self._shape = tuple(shape)
        self._level = level

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example's array."""
        return self._shape

    @property
    def examples(self) -> int:
        """The number of examples."""
        return len(self._data[0][1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of the elements."""
        return np.result_type(*[a.dtype for term in self._data for a in term if a.ndim == 3])

    @property
    def terms(self) -> list[Term]:
        """The pairs (left, right), of each kind one at most."""
        if len(self._data) > 1:
            joined = []
            for ndim in (2, 3):
                terms = [term for term in self._data if term[0].ndim == ndim]
                if terms:
                    joined.append(tuple([np.concatenate(parts, axis=1) for parts in zip(*terms, strict=True)]))
            self._data = joined
        return self._data

    @property
    def split(self) -> tuple[int, int]:
        """The lengths d and h of the vectors that are multiplied."""
        h = self._data[0][1].shape[2]
        return math.prod(self._shape) // max(h, 1), h

    def dense(self) -> Batched:
        """Each example's array, multiplied out."""
        return Batched(self.rows(slice(None)), self._level)

    def summed(self, level: int) -> Any:
        """The sum over the examples: one product of tall matrices."""
        return self.weighted_sum(np.ones(self.examples, self.dtype))

    # ------------------------------------------------------------------- what the factors alone can tell

    def rows(self, which: Any) -> Any:
        """The arrays of some examples, multiplied out: (how many, *shape)."""
        out: Any = None
        for left, right in self.terms:
            left, right = left[which], right[which]
            if left.ndim == 2:
                d, h = self.split
                places = (left + d * np.arange(len(left))[:, None]).reshape(-1)
                part = scatter_add(right.reshape(-1, h), places, (len(left) * d, h)).reshape(len(left), d, h)
            elif left.shape[1] == 1:
                part = left.swapaxes(1, 2) * right
            else:
                part = left.swapaxes(1, 2) @ right
            out = part if out is None else np.add(out, part, out)
        return out.reshape((len(out), *self._shape))

    def weighted_sum(self, weights: Any) -> Any:
        """The sum over examples of a weight (m,) times the example's array; no array per example is made."""
        out: Any = None
        for left, right in self.terms:
            right = (right * weights[:, None, None]).reshape(-1, right.shape[2])
            if left.ndim == 2:
                part = scatter_add(right, left.reshape(-1), self.split)
            else:
                part = left.reshape(-1, left.shape[2]).T @ right
            out = part if out is None else out + part
        return out.reshape(self._shape)

    def sum_of_squares(self) -> Any:
        """The sum over examples of the squares of the array's elements, which has the array's shape."""
        if len(self.terms) == 1 and (times := self.terms[0][1].shape[1]) <= _FEW:
            left, right = self.terms[0]
            pairs = [(t, s) for t in range(times) for s in range(t, times)]
            if left.ndim == 3 or times == 1:  # (Σ_t a_t δ_t)² by pairs of places
                lefts = [left if left.ndim == 2 else left[:, [t]] * left[:, [s]] for t, s in pairs]
                rights = [right[:, [t]] * right[:, [s]] * (1 + (t < s)) for t, s in pairs]
                products = Factors(list(zip(lefts, rights, strict=True)), self._shape, self._level)
                return products.weighted_sum(np.ones(len(right), right.dtype))
        return sum([np.einsum("m...,m...->...", part, part) for part in self.chunks()])

    def centred(self) -> Factors:
        """Each example's array less one that is the same for all, close to their mean.

        Of a ⊗ δ - ā ⊗ δ̄ = (a - ā) ⊗ δ + ā ⊗ (δ - δ̄) no large numbers are subtracted.  Places of ones have no mean, and
        stay.
        """
        terms: list[Term] = []
        for left, right in self.terms:
            if left.ndim == 2:
                terms.append((left, right))
            else:
                mean = np.broadcast_to(left.mean(axis=0), left.shape)
                terms += [(left - mean, right), (mean, right - right.mean(axis=0))]
        return Factors(terms, self._shape, self._level)

    def squared_norms(self) -> Any:
        """The sum of squares of each example's array (m,), in the cheaper of two ways."""
        terms = self.terms
        d, h = self.split
        if _multiplied_out_is_less(sum([right.shape[1] for _, right in terms]), d, h, terms):
            return np.concatenate([np.vecdot(p, p) for p in map(_flat, self.chunks())])
        total: Any = 0
        for k, (left, right) in enumerate(terms):
            for left_2, right_2 in terms[k:]:
                if left is left_2 and right.shape[1] == 1:
                    part = np.vecdot(right, right)[:, 0]
                    part = part if left.ndim == 2 else part * np.vecdot(left, left)[:, 0]
                else:
                    part = (_inner_left(left, left_2) * (right @ right_2.swapaxes(1, 2))).sum(axis=(1, 2))
                total = total + (part if left is left_2 else 2 * part)
        return np.maximum(total, 0)  # where places cancel, rounding may leave a little less

    def inner(self, other: Factors) -> Any:
        """The inner products of all this one's arrays with all the other's: (m, m')."""
        out: Any = 0
        for left, right in self.terms:
            for left_2, right_2 in other.terms:
                out = out + _inner(left, right, left_2, right_2)
        return out

    def dot(self, direction: Any) -> Any:
        """The inner products of each example's array with one array of their shape (m,)."""
        d, h = self.split
        out: Any = 0
        for left, right in self.terms:
            across = direction.reshape(d, h)[left] if left.ndim == 2 else left @ direction.reshape(d, h)
            out = out + np.einsum("mth,mth->m", across, right)
        return out

    def chunks(self) -> Iterator[Any]:
        """The arrays of the examples multiplied out, some at a time, so that they take little room."""
        step = max(1, ROOM // max(math.prod(self._shape), 1))
        for start in range(0, max(self.examples, 1), step):
            yield self.rows(slice(start, start + step))


def _multiplied_out_is_less(pairs, d, h, terms):
    """Whether the arrays have fewer numbers than their products take for ``pairs`` of places for each element.

    The places of ones cost nothing to multiply.
    """
    dense = any(left.ndim == 3 for left, _ in terms)
    return pairs * (h + d * dense) > d * h


def _flat(array):
    return array.reshape(len(array), -1)


def _inner_left(a, b):
    """For each example the products (t, s) of the rows of a with those of b, either of which may be ones' places."""
    if a.ndim == b.ndim == 2:
        return a[:, :, None] == b[:, None, :]
    if a.ndim == 2:
        return np.take_along_axis(b, a[:, None, :], axis=2).swapaxes(1, 2)
    return a @ b.swapaxes(1, 2)


def _inner(left, right, left_2, right_2):
    """The inner products of all examples with all examples, of which there may be so many that it goes in parts."""
    (m, t, h), (n, s, _) = right.shape, right_2.shape
    d = max([a.shape[2] for a in (left, left_2) if a.ndim == 3], default=0)
    if d and _multiplied_out_is_less(t * s, d, h, [(left, right), (left_2, right_2)]):
        return _gram_of_rows(left, right, left_2, right_2, d, h)
    step = max(1, ROOM // max(t * n * s, 1))
    parts = []
    for start in range(0, m, step):
        a, r = left[start : start + step], right[start : start + step]
        both = r.reshape(-1, h) @ right_2.reshape(-1, h).T
        if a.ndim == 3 and left_2.ndim == 3:
            both *= a.reshape(-1, d) @ left_2.reshape(-1, d).T
        elif a.ndim == 2 and left_2.ndim == 2:
            both *= a.reshape(-1, 1) == left_2.reshape(-1)
        elif a.ndim == 2:
            both *= left_2.reshape(-1, d)[:, a.reshape(-1)].T
        else:
            both *= a.reshape(-1, d)[:, left_2.reshape(-1)]
        parts.append(both.reshape(len(a), t, n, s).sum(axis=(1, 3)))
    return np.concatenate(parts) if parts else np.zeros((m, n), right.dtype)


def _gram_of_rows(left, right, left_2, right_2, d, h):
    ones = [Factors([pair], (d, h), 0) for pair in ((left, right), (left_2, right_2))]
    blocks = []
    for x in ones[0].chunks():
        blocks.append(np.concatenate([_flat(x) @ _flat(y).T for y in ones[1].chunks()], axis=1))
    return np.concatenate(blocks)


def scattered(places: Any, v: Any, shape: tuple[int, ...], level: int) -> Factors:
    """Each example's ``v`` (m, ..., h) added into zeros of ``shape`` at its ``places`` (m, t) along the first axis."""
    right = v.reshape(*places.shape, math.prod(shape[1:]))
    return Factors([(places % max(shape[0], 1), right)], shape, level)


# ------------------------------------------------------------------- what rules do on the way to a parameter


def rules_of(cls):
    """A decorator that enters a function as the rule of ``cls`` for others; it gives up on arguments it has not."""

    def rule(*functions):
        def enter(fn):
            code = fn.__code__
            most, names = code.co_argcount, frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
            variadic = bool(code.co_flags & inspect.CO_VARARGS)

            def run(*args, **kwargs):
                if (len(args) > most and not variadic) or (kwargs and not kwargs.keys() <= names):
                    return NotImplemented
                return fn(*args, **kwargs)

            for function in functions:
                cls.rules[function] = run
            return fn

        return enter

    return rule


rule = rules_of(Factors)


@rule(np.add)
def _add(x, y):
    if type(x) is not Factors or type(y) is not Factors or x._level != y._level:
        return NotImplemented
    if x.shape != y.shape or x.split != y.split:
        return NotImplemented
    return Factors(x._data + y._data, x.shape, x._level)


@rule(np.multiply)
def _scaled(x, y):
    if type(x) is not Factors:
        x, y = y, x
    if type(y) not in (int, float):
        return NotImplemented
    return Factors([(left, right * y) for left, right in x._data], x.shape, x._level)


@rule(np.negative)
def _negative(x):
    return _scaled(x, -1)


@rule(np.reshape)
def _reshape(a, shape):
    return Factors(a._data, resolved(shape, a.shape), a._level)


@rule(np.transpose)
def _transpose(a, axes=None):
    if a.shape != a.split or axes not in (None, (1, 0)) or any(left.ndim == 2 for left, _ in a._data):
        return NotImplemented
    return Factors([(right, left) for left, right in a._data], a.shape[::-1], a._level)


@rule(np.swapaxes)
def _swapaxes(a, axis1, axis2):
    return _transpose(a) if a.ndim == 2 and axis1 % 2 != axis2 % 2 else NotImplemented


@rule(shapes.astype)
def _astype(x, dtype=float):
    terms = [(left if left.ndim == 2 else left.astype(dtype), right.astype(dtype)) for left, right in x._data]
    return Factors(terms, x.shape, x._level)
