"""Joining and splitting."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

import itertools

import numpy as np

from ..autodiff import as_array
from ..vjps.helpers import along, axis_of
from .shapes import atleast_1d, atleast_2d, atleast_3d
from .table import composite


@composite("vstack")
def vstack(tup):
    return np.concatenate([atleast_2d(a) for a in tup], 0)


@composite("hstack")
def hstack(tup):
    arrays = [atleast_1d(a) for a in tup]
    return np.concatenate(arrays, 0 if arrays[0].ndim == 1 else 1)


@composite("dstack")
def dstack(tup):
    return np.concatenate([atleast_3d(a) for a in tup], 2)


@composite("column_stack")
def column_stack(tup):
    return np.concatenate([as_array(a) if as_array(a).ndim > 1 else as_array(a).reshape(-1, 1) for a in tup], 1)


@composite("append")
def append(arr, values, axis=None):
    arr, values = as_array(arr), as_array(values)
    return np.concatenate([arr.reshape(-1), values.reshape(-1)] if axis is None else [arr, values], axis or 0)


@composite("block")
def block(arrays):
    def depth(a):
        return 1 + max(depth(b) for b in a) if isinstance(a, list) else 0

    def rank(a):
        return max(rank(b) for b in a) if isinstance(a, list) else as_array(a).ndim

    def join(a, axis):
        if isinstance(a, list):
            return np.concatenate([join(b, axis + 1) for b in a], axis)
        a = as_array(a)
        return a.reshape((1,) * (ndim - a.ndim) + a.shape)

    ndim = max(rank(arrays), depth(arrays))
    return join(arrays, -depth(arrays))


@composite("array_split")
def array_split(ary, indices_or_sections, axis=0):
    axis = axis_of(axis, ary.ndim)
    n = ary.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        small, rest = divmod(n, int(indices_or_sections))
        sizes = [small + (k < rest) for k in range(int(indices_or_sections))]
        bounds = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
    else:
        bounds = [0, *[int(k) for k in indices_or_sections], n]
    return [ary[along(axis, slice(a, b))] for a, b in itertools.pairwise(bounds)]


@composite("split")
def split(ary, indices_or_sections, axis=0):
    if isinstance(indices_or_sections, (int, np.integer)) and ary.shape[axis] % indices_or_sections:
        raise ValueError(f"split: axis {axis} of shape {ary.shape} does not divide into {indices_or_sections} parts")
    return array_split(ary, indices_or_sections, axis)


@composite("hsplit")
def hsplit(ary, indices_or_sections):
    if ary.ndim == 0:
        raise ValueError("hsplit: an array without axes cannot be split")
    return split(ary, indices_or_sections, 0 if ary.ndim == 1 else 1)


@composite("vsplit")
def vsplit(ary, indices_or_sections):
    return split(ary, indices_or_sections, 0)


@composite("dsplit")
def dsplit(ary, indices_or_sections):
    return split(ary, indices_or_sections, 2)


@composite("unstack")
def unstack(x, axis=0):
    axis = axis_of(axis, x.ndim)
    return tuple([x[along(axis, k)] for k in range(x.shape[axis])])
