"""Derivatives of functions that move elements without changing them: what comes back goes the same way back."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import math

import numpy as np

from ..custom import plain_primitive, primitive
from ..errors import NotDifferentiableError
from ..primitives import declare, defvjp
from .helpers import along


def _inverse(axes, ndim):
    if axes is None:
        return None
    order = [k % ndim for k in axes]
    return tuple(sorted(range(ndim), key=order.__getitem__))


def _back(shift):
    return tuple([-s for s in shift]) if hasattr(shift, "__len__") else -shift


def _part(g, shapes, i, axis):
    """The part of a concatenation that came from its i-th array."""
    if axis is None:
        sizes = [math.prod(shape) for shape in shapes]
        return g[sum(sizes[:i]) : sum(sizes[: i + 1])].reshape(shapes[i])
    axis %= len(g.shape)
    start = sum([shape[axis] for shape in shapes[:i]])
    return g[along(axis, slice(start, start + shapes[i][axis]))]


@primitive
def astype(x, dtype=float):
    """The same values in another dtype."""
    if np.dtype(dtype).kind not in "fiubc":
        raise NotDifferentiableError(f"arrays of dtype {np.dtype(dtype)} are not arrays of numbers")
    return x.astype(dtype)


@plain_primitive
def pad(a, widths=(), value=0.0):
    """A frame of constants around an array; ``widths`` has a pair (before, after) for each axis."""
    return np.pad(a, widths, constant_values=value)


declare(np.reshape, "a, shape", lambda a, shape: a.reshape(shape))
declare(np.transpose, "a, axes=None", lambda a, axes: a.transpose(axes))
declare(np.swapaxes, "a, axis1, axis2", lambda a, axis1, axis2: a.swapaxes(axis1, axis2))
declare(np.broadcast_to, "array, shape")
declare(np.flip, "m, axis=None")
declare(np.roll, "a, shift, axis=None")
declare(np.concatenate, "arrays, axis=0", variadic=True)
declare(np.stack, "arrays, axis=0", variadic=True)

# fmt: off
defvjp(np.reshape,      a=lambda g, a_shape: g.reshape(a_shape))
defvjp(np.transpose,    a=lambda g, axes: g.transpose(_inverse(axes, g.ndim)))
defvjp(np.swapaxes,     a=lambda g, axis1, axis2: g.swapaxes(axis1, axis2))
defvjp(np.broadcast_to, array=lambda g: g)
defvjp(np.flip,         m=lambda g, axis: np.flip(g, axis))
defvjp(np.roll,         a=lambda g, shift, axis: np.roll(g, _back(shift), axis))
defvjp(astype,          x=lambda g: g)
defvjp(pad,             a=lambda g, a_shape, widths:
                          g[tuple([slice(before, before + n) for (before, _), n in zip(widths, a_shape, strict=True)])])
defvjp(np.concatenate,  arrays=lambda g, i, arrays_shapes, axis: _part(g, arrays_shapes, i, axis))
defvjp(np.stack,        arrays=lambda g, i, axis: g[along(axis % g.ndim, i)])
# fmt: on
