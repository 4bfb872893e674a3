"""``ComplexValued``: complex numbers that pass for real ones, so that the engine computes gradients of them.

Derivative rules are NumPy calls, and those of analytic functions are right for complex numbers as they are.  So a
gradient can be taken by the complex step as any function can, without a second derivative being asked for.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autodiff import Hidden, Recorded
from ..carriers.operators import Open
from ..vjps import shapes


def call(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """``function(*args, **kwargs)`` of the complex numbers."""
    if function is np.result_type:
        return function(*[x.dtype if isinstance(x, ComplexValued) else x for x in args])
    if function is shapes.astype and args[1] == np.float64:
        return args[0]
    return _wrapped(function(*_bare(args), **_bare(kwargs)))


def _bare(value):
    if isinstance(value, ComplexValued):
        return value._data
    if type(value) in (tuple, list):
        return type(value)([_bare(part) for part in value])
    if type(value) is dict:
        return {key: _bare(part) for key, part in value.items()}
    return value


def _wrapped(out):
    if isinstance(out, tuple):
        return tuple([_wrapped(part) for part in out])
    return ComplexValued(out) if isinstance(out, (np.ndarray, np.generic)) and out.dtype.kind == "c" else out


class ComplexValued(Open):
    """An array of complex numbers whose dtype is float64, as far as it says."""

    __slots__ = ()
    dtype = np.dtype(np.float64)

    def __init__(self, data: Any) -> None:
        self._data = data
        self._level = 0

    ask = staticmethod(call)

    @staticmethod
    def outranked(args: Any) -> bool:
        """Whether one of the operands is a tensor, or hides an axis."""
        return any(isinstance(x, (Recorded, Hidden)) and not isinstance(x, ComplexValued) for x in args)

    def call(self, function: Callable[..., Any], args: Any) -> Any:
        """What a function gives for arguments among which this array is."""
        return call(function, args, {})

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if self.outranked(inputs) or "out" in kwargs:
            return NotImplemented
        return call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        if any(issubclass(cls, (Recorded, Hidden)) and cls is not ComplexValued for cls in types):
            return NotImplemented
        return call(function, args, kwargs)

    def __array__(self, dtype=None, copy=None):
        return self.refuse_number("a plain array")

    def refuse_number(self, what: str) -> Any:
        """Raise, since the imaginary part would be lost."""
        raise TypeError(f"{what} of complex numbers")
