"""Element by element; and numbers evenly spaced."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

import math

import numpy as np

from ..autodiff import as_array
from .table import composite


@composite("copy")
def copy(a):
    return +a


@composite("astype")
def astype(x, dtype, copy=True):
    return x.astype(dtype)


@composite("modf")
def modf(x):
    whole = np.trunc(x)
    return x - whole, whole


@composite("divmod")
def divmod_(x, y):
    return np.floor_divide(x, y), np.remainder(x, y)


@composite("frexp")
def frexp(x):
    _, exponent = np.frexp(x.data)
    return np.ldexp(x, -exponent), exponent


@composite("real")
def real(val):
    return +val


@composite("real_if_close")
def real_if_close(a):
    return +a


@composite("nan_to_num")
def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    if x.dtype.kind != "f":
        return +x
    limits = np.finfo(x.dtype)
    x = np.where(np.isnan(x), nan, x)
    x = np.where(np.isposinf(x), limits.max if posinf is None else posinf, x)
    return np.where(np.isneginf(x), limits.min if neginf is None else neginf, x)


@composite("sinc")
def sinc(x):
    y = math.pi * x
    small = np.abs(y) < 0.1
    square = np.where(small, y * y, 0)
    series = 1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72)))
    y = np.where(small, 1, y)
    return np.where(small, series, np.sin(y) / y)


@composite("polyval")
def polyval(p, x):
    p, x = as_array(p), as_array(x)
    y = x * 0
    for coefficient in p:
        y = y * x + coefficient
    return y


@composite("vander")
def vander(x, N=None, increasing=False):
    N = x.shape[0] if N is None else N
    powers = np.arange(N) if increasing else np.arange(N)[::-1]
    return x[:, None] ** powers


@composite("linspace")
def linspace(start, stop, num=50, endpoint=True, retstep=False, axis=0):
    t = _parts(start, stop, num, endpoint)
    t = t.astype(np.result_type(1.0, *[a.dtype for a in (start, stop) if hasattr(a, "dtype")]))
    out = np.moveaxis(start + t * (stop - start), 0, axis)
    return (out, (stop - start) / (num - 1 if endpoint else num)) if retstep else out


@composite("logspace")
def logspace(start, stop, num=50, endpoint=True, base=10.0, axis=0):
    return np.power(base, linspace(start, stop, num, endpoint, False, axis))


@composite("geomspace")
def geomspace(start, stop, num=50, endpoint=True, axis=0):
    return np.moveaxis(start * np.power(stop / start, _parts(start, stop, num, endpoint)), 0, axis)


def _parts(start, stop, num, endpoint):
    """0, ..., 1 (or short of it) along a new first axis."""
    parts = np.arange(num) / max(num - 1 if endpoint else num, 1)
    return parts.reshape([num] + [1] * max(np.ndim(start), np.ndim(stop)))
