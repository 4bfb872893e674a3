"""Derivatives of reductions and running sums."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import numpy as np

from ..custom import primitive
from ..primitives import declare, defvjp
from .helpers import count, expand, products_after, products_before, restore_axes, shifted, total


def _mean(a, axis, keepdims):
    if isinstance(a, np.ndarray) and (a.dtype.kind != "f" or a.dtype.itemsize == 2):
        return np.mean(a, axis=axis, keepdims=keepdims)
    return total(a, axis, keepdims) / count(a.shape, axis)


def _winners(a, out, axis, keepdims):
    """Which elements are the extreme value, as shares that add up to one."""
    equal = (a == restore_axes(out, a.shape, axis, keepdims)).astype(a.dtype)
    return equal / total(equal, axis, True)


def _cumprod_vjp(g, a, axis):
    """The cotangent of a running product, right also where elements are zero.

    With s_i = g_i + a_(i+1) s_(i+1) it is s_i times the product before i; the recurrence is solved by doubling
    (Hillis and Steele, "Data parallel algorithms", 1986).
    """
    g, a = g.swapaxes(axis, -1), a.swapaxes(axis, -1)
    factor, distance = shifted(a, 1), 1
    while distance < a.shape[-1]:
        g = g + factor * shifted(g, distance)
        factor = factor * shifted(factor, distance)
        distance *= 2
    return (g * products_before(a, a.ndim - 1)).swapaxes(axis, -1)


declare(np.sum, "a, axis=None, keepdims=False", total)
declare(np.mean, "a, axis=None, keepdims=False", _mean)
declare(np.max, "a, axis=None, keepdims=False", lambda a, axis, keepdims: np.maximum.reduce(a, axis, keepdims=keepdims))
declare(np.min, "a, axis=None, keepdims=False", lambda a, axis, keepdims: np.minimum.reduce(a, axis, keepdims=keepdims))
declare(np.std, "a, axis=None, ddof=0, keepdims=False", lambda a, axis, ddof, keepdims: np.std(
    a, axis=axis, ddof=ddof, keepdims=keepdims))  # fmt: skip


@primitive
def prod(a, axis=0):
    """The product along one axis."""
    return np.multiply.reduce(a, axis)


@primitive
def norm(a, axis=None, keepdims=False):
    """The Euclidean norm, over all elements or along axes."""
    return np.sqrt(total(a * a, axis, keepdims))


@primitive
def cumsum(a, axis=0):
    """The running sum along one axis."""
    return np.add.accumulate(a, axis)


@primitive
def cumprod(a, axis=0):
    """The running product along one axis."""
    return np.multiply.accumulate(a, axis)


# fmt: off
defvjp(np.sum,  a=lambda g, a_shape, axis, keepdims: expand(restore_axes(g, a_shape, axis, keepdims), a_shape))
defvjp(np.mean, a=lambda g, a_shape, axis, keepdims:
                  expand(restore_axes(g, a_shape, axis, keepdims) * (1 / max(count(a_shape, axis), 1)), a_shape))
defvjp(np.max,  a=lambda g, a, out, axis, keepdims:
                  restore_axes(g, a.shape, axis, keepdims) * _winners(a, out, axis, keepdims))
defvjp(np.min,  a=lambda g, a, out, axis, keepdims:
                  restore_axes(g, a.shape, axis, keepdims) * _winners(a, out, axis, keepdims))
defvjp(norm,    a=lambda g, a, out, axis, keepdims:
                  restore_axes(g / (out + (out == 0)), a.shape, axis, keepdims) * a)
defvjp(np.std,  a=lambda g, a, out, axis, ddof, keepdims:
                  restore_axes(g / (out + (out == 0)), a.shape, axis, keepdims)
                  * (a - a.mean(axis=axis, keepdims=True)) / (count(a.shape, axis) - ddof))
defvjp(prod,    a=lambda g, a, axis: restore_axes(g, a.shape, axis, False)
                  * products_before(a, axis % a.ndim) * products_after(a, axis % a.ndim))
defvjp(cumsum,  a=lambda g, axis: np.flip(np.cumsum(np.flip(g, axis), axis), axis))
defvjp(cumprod, a=lambda g, a, axis: _cumprod_vjp(g, a, axis))
# fmt: on
