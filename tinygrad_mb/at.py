"""Assignment as a function: ``t.at[index].set(values)`` gives a new tensor, and leaves ``t`` as it is."""

# mypy: disable-error-code="no-any-return,no-untyped-call"

from __future__ import annotations

from typing import Any

import numpy as np

from .vjps.indexing import check_fits, freeze, put, scatter_add


class At:
    """``t.at``, of a tensor or another array of ours: waits for an index."""

    __slots__ = ("_tensor",)

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def __getitem__(self, index: Any) -> AtIndex:
        return AtIndex(self._tensor, freeze(index))


class AtIndex:
    """``t.at[index]``: waits for what to do there."""

    __slots__ = ("_index", "_tensor")

    def __init__(self, tensor: Any, index: Any) -> None:
        self._tensor = tensor
        self._index = index

    def set(self, values: Any) -> Any:
        """A new tensor with ``values`` at the index; where a place is named twice, the last value stays."""
        return put(self._tensor, values, self._index)

    def add(self, values: Any) -> Any:
        """A new tensor with ``values`` added at the index, as often as a place is named there."""
        tensor = self._tensor
        values = np.broadcast_to(values, tensor[self._index].shape)
        check_fits(values.dtype, tensor)
        return tensor + scatter_add(values.astype(tensor.dtype), self._index, tensor.shape)
