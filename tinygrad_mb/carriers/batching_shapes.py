"""Batching: shapes, joining, matrix products."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import math
import string

import numpy as np

from ..autodiff import as_array
from ..vjps import products, shapes
from ..vjps.helpers import axes_of, axis_of, product, resolved
from .batched import Batched, aligned, any_at_level, at_level, batching, examples_of, front, shifted
from .factors import Factors


@batching(np.reshape)
def reshape(level, a, shape, order="C", **kwargs):
    """The same elements of each example in another shape."""
    if order != "C":
        return NotImplemented
    shape = tuple(shape) if np.iterable(shape) else (shape,)
    if -1 in shape and a._data.size == 0:  # only the visible sizes can tell
        shape = resolved(shape, a.shape)
    return Batched(a._data.reshape((a.examples, *shape)), level)


@batching(np.transpose)
def transpose(level, a, axes=None):
    """The visible axes in another order."""
    order = range(a.ndim)[::-1] if axes is None else axes_of(axes, a.ndim)
    if len(order) != a.ndim:
        raise ValueError(f"transpose: axes {axes} are not all axes of an array with {a.ndim}")
    return Batched(a._data.transpose((0, *[k + 1 for k in order])), level)


@batching(np.swapaxes)
def swapaxes(level, a, axis1, axis2):
    """Two visible axes exchanged."""
    return Batched(a._data.swapaxes(axis_of(axis1, a.ndim) + 1, axis_of(axis2, a.ndim) + 1), level)


@batching(np.broadcast_to)
def broadcast_to(level, array, shape, subok=False):
    """Each example's array stretched to ``shape``."""
    shape = tuple(shape) if np.iterable(shape) else (shape,)
    if len(shape) < array.ndim:
        raise ValueError(f"broadcast_to: an array of shape {array.shape} does not stretch to {shape}")
    (data, _) = aligned(level, (array, np.broadcast_to(0, shape)))
    return Batched(np.broadcast_to(data, (array.examples, *shape)), level)


@batching(np.flip)
def flip(level, m, axis=None):
    """The order along visible axes reversed."""
    return Batched(np.flip(m._data, shifted(axis, m.ndim)), level)


@batching(np.roll)
def roll(level, a, shift, axis=None):
    """The elements moved along visible axes."""
    if any_at_level((shift,), level):
        return NotImplemented
    if axis is None:
        return Batched(np.roll(a._data.reshape(a.examples, a.size), shift, 1).reshape(a._data.shape), level)
    axes = [axis_of(k, a.ndim) + 1 for k in (axis if np.iterable(axis) else (axis,))]
    return Batched(np.roll(a._data, shift, axes[0] if len(axes) == 1 else tuple(axes)), level)


@batching(np.concatenate)
def concatenate(level, arrays, axis=0, **kwargs):
    """The examples' arrays joined along a visible axis."""
    m = examples_of(level, arrays)
    arrays = [front(level, x, m) for x in arrays]
    if axis is None:
        return Batched(np.concatenate([x.reshape(m, math.prod(x.shape[1:])) for x in arrays], 1, **kwargs), level)
    return Batched(np.concatenate(arrays, axis_of(axis, arrays[0].ndim - 1) + 1, **kwargs), level)


@batching(np.stack)
def stack(level, arrays, axis=0, **kwargs):
    """The examples' arrays joined along a new visible axis."""
    m = examples_of(level, arrays)
    arrays = [front(level, x, m) for x in arrays]
    return Batched(np.stack(arrays, axis_of(axis, arrays[0].ndim) + 1, **kwargs), level)


@batching(shapes.pad)
def pad(level, a, widths=(), value=0.0):
    """A frame of constants around each example's array."""
    return Batched(shapes.pad(a._data, ((0, 0), *widths), value), level)


# ------------------------------------------------------------------------------------------------ products


@batching(np.matmul)
def matmul(level, x1, x2, **kwargs):
    """A product of each example's matrices; where all share one of them, one large product."""
    x, y = as_array(x1), as_array(x2)
    if kwargs or x.ndim == 0 or y.ndim == 0:
        return NotImplemented
    if y.ndim < 3 and not at_level(y, level):
        return Batched(_rows_times(x._data, y), level)
    if not at_level(x, level) and x.ndim == 2 and (y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)):
        out = _rows_times(y._data.reshape(y.examples, y.shape[0]), x.T)
        return Batched(out if y.ndim == 1 else out.reshape((*out.shape, 1)), level)
    left, right = x.ndim == 1, y.ndim == 1
    x = x.reshape((1, *x.shape)) if left else x
    y = y.reshape((*y.shape, 1)) if right else y
    a, b = aligned(level, (x, y), (2, 2))
    out = a * b if a.shape[-1] == 1 == b.shape[-2] else a @ b
    stack, rest = out.shape[:-2], (() if left else out.shape[-2:-1]) + (() if right else out.shape[-1:])
    return Batched(out.reshape(stack + rest) if left or right else out, level)


@batching(products.sum_of_outer)
def sum_of_outer(level, x, g):
    """For each example a sum of outer products, left open."""
    if not (at_level(x, level) and at_level(g, level) and type(x._data) is np.ndarray is type(g._data)):
        return matmul(level, x.T, g)
    return Factors([(x._data, g._data)], (x.shape[1], g.shape[1]), level)


def _rows_times(x, y):
    """``x @ y`` where x has axes in front that y does not: as the product of one tall matrix, if y is one."""
    if y.ndim != 2 or x.ndim == 2 or x.shape[-1] != y.shape[0]:
        return product(x, y) if x.ndim == 2 else x @ y
    tall = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return product(tall, y).reshape((*x.shape[:-1], y.shape[1]))


@batching(products.einsum)
def einsum(level, operands, subscripts=""):
    """An Einstein sum with one more index, that of the examples."""
    given, result = subscripts.split("->")
    hidden = next(c for c in string.ascii_letters if c not in subscripts)
    terms = [hidden * at_level(x, level) + term for x, term in zip(operands, given.split(","), strict=True)]
    data = [x._data if at_level(x, level) else x for x in operands]
    return Batched(products.einsum(data, f"{','.join(terms)}->{hidden}{result}"), level)
