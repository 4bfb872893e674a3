"""Elementwise calls in their simplest form: numbers gathered, signs in front, nothing that changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .arguments import Spread, as_tuple, is_number, keeps
from .program import Variable
from .sizes import form_of, times

if TYPE_CHECKING:
    from .passes import Simplifier


def _gathered(work: Simplifier, number: Any, function: Any, operands: tuple[Any, ...], out: Variable) -> Any:
    """``number * function(x, y)`` as one product with a number; None where there is no other number to gather."""
    x, y = operands
    for a, b in ((x, y), (y, x)) if function is np.multiply else ((x, y),):
        if is_number(a) and (product := times(number, a)) is not None:
            return work.trimmed(function, (product, b), out)
        inner = work.unnamed(a, np.multiply) if function is np.divide else None
        for factor, other in () if inner is None else (inner.args, inner.args[::-1]):
            if is_number(factor) and (product := times(number, factor)) is not None:
                return work.trimmed(function, (work.make(np.multiply, (product, other), out), b), out)
    return None


def _multiply(work: Simplifier, out: Variable, x: Any, y: Any) -> Any:
    for a, b in ((x, y), (y, x)):
        if is_number(a) and form_of(a) is None and a == 1 and keeps(b, out):
            return b
        if (positive := work.negated(a)) is not None and out.dtype.kind == "f":
            return work.trimmed(np.negative, (work.make(np.multiply, (positive, b), out),), out)
        if is_number(a) and isinstance(b, Variable) and b.name is None:
            for function in (np.multiply, np.divide):
                inner = work.unnamed(b, function)
                found = None if inner is None else _gathered(work, a, function, inner.args, out)
                if found is not None:
                    return found
    return None


def _divide(work: Simplifier, out: Variable, x: Any, y: Any) -> Any:
    if is_number(y) and y == 1 and keeps(x, out):
        return x
    if (positive := work.negated(x)) is not None and isinstance(x, Variable):
        return work.trimmed(np.negative, (work.make(np.divide, (positive, y), out),), out)
    if (inner := work.unnamed(x, np.sum)) is not None and is_number(y):
        axis, count, shape = inner.kwargs.get("axis"), 1, inner.args[0].shape
        for k in range(len(shape)) if axis is None else as_tuple(axis):
            count = None if count is None else times(count, shape[k])
        if count is not None and count == y and form_of(count) == form_of(y):
            return work.emit(np.mean, inner.args, inner.kwargs, out)
    return None


def _add(work: Simplifier, out: Variable, x: Any, y: Any) -> Any:
    for a, b in ((x, y), (y, x)):
        if is_number(b) and b == 0 and keeps(a, out):
            return a
        if isinstance(b, Variable) and (positive := work.negated(b)) is not None:
            return work.trimmed(np.subtract, (a, positive), out)
    if x is y and keeps(x, out):
        return work.trimmed(np.multiply, (2, x), out)
    return None


def _subtract(work: Simplifier, out: Variable, x: Any, y: Any) -> Any:
    if is_number(y) and y == 0 and keeps(x, out):
        return x
    if is_number(x) and x == 0 and keeps(y, out):
        return work.trimmed(np.negative, (y,), out)
    if isinstance(y, Variable) and (positive := work.negated(y)) is not None:
        return work.trimmed(np.add, (x, positive), out)
    if isinstance(x, Variable) and (positive := work.negated(x)) is not None:
        return work.trimmed(np.negative, (work.make(np.add, (positive, y), out),), out)
    return None


def _negative(work: Simplifier, out: Variable, x: Any) -> Any:
    if (positive := work.negated(x)) is not None:
        return positive
    if (inner := work.unnamed(x, np.subtract)) is not None:
        return work.emit(np.subtract, inner.args[::-1], {}, out)
    return None


def _positive(work: Simplifier, out: Variable, x: Any) -> Any:
    return x if keeps(x, out) else None


def _and(work: Simplifier, out: Variable, x: Any, y: Any) -> Any:
    return Spread(0, out.shape) if any(a is False or a is np.False_ for a in (x, y)) else None


TRIMMED: dict[Any, Callable[..., Any]] = {
    np.multiply: _multiply, np.divide: _divide, np.add: _add, np.subtract: _subtract, np.negative: _negative,
    np.positive: _positive, np.bitwise_and: _and, np.logical_and: _and,
}  # fmt: skip
