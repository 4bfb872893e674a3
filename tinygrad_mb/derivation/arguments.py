"""Arguments of calls, as passes see them: numbers, variables, and what broadcasting makes of these."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..primitives import PRIMITIVES, is_own
from ..vjps import indexing
from .program import Call, Variable
from .sizes import form_of, over, times

_NUMBERS = (int, float)


class Spread(NamedTuple):
    """What broadcasting makes of a source, a variable or a number; elementwise functions do it themselves."""

    source: Any
    shape: tuple[int, ...]


def is_number(value: Any) -> bool:
    """Whether an argument is a plain number."""
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an argument."""
    return tuple(getattr(value, "shape", ()))


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """What shapes broadcast to; a size that follows the number of examples stays one."""
    ndim = max([len(shape) for shape in shapes], default=0)
    wide = [(1,) * (ndim - len(shape)) + shape for shape in shapes]
    return tuple([next((n for n in sizes if n != 1), 1) for sizes in zip(*wide, strict=True)])


def is_elementwise(function: Any) -> bool:
    """Whether a function broadcasts its arguments, and computes element by element."""
    return (isinstance(function, np.ufunc) and function.signature is None) or function in (np.where, np.clip)


def key_of(value: Any) -> Any:
    """A hashable value, equal for equal arguments."""
    if isinstance(value, Variable):
        return ("v", id(value))
    if isinstance(value, (tuple, list)):
        return ("t", *[key_of(part) for part in value])
    if isinstance(value, dict):
        return ("d", *[(k, key_of(value[k])) for k in sorted(value)])
    if isinstance(value, slice):
        return ("s", key_of((value.start, value.stop, value.step)))
    if isinstance(value, np.ndarray):
        return ("a", value.shape, str(value.dtype), value.tobytes())
    if isinstance(value, (int, float, np.generic)):
        return (type(value).__name__, repr(value))
    return ("o", repr(value))


def same_shape(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether shapes are equal, for every number of examples."""
    return len(a) == len(b) and all(x == y and form_of(x) == form_of(y) for x, y in zip(a, b, strict=True))


def plain(value: Any, out: Variable) -> Any:
    """A NumPy scalar as a plain number, where that leaves the result's dtype as it is."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (np.floating, np.integer)) and (value.dtype == out.dtype or out.dtype == np.float64):
        return value.item()
    return value


def keeps(x: Any, out: Variable) -> bool:
    """Whether an operand has the result's shape and dtype."""
    return isinstance(x, (Variable, np.ndarray)) and same_shape(x.shape, out.shape) and x.dtype == out.dtype


def added_up(call: Call) -> list[int]:
    """The sizes of the axes that a call sums (or takes the mean) over; none for calls that do no such thing."""
    function, args = call.function, call.args
    if function in (np.sum, np.mean):
        shape = shape_of(args[0])
        axis = call.kwargs.get("axis", args[1] if len(args) > 1 else None)
        return [shape[k] for k in (range(len(shape)) if axis is None else as_tuple(axis))]
    if function in (np.matmul, np.dot):
        a, b = map(shape_of, args[:2])
        return [*a[-1:], *b[-2:][:1]] if a and b else []
    if function is np.tensordot:
        axes = call.kwargs.get("axes", args[2] if len(args) > 2 else 2)
        first = range(-axes, 0) if isinstance(axes, int) else as_tuple(axes[0])
        second = range(axes) if isinstance(axes, int) else as_tuple(axes[1])
        return [*[shape_of(args[0])[k] for k in first], *[shape_of(args[1])[k] for k in second]]
    if function is np.einsum:  # programs have its subscripts spelled out: no ellipsis, and the result after an arrow
        terms, result = args[0].replace(" ", "").split("->")
        pairs = zip(terms.split(","), args[1:], strict=True)
        return [n for letters, x in pairs for c, n in zip(letters, shape_of(x), strict=True) if c not in result]
    if function is indexing.scatter_add:  # an index array says where each element of its shape is added
        index: Any = call.args[1] if len(call.args) > 1 else call.kwargs["index"]
        kept = [form_of(n) for n in call.out.shape]
        sizes = [n for part in as_tuple(index) for n in shape_of(part)]
        return [n for n in sizes if form_of(n) not in kept]
    return []


_FOLDS: dict[Any, Callable[[Any, Any], Any]] = {
    np.add: operator.add, np.subtract: operator.sub, np.power: operator.pow,
}  # fmt: skip


def folded(function: Any, numbers: tuple[Any, ...]) -> Any:
    """The value of a call on numbers; None where it is not to be computed in advance."""
    if function is np.multiply:
        return times(*numbers)
    if function is np.negative:
        return times(-1, numbers[0])
    if function is np.divide:
        return over(*numbers) if numbers[1] != 0 else None
    if any(form_of(n) is not None for n in numbers):
        return None
    fold = _FOLDS.get(function)
    return None if fold is None else fold(*numbers)


def as_tuple(axis: Any) -> tuple[Any, ...]:
    """One axis, or several, as a tuple."""
    return tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)


_MOST = 100  # elements of an array that is computed in advance


def computed(function: Any, args: Any, kwargs: Any) -> Any:
    """The result of a call on constants alone, at least one of them an array; None for any other call."""
    leaves = list(_leaves((args, kwargs)))
    if any(isinstance(leaf, (Variable, Spread)) or form_of(leaf) is not None for leaf in leaves):
        return None
    if not any(isinstance(leaf, np.ndarray) for leaf in leaves):
        return None
    if function in PRIMITIVES and is_own(function):  # which need arrays in the places of arrays
        arrays = PRIMITIVES[function].arrays
        args = tuple([np.asarray(a) if isinstance(a, float) and k < arrays else a for k, a in enumerate(args)])
    found = function(*args, **kwargs)
    return found if isinstance(found, np.ndarray) and 0 < found.size <= _MOST else None


def _leaves(nest: Any) -> Any:
    if isinstance(nest, Spread) or not isinstance(nest, (tuple, list, dict)):
        yield nest
    else:
        for part in nest.values() if isinstance(nest, dict) else nest:
            yield from _leaves(part)
