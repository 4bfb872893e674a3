"""What losses and layers ask of their operands, and the messages when they do not get it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autodiff import as_array, bare, data_of
from ..errors import ShapeError, describe
from ..tensor import Tensor


def named(value: Any, role: str) -> str:
    """How a message's code example calls an operand: by its name, else by the part it plays."""
    return getattr(value, "name", None) or role


def first_where(bad: Any, values: Any, role: str) -> str:
    """The first element that is bad, with its index: ``labels[3] = nan``."""
    index = tuple([int(i) for i in np.argwhere(bad)[0]])
    place = f"[{', '.join(map(str, index))}]" if index else ""
    return f"{role}{place} = {np.asarray(values)[index]}"


def same_shape(operation: str, prediction: Any, target: Any, roles: tuple[str, str]) -> None:
    """Raise ``ShapeError`` unless both have one shape: broadcasting would compare examples with each other."""
    a, b = prediction.shape, target.shape
    if a == b:
        return
    message = (
        f"{operation}: the {roles[0]} {describe(prediction)} and the {roles[1]} {describe(target)} must have the same "
        "shape, since broadcasting would compare examples with each other."
    )
    short, long = sorted((a, b), key=len)
    if long == short + (1,) * (len(long) - len(short)):
        calls = [f"`{named(v, r)}.reshape{_code(s)}`" for v, r, s in ((prediction, roles[0], b), (target, roles[1], a))]
        message += f" Use {calls[0]} or {calls[1]}."
    raise ShapeError(message)


def _code(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def within(numbers: Any, least: float, most: float) -> bool:
    """Whether all numbers are in an interval."""
    if numbers.size == 0:
        return True
    return bool(least <= np.minimum.reduce(numbers, None) and np.maximum.reduce(numbers, None) <= most)


def integers_below(operation: str, role: str, values: Any, size: int) -> Any:
    """The values as integers, a Tensor with its name; raises unless they are integers from 0 to ``size`` - 1."""
    checked = as_array(data_of(values))
    if checked.size == 0 and checked.dtype.kind == "f":
        checked = checked.astype(np.intp)
    numbers = bare(checked)
    wanted = f"{operation}: {role} must be integers from 0 to {size - 1}"
    if numbers.dtype.kind not in "iu":
        message = f"{wanted}, and {describe(values, role)} is not of an integer dtype"
        bad = (numbers != np.floor(numbers)) if numbers.dtype.kind == "f" else np.zeros(numbers.shape, bool)
        if np.any(bad):
            raise TypeError(f"{message}: {first_where(bad, numbers, role)}")
        raise TypeError(f"{message}: write {named(values, role)}.astype(int)")
    if not within(numbers, 0, size - 1):
        bad = (numbers < 0) | (numbers >= size)
        raise ValueError(f"{wanted}, and in {describe(values, role)} {first_where(bad, numbers, role)}")
    return values if isinstance(values, Tensor) and values.dtype == numbers.dtype else checked
