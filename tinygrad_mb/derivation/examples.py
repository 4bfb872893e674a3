"""Along which axis of an expression the examples stand."""

from __future__ import annotations

import math
from typing import Any

from .expressions import Expr, Shape, is_places
from .sizes import form_of


def example_axis(x: Expr) -> int | None:
    """The axis of x along which the examples stand, if they do; of several, as in a table of pairs, the first one."""
    return min(example_axes(x), default=None)


def example_axes(x: Expr) -> set[int]:
    """All axes of x along which the examples stand."""
    if x.op == "variable" or is_places(x):
        shape = x.payload.shape if x.op == "variable" else x.shape
        return {k for k, n in enumerate(shape) if (form := form_of(n)) and form[:3] == (1, 1, 0)}
    if not x.shape or not x.args:
        return set()
    inside = example_axes(x.args[0])
    if x.op == "transpose":
        return {x.data.index(k) for k in inside}
    if x.op == "matmul":
        a, b = x.args
        left = {x.ndim - a.ndim + (b.ndim == 1) + k for k in inside if k != a.ndim - 1}
        right = {k for k in example_axes(b) if b.ndim > 1 and k != b.ndim - 2}
        return left | {x.ndim - b.ndim + (a.ndim == 1 and k < b.ndim - 2) + k for k in right}
    if x.op == "outer":
        return inside | {x.args[0].ndim + k for k in example_axes(x.args[1])}
    if x.op in ("sum", "max", "min", "logsumexp"):
        return {k if x.data[1] else k - sum(j < k for j in x.data[0]) for k in inside if k not in x.data[0]}
    if x.op == "reshape":
        return {place for k in inside if (place := _after_reshape(k, x.args[0].shape, x.shape)) is not None}
    if x.op in ("pick", "onehot"):
        return example_axes(x.args[-1])
    if x.op == "softmax":
        return inside
    if x.op in ELEMENTWISE:
        return {k + x.ndim - arg.ndim for arg in x.args for k in example_axes(arg)}
    if x.op == "place":
        return {0} if (form := form_of(x.shape[0])) and form[:3] == (1, 1, 0) else set()
    if x.op == "index" and takes_places(x):
        return {0} if any(map(example_axes, x.args[1:])) else set()
    if x.op == "index":
        return {place for k in inside if (place := _after_index(k, x.payload)) is not None}
    if x.op in _BY_IMAGE or x.op in ("call", "gather"):
        return {0} if any(0 in example_axes(arg) and x.shape[0] == arg.shape[0] for arg in x.args) else set()
    return set()


def takes_places(x: Expr) -> bool:
    """Whether an index has vectors in front, ``x[rows, columns]``, which name places one after another."""
    count = len(x.args) - 1
    return bool(count) and x.data[:count] == ("·",) * count and all(arg.ndim == 1 for arg in x.args[1:])


def _after_reshape(axis: int, old: Shape, new: Shape) -> int | None:
    """Where an axis stands after a reshape, if that leaves it whole."""
    before = math.prod(old[:axis])
    places = (k for k in range(len(new)) if math.prod(new[:k]) == before and new[k] == old[axis])
    return next(places, None)


def _after_index(axis: int, index: tuple[Any, ...]) -> int | None:
    """Where an axis stands after an index by numbers and slices, if that takes all of it."""
    before, own = index[:axis], index[axis : axis + 1]
    if any(type(part) not in (int, slice) for part in before) or own not in ((), (slice(None),)):
        return None
    return axis - sum(type(part) is int for part in before)


ELEMENTWISE = frozenset(("add", "multiply", "power", "apply", "compare", "not", "where", "broadcast"))
_BY_IMAGE = frozenset(("convolution", "deconvolution", "pool", "unpool", "patches", "unpatch"))


def has_elements(x: Expr, n: int) -> bool:
    """Whether indices for the n leading axes of x can stand at its operands, so that ``(a + b)[i]`` is a[i] + b[i]."""
    if not x.args or n == 0:
        return True
    if x.op in ELEMENTWISE:
        return all(arg.ndim in (0, x.ndim) or example_axis(arg) is None for arg in x.args)
    if x.op == "matmul":
        a, b = x.args
        return n < a.ndim == x.ndim + (b.ndim == 1) and (b.ndim < 3 or example_axis(b) in (None, 0))
    if x.op == "outer":
        return n == 1
    if x.op in ("sum", "max", "min", "logsumexp"):
        return bool(min(x.data[0]) >= n)
    if x.op == "softmax":
        return bool(min(x.data) >= n)
    if x.op == "transpose":
        return tuple(x.data[:n]) == tuple(range(n))
    if x.op == "reshape":
        return x.shape[:n] == x.args[0].shape[:n]
    if x.op in ("pick", "onehot"):
        return x.args[-1].ndim >= n
    if x.op == "gather":
        return example_axis(x.args[0]) is None and x.args[1].ndim >= n
    if x.op == "index" and takes_places(x):
        return n == 1 and all(example_axis(arg) == 0 for arg in x.args[1:])
    if x.op in ("index", "place"):
        return all(part == slice(None) for part in x.payload[:n])
    return x.op in _BY_IMAGE and n == 1
