"""Batching: element by element, and along axes."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..composites import reductions as composites
from ..vjps import shapes
from ..vjps.helpers import axes_of, axis_of, count, reduced_axes, total
from .batched import UFUNCS, Batched, aligned, any_at_level, at_level, batching, shifted

_function: Callable[..., Any]


# ------------------------------------------------------------------------------------- universal functions


def _cores(ufunc):
    """The numbers of axes that a generalised universal function does not broadcast, of each operand."""
    return [len(term.strip("()").split(",")) if term != "()" else 0
            for term in ufunc.signature.partition("->")[0].replace("),(", ") (").split()]  # fmt: skip


def _call(level, ufunc, *inputs, where=True, **kwargs):
    core = None
    if ufunc.signature:
        if "?" in ufunc.signature or kwargs.keys() & {"axis", "axes", "keepdims"}:
            return NotImplemented
        core = _cores(ufunc)
    if where is True:
        out = ufunc(*aligned(level, inputs, core), **kwargs)
    else:
        *inputs, where = aligned(level, (*inputs, where))
        out = ufunc(*inputs, where=where, **kwargs)
    return tuple([Batched(part, level) for part in out]) if isinstance(out, tuple) else Batched(out, level)


def _reduce(level, ufunc, array, axis=0, *args, **kwargs):
    if not at_level(array, level) or any_at_level((args, kwargs), level):
        return NotImplemented
    return Batched(ufunc.reduce(array._data, shifted(axis, array.ndim, reduced_axes), *args, **kwargs), level)


def _accumulate(level, ufunc, array, axis=0, *args, **kwargs):
    return Batched(ufunc.accumulate(array._data, axis_of(axis, array.ndim) + 1, *args, **kwargs), level)


def _reduceat(level, ufunc, array, indices, axis=0, *args, **kwargs):
    if any_at_level((indices,), level):
        return NotImplemented
    return Batched(ufunc.reduceat(array._data, indices, axis_of(axis, array.ndim) + 1, *args, **kwargs), level)


def _outer(level, ufunc, x, y, **kwargs):
    x, y = (v if isinstance(v, Batched) else np.asarray(v) for v in (x, y))
    return _call(level, ufunc, x.reshape(x.shape + (1,) * y.ndim), y, **kwargs)


UFUNCS.update(__call__=_call, reduce=_reduce, accumulate=_accumulate, reduceat=_reduceat, outer=_outer)


@batching(np.where)
def where(level, condition, *choices):
    """Element by element; without choices the places, whose number depends on the values."""
    return Batched(np.where(*aligned(level, (condition, *choices))), level) if choices else NotImplemented


@batching(shapes.astype)
def astype(level, x, dtype=float):
    """The same values in another dtype."""
    return Batched(x._data.astype(dtype), level)


def _of_the_first(function):
    def rule(level, x, *options, **kwargs):
        if not at_level(x, level) or any_at_level((options, kwargs), level):
            return NotImplemented
        return Batched(function(x._data, *options, **kwargs), level)

    batching(function)(rule)


for _function in (
    np.isposinf, np.isneginf, np.isreal, np.iscomplex, np.round, np.around, np.fix, np.angle, np.imag, np.i0,
    np.digitize,
):  # fmt: skip
    _of_the_first(_function)


@batching(np.searchsorted)
def searchsorted(level, a, v, *options, **kwargs):
    """Where each example's numbers would stand in one sorted vector."""
    if at_level(a, level) or any_at_level((options, kwargs), level):
        return NotImplemented
    return Batched(np.searchsorted(a, v._data, *options, **kwargs), level)


# ---------------------------------------------------------------------------------------------- reductions


def _reduction(function, meant):
    def rule(level, a, axis=None, *args, **kwargs):
        if not at_level(a, level) or any_at_level((args, kwargs), level):
            if function in composites.MASKABLE and not args and at_level(a, level):
                return composites.masked(function, (a,), {"axis": axis, **kwargs})
            return NotImplemented
        return Batched(function(a._data, shifted(axis, a.ndim, meant), *args, **kwargs), level)

    batching(function)(rule)


for _function in np.prod, np.max, np.min, np.amax, np.amin, np.any, np.all, np.count_nonzero:
    _reduction(_function, reduced_axes)
for _function in np.std, np.var:
    _reduction(_function, axes_of)


@batching(np.sum)
def sum_(level, a, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
    """The sum along visible axes."""
    if not at_level(a, level) or any_at_level(kwargs, level):
        return composites.masked(np.sum, (a,), {"axis": axis, "keepdims": keepdims, **kwargs})
    axes = shifted(axis, a.ndim, reduced_axes)
    if dtype is None and not kwargs:
        return Batched(total(a._data, axes, keepdims), level)
    return Batched(np.sum(a._data, axes, dtype, None, keepdims, **kwargs), level)


@batching(np.mean)
def mean(level, a, axis=None, dtype=None, out=None, keepdims=False, **kwargs):
    """The mean along visible axes."""
    if not at_level(a, level) or any_at_level(kwargs, level):
        return composites.masked(np.mean, (a,), {"axis": axis, "keepdims": keepdims, **kwargs})
    axes = shifted(axis, a.ndim)
    if dtype is None and not kwargs and a.dtype.kind == "f" and a.dtype.itemsize > 2:
        return Batched(total(a._data, axes, keepdims) / count(a._data.shape, axes), level)
    return Batched(np.mean(a._data, axes, dtype, None, keepdims, **kwargs), level)


def _one_axis(function, default):
    """A function along one axis, its second argument; along all elements if it is None."""

    def rule(level, a, axis=default, *args, **kwargs):
        if not at_level(a, level) or any_at_level((args, kwargs), level) or (a.ndim == 0 and axis is not None):
            return NotImplemented
        if axis is None:
            out = function(a._data.reshape(a.examples, a.size), 1, *args, **kwargs)
            return Batched(out.reshape((-1, *(1,) * a.ndim)) if kwargs.get("keepdims") else out, level)
        return Batched(function(a._data, axis_of(axis, a.ndim) + 1, *args, **kwargs), level)

    batching(function)(rule)


for _function in np.cumsum, np.cumprod, np.argmax, np.argmin:
    _one_axis(_function, None)
for _function in np.sort, np.argsort:
    _one_axis(_function, -1)


def _with_kth(function):
    def rule(level, a, kth, axis=-1, *args, **kwargs):
        data = a._data.reshape(a.examples, a.size) if axis is None else a._data
        return Batched(function(data, kth, -1 if axis is None else axis_of(axis, a.ndim) + 1, *args, **kwargs), level)

    batching(function)(rule)


for _function in np.partition, np.argpartition:
    _with_kth(_function)


# ---------------------------------------------------------------------------- facts about shapes and dtypes


def _fact(function):
    def rule(level, *args, **kwargs):
        def plain(x):
            return np.broadcast_to(np.zeros((), x.dtype), x.shape) if isinstance(x, Batched) else x

        if any_at_level(kwargs, level):
            return NotImplemented
        return function(*map(plain, args), **kwargs)

    batching(function)(rule)


for _function in (
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.common_type, np.min_scalar_type, np.iscomplexobj,
    np.isrealobj, np.zeros_like, np.ones_like, np.empty_like,
):  # fmt: skip
    _fact(_function)
