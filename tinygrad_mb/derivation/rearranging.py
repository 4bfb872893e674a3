"""Calls that move, spread or add up elements, in their simplest form."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..vjps import indexing
from ..vjps import shapes as shape_rules
from .arguments import Spread, as_tuple, is_number, same_shape, shape_of
from .program import Variable
from .sizes import form_of, times

if TYPE_CHECKING:
    from .passes import Simplifier


def _ones(work: Simplifier, out: Variable, shape: Any, dtype: Any = None) -> Any:
    return 1.0 if tuple(shape) == () else NotImplemented


def _broadcast_to(work: Simplifier, out: Variable, array: Any, shape: Any) -> Any:
    if isinstance(array, Variable) and same_shape(array.shape, out.shape):
        return array
    return Spread(array.source if isinstance(array, Spread) else array, out.shape)


def _reshape(work: Simplifier, out: Variable, a: Any, shape: Any) -> Any:
    if isinstance(a, Variable):
        if same_shape(a.shape, out.shape):
            return a
        if (inner := work.unnamed(a, np.reshape)) is not None:
            return _reshape(work, out, inner.args[0], shape)
        if (index := _new_axes(a.shape, out.shape)) is not None:
            return _getitem(work, out, a, index)
        inner = work.unnamed(a, np.sum)
        if inner is not None and inner.kwargs.get("keepdims") and 1 not in out.shape:
            axes = as_tuple(inner.kwargs.get("axis", range(len(a.shape))))
            if same_shape(tuple([n for k, n in enumerate(a.shape) if k not in axes]), out.shape):
                return _sum(work, out, inner.args[0], axes)
    elif is_number(a):
        return Spread(a, out.shape) if out.shape else a
    elif isinstance(a, Spread) and shape_of(a.source) and same_shape(_wide(a.shape), _wide(out.shape)):
        source = a.source if isinstance(a.source, Variable) else work.full(a)
        sizes = (1,) * (len(a.shape) - len(source.shape)) + source.shape
        kept = iter([size for size, n in zip(sizes, a.shape, strict=True) if _wide((n,))])
        before = tuple([next(kept) if _wide((n,)) else 1 for n in out.shape])
        like = work.fresh(out, before, source.value.reshape([int(n) for n in before]))
        found = _reshape(work, like, source, before)
        return found if same_shape(before, out.shape) else Spread(found, out.shape)
    return work.view(np.reshape, (a, out.shape), out, a)


def _new_axes(before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    """The index that only adds axes; None if there is none."""
    index: list[Any] = []
    rest = list(before)
    for n in after:
        if rest and same_shape((rest[0],), (n,)):
            rest.pop(0)
            index.append(slice(None))
        elif n == 1:
            index.append(None)
        else:
            return None
    return None if rest else tuple(index)


def _transpose(work: Simplifier, out: Variable, a: Any, axes: Any = None) -> Any:
    if isinstance(a, Variable):
        if len(a.shape) < 2:
            return a
        order = tuple(range(len(a.shape)))
        if axes is not None and tuple([k % len(order) for k in axes]) == order:
            return a
        if axes is not None and tuple([k % len(order) for k in axes]) == order[::-1]:
            axes = None
        if axes is None and (inner := work.unnamed(a, np.transpose)) is not None and len(inner.args) == 1:
            return inner.args[0]
        inner = work.unnamed(a, np.matmul)
        if axes is None and inner is not None and len(a.shape) == 2 and all(len(shape_of(x)) == 2 for x in inner.args):
            return work.emit(np.matmul, tuple([_turned(work, out, x) for x in inner.args[::-1]]), {}, out)
        return work.emit(np.transpose, (a,) if axes is None else (a, axes), {}, out)
    return work.view(np.transpose, (a,) if axes is None else (a, axes), out, a)


def _turned(work: Simplifier, like: Variable, x: Any) -> Any:
    return _transpose(work, work.fresh(like, x.shape[::-1], x.value.T), x) if isinstance(x, Variable) else x.T


def _matmul(work: Simplifier, out: Variable, x: Any, y: Any) -> Any:
    """A product with an array of equal numbers is a sum."""
    for a, b, axis in ((x, y, -1), (y, x, -2)):
        if not isinstance(b, Spread) or not is_number(b.source) or not isinstance(a, Variable) or len(a.shape) != 2:
            continue
        if b.source == 0:
            return Spread(0.0, out.shape)
        value = np.add.reduce(a.value, axis)
        total = _sum(work, work.fresh(out, a.shape[:1] if axis == -1 else a.shape[1:], value), a, axis)
        if isinstance(total, Variable):
            total = work.make(np.multiply, (total, b.source), out)
            if axis == -2 or len(b.shape) == 1:
                return Spread(total, out.shape) if len(b.shape) == 2 else total
            column = work.fresh(out, (*total.shape, 1), total.value[:, None])
            column = work.emit(operator.getitem, (total, (slice(None), None)), {}, column)
            return column if b.shape[-1] == 1 else Spread(column, out.shape)
    return NotImplemented


def _full_rule(work: Simplifier, out: Variable, shape: Any, value: Any, **other: Any) -> Any:
    return Spread(value, out.shape) if is_number(value) and out.dtype == np.float64 and out.shape else NotImplemented


def _scatter_add(work: Simplifier, out: Variable, v: Any, index: Any, shape: Any) -> Any:
    """Where all places are filled in their order, it is a change of shape."""
    parts = index if isinstance(index, tuple) else (index,)
    forward = all(
        part is None or part is Ellipsis or type(part) is int or (type(part) is slice and (part.step or 1) > 0)
        for part in parts
    )
    if forward and isinstance(v, (Variable, Spread)) and same_shape(_wide(v.shape), _wide(out.shape)):
        return _reshape(work, out, v, out.shape)
    return NotImplemented


def _wide(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without its axes of one element."""
    return tuple([n for n in shape if n != 1 or form_of(n) is not None])


def _swapaxes(work: Simplifier, out: Variable, a: Any, axis1: int, axis2: int) -> Any:
    ndim = len(out.shape)
    if ndim == 2 and axis1 % 2 != axis2 % 2:
        return _transpose(work, out, a)
    return work.view(np.swapaxes, (a, axis1, axis2), out, a)


def _getitem(work: Simplifier, out: Variable, x: Any, index: Any) -> Any:
    index = _spelled_out(index, len(shape_of(x)))
    parts = index if isinstance(index, tuple) else (index,)
    only_views = all(part is None or part is Ellipsis or type(part) in (slice, int) for part in parts)
    if isinstance(x, Variable) and only_views:
        trivial = all(part is Ellipsis or part == slice(None) for part in parts)
        if trivial and same_shape(x.shape, out.shape):
            return x
        inner = work.unnamed(x, operator.getitem)
        if inner is not None and parts == (slice(None), 0) and inner.args[1] == (slice(None), None):
            return inner.args[0]
        column = work.unnamed(x, np.matmul)
        if (
            column is not None
            and len(parts) == len(x.shape)
            and parts[-1] == 0
            and all(p == slice(None) for p in parts[:-1])
        ):  # (A @ g[..., None])[..., 0] is A @ g
            a, b = column.args
            inner = work.unnamed(b, operator.getitem)
            if inner is not None and len(inner.args[0].shape) == 1 and len(shape_of(a)) >= 2 and b.shape[-1] == 1:
                return work.emit(np.matmul, (a, inner.args[0]), {}, out)
        if None in parts and (added := _new_axes(x.shape, out.shape)) is not None:
            if None not in added[added.count(None) :]:  # in front, where broadcasting adds axes by itself
                return Spread(x, out.shape)
            if work.negated(x) is None:
                return work.emit(operator.getitem, (x, added), {}, out)
    if only_views:
        return work.view(operator.getitem, (x, index), out, x)
    return NotImplemented


def _spelled_out(index: Any, ndim: int) -> Any:
    """An index with full slices in the place of an ellipsis."""
    parts = index if isinstance(index, tuple) else (index,)
    places = [k for k, part in enumerate(parts) if part is Ellipsis]
    if not places or ndim > 3 or any(isinstance(part, Variable) for part in parts):
        return index
    missing = ndim - sum([part is not None and part is not Ellipsis for part in parts])
    return (*parts[: places[0]], *(slice(None),) * missing, *parts[places[0] + 1 :])


def _astype(work: Simplifier, out: Variable, x: Any, dtype: Any) -> Any:
    if isinstance(x, Variable) and x.dtype == out.dtype:
        return x
    return NotImplemented


def _sum(work: Simplifier, out: Variable, a: Any, axis: Any = None, keepdims: bool = False, **other: Any) -> Any:
    if other:
        return NotImplemented
    shape = shape_of(a)
    axes = tuple(range(len(shape))) if axis is None or not shape else tuple([k % len(shape) for k in as_tuple(axis)])
    if isinstance(a, Variable) and not axes:
        return a
    if isinstance(a, Spread):
        count = math.prod([int(shape[k]) for k in axes])
        sizes: Any = 1
        for k in axes:
            sizes = None if sizes is None else times(sizes, shape[k])
        if sizes is not None and is_number(a.source) and (product := times(a.source, sizes)) is not None:
            return Spread(product, out.shape) if out.shape else product
        if sizes is not None and isinstance(a.source, Variable) and a.source.shape == () and sizes == count:
            value = work.emit(np.multiply, (a.source, sizes), {}, work.fresh(out, (), a.source.value * count))
            return Spread(value, out.shape) if out.shape else value
        a = work.full(a)
    if keepdims and isinstance(a, Variable) and all(shape[k] == 1 for k in axes):
        return a
    if (positive := work.negated(a)) is not None:
        inner = work.fresh(out, out.shape, -out.value)
        return work.trimmed(np.negative, (_sum(work, inner, positive, axis, keepdims),), out)
    turned = work.unnamed(a, np.transpose)
    if turned is not None and len(turned.args) == 1 and not keepdims:
        return _sum(work, out, turned.args[0], tuple([len(shape) - 1 - k for k in axes]))
    earlier = work.unnamed(a, np.sum)
    if earlier is not None and not keepdims and not earlier.kwargs.get("keepdims"):
        ndim = len(earlier.args[0].shape)
        gone = as_tuple(earlier.kwargs.get("axis", range(ndim)))
        left = [k for k in range(ndim) if k not in gone]
        return _sum(work, out, earlier.args[0], tuple(sorted([*gone, *[left[k] for k in axes]])))
    simple = None if len(axes) == len(shape) else axes[0] if len(axes) == 1 else axes
    kwargs: dict[str, Any] = {} if simple is None else {"axis": simple}
    if keepdims:
        kwargs["keepdims"] = True
    return work.emit(np.sum, (a,), kwargs, out)


def _reduction(function: Any) -> Callable[..., Any]:
    def rule(work: Simplifier, out: Variable, a: Any, **kwargs: Any) -> Any:
        ndim = len(shape_of(a))
        if kwargs.get("axis") is not None and not isinstance(kwargs["axis"], (tuple, list)) and ndim:
            kwargs["axis"] = kwargs["axis"] % ndim
        kept = {k: v for k, v in kwargs.items() if v is not None and v is not False}
        return work.emit(function, work.filled((a,)), kept, out)

    return rule


RULES: dict[Any, Callable[..., Any]] = {
    np.ones: _ones, np.full: _full_rule, np.matmul: _matmul, indexing.scatter_add: _scatter_add,
    np.broadcast_to: _broadcast_to, np.reshape: _reshape, np.transpose: _transpose, np.swapaxes: _swapaxes,
    operator.getitem: _getitem, shape_rules.astype: _astype, np.sum: _sum,
    **{f: _reduction(f) for f in (np.mean, np.max, np.min, np.var, np.std, np.prod, np.argmax)},
}  # fmt: skip
