"""Convolution and pooling among expressions: in cut-out patches, and in what is added up from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..vjps import convolution
from .expressions import Expr, Shape, multiply, reshape, scalars_first

Pair = Sequence[int]


def _size(x: Shape, kernel: Pair, stride: Pair, padding: Pair) -> tuple[int, ...]:
    count: Callable[..., int] = convolution.windows
    return tuple(count(x[k + 2], kernel[k], stride[k], padding[k]) for k in (0, 1))


def convolve(x: Expr, w: Expr, stride: Pair, padding: Pair) -> Expr:
    """Kernels w (o, c, kh, kw) that slide over images x (n, c, h, w)."""
    shape = (x.shape[0], w.shape[0], *_size(x.shape, w.shape[2:], stride, padding))
    return Expr("convolution", (x, w), (tuple(stride), tuple(padding)), shape)


def pool(x: Expr, size: Pair, stride: Pair, padding: Pair) -> Expr:
    """The largest element of each window."""
    shape = (*x.shape[:2], *_size(x.shape, size, stride, padding))
    return Expr("pool", (x,), (tuple(size), tuple(stride), tuple(padding)), shape)


def patches(x: Expr, size: Pair, stride: Pair, padding: Pair, fill: float = 0.0) -> Expr:
    """Images cut into windows."""
    (n, c), (oh, ow) = x.shape[:2], _size(x.shape, size, stride, padding)
    data = (tuple(size), tuple(stride), tuple(padding), fill)
    return Expr("patches", (x,), data, (n, c, size[0] * size[1], oh * ow))


def unpatch(p: Expr, shape: Shape, size: Pair, stride: Pair, padding: Pair) -> Expr:
    """Windows added up to images: of products with kernels, or of the shares of a pool's largest elements."""
    scalars, p = scalars_first(p)
    shape, size, stride, padding = tuple(shape), tuple(size), tuple(stride), tuple(padding)
    found = _of_kernels(p, shape, stride, padding) or _of_pool(p, (size, stride, padding), shape)
    return multiply(*scalars, found or Expr("unpatch", (p,), (shape, size, stride, padding), shape))


def _of_kernels(p: Expr, shape: Shape, stride: Pair, padding: Pair) -> Expr | None:
    if p.op != "reshape" or p.args[0].op != "matmul":
        return None
    kernels, delta = p.args[0].args
    if kernels.op != "transpose" or kernels.args[0].op != "reshape" or kernels.args[0].args[0].ndim != 4:
        return None
    w = kernels.args[0].args[0]
    delta = reshape(delta, (shape[0], w.shape[0], *_size(shape, w.shape[2:], stride, padding)))
    return Expr("deconvolution", (delta, w), (shape, stride, padding), shape)


def _of_pool(p: Expr, windows: Any, shape: Shape) -> Expr | None:
    """The parts of each window's δ that go to its largest element, or to those that tie."""
    if p.op != "multiply":
        return None
    masks = [f for f in p.args if f.op == "compare" and f.data == "==" and f.args[0].op == "patches"]
    others = [f for f in p.args if f not in masks and not (f.op == "power" and f.args[0].op == "sum")]
    if len(masks) != 1 or len(p.args) != len(others) + 2:
        return None
    images = masks[0].args[0].args[0]
    delta = multiply(*others)
    target = (*shape[:2], *_size(shape, *windows))
    return Expr("unpool", (reshape(delta, target), images), windows, shape)


def by_kernels(x: Expr, shape: Shape) -> Expr | None:
    """The derivative of a convolution by its kernels: the sum over the examples of image times δ."""
    if x.op != "contraction" or x.data != ((0, 2), (0, 2)):
        return None
    delta, columns = x.args
    if columns.op != "reshape" or columns.args[0].op != "patches":
        return None
    (x,), (_, stride, padding, _) = columns.args[0].args, columns.args[0].data
    delta = reshape(delta, (x.shape[0], shape[0], *_size(x.shape, shape[2:], stride, padding)))
    return Expr("kernels", (x, delta), (stride, padding, tuple(shape)), tuple(shape))
