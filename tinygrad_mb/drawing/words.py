"""The words and numbers of a picture: shapes with the axis of examples, calls, arrays in few characters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

_ROWS = _COLUMNS = 6  # of an array that is shown as numbers
_CELLS = 16  # along each axis of one that is shown as heat

Label = Callable[[Any], str]


class Shape(NamedTuple):
    """A shape as text; ``marked`` if examples stand along one of its axes."""

    text: str = ""
    marked: bool = False


class Grid(NamedTuple):
    """An array as a table: of numbers, or of colours.

    caption  what it is
    rows     the cells' texts; of a heat map their values between -1 and 1
    heat     whether it is a heat map
    """

    caption: str
    rows: tuple[tuple[Any, ...], ...]
    heat: bool


def number(x: Any) -> str:
    """A number in three digits."""
    return f"{float(x) + 0.0:.3g}"  # no "-0"


def shape_of(shape: tuple[int, ...], axis: int | None, examples: int, hidden: int = 0) -> Shape:
    """A shape, in which the axis of examples reads ``m=32``; ``hidden`` is the length of what vmap hides."""
    sizes = [str(n) for n in shape]
    marked = axis is not None and examples > 0 and shape[axis] % examples == 0
    if axis is not None and marked:
        n = shape[axis]
        sizes[axis] = f"m={n}" if n == examples else f"m·{n // examples}={n}"
    text = f"({', '.join(sizes)}{',' * (len(sizes) == 1)})" if sizes else "scalar"
    return Shape(f"m={hidden} × {text}" if hidden else text, marked or hidden > 0)  # noqa: RUF001


def local(name: str, titles: Sequence[str]) -> str:
    """A name such as ``blocks.0.mlp.W``, without what the frames around it say already."""
    for k in range(len(titles)):
        prefix = ".".join(titles[k:]) + "."
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def short(array: Any) -> str:
    """An array of few numbers on one line."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiub":
        return str(array)
    if not array.ndim:
        return number(array)
    if array.ndim == 1:
        return f"[{', '.join(map(number, array))}]"
    return f"[{', '.join(map(short, array))}]"


def size(array: Any) -> str:
    """How large the numbers of an array are."""
    if array.size == 0:
        return "empty"
    with np.errstate(all="ignore"):
        sizes = np.abs(np.asarray(array, dtype=float))
        return f"mean |·| {sizes.mean():.2g}, max |·| {sizes.max():.2g}"


def grid(caption: str, array: Any, heat: bool) -> Grid:
    """An array as a table, whose middle is left out; of more than two axes the first are put below each other."""
    array = np.asarray(array)
    heat = heat and array.dtype.kind == "f"
    flat = array.reshape(1, -1) if array.ndim < 2 else array.reshape(-1, array.shape[-1])
    return Grid(caption, _heat(flat) if heat else _numbers(flat), heat)


def _numbers(flat: Any) -> tuple[tuple[str, ...], ...]:
    def cut(cells: list[str], most: int) -> list[str]:
        return cells if len(cells) <= most else [*cells[: most - 2], "…", cells[-1]]

    lines = list(range(len(flat))) if len(flat) <= _ROWS else [*range(_ROWS - 2), -1]
    rows = [tuple(cut([*map(number, _ends(flat[k]))], _COLUMNS)) for k in lines]
    if len(flat) > _ROWS:
        rows.insert(_ROWS - 2, ("⋮",) * len(rows[0]))
    return tuple(rows)


def _ends(row: Any) -> Any:
    return row if len(row) <= _COLUMNS else np.concatenate([row[:_COLUMNS], row[-1:]])


def _heat(flat: Any) -> tuple[tuple[float, ...], ...]:
    """The numbers over the largest of them; of larger arrays the number of largest size in each part."""
    parts = [np.array_split(np.arange(n), min(n, _CELLS)) for n in flat.shape]
    with np.errstate(all="ignore"):
        blocks = [[_largest(flat[np.ix_(rows, columns)]) for columns in parts[1]] for rows in parts[0]]
        top = max((abs(x) for row in blocks for x in row if math.isfinite(x)), default=0.0) or 1.0
        return tuple(tuple(x / top for x in row) for row in blocks)


def _largest(block: Any) -> float:
    values = block.reshape(-1)
    return float(values[np.abs(values).argmax()]) if values.size else 0.0


def name_of(value: Any, data: Sequence[tuple[str, Any]]) -> str | None:
    """What an array is called that is one of ``data``, in whatever shape, a part, or equal to one of whole numbers."""
    if not isinstance(value, np.ndarray):
        return None
    for name, array in data:
        if value is array:
            return name
    for name, array in data:
        if isinstance(array, np.ndarray) and value.base is array:
            if value.size == array.size and value.flags.c_contiguous and array.flags.c_contiguous:
                return name
            index = _index(value, array)
            if index is not None:
                return f"{name}[{index}]"
    if value.dtype.kind in "iub" and value.size > 1:
        for name, array in data:
            if isinstance(array, np.ndarray) and array.size == value.size and np.array_equal(array.flat, value.flat):
                return name
    return None


def _index(part: Any, array: Any) -> str | None:
    """The index that makes a part of an array: one position along an axis, or a range of rows; None for others."""
    offset = part.__array_interface__["data"][0] - array.__array_interface__["data"][0]
    for axis, (n, stride) in enumerate(zip(array.shape, array.strides, strict=True)):
        if stride <= 0 or offset % stride or not 0 <= (k := offset // stride) < n:
            continue
        others = array.shape[:axis] + array.shape[axis + 1 :]
        strides = array.strides[:axis] + array.strides[axis + 1 :]
        if (part.shape, part.strides) == (others, strides):
            return ", ".join([":"] * axis + [str(k)])
        if axis == 0 and part.ndim == array.ndim and (part.shape[1:], part.strides) == (array.shape[1:], array.strides):
            return f"{k}:{k + len(part)}"
    return None
