"""Choosing elements: by index, by mask, by order."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

import operator

import numpy as np

from ..autodiff import as_array
from ..primitives import UNSET
from ..vjps import indexing
from ..vjps.helpers import along
from .table import as_vector, composite, flat_if_none


@composite("where")
def where(condition, x=UNSET, y=UNSET):
    if x is UNSET and y is UNSET:
        return np.nonzero(condition)
    return indexing.where(condition, x, y)


@composite("take")
def take(a, indices, axis=None, mode="raise"):
    a, axis = flat_if_none(as_vector(a), axis)
    indices = as_array(indices)
    if mode != "raise":
        n = a.shape[axis]
        indices = indices % n if mode == "wrap" else np.clip(indices, 0, n - 1)
    if type(indices) is np.ndarray and indices.ndim == 0:
        indices = operator.index(indices)
    return indexing.item(a, along(axis, indices))


@composite("take_along_axis")
def take_along_axis(arr, indices, axis=-1):
    arr, axis = flat_if_none(arr, axis)
    indices = as_array(indices)
    if indices.ndim != arr.ndim:
        raise ValueError(f"take_along_axis: indices {indices.shape} and the array {arr.shape} must have as many axes")
    grid = [np.arange(n).reshape([-1 if k == j else 1 for j in range(arr.ndim)]) for k, n in enumerate(arr.shape)]
    grid[axis] = indices
    return indexing.item(arr, tuple(grid))


@composite("compress")
def compress(condition, a, axis=None):
    return take(a, np.flatnonzero(condition), axis)


@composite("extract")
def extract(condition, arr):
    return take(arr, np.flatnonzero(condition))


@composite("choose")
def choose(a, choices, mode="raise"):
    a, n = np.asarray(a), len(choices)
    if mode != "raise":
        a = a % n if mode == "wrap" else np.clip(a, 0, n - 1)
    if np.any((a < 0) | (a >= n)):
        raise ValueError(f"choose: indices must be between 0 and {n - 1}")
    out = choices[-1]
    for k in range(n - 1):
        out = np.where(a == k, choices[k], out)
    return np.broadcast_to(out, np.broadcast_shapes(a.shape, out.shape))


@composite("sort")
def sort(a, axis=-1, kind=None, stable=None):
    a, axis = flat_if_none(a, axis)
    return take_along_axis(a, np.argsort(a, axis, kind, stable=stable), axis)


@composite("partition")
def partition(a, kth, axis=-1, kind="introselect"):
    a, axis = flat_if_none(a, axis)
    return take_along_axis(a, np.argpartition(a, kth, axis, kind), axis)


@composite("clip _core.umath.clip")
def clip(a, a_min=None, a_max=None, min=None, max=None):
    a = as_array(a)
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    a = a if low is None else np.maximum(a, low)
    a = a if high is None else np.minimum(a, high)
    return +a if low is high is None else a


@composite("select")
def select(condlist, choicelist, default=0):
    out = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        out = np.where(condition, choice, out)
    return out
