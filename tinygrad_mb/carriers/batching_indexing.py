"""Batching: indexing and scattering, with indices that all examples share or that each has of its own; images."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import operator

import numpy as np

from ..vjps import convolution, indexing, special
from .batched import Batched, aligned, at_level, batching, examples_of, front


class _Plan:
    """How an index of each example's array, of ``ndim`` axes, reads as one of the numbers inside.

    index  the index of the numbers, whose axis of examples is in front
    moved  where the index has no array of the examples' own: how many axes of index arrays NumPy puts before the axis
           of examples, since the arrays stand apart
    width  where it has: how many axes its index arrays have together
    place  where NumPy puts them in the result of each example
    """

    __slots__ = ("index", "moved", "own", "place", "width")

    def __init__(self, level, index, ndim, m):
        parts = [np.asarray(p) if isinstance(p, list) else p for p in (index if type(index) is tuple else (index,))]
        self.own = any(at_level(p, level) for p in parts)
        if self.own:
            parts = [q for p in parts for q in _integers(p)]
        arrays = [k for k, p in enumerate(parts) if _is_array(p)]
        if arrays:  # next to arrays, numbers count as such
            arrays = [k for k, p in enumerate(parts) if _is_array(p) or isinstance(p, (int, np.integer))]
        together = not arrays or arrays == list(range(arrays[0], arrays[-1] + 1))
        self.moved = self.place = self.width = 0
        if not self.own:
            self.index = (slice(None), *parts)
            if not together:
                self.moved = len(np.broadcast_shapes(*[np.shape(q) for k in arrays for q in _integers(parts[k])]))
            return
        if together:
            dots = ndim - sum(p is not None and p is not Ellipsis for p in parts)
            self.place = sum([dots if p is Ellipsis else 1 for p in parts[: arrays[0]]])
        numbers = aligned(level, [parts[k] for k in arrays])
        self.width = max([np.ndim(parts[k]) for k in arrays])
        for k, array in zip(arrays, numbers, strict=True):
            parts[k] = array
        self.index = (np.arange(m).reshape((m,) + (1,) * self.width), *parts)

    def result(self, out):
        """What the numbers give at the index, with the axis of examples in front and the rest as in each example."""
        if self.moved:
            return np.moveaxis(out, self.moved, 0)
        return np.moveaxis(out, self._first(1), self._first(1 + self.place)) if self.place else out

    def values(self, v):
        """The inverse: values for each example in the order in which the numbers have them at the index."""
        if self.moved:
            return np.moveaxis(v, 0, self.moved)
        return np.moveaxis(v, self._first(1 + self.place), self._first(1)) if self.place else v

    def _first(self, start):
        return list(range(start, start + self.width))


_BASIC = frozenset((int, slice, type(None), type(...)))


def _is_array(part):
    return isinstance(part, (np.ndarray, Batched, bool, np.bool_))


def _integers(part):
    """A part of an index as integers: a mask is the places where it holds."""
    if not _is_array(part) or np.result_type(part) != np.bool_:
        return (part,)
    if isinstance(part, Batched):
        raise IndexError(
            f"an index that is {part.described()}: how many elements a mask chooses is different for each example. Use "
            "np.where(mask, x, 0) inside vmap, or a mask that all examples share."
        )
    return np.atleast_1d(part).nonzero()


@batching(operator.getitem)
def getitem(level, x, index):
    """Elements of each example's array."""
    parts = index if type(index) is tuple else (index,)
    if {type(part) for part in parts} <= _BASIC:
        return Batched(x._data[(slice(None), *parts)], level)
    if at_level(index, level) and not at_level(x, level) and index.dtype != bool:
        return Batched(x[index._data], level)
    m = examples_of(level, x, index)
    plan = _Plan(level, index, np.ndim(x), m)
    return Batched(plan.result(front(level, x, m)[plan.index]), level)


@batching(indexing.scatter_add)
def scatter_add(level, v, index=(), shape=()):
    """Zeros for each example, with values added at the index."""
    m = examples_of(level, v, index)
    v = front(level, v, m)
    if at_level(index, level) and shape[0] and v.size:  # one axis, so that rows can be sorted and added together
        n, rest = shape[0], shape[1:]
        places = index._data % n
        places = places + np.arange(m).reshape((m,) + (1,) * (places.ndim - 1)) * n
        out = indexing.scatter_add(v.reshape((places.size, *rest)), places.reshape(-1), (m * n, *rest))
        return Batched(out.reshape((m, *shape)), level)
    plan = _Plan(level, index, len(shape), m)
    return Batched(indexing.scatter_add(plan.values(v), plan.index, (m, *shape)), level)


@batching(indexing.put)
def put(level, x, v, index=()):
    """A copy of each example's array with other values at the index."""
    m = examples_of(level, x, v, index)
    x = front(level, x, m)
    plan = _Plan(level, index, x.ndim - 1, m)
    there = plan.result(np.broadcast_to(False, x.shape)[plan.index]).shape[1:]
    return Batched(indexing.put(x, plan.values(front(level, np.broadcast_to(v, there), m)), plan.index), level)


def _with_labels(function):
    def rule(level, logits, labels):
        m = examples_of(level, (logits, labels))
        return Batched(function(front(level, logits, m), front(level, labels, m)), level)

    batching(function)(rule)


_with_labels(special.cross_entropy)
_with_labels(special.softmax_minus_one_hot)


# -------------------------------------------------------------------------------------------------- images


def _images(function):
    """Images of all examples are more images."""

    def rule(level, x, *options):
        (m, n), rest = x._data.shape[:2], x._data.shape[2:]
        out = function(x._data.reshape((m * n, *rest)), *options)
        return Batched(out.reshape((m, n, *out.shape[1:])), level)

    return rule


batching(convolution.patches)(_images(convolution.patches))


@batching(convolution.unpatch)
def unpatch(level, p, shape=(), *options):
    """Windows added up to images."""
    m, n = p.examples, shape[0]
    out = convolution.unpatch(p._data.reshape((m * n, *p.shape[1:])), (m * n, *shape[1:]), *options)
    return Batched(out.reshape((m, *shape)), level)
