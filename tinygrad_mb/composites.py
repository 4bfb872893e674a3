"""NumPy functions that are made of primitives, and so need no derivatives of their own."""

# Composites run on whatever NumPy runs on; their arguments have no common type.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import math
import operator
import string
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import NotDifferentiableError
from .primitives import _UNSET
from .vjps import indexing, products, reductions, shapes
from .vjps.helpers import along, axes_of

COMPOSITES: dict[Callable[..., Any], Callable[..., Any]] = {}


def composite(*keys: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function into the table as what NumPy's ``keys`` do on Tensors; it takes NumPy's own arguments."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        for key in keys:
            COMPOSITES[key] = function
        return function

    return enter


def array(x: Any) -> Any:
    """An operand as something with a shape."""
    return x if hasattr(x, "shape") else np.asarray(x)


def axis_of(axis: Any, ndim: int) -> int:
    """A single axis as a non-negative number; raises NumPy's ``AxisError``."""
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(axis, ndim)
    return axis % ndim


# ------------------------------------------------------------------------------ reductions, running sums


@composite(np.prod)
def prod(a, axis=None, keepdims=False):
    axes = axes_of(axis, a.ndim)
    out = a
    for k in sorted(axes, reverse=True):
        out = reductions.prod(out, k)
    return out.reshape([1 if k in axes else n for k, n in enumerate(a.shape)]) if keepdims is True else out


@composite(np.var)
def var(a, axis=None, ddof=0, keepdims=False, correction=_UNSET):
    ddof = ddof if correction is _UNSET else correction
    centred = a - a.mean(axis=axis, keepdims=True)
    n = math.prod([a.shape[k] for k in axes_of(axis, a.ndim)])
    return (centred * centred).sum(axis=axis, keepdims=keepdims is True) / (n - ddof)


@composite(np.ptp)
def ptp(a, axis=None, keepdims=False):
    keepdims = keepdims is True
    return a.max(axis=axis, keepdims=keepdims) - a.min(axis=axis, keepdims=keepdims)


def _running(primitive):
    def run(a, axis=None):
        return primitive(a.reshape(-1), 0) if axis is None else primitive(a, axis_of(axis, a.ndim))

    return run


composite(np.cumsum)(_running(reductions.cumsum))
composite(np.cumprod)(_running(reductions.cumprod))


@composite(np.diff)
def diff(a, n=1, axis=-1, prepend=_UNSET, append=_UNSET):
    axis = axis_of(axis, a.ndim)
    parts = []
    for end in (prepend, a, append):
        if end is not _UNSET:
            end = array(end)
            parts.append(end if end.ndim else np.broadcast_to(end, (*a.shape[:axis], 1, *a.shape[axis + 1 :])))
    a = np.concatenate(parts, axis) if len(parts) > 1 else a
    for _ in range(n):
        a = a[along(axis, slice(1, None))] - a[along(axis, slice(None, -1))]
    return a


# ---------------------------------------------------------------------------------------------- shapes


@composite(np.ravel)
def ravel(a, order="C"):
    if order not in ("C", "K", "A"):
        raise NotDifferentiableError(f"ravel: order={order!r} is not supported on Tensors: use a.T.ravel()")
    return a.reshape(-1)


@composite(np.moveaxis)
def moveaxis(a, source, destination):
    source = [axis_of(k, a.ndim) for k in (source if np.iterable(source) else (source,))]
    destination = [axis_of(k, a.ndim) for k in (destination if np.iterable(destination) else (destination,))]
    if len(source) != len(destination) or len(set(source)) < len(source) or len(set(destination)) < len(destination):
        raise ValueError(f"moveaxis: source {source} and destination {destination} must be as many, each axis once")
    order = [k for k in range(a.ndim) if k not in source]
    for to, k in sorted(zip(destination, source, strict=True)):
        order.insert(to, k)
    return a.transpose(order)


@composite(np.rollaxis)
def rollaxis(a, axis, start=0):
    axis = axis_of(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    return moveaxis(a, axis, start - 1 if axis < start else start)


@composite(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x):
    return x.swapaxes(-1, -2)


@composite(np.squeeze)
def squeeze(a, axis=None):
    axes = axes_of(axis, a.ndim) if axis is not None else [k for k, n in enumerate(a.shape) if n == 1]
    if any(a.shape[k] != 1 for k in axes):
        raise ValueError(f"squeeze: axes {tuple(axes)} of shape {a.shape} are not all of size one")
    return a.reshape([n for k, n in enumerate(a.shape) if k not in axes])


@composite(np.expand_dims)
def expand_dims(a, axis):
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = [axis_of(k, a.ndim + len(axes)) for k in axes]
    sizes = iter(a.shape)
    return a.reshape([1 if k in axes else next(sizes) for k in range(a.ndim + len(axes))])


@composite(np.atleast_1d)
def atleast_1d(*arys):
    return _each(lambda a: a.reshape(1) if a.ndim == 0 else a, arys)


@composite(np.atleast_2d)
def atleast_2d(*arys):
    return _each(lambda a: a.reshape((1,) * (2 - a.ndim) + a.shape) if a.ndim < 2 else a, arys)


@composite(np.atleast_3d)
def atleast_3d(*arys):
    def widen(a):
        return a[..., None] if a.ndim == 2 else a.reshape(1, -1, 1) if a.ndim < 2 else a

    return _each(widen, arys)


def _each(function, arrays):
    results = tuple([function(array(a)) for a in arrays])
    return results[0] if len(results) == 1 else results


@composite(np.broadcast_arrays)
def broadcast_arrays(*args):
    args = [array(a) for a in args]
    shape = np.broadcast_shapes(*[a.shape for a in args])
    return tuple([np.broadcast_to(a, shape) for a in args])


@composite(np.repeat)
def repeat(a, repeats, axis=None):
    if axis is None:
        a, axis = a.reshape(-1), 0
    axis = axis_of(axis, a.ndim)
    return a[along(axis, np.repeat(np.arange(a.shape[axis]), repeats))]


@composite(np.tile)
def tile(A, reps):
    reps = tuple(reps) if np.iterable(reps) else (reps,)
    shape = (1,) * (len(reps) - A.ndim) + A.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    pairs = [n for pair in zip([1] * len(shape), shape, strict=True) for n in pair]
    wide = [n for pair in zip(reps, shape, strict=True) for n in pair]
    tiled = np.broadcast_to(A.reshape(pairs), wide)
    return tiled.reshape([r * n for r, n in zip(reps, shape, strict=True)])


@composite(np.fliplr)
def fliplr(m):
    return np.flip(m, 1)


@composite(np.flipud)
def flipud(m):
    return np.flip(m, 0)


@composite(np.rot90)
def rot90(m, k=1, axes=(0, 1)):
    a, b = (axis_of(axis, m.ndim) for axis in axes)
    k %= 4
    if k == 2:
        return np.flip(m, (a, b))
    if k == 0:
        return m[...]
    return np.flip(m.swapaxes(a, b), a) if k == 1 else np.flip(m, a).swapaxes(a, b)


@composite(np.pad)
def pad(array, pad_width, mode="constant", **kwargs):
    if isinstance(pad_width, dict):
        pad_width = [pad_width.get(k, pad_width.get(k - array.ndim, 0)) for k in range(array.ndim)]
        pad_width = [(w, w) if isinstance(w, int) else w for w in pad_width]
    widths = tuple([(int(b), int(a)) for b, a in np.broadcast_to(pad_width, (array.ndim, 2))])
    if mode == "constant":
        value = kwargs.get("constant_values", 0)
        if np.ndim(value):
            raise NotDifferentiableError("pad: constant_values must be one number on Tensors")
        return shapes.pad(array, widths, value)
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise NotDifferentiableError(f"pad: mode {mode!r} is not supported on Tensors; constant, edge, reflect, "
                                     "symmetric and wrap are")  # fmt: skip
    for axis, (before, after) in enumerate(widths):
        if before or after:
            places = np.pad(np.arange(array.shape[axis]), (before, after), mode, **kwargs)
            array = array[along(axis, places)]
    return array


@composite(np.tril)
def tril(m, k=0):
    return np.where(np.tri(*m.shape[-2:], k=k, dtype=bool), m, 0)


@composite(np.triu)
def triu(m, k=0):
    return np.where(np.tri(*m.shape[-2:], k=k - 1, dtype=bool), 0, m)


@composite(np.diagonal)
def diagonal(a, offset=0, axis1=0, axis2=1):
    a = moveaxis(a, (axis1, axis2), (-2, -1))
    rows = np.arange(max(0, min(a.shape[-2] + min(offset, 0), a.shape[-1] - max(offset, 0))))
    return a[..., rows - min(offset, 0), rows + max(offset, 0)]


@composite(np.linalg.diagonal)
def linalg_diagonal(x, offset=0):
    return diagonal(x, offset, -2, -1)


@composite(np.trace)
def trace(a, offset=0, axis1=0, axis2=1):
    return diagonal(a, offset, axis1, axis2).sum(axis=-1)


@composite(np.linalg.trace)
def linalg_trace(x, offset=0):
    return trace(x, offset, -2, -1)


@composite(np.diag)
def diag(v, k=0):
    if v.ndim == 2:
        return diagonal(v, k)
    n = v.shape[0] + abs(k)
    rows = np.arange(v.shape[0])
    return indexing.scatter_add(v, (rows - min(k, 0), rows + max(k, 0)), (n, n))


@composite(np.diagflat)
def diagflat(v, k=0):
    return diag(v.reshape(-1), k)


# --------------------------------------------------------------------------------- joining and splitting


@composite(np.vstack)
def vstack(tup):
    return np.concatenate([atleast_2d(a) for a in tup], 0)


@composite(np.hstack)
def hstack(tup):
    arrays = [atleast_1d(a) for a in tup]
    return np.concatenate(arrays, 0 if arrays[0].ndim == 1 else 1)


@composite(np.dstack)
def dstack(tup):
    return np.concatenate([atleast_3d(a) for a in tup], 2)


@composite(np.column_stack)
def column_stack(tup):
    return np.concatenate([array(a) if array(a).ndim > 1 else array(a).reshape(-1, 1) for a in tup], 1)


@composite(np.append)
def append(arr, values, axis=None):
    arr, values = array(arr), array(values)
    return np.concatenate([arr.reshape(-1), values.reshape(-1)] if axis is None else [arr, values], axis or 0)


@composite(np.block)
def block(arrays):
    def depth(a):
        return 1 + max(depth(b) for b in a) if isinstance(a, list) else 0

    def rank(a):
        return max(rank(b) for b in a) if isinstance(a, list) else array(a).ndim

    def join(a, axis):
        if isinstance(a, list):
            return np.concatenate([join(b, axis + 1) for b in a], axis)
        a = array(a)
        return a.reshape((1,) * (ndim - a.ndim) + a.shape)

    ndim = max(rank(arrays), depth(arrays))
    return join(arrays, -depth(arrays))


@composite(np.array_split)
def array_split(ary, indices_or_sections, axis=0):
    axis = axis_of(axis, ary.ndim)
    n = ary.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        small, rest = divmod(n, int(indices_or_sections))
        sizes = [small + (k < rest) for k in range(int(indices_or_sections))]
        bounds = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
    else:
        bounds = [0, *[int(k) for k in indices_or_sections], n]
    return [ary[along(axis, slice(a, b))] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


@composite(np.split)
def split(ary, indices_or_sections, axis=0):
    if isinstance(indices_or_sections, (int, np.integer)) and ary.shape[axis] % indices_or_sections:
        raise ValueError(f"split: axis {axis} of shape {ary.shape} does not divide into {indices_or_sections} parts")
    return array_split(ary, indices_or_sections, axis)


@composite(np.hsplit)
def hsplit(ary, indices_or_sections):
    return split(ary, indices_or_sections, 0 if ary.ndim == 1 else 1)


@composite(np.vsplit)
def vsplit(ary, indices_or_sections):
    return split(ary, indices_or_sections, 0)


@composite(np.dsplit)
def dsplit(ary, indices_or_sections):
    return split(ary, indices_or_sections, 2)


@composite(np.unstack)
def unstack(x, axis=0):
    axis = axis_of(axis, x.ndim)
    return tuple([x[along(axis, k)] for k in range(x.shape[axis])])


# ------------------------------------------------------------------------------------ indexing, choosing


@composite(np.where)
def where(condition, x=_UNSET, y=_UNSET):
    if x is _UNSET and y is _UNSET:
        return np.nonzero(condition)
    return indexing.where(condition, x, y)


@composite(np.take)
def take(a, indices, axis=None, mode="raise"):
    if axis is None:
        a, axis = a.reshape(-1), 0
    axis = axis_of(axis, a.ndim)
    indices = np.asarray(indices)
    if mode != "raise":
        n = a.shape[axis]
        indices = indices % n if mode == "wrap" else np.clip(indices, 0, n - 1)
    return a[along(axis, indices)]


@composite(np.take_along_axis)
def take_along_axis(arr, indices, axis=-1):
    if axis is None:
        arr, axis = arr.reshape(-1), 0
    axis = axis_of(axis, arr.ndim)
    indices = np.asarray(indices)
    grid = [np.arange(n).reshape([-1 if k == j else 1 for j in range(arr.ndim)]) for k, n in enumerate(arr.shape)]
    grid[axis] = indices
    return arr[tuple(grid)]


@composite(np.compress)
def compress(condition, a, axis=None):
    return take(a, np.flatnonzero(np.asarray(condition)), axis)


@composite(np.extract)
def extract(condition, arr):
    return take(arr, np.flatnonzero(np.asarray(condition)))


@composite(np.sort)
def sort(a, axis=-1, kind=None, order=None, stable=None):
    if axis is None:
        a, axis = a.reshape(-1), 0
    return take_along_axis(a, np.argsort(a, axis, kind, stable=stable), axis)


@composite(np.partition)
def partition(a, kth, axis=-1, kind="introselect"):
    if axis is None:
        a, axis = a.reshape(-1), 0
    return take_along_axis(a, np.argpartition(a, kth, axis, kind), axis)


@composite(np.clip, np._core.umath.clip)  # type: ignore[attr-defined]
def clip(a, a_min=None, a_max=None, *, min=None, max=None):
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    a = a if low is None else np.maximum(a, low)
    a = a if high is None else np.minimum(a, high)
    return +a if low is high is None else a


@composite(np.select)
def select(condlist, choicelist, default=0):
    out = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = np.where(condition, choice, out)
    return out


# ---------------------------------------------------------------------------------------- element by element


@composite(np.copy)
def copy(a, order="K", subok=False):
    return +a


@composite(np.astype)
def astype(x, dtype, copy=True):
    return shapes.astype(x, dtype)


@composite(np.modf)
def modf(x):
    whole = np.trunc(x)
    return x - whole, whole


@composite(np.divmod)
def divmod_(x, y):
    return np.floor_divide(x, y), np.remainder(x, y)


@composite(np.nan_to_num)
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    limits = np.finfo(x.dtype)
    x = np.where(np.isnan(x), nan, x)
    x = np.where(np.isposinf(x), limits.max if posinf is None else posinf, x)
    return np.where(np.isneginf(x), limits.min if neginf is None else neginf, x)


@composite(np.sinc)
def sinc(x):
    y = math.pi * np.where(x == 0, 1e-20, x)
    return np.sin(y) / y


# -------------------------------------------------------------------------------------------- products


@composite(np.dot)
def dot(a, b):
    a, b = array(a), array(b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return a @ b if b.ndim <= 2 else np.tensordot(a, b, (-1, -2))


@composite(np.inner)
def inner(a, b):
    a, b = array(a), array(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else np.tensordot(a, b, (-1, -1))


@composite(np.outer)
def outer(a, b):
    return array(a).reshape(-1, 1) * array(b).reshape(1, -1)


@composite(np.linalg.outer)
def linalg_outer(x1, x2, /):
    if array(x1).ndim != 1 or array(x2).ndim != 1:
        raise ValueError("np.linalg.outer wants two vectors")
    return outer(x1, x2)


@composite(np.vdot)
def vdot(a, b):
    return array(a).reshape(-1) @ array(b).reshape(-1)


@composite(np.linalg.matmul)
def linalg_matmul(x1, x2, /):
    return np.matmul(x1, x2)


@composite(np.tensordot, np.linalg.tensordot)
def tensordot(a, b, axes=2):
    a, b = array(a), array(b)
    if np.iterable(axes):
        left, right = ([k] if isinstance(k, (int, np.integer)) else list(k) for k in axes)
    else:
        left, right = list(range(-axes, 0)), list(range(axes))
    left, right = [axis_of(k, a.ndim) for k in left], [axis_of(k, b.ndim) for k in right]
    if [a.shape[k] for k in left] != [b.shape[k] for k in right]:
        raise ValueError(
            f"tensordot: axes {left} of shape {a.shape} and {right} of shape {b.shape} have different sizes")
    a_free, b_free = ([k for k in range(x.ndim) if k not in used] for x, used in ((a, left), (b, right)))
    n = math.prod([a.shape[k] for k in left])
    product = a.transpose([*a_free, *left]).reshape(math.prod([a.shape[k] for k in a_free]), n) @ b.transpose(
        [*right, *b_free]).reshape(n, math.prod([b.shape[k] for k in b_free]))  # fmt: skip
    return product.reshape([a.shape[k] for k in a_free] + [b.shape[k] for k in b_free])


@composite(np.einsum)
def einsum(*operands, optimize=False):
    if not isinstance(operands[0], str):
        raise NotDifferentiableError('einsum: on Tensors, write the subscripts as a string: np.einsum("ij,jk->ik", x, y)')
    subscripts, arrays = operands[0].replace(" ", ""), [array(a) for a in operands[1:]]
    terms, arrow, result = subscripts.partition("->")
    terms = terms.split(",")
    if len(terms) != len(arrays):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, and {len(arrays)} were given")
    unused = [c for c in string.ascii_letters if c not in subscripts]
    wide = max([a.ndim - len(t) + 3 for t, a in zip(terms, arrays, strict=True) if "..." in t], default=0)
    dots = "".join(unused[:wide])
    terms = [t.replace("...", dots[len(dots) - (a.ndim - len(t) + 3) :] if a.ndim > len(t) - 3 else "")
             for t, a in zip(terms, arrays, strict=True)]  # fmt: skip
    if not arrow:
        joined = "".join(terms)
        result = dots + "".join(sorted(c for c in set(joined) if joined.count(c) == 1 and c not in dots))
    return products.einsum(arrays, ",".join(terms) + "->" + result.replace("...", dots))


@composite(np.vecdot, np.linalg.vecdot)
def vecdot(x1, x2, axis=-1):
    x1, x2 = array(x1), array(x2)
    return (x1[..., None, :] @ x2[..., None])[..., 0, 0] if axis == -1 else (x1 * x2).sum(axis=axis)


@composite(np.matvec)
def matvec(x1, x2):
    return (array(x1) @ array(x2)[..., None])[..., 0]


@composite(np.vecmat)
def vecmat(x1, x2):
    return (array(x1)[..., None, :] @ array(x2))[..., 0, :]


@composite(np.kron)
def kron(a, b):
    a, b = array(a), array(b)
    ndim = max(a.ndim, b.ndim)
    a, b = (x.reshape((1,) * (ndim - x.ndim) + x.shape) for x in (a, b))
    product = a.reshape([n for size in a.shape for n in (size, 1)]) * b.reshape([n for size in b.shape for n in (1, size)])
    return product.reshape([n * m for n, m in zip(a.shape, b.shape, strict=True)])
