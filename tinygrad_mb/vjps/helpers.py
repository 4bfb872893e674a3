"""Small functions that rules are written in: ordinary NumPy, which runs on every carrier."""

# Rules and their helpers run on ndarray, Tensor, Batched and Traced alike; their arguments have no common type.
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import math
import operator

import numpy as np


def axis_of(axis, ndim):
    """A single axis as a non-negative number; raises NumPy's ``AxisError``."""
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


def axes_of(axis, ndim):
    """One axis, several, or None for all, as non-negative numbers; raises for one out of range or named twice."""
    if axis is None:
        return tuple(range(ndim))
    if not isinstance(axis, (tuple, list)):
        return (axis_of(axis, ndim),)
    axes = tuple([axis_of(k, ndim) for k in axis])
    if len(set(axes)) < len(axes):
        raise ValueError(f"an axis is named twice in {axis}")
    return axes


def reduced_axes(axis, ndim):
    """``axes_of`` for reductions by universal functions, to which a number without axes may have an axis 0 or -1."""
    return () if ndim == 0 and axis in (0, -1) else axes_of(axis, ndim)


def resolved(new, shape):
    """The shape that ``new`` means for an array of ``shape``, its -1 too; raises ``ValueError`` if it does not fit."""
    return np.broadcast_to(0, shape).reshape(new).shape


def count(shape, axis):
    """How many elements a reduction of ``shape`` along ``axis`` joins into one."""
    return math.prod(shape) if axis is None else math.prod([shape[k] for k in axes_of(axis, len(shape))])


def total(a, axis, keepdims):
    """``a.sum``, without its detour on plain arrays."""
    if type(a) is np.ndarray:
        return np.add.reduce(a, axis, None, None, keepdims)  # type: ignore[call-overload]  # positions are faster
    return a.sum(axis=axis, keepdims=keepdims)


def product(x, y):
    """``x @ y``; NumPy gets to a plain matrix product sooner by ``dot``."""
    if type(x) is np.ndarray is type(y) and x.ndim == 2 == y.ndim:
        return x.dot(y)
    return x @ y


def summed_products(x, y):
    """The sum over n of ``x @ y.T``, for x (n, a, t) and y (n, b, t).

    On plain arrays with many t, n products and their sum are faster than one product, which has to move the arrays;
    but they take more room, and say less to a carrier that keeps the n apart.
    """
    if type(x) is np.ndarray is type(y) and x.shape[1] <= x.shape[2]:
        return np.add.reduce(x @ y.swapaxes(1, 2), 0)
    return np.tensordot(x, y, ((0, 2), (0, 2)))


def restore_axes(a, shape, axis, keepdims):
    """A reduction's result, or its cotangent, in a shape that broadcasts against the reduced array."""
    if axis is None or keepdims or not shape:  # a single number, or all axes at size one: broadcasting does the rest
        return a
    axes = axes_of(axis, len(shape))
    return a.reshape(tuple([1 if k in axes else n for k, n in enumerate(shape)]))


def expand(a, shape):
    """``np.broadcast_to`` as an array of its own; faster where the arrays are plain."""
    if isinstance(a, (np.ndarray, np.generic)):
        out = np.empty(shape, a.dtype)
        if a.ndim:
            out[...] = a
        else:
            out.fill(a)
        return out
    return np.broadcast_to(a, shape)


def along(axis, index):
    """The index that applies ``index`` to one non-negative axis."""
    return (slice(None),) * axis + (index,)


def products_before(a, axis):
    """For each element the product of those before it along a non-negative ``axis``."""
    ones = np.ones((*a.shape[:axis], min(1, a.shape[axis]), *a.shape[axis + 1 :]), a.dtype)
    return np.cumprod(np.concatenate([ones, a[along(axis, slice(0, -1))]], axis), axis)


def products_after(a, axis):
    """For each element the product of those after it along a non-negative ``axis``."""
    return np.flip(products_before(np.flip(a, axis), axis), axis)


def shifted(a, distance):
    """``a`` moved towards the start of its last axis, with zeros coming in at the end."""
    zeros = np.zeros((*a.shape[:-1], min(distance, a.shape[-1])), a.dtype)
    return np.concatenate([a[..., distance:], zeros], -1)
