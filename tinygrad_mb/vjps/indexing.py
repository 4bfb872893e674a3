"""Derivatives of indexing, scattering and choosing."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..autodiff import Hidden, Recorded
from ..broadcasting import unbroadcast
from ..custom import first_hidden, plain_arrays, plain_primitive, primitive
from ..primitives import declare, defvjp


class FollowedIndex(np.ndarray):
    """Integers that a node remembers as such when it is indexed by them, so that somebody else can find it again."""

    def __repr__(self) -> str:
        return repr(np.asarray(self))


def freeze(index: Any) -> Any:
    """An index that later changes of the caller's arrays cannot reach; ``IndexError`` for floating-point ones."""
    return tuple([_freeze(part) for part in index]) if isinstance(index, tuple) else _freeze(index)


def _freeze(part: Any) -> Any:
    if isinstance(part, Recorded):
        part = part._data
    if part is None or part is Ellipsis or isinstance(part, (slice, int, np.generic, Hidden)):
        return part
    array = np.array(part, subok=type(part) is FollowedIndex)
    if array.dtype.kind in "iu" or (array.size == 0 and not isinstance(part, np.ndarray)):
        array = array.astype(np.intp, copy=False)
    if array.dtype.kind not in "ib":
        raise IndexError(f"an index array holds integers or booleans, not {array.dtype}")
    array.setflags(write=False)
    return array


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return not any(isinstance(part, (np.ndarray, bool, np.bool_)) for part in parts)


@plain_arrays
def _last_writers(shape: tuple[int, ...], index: Any) -> Any:
    """Which of the values assigned to ``index`` stay: of several for one place, NumPy keeps the last."""
    if _is_basic(index):
        return True
    places = np.arange(math.prod(shape)).reshape(shape)[index]
    writers = np.arange(places.size).reshape(places.shape)
    last = np.empty(shape, np.intp)
    last[index] = writers
    return last[index] == writers


@plain_primitive
def scatter_add(v, index=(), shape=()):
    """Zeros of ``shape`` with ``v`` added at ``index``, as often as a place is named there."""
    out = np.zeros(shape, v.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    axes = [k for k, part in enumerate(parts) if isinstance(part, np.ndarray) and part.dtype.kind != "b"]
    whole = all(isinstance(part, slice) and part == slice(None) for k, part in enumerate(parts) if k not in axes)
    if _is_basic(index) or (len(parts) == 1 and not axes):
        out[index] = v
    elif len(axes) == 1 and whole and v.ndim > parts[axes[0]].ndim and v.size:
        axis, places = axes[0], parts[axes[0]]
        if axis:
            v = np.moveaxis(v, range(axis, axis + places.ndim), range(places.ndim))
        rows = np.moveaxis(out, axis, 0)
        _add_rows(rows, places.reshape(-1) % shape[axis], v.reshape(places.size, *rows.shape[1:]))
    else:
        np.add.at(out, index, v)
    return out


def _add_rows(out, rows, v):
    """``np.add.at(out, rows, v)`` by sorting and adding long slices, which is many times faster."""
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    starts = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
    counts = np.diff(starts, append=len(rows))
    times = counts.max()
    if 4 * times > len(starts):  # few places that are named often
        out[rows[starts]] = np.add.reduceat(v[order], starts, axis=0)
    else:
        for k in range(times):
            at = starts[counts > k]
            out[rows[at]] += v[order[at + k]]


def check_fits(dtype, x):
    """Raise ``TypeError`` for a dtype that an array's own cannot take without losing kind."""
    if not np.can_cast(dtype, x.dtype, "same_kind"):
        raise TypeError(f"values of dtype {dtype} do not fit into an array of dtype {x.dtype}")


@plain_primitive
def put(x, v, index=()):
    """A copy of ``x`` with ``v`` at ``index``."""
    check_fits(np.result_type(v), x)
    out = np.array(x)
    out[index] = v
    return out


def item(x: Any, index: Any) -> Any:
    """``x[index]``, also where ``x`` is a plain array and the index hides an axis of examples."""
    try:
        return x[index]
    except TypeError:  # a plain array, perhaps, whose index is a carrier
        carrier = first_hidden((index,))
        if carrier is None or isinstance(x, Hidden):
            raise
        return carrier.call(operator.getitem, (x, index))


declare(operator.getitem, "x, index", item, name="index")


@primitive
def where(condition, x, y):
    """``x`` where the condition holds, ``y`` elsewhere."""
    return np.where(condition, x, y)


# fmt: off
defvjp(operator.getitem, x=lambda g, x_shape, index: scatter_add(g, index, x_shape))
defvjp(scatter_add,      v=lambda g, index: item(g, index))
defvjp(put,              x=lambda g, index: put(g, 0, index),
                         v=lambda g, x_shape, v_shape, index:
                           unbroadcast(item(g, index) * _last_writers(x_shape, index), v_shape))
defvjp(where,            x=lambda g, condition: np.where(condition, g, 0),
                         y=lambda g, condition: np.where(condition, 0, g), condition=None)
# fmt: on
