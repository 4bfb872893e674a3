"""Products of vectors, matrices and arrays of them; norms."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

import functools
import math
import string

import numpy as np

from ..autodiff import as_array
from ..vjps import products, reductions
from ..vjps.helpers import axes_of, axis_of
from .shapes import moveaxis
from .table import composite


@composite("dot")
def dot(a, b):
    a, b = as_array(a), as_array(b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return a @ b if b.ndim <= 2 else np.tensordot(a, b, (-1, -2))


@composite("inner")
def inner(a, b):
    a, b = as_array(a), as_array(b)
    return a * b if a.ndim == 0 or b.ndim == 0 else np.tensordot(a, b, (-1, -1))


@composite("outer")
def outer(a, b):
    return as_array(a).reshape(-1, 1) * as_array(b).reshape(1, -1)


@composite("linalg.outer")
def linalg_outer(x1, x2):
    if as_array(x1).ndim != 1 or as_array(x2).ndim != 1:
        raise ValueError("np.linalg.outer wants two vectors")
    return outer(x1, x2)


@composite("vdot")
def vdot(a, b):
    return as_array(a).reshape(-1) @ as_array(b).reshape(-1)


@composite("linalg.matmul")
def linalg_matmul(x1, x2):
    return np.matmul(x1, x2)


@composite("tensordot")
def tensordot(a, b, axes=2):
    a, b = as_array(a), as_array(b)
    if np.iterable(axes):
        left, right = ([k] if isinstance(k, (int, np.integer)) else list(k) for k in axes)
    else:
        left, right = list(range(-axes, 0)), list(range(axes))
    left, right = [axis_of(k, a.ndim) for k in left], [axis_of(k, b.ndim) for k in right]
    if [a.shape[k] for k in left] != [b.shape[k] for k in right]:
        raise ValueError(
            f"tensordot: axes {left} of shape {a.shape} and {right} of shape {b.shape} have different sizes"
        )
    a_free, b_free = ([k for k in range(x.ndim) if k not in used] for x, used in ((a, left), (b, right)))
    n = math.prod([a.shape[k] for k in left])
    product = a.transpose([*a_free, *left]).reshape(math.prod([a.shape[k] for k in a_free]), n) @ b.transpose(
        [*right, *b_free]).reshape(n, math.prod([b.shape[k] for k in b_free]))  # fmt: skip
    return product.reshape([a.shape[k] for k in a_free] + [b.shape[k] for k in b_free])


@composite("linalg.tensordot")
def linalg_tensordot(x1, x2, axes=2):
    return tensordot(x1, x2, axes)


@composite("einsum")
def einsum(*operands, optimize=False):
    if not isinstance(operands[0], str):
        raise TypeError('einsum: on Tensors, write the subscripts as a string: np.einsum("ij,jk->ik", x, y)')
    subscripts, arrays = operands[0].replace(" ", ""), [as_array(a) for a in operands[1:]]
    left, arrow, result = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(arrays):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, and {len(arrays)} were given")
    unused = [c for c in string.ascii_letters if c not in subscripts]
    hidden = [max(a.ndim - len(t) + 3, 0) if "..." in t else 0 for t, a in zip(terms, arrays, strict=True)]
    dots = "".join(unused[: max(hidden)])
    terms = [t.replace("...", dots[len(dots) - n :]) for t, n in zip(terms, hidden, strict=True)]
    if not arrow:
        joined = "".join(terms)
        result = "..." + "".join(sorted(c for c in set(joined) if joined.count(c) == 1 and c not in dots))
    elif dots and "..." not in result:
        raise ValueError(f"einsum: the result in {subscripts!r} must have the ellipsis, too")
    return products.einsum(arrays, ",".join(terms) + "->" + result.replace("...", dots))


@composite("vecdot linalg.vecdot")
def vecdot(x1, x2, axis=-1):
    x1, x2 = as_array(x1), as_array(x2)
    return (x1[..., None, :] @ x2[..., None])[..., 0, 0] if axis == -1 else (x1 * x2).sum(axis=axis)


@composite("matvec")
def matvec(x1, x2):
    return (as_array(x1) @ as_array(x2)[..., None])[..., 0]


@composite("vecmat")
def vecmat(x1, x2):
    return (as_array(x1)[..., None, :] @ as_array(x2))[..., 0, :]


@composite("kron")
def kron(a, b):
    a, b = as_array(a), as_array(b)
    ndim = max(a.ndim, b.ndim)
    a, b = (x.reshape((1,) * (ndim - x.ndim) + x.shape) for x in (a, b))
    product = a.reshape([n for size in a.shape for n in (size, 1)]) * b.reshape(
        [n for size in b.shape for n in (1, size)]
    )
    return product.reshape([n * m for n, m in zip(a.shape, b.shape, strict=True)])


@composite("cross")
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    a, b = as_array(a), as_array(b)
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    a, b = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(f"cross: vectors of three numbers are wanted, not {a.shape} and {b.shape}")
    product = np.roll(a, -1, -1) * np.roll(b, -2, -1) - np.roll(a, -2, -1) * np.roll(b, -1, -1)
    return moveaxis(product, -1, axisc)


@composite("linalg.cross")
def linalg_cross(x1, x2, axis=-1):
    return cross(x1, x2, axis=axis)


@composite("convolve")
def convolve(a, v, mode="full"):
    a, v = as_array(a).reshape(-1), as_array(v).reshape(-1)
    a, v = (v, a) if v.size > a.size else (a, v)
    n, m = a.size, v.size
    if m == 0:
        raise ValueError("convolve: an empty vector")
    windows = np.pad(a, m - 1)[np.arange(n + m - 1)[:, None] + np.arange(m)]
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"convolve: mode is full, same or valid, not {mode!r}")
    first, length = {"full": (0, n + m - 1), "same": ((m - 1) // 2, n), "valid": (m - 1, n - m + 1)}[mode]
    return windows[first : first + length] @ np.flip(v)


@composite("correlate")
def correlate(a, v, mode="valid"):
    a, v = as_array(a), as_array(v)
    return np.flip(correlate(v, a, mode)) if v.size > a.size else convolve(a, np.flip(v), mode)


@composite("linalg.multi_dot")
def multi_dot(arrays):
    return functools.reduce(np.matmul, [as_array(a) for a in arrays])


@composite("linalg.matrix_power")
def matrix_power(a, n):
    if n < 0:
        raise TypeError("matrix_power: negative powers need an inverse, which is not supported on Tensors yet")
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise np.linalg.LinAlgError(f"matrix_power: square matrices are wanted, not shape {a.shape}")
    out, power = np.broadcast_to(np.eye(a.shape[-1], dtype=a.dtype), a.shape), a
    while n:
        out = out @ power if n & 1 else out
        power, n = power @ power if n > 1 else power, n >> 1
    return out


# ---------------------------------------------------------------------------------------------- norms


@composite("linalg.vector_norm")
def vector_norm(x, axis=None, keepdims=False, ord=2):
    if ord is None or ord == 2:
        return reductions.norm(x, axis, keepdims)
    size = np.abs(x)
    if ord == math.inf:
        return size.max(axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return size.min(axis=axis, keepdims=keepdims)
    if ord == 1:
        return size.sum(axis=axis, keepdims=keepdims)
    if ord == 0:
        return (x != 0).astype(x.dtype).sum(axis=axis, keepdims=keepdims)
    total = (size**ord).sum(axis=axis, keepdims=keepdims)
    return (total + (total == 0)) ** (1 / ord) * (total != 0)


@composite("linalg.matrix_norm")
def matrix_norm(x, keepdims=False, ord="fro"):
    return norm(x, ord, (-2, -1), keepdims)


@composite("linalg.norm")
def norm(x, ord=None, axis=None, keepdims=False):
    if axis is None and (ord is None or x.ndim == 1):
        return vector_norm(x, None, keepdims, ord)
    axes = axes_of(axis, x.ndim)
    if len(axes) == 1 or (ord is None and len(axes) == 2):
        return vector_norm(x, axes, keepdims, ord)
    if len(axes) != 2:
        raise ValueError(f"norm: ord={ord!r} is for vectors and matrices, not for the axes {axes} of {x.shape}")
    if ord in ("fro", "f"):
        return vector_norm(x, axes, keepdims, 2)
    if ord not in (1, -1, math.inf, -math.inf):
        raise TypeError(f"norm: ord={ord!r} of a matrix needs singular values, which are not supported on Tensors yet")
    row, column = axes if abs(ord) == 1 else axes[::-1]
    sums = np.abs(x).sum(axis=row, keepdims=True)
    out = sums.max(axis=column, keepdims=True) if ord > 0 else sums.min(axis=column, keepdims=True)
    return out if keepdims else np.squeeze(out, axes)
