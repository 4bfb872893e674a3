"""Averages, quantiles and covariances."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

import math

import numpy as np

from ..autodiff import as_array
from ..vjps import indexing
from ..vjps.helpers import axes_of, axis_of
from .shapes import diagonal, moveaxis
from .table import composite, safe_sqrt


@composite("average")
def average(a, axis=None, weights=None, returned=False, keepdims=False):
    a = as_array(a)
    if weights is None:
        out = a.mean(axis=axis, keepdims=keepdims)
        total = np.full(out.shape, a.size / max(out.size, 1), out.dtype)
    else:
        weights = as_array(weights)
        if weights.shape != a.shape:
            if axis is None or weights.ndim != 1 or isinstance(axis, tuple):
                raise TypeError("average: weights of another shape than a's must be a vector along one axis=")
            weights = weights.reshape([-1 if k == axis_of(axis, a.ndim) else 1 for k in range(a.ndim)])
        total = weights.sum(axis=axis, keepdims=keepdims)
        out = (a * weights).sum(axis=axis, keepdims=keepdims) / total
    return (out, np.broadcast_to(total, out.shape)) if returned else out


@composite("quantile")
def quantile(a, q, axis=None, method="linear", keepdims=False):
    a = as_array(a)
    if method != "linear":
        raise TypeError(f'quantile: method {method!r} is not supported on Tensors; "linear" is')
    weak = isinstance(q, (int, float))
    q = np.asarray(q)
    if np.any((q < 0) | (q > 1)):
        raise ValueError("quantile: q must be between 0 and 1")
    axes = axes_of(axis, a.ndim)
    kept = [n for k, n in enumerate(a.shape) if k not in axes]
    n = math.prod([a.shape[k] for k in axes])
    a = np.sort(moveaxis(a, axes, range(-len(axes), 0)).reshape([*kept, n]), -1)
    place = q * (n - 1)
    low = np.floor(place).astype(np.intp)
    part = (place - low).astype(a.dtype) if weak else place - low
    below, above = a[..., low], a[..., np.minimum(low + 1, n - 1)]
    last = a[..., n - 1 if q.ndim == 0 else np.full(q.shape, n - 1)]
    out = np.where(np.isnan(last), math.nan, below + part * (above - below))
    out = moveaxis(out, range(-q.ndim, 0), range(q.ndim)) if q.ndim else out
    if keepdims:
        sizes = iter(kept)
        out = out.reshape([*q.shape, *[1 if k in axes else next(sizes) for k in range(len(axes) + len(kept))]])
    return out


@composite("percentile")
def percentile(a, q, axis=None, method="linear", keepdims=False):
    return quantile(a, q / 100 if isinstance(q, (int, float)) else np.asarray(q) / 100, axis, method, keepdims)


@composite("median")
def median(a, axis=None, keepdims=False):
    return quantile(a, 0.5, axis, "linear", keepdims)


@composite("cov")
def cov(m, y=None, rowvar=True, bias=False, ddof=None):
    rows = []
    for part in (m, y):
        if part is not None:
            part = as_array(part).astype(np.float64)
            if part.ndim > 2:
                raise ValueError("cov: m and y have at most two axes")
            rows.append(part.T if not rowvar and part.ndim == 2 else np.atleast_2d(part))
    x = np.concatenate(rows, 0)
    x = x - x.mean(axis=1, keepdims=True)
    c = x @ x.T / (x.shape[1] - (ddof if ddof is not None else 0 if bias else 1))
    return c.reshape(()) if c.shape == (1, 1) else c


@composite("corrcoef")
def corrcoef(x, y=None, rowvar=True):
    c = cov(x, y, rowvar)
    if c.ndim == 0:
        return c / c
    deviation = safe_sqrt(diagonal(c))
    return c / deviation[:, None] / deviation


@composite("bincount")
def bincount(x, weights=None, minlength=0):
    x = np.asarray(x)
    if weights is None:
        return np.bincount(x, minlength=minlength)
    counts = np.bincount(x, minlength=minlength)  # checks x, too
    return indexing.scatter_add(as_array(weights).astype(np.float64), x, counts.shape)


@composite("interp")
def interp(x, xp, fp, left=None, right=None):
    x, xp, fp = (as_array(v).astype(np.float64) for v in (x, xp, fp))
    if xp.ndim != 1 or xp.shape != fp.shape or xp.size < 2:
        raise ValueError(f"interp: xp {xp.shape} and fp {fp.shape} must be vectors of the same two or more points")
    k = np.clip(np.searchsorted(xp, x) - 1, 0, xp.size - 2)
    inside = np.clip(x, xp[0], xp[-1])
    x0, x1, f0, f1 = [indexing.item(v, at) for v in (xp, fp) for at in (k, k + 1)]
    out = f0 + (inside - x0) / (x1 - x0) * (f1 - f0)
    out = out if left is None else np.where(x < xp[0], left, out)
    return out if right is None else np.where(x > xp[-1], right, out)
