"""Shapes: axes added, removed and moved; elements repeated, padded and picked by their place."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

import numpy as np

from ..autodiff import Hidden, as_array
from ..errors import NotDifferentiableError
from ..vjps import indexing, shapes
from ..vjps.helpers import along, axes_of, axis_of, reduced_axes
from .table import as_vector, composite, flat_if_none


@composite("ravel")
def ravel(a):
    return a.reshape(-1)


@composite("moveaxis")
def moveaxis(a, source, destination):
    source = [axis_of(k, a.ndim) for k in (source if np.iterable(source) else (source,))]
    destination = [axis_of(k, a.ndim) for k in (destination if np.iterable(destination) else (destination,))]
    if len(source) != len(destination) or len(set(source)) < len(source) or len(set(destination)) < len(destination):
        raise ValueError(f"moveaxis: source {source} and destination {destination} must be as many, each axis once")
    order = [k for k in range(a.ndim) if k not in source]
    for to, k in sorted(zip(destination, source, strict=True)):
        order.insert(to, k)
    return a.transpose(order)


@composite("rollaxis")
def rollaxis(a, axis, start=0):
    axis = axis_of(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    return moveaxis(a, axis, start - 1 if axis < start else start)


@composite("matrix_transpose linalg.matrix_transpose")
def matrix_transpose(x):
    return x.swapaxes(-1, -2)


@composite("squeeze")
def squeeze(a, axis=None):
    axes = reduced_axes(axis, a.ndim) if axis is not None else [k for k, n in enumerate(a.shape) if n == 1]
    if any(a.shape[k] != 1 for k in axes):
        raise ValueError(f"squeeze: axes {tuple(axes)} of shape {a.shape} are not all of size one")
    return a.reshape([n for k, n in enumerate(a.shape) if k not in axes])


@composite("expand_dims")
def expand_dims(a, axis):
    ndim = a.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1)
    axes = axes_of(axis if isinstance(axis, (tuple, list)) else (axis,), ndim)
    sizes = iter(a.shape)
    return a.reshape([1 if k in axes else next(sizes) for k in range(ndim)])


@composite("atleast_1d")
def atleast_1d(*arys):
    return _each(lambda a: a.reshape(1) if a.ndim == 0 else a, arys)


@composite("atleast_2d")
def atleast_2d(*arys):
    return _each(lambda a: a.reshape((1,) * (2 - a.ndim) + a.shape) if a.ndim < 2 else a, arys)


@composite("atleast_3d")
def atleast_3d(*arys):
    def widen(a):
        return a[..., None] if a.ndim == 2 else a.reshape(1, -1, 1) if a.ndim < 2 else a

    return _each(widen, arys)


def _each(function, arrays):
    results = tuple([function(as_array(a)) for a in arrays])
    return results[0] if len(results) == 1 else results


@composite("broadcast_arrays")
def broadcast_arrays(*args):
    arrays = [as_array(a) for a in args]
    shape = np.broadcast_shapes(*[a.shape for a in arrays])
    return tuple([np.broadcast_to(a, shape) for a in arrays])


@composite("repeat")
def repeat(a, repeats, axis=None):
    a, axis = flat_if_none(as_vector(a), axis)
    if np.ndim(repeats) == 0:
        wide = np.broadcast_to(a[along(axis + 1, None)], (*a.shape[: axis + 1], int(repeats), *a.shape[axis + 1 :]))
        return wide.reshape([n * int(repeats) if k == axis else n for k, n in enumerate(a.shape)])
    return a[along(axis, np.repeat(np.arange(a.shape[axis]), repeats))]


@composite("tile")
def tile(A, reps):
    reps = tuple(reps) if np.iterable(reps) else (reps,)
    shape = (1,) * (len(reps) - A.ndim) + A.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    pairs = [n for pair in zip([1] * len(shape), shape, strict=True) for n in pair]
    wide = [n for pair in zip(reps, shape, strict=True) for n in pair]
    tiled = np.broadcast_to(A.reshape(pairs), wide)
    return tiled.reshape([r * n for r, n in zip(reps, shape, strict=True)])


@composite("fliplr")
def fliplr(m):
    return np.flip(m, 1)


@composite("flipud")
def flipud(m):
    return np.flip(m, 0)


@composite("rot90")
def rot90(m, k=1, axes=(0, 1)):
    a, b = (axis_of(axis, m.ndim) for axis in axes)
    k %= 4
    if k == 2:
        return np.flip(m, (a, b))
    if k == 0:
        return m[...]
    return np.flip(m.swapaxes(a, b), a) if k == 1 else np.flip(m, a).swapaxes(a, b)


@composite("pad")
def pad(array, pad_width, mode="constant", constant_values=0, reflect_type="even"):
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(k, pad_width.get(k - array.ndim, 0)) for k in range(array.ndim)]
        pad_width = [w if np.iterable(w) else (w, w) for w in pad_width]
    widths = tuple([(int(b), int(a)) for b, a in np.broadcast_to(pad_width, (array.ndim, 2))])
    if mode == "constant":
        if np.ndim(constant_values):
            raise NotDifferentiableError("pad: constant_values must be one number on Tensors")
        return shapes.pad(array, widths, constant_values)
    if mode not in ("edge", "reflect", "symmetric", "wrap") or reflect_type != "even":
        raise NotDifferentiableError(
            f"pad: mode {mode!r}{'' if reflect_type == 'even' else ', odd,'} is not supported on Tensors; "
            "constant, edge, reflect, symmetric and wrap are"
        )
    for axis, (before, after) in enumerate(widths):
        if before or after:
            array = array[along(axis, np.pad(np.arange(array.shape[axis]), (before, after), mode))]
    return array


@composite("tril")
def tril(m, k=0):
    return np.where(np.tri(m.shape[-2], m.shape[-1], k, bool), m, 0)


@composite("triu")
def triu(m, k=0):
    return np.where(np.tri(m.shape[-2], m.shape[-1], k - 1, bool), 0, m)


@composite("diagonal")
def diagonal(a, offset=0, axis1=0, axis2=1):
    a = moveaxis(a, (axis1, axis2), (-2, -1))
    rows = np.arange(max(0, min(a.shape[-2] + min(offset, 0), a.shape[-1] - max(offset, 0))))
    return a[..., rows - min(offset, 0), rows + max(offset, 0)]


@composite("linalg.diagonal")
def linalg_diagonal(x, offset=0):
    return diagonal(x, offset, -2, -1)


@composite("trace")
def trace(a, offset=0, axis1=0, axis2=1):
    return diagonal(a, offset, axis1, axis2).sum(axis=-1)


@composite("linalg.trace")
def linalg_trace(x, offset=0):
    return trace(x, offset, -2, -1)


@composite("diag")
def diag(v, k=0):
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ValueError(f"diag: a vector or a matrix is wanted, not shape {v.shape}")
    n = v.shape[0] + abs(k)
    rows = np.arange(v.shape[0])
    return indexing.scatter_add(v, (rows - min(k, 0), rows + max(k, 0)), (n, n))


@composite("diagflat")
def diagflat(v, k=0):
    return diag(v.reshape(-1), k)


@composite("resize")
def resize(a, new_shape):
    a = as_array(a).reshape(-1)
    return a[np.resize(np.arange(a.size), new_shape)]


@composite("delete")
def delete(arr, obj, axis=None):
    if isinstance(obj, Hidden):
        return NotImplemented
    arr, axis = flat_if_none(arr, axis)
    return arr[along(axis, np.delete(np.arange(arr.shape[axis]), obj))]


@composite("full_like")
def full_like(a, fill_value, dtype=None, shape=None):
    return shapes.astype(np.zeros_like(a, dtype=dtype, shape=shape) + fill_value, dtype or a.dtype)


@composite("meshgrid")
def meshgrid(*xi, copy=True, sparse=False, indexing="xy"):
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid: indexing is "xy" or "ij", not {indexing!r}')
    order = [1, 0, *range(2, len(xi))] if indexing == "xy" and len(xi) > 1 else range(len(xi))
    grids = [as_array(x).reshape([-1 if j == k else 1 for j in range(len(xi))]) for k, x in zip(order, xi, strict=True)]
    return tuple(grids) if sparse else broadcast_arrays(*grids)


@composite("lib.stride_tricks.sliding_window_view")
def sliding_window_view(x, window_shape, axis=None):
    x = as_array(x)
    sizes = tuple(window_shape) if np.iterable(window_shape) else (window_shape,)
    axes = [axis_of(k, x.ndim) for k in (axis if np.iterable(axis) else (axis,))] if axis is not None else range(x.ndim)
    if len(sizes) != len(axes) or any(n > x.shape[k] for n, k in zip(sizes, axes, strict=False)):
        raise ValueError(f"sliding_window_view: windows {sizes} do not fit the axes {tuple(axes)} of {x.shape}")
    for n, k in zip(sizes, axes, strict=True):
        count = x.shape[k] - n + 1
        x = np.stack([x[along(k, slice(i, i + count))] for i in range(n)], -1)
    return x
