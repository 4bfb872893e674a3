"""Derivatives of convolution and pooling: everything rests on cutting images into patches, and on its transpose."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import functools
import math
from typing import Any

import numpy as np

from ..custom import plain_primitive, primitive
from ..primitives import defvjp
from .helpers import summed_products, total
from .shapes import pad

Pair = tuple[int, int]


def windows(n, size, stride, padding):
    """How many windows of ``size`` fit along an axis of length ``n``."""
    return (n + 2 * padding - size) // stride + 1


def _overlap(offset, n, count, stride, padding):
    """Where the elements at ``offset`` of ``count`` windows lie inside the image: which windows, which elements."""
    first = max(0, -((offset - padding) // stride))
    last = max(first, min(count, (n - 1 + padding - offset) // stride + 1))
    start = first * stride + offset - padding
    return slice(first, last), slice(start, start + (last - first) * stride, stride)


def _pairs(shape, size, stride, padding):
    """For each element of a window, its offsets (i, j), the windows that have it in the image, and where it is."""
    (h, w), (oh, ow) = shape[2:], map(windows, shape[2:], size, stride, padding)
    columns = [_overlap(j, w, ow, stride[1], padding[1]) for j in range(size[1])]
    for i in range(size[0]):
        rows_there, rows = _overlap(i, h, oh, stride[0], padding[0])
        for j, (columns_there, columns_here) in enumerate(columns):
            yield (..., i, j, rows_there, columns_there), (..., rows, columns_here)


@plain_primitive
def patches(x, size=(1, 1), stride=(1, 1), padding=(0, 0), fill=0.0):
    """Cut images x (n, c, h, w) into windows: (n, c, kh * kw, oh * ow), with ``fill`` outside of the images."""
    n, c, h, w = x.shape
    oh, ow = windows(h, size[0], stride[0], padding[0]), windows(w, size[1], stride[1], padding[1])
    out = np.empty((n, c, *size, oh, ow), x.dtype)
    if any(padding):
        out.fill(fill)
    for there, here in _pairs(x.shape, size, stride, padding):
        out[there] = x[here]
    return out.reshape(n, c, size[0] * size[1], oh * ow)


@plain_primitive
def unpatch(p, shape=(), size=(1, 1), stride=(1, 1), padding=(0, 0)):
    """Add the windows p (n, c, kh * kw, oh * ow) up to images of ``shape``: the transpose of ``patches``."""
    oh, ow = map(windows, shape[2:], size, stride, padding)
    p = p.reshape(*shape[:2], *size, oh, ow)
    out = np.zeros(shape, p.dtype)
    for there, here in _pairs(shape, size, stride, padding):
        out[here] += p[there]
    return out


@primitive
def conv2d(x: Any, W: Any, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Any:
    """The cross-correlation of images x (n, c, h, w) with kernels W (o, c, kh, kw): one product for each image."""
    (n, c, h, w), (o, _, *size) = x.shape, W.shape
    oh, ow = map(windows, (h, w), size, stride, padding)
    columns = patches(x, size, stride, padding).reshape(n, c * size[0] * size[1], oh * ow)
    return (W.reshape(o, -1) @ columns).reshape(n, o, oh, ow)


def _conv2d_vjp_x(g, W, x_shape, stride, padding):
    (n, o, oh, ow), (_, c, kh, kw) = g.shape, W.shape
    columns = W.reshape(o, -1).T @ g.reshape(n, o, oh * ow)
    return unpatch(columns.reshape(n, c, kh * kw, oh * ow), x_shape, (kh, kw), stride, padding)


def _conv2d_vjp_W(g, x, W_shape, stride, padding):
    (n, o, oh, ow), (_, c, kh, kw) = g.shape, W_shape
    g = g.reshape(n, o, oh * ow)
    columns = patches(x, (kh, kw), stride, padding).reshape(n, c * kh * kw, oh * ow)
    return summed_products(g, columns).reshape(W_shape)


@primitive
def max_pool2d(x: Any, size: Pair = (1, 1), stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Any:
    """The largest element of each window of x (n, c, h, w): (n, c, oh, ow)."""
    oh, ow = map(windows, x.shape[2:], size, stride, padding)
    if any(padding):
        x = pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2), -math.inf)
    return functools.reduce(np.maximum, [
        x[..., i : i + oh * stride[0] : stride[0], j : j + ow * stride[1] : stride[1]]
        for i in range(size[0]) for j in range(size[1])
    ])  # fmt: skip


def _max_pool2d_vjp(g, x, out, size, stride, padding):
    """The largest elements of a window share its cotangent evenly."""
    n, c, oh, ow = g.shape
    largest = patches(x, size, stride, padding, -math.inf) == out.reshape(n, c, 1, oh * ow)
    largest = largest.astype(g.dtype)
    share = g.reshape(n, c, 1, oh * ow) / total(largest, 2, True)
    return unpatch(largest * share, x.shape, size, stride, padding)


# fmt: off
defvjp(patches,    x=lambda g, x_shape, size, stride, padding: unpatch(g, x_shape, size, stride, padding))
defvjp(unpatch,    p=lambda g, size, stride, padding: patches(g, size, stride, padding))
defvjp(conv2d,     x=lambda g, W, x_shape, stride, padding: _conv2d_vjp_x(g, W, x_shape, stride, padding),
                   W=lambda g, x, W_shape, stride, padding: _conv2d_vjp_W(g, x, W_shape, stride, padding))
defvjp(max_pool2d, x=lambda g, x, out, size, stride, padding: _max_pool2d_vjp(g, x, out, size, stride, padding))
# fmt: on
