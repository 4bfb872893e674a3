"""Along which axis of an expression the examples stand."""

from __future__ import annotations

import math
from typing import Any

from .expressions import Expr
from .sizes import form_of


def example_axis(x: Expr) -> int | None:
    """The axis of x along which the examples stand, if they do."""
    if x.op == "variable":
        axes = [k for k, n in enumerate(x.payload.shape) if (form := form_of(n)) and form[:3] == (1, 1, 0)]
        return axes[0] if axes else None
    if not x.shape or not x.args:
        return None
    if x.op == "transpose":
        inside = example_axis(x.args[0])
        return None if inside is None else x.data.index(inside)
    if x.op in ("matmul", "outer"):
        left, right = (example_axis(arg) for arg in x.args)
        a, b = x.args
        if left is not None and (a.ndim == 1 or left != a.ndim - 1):
            return left + max(0, x.ndim - a.ndim) if a.ndim > 1 else (left if x.op == "outer" else None)
        if right is not None and right != b.ndim - 2 and b.ndim > 1:
            return x.ndim - (b.ndim - right)
        return None
    if x.op in ("sum", "max", "min", "logsumexp"):
        inside = example_axis(x.args[0])
        if inside is None or inside in x.data[0]:
            return None
        return inside if x.data[1] else inside - sum(k < inside for k in x.data[0])
    if x.op == "reshape":
        inside = example_axis(x.args[0])
        if inside is None:
            return None
        before = math.prod(x.args[0].shape[:inside])
        for k in range(x.ndim):
            if math.prod(x.shape[:k]) == before and x.shape[k] == x.args[0].shape[inside]:
                return k
        return None
    if x.op in ("pick", "onehot"):
        return example_axis(x.args[-1])
    if x.op == "softmax":
        return example_axis(x.args[0])
    if x.op in ("add", "multiply", "power", "apply", "compare", "not", "where", "broadcast"):
        for arg in x.args:
            inside = example_axis(arg)
            if inside is not None:
                return inside + x.ndim - arg.ndim
    if x.op == "index":
        return _after_index(example_axis(x.args[0]), x.payload)
    if x.op in ("convolution", "deconvolution", "pool", "unpool", "patches", "unpatch", "call", "gather"):
        for arg in x.args:
            if example_axis(arg) == 0 and x.shape[0] == arg.shape[0]:
                return 0
    return None


def _after_index(axis: int | None, index: tuple[Any, ...]) -> int | None:
    """Where an axis stands after an index by numbers and slices, if that takes all of it."""
    if axis is None:
        return None
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
    if x.op == "index":
        return all(part == slice(None) for part in x.payload[:n])
    return x.op in _BY_IMAGE and n == 1
