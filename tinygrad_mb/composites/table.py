"""The table of composites: how one enters it, and what all of them need."""

# Composites run on whatever NumPy runs on; their arguments have no common type.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autodiff import as_array
from ..primitives import binder, refuse_argument
from ..vjps.helpers import axis_of


class Composite:
    """A function over primitives that stands for one of NumPy's, and takes that one's arguments.

    Those of NumPy's arguments that ``fn`` does not have are refused, unless they say nothing.
    """

    __slots__ = ("_bind", "fn", "key")

    def __init__(self, key: Callable[..., Any], fn: Callable[..., Any]) -> None:
        self.key = key
        self.fn = fn
        self._bind: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What NumPy's function does, on Tensors."""
        if self._bind is None:  # made at the first call: most programs need few of them
            self._bind = self._binder()
        args, kwargs = self._bind(*args, **kwargs)
        return self.fn(*args, **kwargs)

    def _binder(self) -> Callable[..., Any]:
        signature, name = inspect.signature(self.fn), self.key.__name__
        if all(p.kind is not p.VAR_POSITIONAL for p in signature.parameters.values()):
            bind = binder(self.key, name, signature)[1]
            return lambda *args, **kwargs: (bind(*args, **kwargs), {})

        def check(*args: Any, **kwargs: Any) -> Any:
            for unknown in kwargs.keys() - signature.parameters.keys():
                refuse_argument(name, unknown, kwargs.pop(unknown))
            return args, kwargs

        return check


COMPOSITES: dict[Callable[..., Any], Composite] = {}


def numpy_functions(names: str) -> list[Callable[..., Any]]:
    """The functions of these dotted names, a space between them, that the installed NumPy has."""
    found = []
    for name in names.split():
        try:
            found.append(operator.attrgetter(name)(np))
        except AttributeError:
            continue
    return found


def composite(names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function into the table as what NumPy's functions of these names do on Tensors."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        for key in numpy_functions(names):
            COMPOSITES[key] = Composite(key, function)
        return function

    return enter


def flat_if_none(a, axis):
    """An array and a non-negative axis of it; without an axis, all elements along one."""
    a = as_array(a)
    return (a.reshape(-1), 0) if axis is None else (a, axis_of(axis, a.ndim))


def as_vector(a):
    """An array; of a number without axes a vector, for functions that count it as one."""
    a = as_array(a)
    return a if a.ndim else a.reshape(1)


def safe_sqrt(x):
    """The square root, flat at 0."""
    return np.sqrt(x + (x == 0)) * (x != 0)
