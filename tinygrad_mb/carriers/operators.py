"""Operators and methods of arrays that answer NumPy's functions: each is a call of one of them."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arraylike import Methods
from ..at import At
from ..autodiff import Hidden
from ..vjps import shapes
from ..vjps.indexing import freeze


def _binary(function):
    def forward(self, other):
        return NotImplemented if self.outranked((other,)) else self.ask(function, (self, other), {})

    def reflected(self, other):
        return NotImplemented if self.outranked((other,)) else self.ask(function, (other, self), {})

    return forward, reflected


def _unary(function):
    return lambda self: self.ask(function, (self,), {})


def _number(what):
    return lambda self, *args: self.refuse_number(what)


class Operators(Methods, Hidden):
    """What all carriers have: ``ask`` computes a function, unless an operand is ``outranked`` by another kind."""

    __slots__ = ()

    @staticmethod
    def ask(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """What a function gives for arguments with such an array among them."""
        raise NotImplementedError

    @staticmethod
    def outranked(args: Any) -> bool:
        """Whether one of the operands has to answer instead."""
        raise NotImplementedError

    def refuse_number(self, what: str) -> Any:
        """Raise, since there is no plain number to be had where one is asked for."""
        raise NotImplementedError

    @property
    def at(self):
        """Functional assignment: ``x.at[index].set(v)`` and ``x.at[index].add(v)`` give new arrays."""
        return At(self)

    __add__, __radd__ = _binary(np.add)
    __sub__, __rsub__ = _binary(np.subtract)
    __mul__, __rmul__ = _binary(np.multiply)
    __truediv__, __rtruediv__ = _binary(np.divide)
    __floordiv__, __rfloordiv__ = _binary(np.floor_divide)
    __mod__, __rmod__ = _binary(np.remainder)
    __divmod__, __rdivmod__ = _binary(np.divmod)
    __pow__, __rpow__ = _binary(np.power)
    __matmul__, __rmatmul__ = _binary(np.matmul)
    __and__, __rand__ = _binary(np.bitwise_and)
    __or__, __ror__ = _binary(np.bitwise_or)
    __xor__, __rxor__ = _binary(np.bitwise_xor)
    __lshift__, __rlshift__ = _binary(np.left_shift)
    __rshift__, __rrshift__ = _binary(np.right_shift)
    __lt__ = _binary(np.less)[0]
    __le__ = _binary(np.less_equal)[0]
    __gt__ = _binary(np.greater)[0]
    __ge__ = _binary(np.greater_equal)[0]
    __eq__ = _binary(np.equal)[0]
    __ne__ = _binary(np.not_equal)[0]
    __hash__ = object.__hash__
    __bool__ = _number("the truth value")
    __float__ = _number("float()")
    __int__ = _number("int()")
    __index__ = _number("the integer")
    __complex__ = _number("complex()")
    __round__ = _number("round()")
    __contains__ = _number("`in`")
    item = _number(".item()")
    tolist = _number(".tolist()")
    numpy = _number(".numpy()")
    __neg__ = _unary(np.negative)
    __pos__ = _unary(np.positive)
    __abs__ = _unary(np.absolute)
    __invert__ = _unary(np.invert)

    def __format__(self, spec):
        return self.refuse_number("formatting") if spec else repr(self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __iter__(self):
        if not self.shape:
            raise TypeError("iteration over an array without axes")
        return (self[i] for i in range(self.shape[0]))

    def __getitem__(self, index):
        return self.ask(operator.getitem, (self, freeze(index)), {})

    @property
    def T(self):
        """The array with its axes in reverse order."""
        return self.ask(np.transpose, (self,), {})

    def reshape(self, *shape):
        """The same elements in another shape; one size may be -1."""
        return self.ask(np.reshape, (self, shape[0] if len(shape) == 1 else shape), {})

    def transpose(self, *axes):
        """The array with its axes in the given order."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return self.ask(np.transpose, (self, order), {})

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """The array in another dtype."""
        return self.ask(shapes.astype, (self, dtype), {})

    def copy(self):
        """The same array."""
        return +self

    def sum(self, axis=None, keepdims=False):
        """The sum over all elements, or along axes."""
        return self.ask(np.sum, (self,), {"axis": axis, "keepdims": keepdims})

    def mean(self, axis=None, keepdims=False):
        """The mean over all elements, or along axes."""
        return self.ask(np.mean, (self,), {"axis": axis, "keepdims": keepdims})


class Open(Operators):
    """What carriers have that hide nothing: numbers ``_data`` in one array of the shape that they show."""

    __slots__ = ()

    def dense(self) -> Any:
        """The array itself."""
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each axis."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size
