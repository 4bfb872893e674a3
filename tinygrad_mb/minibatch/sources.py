"""Parts of a data set, from whatever kind of object holds it: arrays, files on disk, tables, lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..autodiff import as_array
from ..errors import ShapeError

Indices = npt.NDArray[np.intp]


class Source:
    """Data that gives its parts by ``data[index]``, be it a slice or an array of integers in any order."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def cut(self, part: slice) -> Any:
        """The examples from ``part.start`` to ``part.stop``, or to the end."""
        return self.data[part]

    def take(self, indices: Indices) -> Any:
        """The examples at ``indices``, in that order, copied."""
        return self.data[indices]


class Array(Source):
    """An ndarray, also one that is mapped into memory; ``take`` is faster than an index."""

    def take(self, indices: Indices) -> Any:
        """The rows at ``indices``."""
        return self.data.take(indices, 0)


class Items(Source):
    """A sequence of anything; its parts are lists."""

    def cut(self, part: slice) -> Any:
        """A list, also of a tuple or a deque."""
        return [self.data[i] for i in range(*part.indices(len(self.data)))]

    def take(self, indices: Indices) -> Any:
        """A list of the items at ``indices``."""
        return [self.data[i] for i in indices.tolist()]


class Stored(Source):
    """Data that is read from elsewhere, such as an HDF5 file, by increasing indices without repeats."""

    def take(self, indices: Indices) -> Any:
        """Read in the order of the file, and put in order afterwards."""
        increasing, back = np.unique(indices, return_inverse=True)
        return self.data[increasing][back]


def source(data: Any, what: str) -> Source:
    """How parts of ``data`` are read; raises ``TypeError`` for a dict, ``ShapeError`` for what has no axis 0."""
    if isinstance(data, Mapping):
        raise TypeError(f"batches: {what} is a {type(data).__name__}: pass its arrays one by one, `*data.values()`")
    if hasattr(data, "iloc"):  # pandas: an index would choose columns or labels
        return Source(data.iloc)
    if isinstance(data, Sequence):
        try:
            array = np.asarray(data)
        except (TypeError, ValueError):  # of different lengths, or tensors
            return Items(data)
        return Items(data) if array.dtype.kind in "OSU" else Array(array)
    if not hasattr(data, "__getitem__"):
        data = as_array(data)
    if getattr(data, "shape", None) == ():
        raise ShapeError("batches: an array without axes has no examples")
    if isinstance(data, np.ndarray):
        return Array(data.view(np.ndarray) if isinstance(data, np.memmap) else data)
    return Source(data) if hasattr(data, "__array_ufunc__") else Stored(data)


def length(data: Any) -> int:
    """How many examples there are; not every array in a file has a ``len``."""
    return int(data.shape[0]) if hasattr(data, "shape") else len(data)
