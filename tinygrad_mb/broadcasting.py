"""The transpose of broadcasting: where an array was stretched, its cotangent is a sum."""

from __future__ import annotations

from typing import Any

import numpy as np

ndarray = np.ndarray


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum ``g`` down to ``shape``: the transpose of broadcasting ``shape`` to the shape of ``g``.

    Raises ``ValueError`` where broadcasting cannot have made the one of the other.
    """
    lead = len(g.shape) - len(shape)
    if lead < 0:
        raise ValueError
    if lead == 1 and type(g) is ndarray and g.ndim == 2:
        g = _sum_of_rows(g)
    elif lead:
        g = g.sum(axis=tuple(range(lead)))
    if g.shape == shape:
        return g
    stretched = tuple([k for k, (n, want) in enumerate(zip(g.shape, shape, strict=True)) if n != want])
    if any(shape[k] != 1 for k in stretched):
        raise ValueError
    return g.sum(axis=stretched, keepdims=True)


_MOST_ONES = 1 << 14
_ones: dict[Any, Any] = {}


def _sum_of_rows(g: Any) -> Any:
    """``g.sum(axis=0)`` as a product with ones, which BLAS does several times faster than NumPy its sum."""
    rows = len(g)
    if rows > _MOST_ONES:
        return np.add.reduce(g, 0)
    ones = _ones.get(g.dtype)
    if ones is None:
        ones = _ones[g.dtype] = np.ones(_MOST_ONES, g.dtype)
    return ones[:rows].dot(g)
