"""Convolution and pooling of images (n, c, h, w): examples, channels, height, width."""

from __future__ import annotations

import operator
from typing import Any

from ..autodiff import as_array
from ..errors import ShapeError, describe
from ..vjps import convolution

Pair = int | tuple[int, int]


def conv2d(x: Any, W: Any, b: Any = None, stride: Pair = 1, padding: Pair = 0) -> Any:
    """Slide each of the kernels ``W`` over the images ``x``: the layer's usual cross-correlation, without a flip.

    x (n, c, h, w), W (o, c, kh, kw), b (o,) or None; the result has shape (n, o, oh, ow) with
    oh = (h + 2 padding - kh) // stride + 1, and ow likewise.  ``stride`` (1 or more) and ``padding`` with zeros
    (0 or more) are integers, or pairs of them for the height and the width.

    Raises ``ShapeError`` for wrong numbers of axes or channels, and for a kernel larger than the padded image.

    >>> import numpy as np, tinygrad_mb as tg
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> W = tg.Tensor(np.ones((1, 1, 2, 2)), requires_grad=True)
    >>> tg.nn.conv2d(x, W, stride=2).numpy()
    array([[[[10., 18.],
             [42., 50.]]]])
    """
    x, W = as_array(x), as_array(W)
    _check_axes("conv2d", "x", x, "(n, c, h, w)")
    _check_axes("conv2d", "W", W, "(o, c, kh, kw)")
    if x.shape[1] != W.shape[1]:
        raise ShapeError(
            f"conv2d: {describe(x, 'x')} has {x.shape[1]} channels (axis 1), and the kernels {describe(W, 'W')} want "
            f"{W.shape[1]}"
        )
    stride, padding = _pair("conv2d", "stride", stride, 1), _pair("conv2d", "padding", padding, 0)
    _check_fit("conv2d", x, W.shape[2:], padding)
    out = convolution.conv2d(x, W, stride, padding)
    if b is None:
        return out
    b = as_array(b)
    if b.shape != W.shape[:1]:
        raise ShapeError(
            f"conv2d: the bias {describe(b, 'b')} must have shape {W.shape[:1]}, one number for each of the kernels "
            f"{describe(W, 'W')}"
        )
    return out + b.reshape(-1, 1, 1)


def max_pool2d(x: Any, size: Pair, stride: Pair | None = None, padding: Pair = 0) -> Any:
    """The largest element of each window of the images ``x``; elements that tie share the gradient evenly.

    x (n, c, h, w); the result has shape (n, c, oh, ow) with oh = (h + 2 padding - size) // stride + 1, and ow
    likewise.  ``stride`` is ``size`` if not given; ``padding``, which never wins, is half of ``size`` at most.
    Each is an integer, or a pair of them for the height and the width.

    Raises ``ShapeError`` for wrong numbers of axes, and for a window larger than the padded image.

    >>> import numpy as np, tinygrad_mb as tg
    >>> x = tg.Tensor(np.array([[[[1.0, 5.0], [5.0, 2.0]]]]), requires_grad=True)
    >>> tg.nn.max_pool2d(x, 2).sum().gradient(x)
    array([[[[0. , 0.5],
             [0.5, 0. ]]]])
    """
    x = as_array(x)
    _check_axes("max_pool2d", "x", x, "(n, c, h, w)")
    size = _pair("max_pool2d", "size", size, 1)
    stride = size if stride is None else _pair("max_pool2d", "stride", stride, 1)
    padding = _pair("max_pool2d", "padding", padding, 0)
    if 2 * padding[0] > size[0] or 2 * padding[1] > size[1]:
        raise ValueError(f"max_pool2d: padding={padding} is more than half of size={size}")
    _check_fit("max_pool2d", x, size, padding)
    return convolution.max_pool2d(x, size, stride, padding)


def _pair(operation: str, name: str, value: Pair, least: int) -> tuple[int, int]:
    try:
        first, second = map(operator.index, value if isinstance(value, (tuple, list)) else (value, value))
    except (TypeError, ValueError):
        raise TypeError(f"{operation}: {name} must be an integer or a pair of integers, not {value!r}") from None
    if min(first, second) < least:
        raise ValueError(f"{operation}: {name} must be {least} or more, not {value!r}")
    return first, second


def _check_axes(operation: str, role: str, value: Any, axes: str) -> None:
    if len(value.shape) != 4:
        raise ShapeError(f"{operation}: {role} must have 4 axes {axes}, and is {describe(value, role)}")


def _check_fit(operation: str, x: Any, size: tuple[int, ...], padding: tuple[int, int]) -> None:
    h, w = x.shape[2] + 2 * padding[0], x.shape[3] + 2 * padding[1]
    if size[0] > h or size[1] > w:
        raise ShapeError(
            f"{operation}: windows of size {tuple(size)} do not fit into images {describe(x, 'x')} padded to ({h}, {w})"
        )
