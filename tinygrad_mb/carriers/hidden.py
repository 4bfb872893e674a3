"""What all arrays with a hidden axis of examples have in common: operators, methods, NumPy's two protocols.

Each call becomes ``call(function, args, kwargs)``, with a NumPy function or a primitive of ours.  Of several hidden
axes the innermost, that of the highest level, is dealt with first; rules compute with ``._data`` by ordinary NumPy
calls, which the next carrier in there, if any, answers in its turn.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from ..autodiff import Hidden, Recorded
from ..vjps import shapes

Rules = dict[Callable[..., Any], Callable[..., Any]]


def inside(value: Any) -> Iterator[Hidden]:
    """The carriers in a nest of arguments."""
    if isinstance(value, Hidden):
        yield value
    elif type(value) in (tuple, list):
        for part in value:
            yield from inside(part)
    elif type(value) is dict:
        yield from inside(list(value.values()))


def replace(value: Any, new: Callable[[Hidden], Any]) -> Any:
    """The same nest of arguments with ``new(carrier)`` in the place of each carrier."""
    if isinstance(value, Hidden):
        return new(value)
    if type(value) in (tuple, list):
        return type(value)([replace(part, new) for part in value])
    if type(value) is dict:
        return {key: replace(part, new) for key, part in value.items()}
    return value


def call(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """``function(*args, **kwargs)`` where a carrier is among the arguments.

    A structured carrier answers by the rules of its class; where it has none, or the rule gives up with
    ``NotImplemented``, all of the level become dense, which is always right.
    """
    found = list(inside((args, kwargs)))
    level = max([x._level for x in found])
    for x in found:
        if x._level == level and (rule := type(x).rules.get(function)) is not None:
            out = rule(*args, **kwargs)
            if out is not NotImplemented:
                return out
    args, kwargs = replace((args, kwargs), lambda x: x.dense() if x._level == level else x)
    return next(x for x in inside((args, kwargs)) if x._level == level).call_dense(function, args, kwargs)


def _binary(function):
    def forward(self, other):
        return NotImplemented if isinstance(other, Recorded) else call(function, (self, other), {})

    def reflected(self, other):
        return NotImplemented if isinstance(other, Recorded) else call(function, (other, self), {})

    return forward, reflected


def _unary(function):
    return lambda self: call(function, (self,), {})


class Carrier(Hidden):
    """An array that hides an axis of examples: ``shape`` and all that follows from it are those of one example.

    _data   the numbers, in the layout of the subclass
    _level  which of several nested hidden axes it is: 1 for the outermost
    """

    __slots__ = ()
    rules: ClassVar[Rules] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example's array."""
        raise NotImplementedError

    @property
    def examples(self) -> int:
        """The length of the hidden axis."""
        raise NotImplementedError

    def dense(self) -> Any:
        """The same as a ``Batched``."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of the elements."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of visible axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements of one example's array."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if any(isinstance(x, Recorded) for x in inputs):
            return NotImplemented
        if method == "__call__":
            return call(ufunc, inputs, kwargs)
        return call(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        if any(issubclass(cls, Recorded) for cls in types):
            return NotImplemented
        return call(function, args, kwargs)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("an array with a hidden axis of examples cannot become a plain array")

    __add__, __radd__ = _binary(np.add)
    __sub__, __rsub__ = _binary(np.subtract)
    __mul__, __rmul__ = _binary(np.multiply)
    __truediv__, __rtruediv__ = _binary(np.divide)
    __floordiv__, __rfloordiv__ = _binary(np.floor_divide)
    __mod__, __rmod__ = _binary(np.remainder)
    __pow__, __rpow__ = _binary(np.power)
    __matmul__, __rmatmul__ = _binary(np.matmul)
    __and__, __rand__ = _binary(np.bitwise_and)
    __or__, __ror__ = _binary(np.bitwise_or)
    __xor__, __rxor__ = _binary(np.bitwise_xor)
    __lt__, __gt__ = _binary(np.less)
    __le__, __ge__ = _binary(np.less_equal)
    __eq__ = _binary(np.equal)[0]  # type: ignore[assignment]
    __ne__ = _binary(np.not_equal)[0]  # type: ignore[assignment]
    __hash__ = object.__hash__
    __neg__ = _unary(np.negative)
    __pos__ = _unary(np.positive)
    __abs__ = _unary(np.absolute)
    __invert__ = _unary(np.invert)

    def __getitem__(self, index):
        return call(operator.getitem, (self, index), {})

    @property
    def T(self):
        """The array with its visible axes in reverse order."""
        return call(np.transpose, (self,), {})

    def reshape(self, *shape):
        """The same elements in another shape; one size may be -1."""
        return call(np.reshape, (self, shape[0] if len(shape) == 1 else shape), {})

    def transpose(self, *axes):
        """The array with its visible axes in the given order."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return call(np.transpose, (self, order), {})

    def swapaxes(self, axis1, axis2):
        """The array with two axes exchanged."""
        return call(np.swapaxes, (self, axis1, axis2), {})

    def astype(self, dtype, copy=True):
        """The array in another dtype."""
        return call(shapes.astype, (self, dtype), {})

    def sum(self, axis=None, keepdims=False):
        """The sum over all elements, or along axes."""
        return call(np.sum, (self,), {"axis": axis, "keepdims": keepdims})

    def mean(self, axis=None, keepdims=False):
        """The mean over all elements, or along axes."""
        return call(np.mean, (self,), {"axis": axis, "keepdims": keepdims})
