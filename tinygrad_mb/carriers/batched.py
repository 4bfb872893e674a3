"""``Batched``: an array of examples that shows the shape of one of them.

The hidden axis is the first of the numbers inside.  What a function does on such arrays is one rule in the table
``BATCHING``; no derivative has a rule there, since derivative rules are made of these functions.  Composites need none
either, and any other function is called for each example in turn.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from operator import itemgetter
from typing import Any

import numpy as np

from ..autodiff import Hidden
from ..broadcasting import unbroadcast
from ..composites import COMPOSITES
from ..errors import WHERE_HIDDEN, NotDifferentiableError, ShapeError
from ..numpy_api import full_name
from ..vjps.helpers import axes_of
from .hidden import Carrier, Rules, inside, replace

# For NumPy's functions and for primitives of ours: rule(level, *args, **kwargs), which may give up: NotImplemented.
BATCHING: Rules = {}

# The same for all universal functions and their methods, by name: rule(level, ufunc, *args, **kwargs).
UFUNCS: dict[str, Callable[..., Any]] = {}

# They write into arrays or files, and so must not be called for each example.
WRITERS = frozenset((
    np.copyto, np.place, np.put, np.putmask, np.put_along_axis, np.fill_diagonal, np.save, np.savez,
    np.savez_compressed, np.savetxt,
))  # fmt: skip


class Batched(Carrier):
    """An array that hides its first axis, of examples: data (m, ...) as an array of shape (...)."""

    __slots__ = ()
    is_dense = True

    def __init__(self, data: Any, level: int) -> None:
        self._data = data
        self._level = level

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example's array."""
        return self._data.shape[1:]

    @property
    def ndim(self) -> int:
        """The number of visible axes."""
        return self._data.ndim - 1

    @property
    def examples(self) -> int:
        """The length of the hidden axis."""
        return self._data.shape[0]

    def dense(self) -> Batched:
        """The array itself."""
        return self

    def summed(self, level: int) -> Any:
        """The sum over the hidden axis of that level."""
        if level != self._level:
            return Batched(self._data.summed(level), self._level)
        if type(self._data) is np.ndarray:
            return unbroadcast(self._data.reshape(self.examples, self.size), (self.size,)).reshape(self.shape)
        return self._data.sum(axis=0)

    def call_dense(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """What ``function`` does on arrays of this level: by its rule, as a composite, or example by example.

        Raises ``ShapeError`` where the examples' results have different shapes.
        """
        out = NotImplemented
        if (rule := BATCHING.get(function)) is not None:
            out = rule(self._level, *args, **kwargs)
        elif isinstance(function, np.ufunc):
            out = UFUNCS["__call__"](self._level, function, *args, **kwargs)
        elif isinstance(ufunc := getattr(function, "__self__", None), np.ufunc):
            out = UFUNCS[function.__name__](self._level, ufunc, *args, **kwargs)
        if out is NotImplemented and (composite := COMPOSITES.get(function)) is not None:
            with suppress(TypeError, ValueError):  # a case that composites leave to NumPy, or one that NumPy explains
                out = composite(*args, **kwargs)
        return one_by_one(self._level, function, args, kwargs) if out is NotImplemented else out


def at_level(value: Any, level: int) -> bool:
    """Whether an operand hides the axis of this level."""
    return type(value) is Batched and value._level == level


def any_at_level(value: Any, level: int) -> bool:
    """Whether an operand of a nest of arguments hides the axis of this level."""
    return any(x._level == level for x in inside((value,)))


def examples_of(level: int, *values: Any) -> int:
    """The number of examples of the operands that hide the axis of this level."""
    return next(x.examples for x in inside(values) if x._level == level)


def batching(*functions):
    """Enter a rule for what these functions do on ``Batched``."""

    def enter(rule):
        for function in functions:
            BATCHING[function] = rule
        return rule

    return enter


def aligned(level, values, core=None):
    """The operands' numbers, to be broadcast against each other: the axis of examples first, visible axes to the right.

    ``core`` gives the number of each one's last axes that do not broadcast.
    """
    values = [np.asarray(x) if type(x) in (list, tuple) else x for x in values]
    free = [getattr(x, "ndim", 0) for x in values]
    if core is not None:
        free = [ndim - n for ndim, n in zip(free, core, strict=True)]
    most = max(free)
    for k, x in enumerate(values):
        if type(x) is Batched and x._level == level:
            values[k] = x = x._data
            if free[k] < most:
                values[k] = x.reshape((x.shape[0], *(1,) * (most - free[k]), *x.shape[1:]))
    return values


def front(level, x, m):
    """An operand's numbers with the axis of examples in front, also if it hides none."""
    return x._data if at_level(x, level) else np.broadcast_to(x, (m, *np.shape(x)))


def shifted(axis, ndim, meant=axes_of):
    """The places of visible axes in the numbers inside, as a tuple; raises NumPy's ``AxisError``."""
    return tuple([k + 1 for k in meant(axis, ndim)])


def one_by_one(level: int, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """What ``function`` gives for each example in turn, together."""
    if function in WRITERS:
        raise NotDifferentiableError(
            f"{full_name(function)} writes, and {WHERE_HIDDEN} there is no single array to write: use "
            "x.at[index].set(...), np.where, or write after"
        )
    m = examples_of(level, args, kwargs)

    def run(pick: Callable[[Any], Any]) -> Any:
        own = replace((args, kwargs), lambda x: pick(x._data) if x._level == level else x)
        return function(*own[0], **own[1])

    if m == 0:  # the shapes are those of any example, such as one of unit matrices
        one = run(_unit)
        return _together(function, [one], level, lambda leaves: np.broadcast_to(leaves[0], (1, *leaves[0].shape))[:0])
    results = []
    for k in range(m):
        try:
            results.append(run(itemgetter(k)))
        except Exception as error:
            error.add_note(f"(for example {k} of the {m} that are hidden inside vmap or per_example_grads)")
            raise
    return _together(function, results, level, np.stack)


def _unit(data):
    """An example for examples that there are none of."""
    return np.broadcast_to(np.eye(*data.shape[-2:]) if data.ndim > 2 else 1, data.shape[1:]).astype(data.dtype)


def _together(function, results, level, join):
    """The same nest as each of the results, of arrays that hide the axis of examples."""
    first = results[0]
    if first is None or isinstance(first, (str, bytes, type, np.dtype)):
        return first
    if isinstance(first, (tuple, list)):
        for k, result in enumerate(results):
            if len(result) != len(first):
                raise _ragged(function, k, f"{len(first)} and {len(result)} arrays")
        parts = [_together(function, list(part), level, join) for part in zip(*results, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    leaves = [x if isinstance(x, Hidden) else np.asarray(x) for x in results]
    for k, leaf in enumerate(leaves):
        if leaf.shape != leaves[0].shape:
            raise _ragged(function, k, f"arrays of the shapes {leaves[0].shape} and {leaf.shape}")
    return Batched(join(leaves), level)


def _ragged(function, k, what):
    return ShapeError(
        f"{full_name(function)}: {WHERE_HIDDEN}, the examples 0 and {k} give {what}, and all must have one. A shape "
        "that depends on the values (by a mask, by np.nonzero, np.unique) is only possible outside; inside, choose "
        "with np.where(mask, x, 0)."
    )
