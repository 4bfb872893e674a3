"""Reductions, running sums and differences."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

import math
from typing import Any

import numpy as np

from ..autodiff import as_array
from ..primitives import UNSET
from ..vjps import reductions, shapes
from ..vjps.helpers import along, axes_of, axis_of, reduced_axes
from .table import as_vector, composite, flat_if_none, safe_sqrt

# Reductions that take ``where=`` and ``initial=``: what a masked element counts as, and how ``initial`` joins in.
MASKABLE: dict[Any, tuple[float, Any]] = {
    np.sum: (0, np.add), np.prod: (1, np.multiply), np.max: (-math.inf, np.maximum), np.min: (math.inf, np.minimum),
    np.mean: (0, None),
}  # fmt: skip


def masked(function, args, kwargs):
    """A reduction of the elements where a mask holds, and of ``initial``."""
    options = {key: value for key, value in kwargs.items() if key not in ("a", "where", "initial")}
    a, *args = args if args else (kwargs["a"],)
    a, where, initial = as_array(a), kwargs.get("where", UNSET), kwargs.get("initial", UNSET)
    neutral, join = MASKABLE[function]
    if where is UNSET or where is True:
        kept = a
    elif initial is UNSET and math.isinf(neutral):
        raise ValueError(f"{function.__name__}: where= needs initial=, the result where the mask holds nowhere")
    else:
        kept = np.where(where, a, neutral)
        if function is np.mean:
            n = np.sum(np.broadcast_to(where, a.shape), *args, **options)
            return np.sum(kept, *args, **options) / shapes.astype(n, a.dtype)
    result = function(kept, *args, **options)
    return result if initial is UNSET else join(result, initial)


@composite("amax")
def amax(a, axis=None, keepdims=False, initial=UNSET, where=UNSET):
    return np.max(a, axis=axis, keepdims=keepdims, initial=initial, where=where)


@composite("amin")
def amin(a, axis=None, keepdims=False, initial=UNSET, where=UNSET):
    return np.min(a, axis=axis, keepdims=keepdims, initial=initial, where=where)


@composite("prod")
def prod(a, axis=None, keepdims=False):
    axes = reduced_axes(axis, a.ndim)
    out = a.reshape(-1) if axis is None else a
    for k in (0,) if axis is None else sorted(axes, reverse=True):
        out = reductions.prod(out, k)
    return out.reshape([1 if k in axes else n for k, n in enumerate(a.shape)]) if keepdims else out


@composite("var")
def var(a, axis=None, ddof=0, keepdims=False, correction=UNSET):
    ddof = ddof if correction is UNSET else correction
    centred = a - a.mean(axis=axis, keepdims=True)
    n = math.prod([a.shape[k] for k in axes_of(axis, a.ndim)])
    return (centred * centred).sum(axis=axis, keepdims=keepdims) / (n - ddof)


@composite("ptp")
def ptp(a, axis=None, keepdims=False):
    return a.max(axis=axis, keepdims=keepdims) - a.min(axis=axis, keepdims=keepdims)


@composite("cumsum")
def cumsum(a, axis=None):
    return reductions.cumsum(*flat_if_none(as_vector(a), axis))


@composite("cumprod")
def cumprod(a, axis=None):
    return reductions.cumprod(*flat_if_none(as_vector(a), axis))


def _one_axis(x, axis, include_initial, function, initial):
    x = as_vector(x)
    if axis is None and x.ndim != 1:
        raise ValueError(f"{function.__name__}: axis= is needed for an array of shape {x.shape}")
    axis = 0 if axis is None else axis_of(axis, x.ndim)
    if include_initial:
        x = np.concatenate([np.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), initial, x.dtype), x], axis)
    return function(x, axis)


@composite("cumulative_sum")
def cumulative_sum(x, axis=None, include_initial=False):
    return _one_axis(x, axis, include_initial, reductions.cumsum, 0)


@composite("cumulative_prod")
def cumulative_prod(x, axis=None, include_initial=False):
    return _one_axis(x, axis, include_initial, reductions.cumprod, 1)


@composite("diff")
def diff(a, n=1, axis=-1, prepend=UNSET, append=UNSET):
    a = as_array(a)
    axis = axis_of(axis, a.ndim)
    if n < 0:
        raise ValueError(f"diff: n={n} must not be negative")
    parts = []
    for end in (prepend, a, append):
        if end is not UNSET:
            end = as_array(end)
            parts.append(end if end.ndim else np.broadcast_to(end, (*a.shape[:axis], 1, *a.shape[axis + 1 :])))
    a = np.concatenate(parts, axis) if len(parts) > 1 else a
    for _ in range(n):
        a = a[along(axis, slice(1, None))] - a[along(axis, slice(None, -1))]
    return a


@composite("ediff1d")
def ediff1d(ary, to_end=None, to_begin=None):
    ary = as_array(ary).reshape(-1)
    middle = ary[1:] - ary[:-1]
    parts = [as_array(part).astype(ary.dtype).reshape(-1) for part in (to_begin, middle, to_end) if part is not None]
    return np.concatenate(parts) if len(parts) > 1 else middle


@composite("trapezoid")
def trapezoid(y, x=None, dx=1.0, axis=-1):
    y = as_array(y)
    axis = axis_of(axis, y.ndim)
    if x is not None:
        x = as_array(x)
        x = x.reshape([-1 if k == axis else 1 for k in range(y.ndim)]) if x.ndim == 1 else x
        dx = diff(x, axis=axis if x.ndim == y.ndim else axis - y.ndim)
    return (dx * (y[along(axis, slice(1, None))] + y[along(axis, slice(None, -1))]) / 2).sum(axis=axis)


@composite("gradient")
def gradient(f, *varargs, axis=None, edge_order=1):
    f = as_array(f)
    axes = axes_of(axis, f.ndim)
    steps = varargs if len(varargs) > 1 else (varargs or (1.0,)) * len(axes)
    if len(steps) != len(axes) or edge_order != 1 or any(np.ndim(step) for step in steps):
        raise TypeError("gradient: on Tensors, give one number, or one for each axis, as spacing, and edge_order=1")
    found = []
    for k, step in zip(axes, steps, strict=True):
        d = diff(f, axis=k) / step
        middle = (d[along(k, slice(1, None))] + d[along(k, slice(None, -1))]) / 2
        found.append(np.concatenate([d[along(k, slice(0, 1))], middle, d[along(k, slice(-1, None))]], k))
    return found[0] if len(found) == 1 else tuple(found)


# ------------------------------------------------------------------------------------------- without NaN


@composite("nansum")
def nansum(a, axis=None, keepdims=False):
    return np.sum(np.where(np.isnan(a), 0, a), axis=axis, keepdims=keepdims)


@composite("nanprod")
def nanprod(a, axis=None, keepdims=False):
    return np.prod(np.where(np.isnan(a), 1, a), axis=axis, keepdims=keepdims)


@composite("nancumsum")
def nancumsum(a, axis=None):
    return cumsum(np.where(np.isnan(a), 0, a), axis)


@composite("nancumprod")
def nancumprod(a, axis=None):
    return cumprod(np.where(np.isnan(a), 1, a), axis)


@composite("nanmax")
def nanmax(a, axis=None, keepdims=False):
    empty = np.isnan(a)
    out = np.max(np.where(empty, -math.inf, a), axis=axis, keepdims=keepdims)
    return np.where(empty.all(axis=axis, keepdims=keepdims), math.nan, out)


@composite("nanmin")
def nanmin(a, axis=None, keepdims=False):
    return -nanmax(-a, axis, keepdims)


@composite("nanmean")
def nanmean(a, axis=None, keepdims=False):
    return np.mean(a, axis=axis, keepdims=keepdims, where=~np.isnan(a))


@composite("nanvar")
def nanvar(a, axis=None, ddof=0, keepdims=False):
    known = ~np.isnan(a)
    centred = np.where(known, a - np.mean(a, axis=axis, keepdims=True, where=known), 0)
    n = shapes.astype(known.sum(axis=axis, keepdims=keepdims) - ddof, a.dtype)
    return (centred * centred).sum(axis=axis, keepdims=keepdims) / n


@composite("nanstd")
def nanstd(a, axis=None, ddof=0, keepdims=False):
    return safe_sqrt(nanvar(a, axis, ddof, keepdims))
