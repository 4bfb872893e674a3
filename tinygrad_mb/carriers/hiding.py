"""Hide an axis of examples, and show it again: two primitives, each the derivative of the other."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

from typing import Any

import numpy as np

from ..custom import primitive
from ..primitives import defvjp
from .batched import Batched
from .hidden import Carrier


@primitive
def hide(x: Any, level: int = 0, axis: int = 0) -> Any:
    """``x`` with one of its axes, counted from the front, hidden at ``level``."""
    if _deeper(x, level):
        x = x.dense()
        return Batched(hide(x._data, level, axis + 1), x._level)
    return Batched(np.moveaxis(x, axis, 0) if axis else x, level)


@primitive
def reveal(x: Any, level: int = 0, m: int = 0, axis: int = 0) -> Any:
    """``x`` with its hidden axis of ``level`` visible at ``axis``; where it hides none, ``m`` copies side by side."""
    if _deeper(x, level):
        x = x.dense()
        return Batched(reveal(x._data, level, m, axis + 1), x._level)
    hides = isinstance(x, Carrier) and x._level == level
    out = x.dense()._data if hides else np.broadcast_to(x, (m, *np.shape(x)))
    return np.moveaxis(out, 0, axis) if axis else out


def _deeper(x, level):
    """Whether an array hides an axis that lies further inside, and so is to stay the outermost of the numbers."""
    return isinstance(x, Carrier) and x._level > level


defvjp(hide, x=lambda g, x_shape, level, axis: reveal(g, level, x_shape[axis], axis))
defvjp(reveal, x=lambda g, level, axis: hide(g, level, axis))
