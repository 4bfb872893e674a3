"""What a tensor has in common with every array: its shape, plain numbers, comparisons, NumPy's functions as methods."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import operator
from typing import Any, Self

import numpy as np

from . import errors
from .autodiff import Recorded, data_of

Axis = int | tuple[int, ...] | None
Array = np.ndarray[Any, Any]

_np: Any = np  # NumPy's functions of tensors return tensors, which its type stubs do not know


class Methods:
    """NumPy's functions as methods, of whatever NumPy's functions take."""

    __slots__ = ()

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        """The array with two axes exchanged."""
        return _np.swapaxes(self, axis1, axis2)

    @property
    def mT(self) -> Self:
        """The array with its last two axes exchanged."""
        return self.swapaxes(-1, -2)

    def ravel(self) -> Self:
        """All elements along one axis."""
        return _np.reshape(self, -1)

    flatten = ravel

    def squeeze(self, axis: Axis = None) -> Self:
        """The array without its axes of size one."""
        return _np.squeeze(self, axis)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The product of all elements, or along axes."""
        return _np.prod(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The largest element; elements that tie share the gradient evenly."""
        return _np.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Self:
        """The smallest element; elements that tie share the gradient evenly."""
        return _np.min(self, axis=axis, keepdims=keepdims)

    def var(self, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Self:
        """The variance, divided by the count less ``ddof``."""
        return _np.var(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Self:
        """The standard deviation, divided by the count less ``ddof``."""
        return _np.std(self, axis=axis, ddof=ddof, keepdims=keepdims)

    def cumsum(self, axis: int | None = None) -> Self:
        """The running sum."""
        return _np.cumsum(self, axis)

    def cumprod(self, axis: int | None = None) -> Self:
        """The running product."""
        return _np.cumprod(self, axis)

    def clip(self, min: Any = None, max: Any = None) -> Self:
        """The array with its elements limited to an interval."""
        return _np.clip(self, min, max)

    def take(self, indices: Any, axis: int | None = None) -> Self:
        """Elements, or slices along an axis, by their indices."""
        return _np.take(self, indices, axis)

    def repeat(self, repeats: Any, axis: int | None = None) -> Self:
        """Each element, or slice along an axis, several times in a row."""
        return _np.repeat(self, repeats, axis)

    def dot(self, other: Any) -> Self:
        """NumPy's dot product."""
        return _np.dot(self, other)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """The index of the largest element; of a tensor, as plain integers."""
        return _np.argmax(self, axis=axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """The index of the smallest element."""
        return _np.argmin(self, axis=axis, keepdims=keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Any:
        """Whether any element is not zero."""
        return _np.any(self, axis=axis, keepdims=keepdims)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Any:
        """Whether all elements are not zero."""
        return _np.all(self, axis=axis, keepdims=keepdims)


class ArrayLike(Methods, Recorded):
    """The part of ``Tensor`` that knows nothing of graphs: comparisons and the rest give plain arrays."""

    __slots__ = ()

    # ------------------------------------------------------------------- facts, and plain numbers

    @property
    def shape(self) -> tuple[int, ...]:
        """The size along each axis."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of the elements."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._data.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self._data.size)

    def numpy(self) -> Array:
        """A copy of the values, which may be changed at will."""
        return np.array(self._data)

    def item(self) -> float:
        """The only element, as a Python number; raises ``ValueError`` if there are more."""
        if self._data.size != 1:
            raise ValueError(f"item() wants one element, and {errors.describe(self, 'this tensor')} has {self.size}")
        return self._data.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self._data.tolist()

    def __len__(self) -> int:
        if self.shape == ():
            raise TypeError("len() of a tensor without axes")
        return self.shape[0]

    def __contains__(self, value: Any) -> bool:
        return value in self._data

    def __float__(self) -> float:
        number = self.item()
        if self._node is not None and self._node.plan is not None:
            errors.warn_if_number_loses_gradient(self)
        return float(number)

    def __round__(self, ndigits: int | None = None) -> float:
        return round(self.item(), ndigits)

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self._data.item() if self.shape == () else self._data)

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise ValueError(
                f"the truth value of {errors.describe(self, 'a tensor')} is ambiguous: a branch needs one number. "
                "Use np.where(condition, x, y) to choose element by element, or .any() or .all()."
            )
        return bool(self._data)

    @property
    def _mask(self) -> Any:  # what masked arrays ask their other operand for
        raise errors.NotDifferentiableError(
            f"{errors.describe(self, 'a tensor')} does not combine with masked arrays, since the derivative would be "
            "lost: use np.where with the mask instead"
        )

    # -------------------------------------------------------------------------------- comparisons

    def __eq__(self, other: Any) -> Any:
        return self._data == data_of(other)

    def __ne__(self, other: Any) -> Any:
        return self._data != data_of(other)

    def __lt__(self, other: Any) -> Any:
        return self._data < data_of(other)

    def __le__(self, other: Any) -> Any:
        return self._data <= data_of(other)

    def __gt__(self, other: Any) -> Any:
        return self._data > data_of(other)

    def __ge__(self, other: Any) -> Any:
        return self._data >= data_of(other)

    __hash__ = object.__hash__

    def __floordiv__(self, other: Any) -> Self:
        return _np.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Self:
        return _np.floor_divide(other, self)

    def __divmod__(self, other: Any) -> tuple[Self, Self]:
        return _np.divmod(self, other)


class _Missing:
    """A method of NumPy's arrays that there is not: it says what to write.

    NB: ``__getattr__`` would do for all of them at once, and make every look-up of an attribute a third slower.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        name = self._name
        raise AttributeError(f"a {owner.__name__} has no .{name}: write np.{name}(x) for x.{name}")


for _name in dir(_np.ndarray):
    if _name[0] != "_" and callable(getattr(_np, _name, None)) and not hasattr(ArrayLike, _name):
        setattr(Methods, _name, _Missing(_name))
