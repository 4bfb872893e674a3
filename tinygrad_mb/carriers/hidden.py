"""What all arrays with a hidden axis of examples have in common: operators, methods, NumPy's two protocols.

Each call becomes ``call(function, args, kwargs)``, with a NumPy function or a primitive of ours.  Of several hidden
axes the innermost, that of the highest level, is dealt with first; rules compute with ``._data`` by ordinary NumPy
calls, which the next carrier in there, if any, answers in its turn.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..autodiff import Recorded
from ..errors import WHERE_HIDDEN, HiddenAxisError, NotDifferentiableError, describe
from ..numpy_api import ACCUMULATE, REDUCE, full_name
from .operators import Operators

Rules = dict[Callable[..., Any], Callable[..., Any]]
_NESTS = frozenset((tuple, list, dict))


def inside(value: Any, found: list[Carrier] | None = None) -> list[Carrier]:
    """The carriers in a nest of arguments."""
    found = [] if found is None else found
    for part in value.values() if type(value) is dict else value:
        if isinstance(part, Carrier):
            found.append(part)
        elif type(part) in _NESTS:
            inside(part, found)
    return found


def replace(value: Any, new: Callable[[Carrier], Any]) -> Any:
    """The same nest of arguments with ``new(carrier)`` in the place of each carrier."""
    if isinstance(value, Carrier):
        return new(value)
    if type(value) in (tuple, list):
        return type(value)([replace(part, new) for part in value])
    if type(value) is dict:
        return {key: replace(part, new) for key, part in value.items()}
    return value


def call(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """``function(*args, **kwargs)`` where a carrier is among the arguments.

    A structured carrier answers by the rules of its class; where it has none, or the rule gives up with
    ``NotImplemented``, all of the level become dense, which is always right.
    """
    found = inside(args)
    if kwargs:
        if "out" in kwargs:
            _refuse_out(function, args, kwargs.pop("out"))
        inside(kwargs, found)
    level, structured = 0, False
    for x in found:
        if x._level > level:
            level, innermost = x._level, x
    for x in found:
        if not x.is_dense and x._level == level:
            structured = True
            if (rule := x.rules.get(function)) is not None:
                out = rule(*args, **kwargs)
                if out is not NotImplemented:
                    return out
    if structured:
        args, kwargs = replace((args, kwargs), lambda x: x.dense() if x._level == level else x)
        innermost = next(x for x in inside((args, kwargs)) if x._level == level)
    return innermost.call_dense(function, args, kwargs)


def _refuse_out(function: Any, args: Any, out: Any) -> None:
    outs = out if isinstance(out, tuple) else (out,)
    if all(array is None for array in outs):
        return
    if args and any(array is args[0] for array in outs):
        raise NotDifferentiableError(
            f"{full_name(function)}: an array that is the same for all examples cannot take {describe(inside(args)[0])}"
            " in place, which is another one for each. Write `a = a + x` for `a += x`."
        )
    raise NotDifferentiableError(f"{full_name(function)}: out= is not supported {WHERE_HIDDEN}: use the result.")


class Carrier(Operators):
    """An array that hides an axis of examples: ``shape`` and all that follows from it are those of one example.

    _data   the numbers, in the layout of the subclass
    _level  which of several nested hidden axes it is: the higher, the further inside
    """

    __slots__ = ()
    rules: ClassVar[Rules] = {}
    is_dense: ClassVar[bool] = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example's array."""
        raise NotImplementedError

    @property
    def examples(self) -> int:
        """The length of the hidden axis."""
        raise NotImplementedError

    ask = staticmethod(call)

    @staticmethod
    def outranked(args: Any) -> bool:
        """Whether one of the operands is a tensor."""
        return any(isinstance(x, Recorded) for x in args)

    def call(self, function: Callable[..., Any], args: Any) -> Any:
        """What a function gives for arguments among which this array is."""
        return call(function, args, {})

    def dense(self) -> Any:
        """The same as a ``Batched``."""
        raise NotImplementedError

    def summed(self, level: int) -> Any:
        """The sum over the hidden axis of that level."""
        return self.dense().summed(level)

    def call_dense(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """What ``function`` does where all carriers of this level are dense."""
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
        return math.prod(self.shape)

    def described(self) -> str:
        """The array as a message shows it."""
        return f"an array {self.shape} {self.dtype} with a hidden axis of {self.examples} examples"

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.shape} {self.dtype}, {self.examples} examples hidden at level {self._level}>"
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if self.outranked(inputs):
            return NotImplemented
        if method == "__call__":
            return call(ufunc, inputs, kwargs)
        if method == "at":
            raise NotDifferentiableError(f"np.{ufunc.__name__}.at writes into an array: use x.at[index].add(values).")
        known = {"reduce": REDUCE, "accumulate": ACCUMULATE}.get(method, {}).get(ufunc)
        if known is not None and kwargs.keys() <= {"axis", "keepdims"}:
            return call(known, inputs, {"axis": 0, **kwargs})
        return call(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        if any(issubclass(cls, Recorded) for cls in types):
            return NotImplemented
        return call(function, args, kwargs)

    def __array__(self, dtype=None, copy=None):
        raise HiddenAxisError(
            f"{self.described()} cannot become a plain array: {WHERE_HIDDEN} use NumPy's functions on it as it is, and "
            "do what needs plain arrays before or after. For np.array of several there is np.stack; where a is a plain "
            "array and i hides an axis, tg.nn.embedding(a, i) for a[i] and np.take(a, i, axis=0), tg.Tensor(a)[:, i] "
            "for a[:, i] and np.take(a, i, axis=1).",
            self,
        )

    def refuse_number(self, what: str) -> Any:
        """Raise, since there is another number for each example."""
        raise HiddenAxisError(
            f"{what} of {self.described()}: {WHERE_HIDDEN} a line runs once for all of them, so there is no one value. "
            "Choose for each example with np.where(condition, x, y), or x[i] with an integer of its own, and do what "
            "needs plain numbers before or after.",
            self,
        )

    def __setitem__(self, index, value):
        raise HiddenAxisError(
            f"{self.described()} cannot be assigned into: make a new one, `x = x.at[index].set(value)`, or `.add`",
            self,
        )
