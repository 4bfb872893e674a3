"""``Traced``: an array that writes down every NumPy call made on it.

It holds the numbers, so that shapes and values are there as the function runs, and the variable of the program that
stands for them.  A call computes the numbers and adds itself to the program.  It ranks below all other arrays of ours:
what these compute with inside is written down.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autodiff import Hidden, Recorded, data_of
from ..errors import NotDifferentiableError, TracedValueError
from ..numpy_api import ACCUMULATE, REDUCE, full_name
from ..primitives import PRIMITIVES, is_own
from ..vjps import products
from .batched import WRITERS
from .hidden import Carrier
from .hidden import inside as carriers_inside
from .operators import Open

# What tells of shapes and dtypes, and not of values.
_FACTS = frozenset({
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.common_type, np.min_scalar_type, np.iscomplexobj,
    np.isrealobj, np.may_share_memory, np.shares_memory, np.einsum_path,
})  # fmt: skip

# The functions that a program calls instead of those that the library or the user called.
_PLAINER: dict[Callable[..., Any], Callable[..., Any]] = {products.sum_of_outer: lambda x, g: x.T @ g}

_Replace = Callable[["Traced"], Any]


def _replaced(value: Any, new: _Replace) -> Any:
    """The same nest of arguments with ``new(x)`` in the place of each traced array x."""
    if isinstance(value, Traced):
        return new(value)
    if type(value) in (tuple, list):
        return type(value)([_replaced(part, new) for part in value])
    if type(value) is dict:
        return {key: _replaced(part, new) for key, part in value.items()}
    return value


def call(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute ``function(*args, **kwargs)``, where a traced array is among the arguments, and write it down."""
    if function in WRITERS:
        raise NotDifferentiableError(
            f"{full_name(function)} writes into an array, which a program of NumPy calls does not show: use "
            "x.at[index].set(values), or np.where"
        )
    if (plainer := _PLAINER.get(function)) is not None:
        return plainer(*args, **kwargs)
    found: list[Traced] = []
    _replaced((args, kwargs), found.append)
    writer = found[0]._writer
    if any(x._writer is not writer for x in found):
        raise TracedValueError(f"{full_name(function)}: an array of an earlier trace has been kept, and is used again")
    if function in PRIMITIVES and not is_own(function) and inspect.isfunction(function):
        return _user_primitive(function, args, kwargs, writer)
    out = function(*_replaced(args, _value), **_replaced(kwargs, _value))
    if function in _FACTS:
        return out
    return _written(writer, function, _replaced(args, _variable), _replaced(kwargs, _variable), out)


def _value(x: Traced) -> Any:
    return x._data


def _variable(x: Traced) -> Any:
    return x._variable


def _written(writer, function, args, kwargs, out):
    if isinstance(out, (np.ndarray, np.generic)):
        return Traced(out, writer.write(function, args, kwargs, out), writer)
    if isinstance(out, (tuple, list)):
        whole = writer.write(function, args, kwargs, out)
        parts = [_written(writer, operator.getitem, (whole, k), {}, part) for k, part in enumerate(out)]
        return type(out)(*parts) if hasattr(out, "_fields") else type(out)(parts)
    raise TracedValueError(
        f"{full_name(function)} of a traced array gives {out!r}, a plain value, and a program that was written down "
        "once cannot follow what is done with it: choose with np.where"
    )


def _user_primitive(function, args, kwargs, writer):
    """The NumPy calls that a user's primitive is made of; where it does what only plain arrays can, the call itself."""
    values, op, mark = PRIMITIVES[function].bind(*args, **kwargs), PRIMITIVES[function], writer.mark()
    try:
        out = inspect.unwrap(function)(*values)
        if isinstance(out, Traced):
            return out
    except (TypeError, ValueError):
        pass
    writer.forget(mark)
    out = np.asarray(op.fn(*_replaced(values, _value)))
    return _written(writer, function, _replaced(values, _variable), {}, out)


class Traced(Open):
    """An array of numbers that is a variable of a program: what is computed with it is written down by ``writer``.

    The writer has ``write(function, args, kwargs, value)``, which returns the variable of a new call, and ``mark()``
    and ``forget(mark)``, which drop calls.
    """

    __slots__ = ("_variable", "_writer")

    def __init__(self, value: Any, variable: Any, writer: Any) -> None:
        self._data = value
        self._variable = variable
        self._writer = writer
        self._level = 0

    ask = staticmethod(call)

    @staticmethod
    def outranked(args: Any) -> bool:
        """Whether one of the operands is a tensor, or hides an axis."""
        return any(isinstance(x, (Recorded, Hidden)) and not isinstance(x, Traced) for x in args)

    def call(self, function: Callable[..., Any], args: Any) -> Any:
        """What a function gives for arguments among which this array is."""
        above = carriers_inside(args)
        return above[0].call(function, args) if above else call(function, args, {})

    @property
    def variable(self) -> Any:
        """The variable of the program that stands for the array."""
        return self._variable

    @property
    def writer(self) -> Any:
        """What writes down the calls that are made on the array."""
        return self._writer

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of the elements."""
        return self._data.dtype

    def described(self) -> str:
        """The array as a message shows it."""
        name = getattr(self._variable, "name", None)
        return f"{f'`{name}`, ' if name else ''}a traced array {self.shape} {self.dtype}"

    def __repr__(self) -> str:
        return f"<Traced {self._variable!r} {self.shape} {self.dtype}>"

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if self.outranked(inputs):
            return NotImplemented
        out = kwargs.pop("out", None)
        if out is not None and any(array is not None for array in out):
            raise NotDifferentiableError(
                f"np.{ufunc.__name__}: a plain array cannot take {self.described()} in place, since the program would "
                "not show it. Write `a = a + x` for `a += x`, and use the result instead of out=."
            )
        if method == "__call__":
            return call(ufunc, inputs, kwargs)
        if method == "at":
            raise NotDifferentiableError(f"np.{ufunc.__name__}.at writes into an array: use x.at[index].add(values).")
        known = {"reduce": REDUCE, "accumulate": ACCUMULATE}.get(method, {}).get(ufunc)
        if known is not None and not is_own(known):
            kwargs = {"axis": 0, **{key: value for key, value in kwargs.items() if value is not None or key == "axis"}}
            return call(known, inputs, kwargs)
        return call(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        if any(issubclass(cls, Recorded) for cls in types):
            return NotImplemented
        if any(issubclass(cls, Carrier) for cls in types):
            return NotImplemented
        if kwargs.get("out") is not None:
            raise NotDifferentiableError(f"{full_name(function)}: out= is not supported here: use the result.")
        return call(function, args, kwargs)

    def __array__(self, dtype=None, copy=None):
        raise TracedValueError(
            f"{self.described()} cannot become a plain array, since what is computed from it would be lost to the "
            "program: use NumPy's functions on it as it is (np.stack for np.array of several; np.eye(k)[i] for one-hot "
            "rows; where a is a plain array that was made elsewhere and i a traced one, tg.nn.embedding(a, i) or "
            "tg.Tensor(a)[i] for a[i])"
        )

    def refuse_number(self, what: str) -> Any:
        """Raise, since the program is to hold for other numbers, too."""
        raise TracedValueError(
            f"{what} of {self.described()}: the program is written down once, for all values, so there is no one value "
            "to go by. Choose element by element with np.where(condition, x, y), and do what needs plain numbers "
            "outside of the function."
        )

    def __setitem__(self, index, value):
        raise TracedValueError(
            f"{self.described()} cannot be assigned into, since a program of NumPy calls would not show it: make a new "
            "one, `x = x.at[index].set(value)`, or `.add`"
        )


class Constant(np.ndarray[Any, Any]):
    """A plain array of the user's function that takes traced arrays as its index: ``np.eye(k)[labels]``."""

    def __getitem__(self, index):
        if any(isinstance(data_of(part), Traced) for part in (index if isinstance(index, tuple) else (index,))):
            return call(operator.getitem, (np.asarray(self), _replaced_tensors(index)), {})
        return super().__getitem__(index)


def _replaced_tensors(index):
    return tuple([data_of(part) for part in index]) if isinstance(index, tuple) else data_of(index)
