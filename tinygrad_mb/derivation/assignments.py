"""Primitives that assign into an array, as the lines that a person would write in their place."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..vjps import convolution, indexing
from .program import Call
from .python_text import Operand, argument, index_text
from .ranks import ATOM


def _given(call: Call, names: str) -> list[Any]:
    """The arguments of a call by these names, in this order."""
    known = dict(zip(names.split(), call.args, strict=False)) | call.kwargs
    return [known[name] for name in names.split()]


def _scatter_add(name: str, call: Call, operand: Operand) -> list[str]:
    v, index, shape = _given(call, "v index shape")
    at, value = index_text(index, operand), argument(v, operand).code
    dtype = "" if call.out.dtype == np.float64 else f", dtype=np.{call.out.dtype.name}"
    zeros = f"{name} = np.zeros({argument(shape, operand).code}{dtype})"
    parts = index if isinstance(index, tuple) else (index,)
    if all(part is None or part is Ellipsis or type(part) in (slice, int) for part in parts):
        return [zeros, f"{name}[{at}] = {value}"]
    return [zeros, f"np.add.at({name}, {argument(index, operand).code}, {value})"]


def _put(name: str, call: Call, operand: Operand) -> list[str]:
    x, v, index = _given(call, "x v index")
    return [
        f"{name} = np.array({argument(x, operand).code})",
        f"{name}[{index_text(index, operand)}] = {argument(v, operand).code}",
    ]


def _last_writers(name: str, call: Call, operand: Operand) -> list[str]:
    shape, index = _given(call, "shape index")
    at = index_text(index, operand)
    return [
        f"{name}_at = np.arange({math.prod(shape)}).reshape({argument(shape, operand).code})[{at}]",
        f"{name}_k = np.arange({name}_at.size).reshape({name}_at.shape)",
        f"{name} = np.empty({argument(shape, operand).code}, int)",
        f"{name}[{at}] = {name}_k",
        f"{name} = {name}[{at}] == {name}_k",
    ]


def _patches(name: str, call: Call, operand: Operand) -> list[str]:
    x, size, stride, padding, fill = _given(call, "x size stride padding fill")
    text = argument(x, operand).within(ATOM)
    lines = []
    if any(padding):
        (p, q), value = padding, argument(fill, operand).code
        lines.append(f"{name} = np.pad({text}, ((0, 0), (0, 0), ({p}, {p}), ({q}, {q})), constant_values={value})")
        text = name
    steps = "" if tuple(stride) == (1, 1) else f"[:, :, ::{stride[0]}, ::{stride[1]}]"
    sizes = argument(tuple(call.out.shape), operand).code
    return [
        *lines,
        f"{name} = np.lib.stride_tricks.sliding_window_view({text}, {tuple(size)}, axis=(2, 3)){steps}",
        f"{name} = {name}.transpose(0, 1, 4, 5, 2, 3).reshape{sizes}",
    ]


def _unpatch(name: str, call: Call, operand: Operand) -> list[str]:
    p, shape, size, stride, padding = _given(call, "p shape size stride padding")
    (n, c, h, w), (kh, kw), (sh, sw), (ph, pw) = shape, size, stride, padding
    oh, ow = (convolution.windows(*sizes) for sizes in ((h, kh, sh, ph), (w, kw, sw, pw)))
    full = argument((n, c, h + 2 * ph, w + 2 * pw), operand).code
    windows = argument((n, c, kh, kw, oh, ow), operand).code
    dtype = "" if call.out.dtype == np.float64 else f", dtype=np.{call.out.dtype.name}"
    rows = f"i : i + {sh * oh} : {sh}" if sh > 1 else f"i : i + {oh}"
    columns = f"j : j + {sw * ow} : {sw}" if sw > 1 else f"j : j + {ow}"
    lines = [
        f"{name} = np.zeros({full}{dtype})",
        f"{name}_windows = {argument(p, operand).within(ATOM)}.reshape{windows}",
        f"for i, j in np.ndindex({kh}, {kw}):",
        f"    {name}[:, :, {rows}, {columns}] += {name}_windows[:, :, i, j]",
    ]
    if any(padding):
        lines.append(f"{name} = {name}[:, :, {ph} : {ph + h}, {pw} : {pw + w}]")
    return lines


PARTS = ("windows", "at", "k")  # of names that stand for steps on the way to a variable

STATEMENTS: dict[Callable[..., Any], Callable[[str, Call, Operand], list[str]]] = {
    indexing.scatter_add: _scatter_add,
    indexing.put: _put,
    indexing._last_writers: _last_writers,
    convolution.patches: _patches,
    convolution.unpatch: _unpatch,
}
