"""Passes over programs: what a person would not write is gone, and what is computed twice is computed once."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..vjps import shapes as shape_rules
from .program import Call, Program, Variable, replaced, variables_in
from .sizes import form_of, times

_NUMBERS = (int, float)


class Spread(NamedTuple):
    """What broadcasting makes of a source, a variable or a number; elementwise functions do it themselves."""

    source: Any
    shape: tuple[int, ...]


def simplify(program: Program) -> Program:
    """The same program, less dead code, repeated calls, and calls that change nothing; constants are gathered."""
    found = _Simplifier(program).run()
    return without_dead_code(found)


def without_dead_code(program: Program) -> Program:
    """The same program, less the calls whose results nothing depends on."""
    used = set(program.outputs.values())
    if program.loss is not None:
        used.add(program.loss)
    kept = []
    for call in reversed(program.calls):
        if call.out in used:
            kept.append(call)
            used.update(variables_in((call.args, call.kwargs)))
    program.calls = kept[::-1]
    return program


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
        return (type(value).__name__, *[key_of(part) for part in value])
    if isinstance(value, dict):
        return ("d", *[(k, key_of(value[k])) for k in sorted(value)])
    if isinstance(value, slice):
        return ("s", key_of((value.start, value.stop, value.step)))
    if isinstance(value, np.ndarray):
        return ("a", value.shape, str(value.dtype), value.tobytes())
    if isinstance(value, (int, float, np.generic)):
        return (type(value).__name__, repr(value))
    return ("o", repr(value))


class _Simplifier:
    """Goes through the calls in order; ``now`` says what each variable has become."""

    def __init__(self, program: Program) -> None:
        self.old = program
        self.calls: list[Call] = []
        self.now: dict[Variable, Any] = {}
        self.made: dict[Any, Variable] = {}
        self.by_out: dict[Variable, Call] = {}
        self.index = max([v.index for v in program.variables()], default=0)

    def run(self) -> Program:
        for call in self.old.calls:
            args, kwargs = self._current((call.args, call.kwargs))
            self.now[call.out] = self._call(call.function, args, kwargs, call.out)
        new = Program()
        new.__dict__.update(self.old.__dict__)
        new.calls = self.calls
        assert self.old.loss is not None
        new.outputs = {path: self._solid(v) for path, v in self.old.outputs.items()}
        new.loss = self._solid(self.old.loss)
        for name, known in (("values", self.old.values), ("cotangents", self.old.cotangents)):
            kept = {node: self.now.get(v, v) for node, v in known.items()}
            setattr(new, name, {node: v for node, v in kept.items() if isinstance(v, Variable)})
        return new

    def _current(self, nest: Any) -> Any:
        return replaced(nest, lambda v: self.now.get(v, v))

    # ------------------------------------------------------------------------------------- one call

    def _call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Variable) -> Any:
        """What a call's result is: a variable, a number, or a ``Spread`` of these."""
        if is_elementwise(function) and not kwargs:
            return self._elementwise(function, args, out)
        rule = _RULES.get(function)
        if rule is not None:
            found = rule(self, out, *args, **kwargs)
            if found is not NotImplemented:
                return found
        return self.emit(function, self._filled(args), self._filled(kwargs), out)

    def emit(self, function: Any, args: Any, kwargs: dict[str, Any], out: Variable) -> Variable:
        """The variable of a call: that of an equal call made before, or else of a new one."""
        key = (id(function), key_of(args), key_of(kwargs))
        known = self.made.get(key)
        if known is not None:
            if known.name is None and out.name is not None:
                known.name = out.name
            return known
        self.made[key] = out
        self.calls.append(Call(function, tuple(args), kwargs, out))
        self.by_out[out] = self.calls[-1]
        return out

    def fresh(self, like: Variable, shape: tuple[int, ...], value: Any) -> Variable:
        """A variable for a call that the program did not have."""
        self.index += 1
        return Variable(
            self.index, shape, like.dtype, "cotangent" if like.role == "cotangent" else "value", None, value
        )

    def _filled(self, nest: Any) -> Any:
        """Arguments with arrays in the place of what is to be broadcast."""
        if isinstance(nest, Spread):
            return self._full(nest)
        if isinstance(nest, (tuple, list)):
            return type(nest)([self._filled(part) for part in nest])
        if isinstance(nest, dict):
            return {key: self._filled(part) for key, part in nest.items()}
        return nest

    def _full(self, spread: Spread, like: Variable | None = None) -> Variable:
        source, shape = spread
        if isinstance(source, Variable):
            out = like or self.fresh(source, shape, np.broadcast_to(source.value, [int(n) for n in shape]))
            return self.emit(np.broadcast_to, (source, shape), {}, out)
        value = np.full([int(n) for n in shape], float(source))
        out = like or Variable(self._next_index(), shape, value.dtype, "value", None, value)
        return self.emit(np.full, (shape, source), {}, out)

    def _next_index(self) -> int:
        self.index += 1
        return self.index

    def _solid(self, variable: Variable) -> Variable:
        """What has become of an output, as a variable."""
        found = self.now.get(variable, variable)
        if isinstance(found, Spread):
            found = self._full(found, variable)
        elif not isinstance(found, Variable):
            found = self.emit(np.full, (variable.shape, found), {}, variable)
        if found.name is None:
            found.name = variable.name
        if found.role not in ("parameter", "data"):
            found.role = variable.role
        return found

    # --------------------------------------------------------------------------- element by element

    def _elementwise(self, function: Any, args: tuple[Any, ...], out: Variable) -> Any:
        args = tuple([_plain(a, out) for a in args])
        sources = tuple([a.source if isinstance(a, Spread) else a for a in args])
        shape = broadcast(*[shape_of(a) for a in sources])
        if all(is_number(a) for a in sources) and (number := _folded(function, sources)) is not None:
            return Spread(number, out.shape) if out.shape else number
        if len(shape) == len(out.shape) and all(a == b for a, b in zip(shape, out.shape, strict=True)):
            return self._trimmed(function, sources, out, args)
        if out.dtype is None or not any(isinstance(a, Spread) for a in args):
            return self.emit(function, sources, {}, out)
        values = [a.value if isinstance(a, Variable) else a for a in sources]
        inner = self.fresh(out, shape, function(*values))
        return Spread(self._trimmed(function, sources, inner, sources), out.shape)

    def _trimmed(self, function: Any, args: tuple[Any, ...], out: Variable, spread: tuple[Any, ...]) -> Any:
        """An elementwise call in its simplest form."""
        same = [isinstance(a, Variable) and _equal(a.shape, out.shape) and a.dtype == out.dtype for a in args]
        if function is np.multiply:
            x, y = args
            for number, other, keeps in ((x, y, same[1]), (y, x, same[0])):
                if is_number(number) and form_of(number) is None and keeps:
                    if number == 1:
                        return other
                    if number == -1:
                        return self._trimmed(np.negative, (other,), out, (other,))
            for number, other in ((x, y), (y, x)):
                if is_number(number) and isinstance(other, Variable) and other.name is None:
                    inner = self.by_out.get(other)
                    if inner is not None and inner.function is np.multiply and len(inner.args) == 2:
                        for k in (0, 1):
                            if is_number(inner.args[k]) and (product := times(number, inner.args[k])) is not None:
                                rest = inner.args[1 - k]
                                return self._trimmed(np.multiply, (product, rest), out, (product, rest))
        elif function in (np.add, np.subtract):
            x, y = args
            if is_number(y) and y == 0 and same[0]:
                return x
            if is_number(x) and x == 0 and same[1]:
                return y if function is np.add else self._trimmed(np.negative, (y,), out, (y,))
            if (inner := self._unnamed(y, np.negative)) is not None:
                other = np.subtract if function is np.add else np.add
                return self._trimmed(other, (x, inner.args[0]), out, (x, inner.args[0]))
            if function is np.add and (inner := self._unnamed(x, np.negative)) is not None:
                return self._trimmed(np.subtract, (y, inner.args[0]), out, (y, inner.args[0]))
        elif function is np.divide:
            if is_number(args[1]) and args[1] == 1 and same[0]:
                return args[0]
            if (inner := self._unnamed(args[0], np.sum)) is not None and is_number(args[1]):
                axis = inner.kwargs.get("axis")
                shape = inner.args[0].shape
                count: Any = 1
                for k in range(len(shape)) if axis is None else _tuple(axis):
                    count = None if count is None else times(count, shape[k])
                if count is not None and count == args[1] and form_of(count) == form_of(args[1]):
                    return self.emit(np.mean, inner.args, inner.kwargs, out)
        elif function is np.positive:
            if same[0]:
                return args[0]
        elif function is np.negative:
            if (inner := self._unnamed(args[0], np.negative)) is not None:
                return inner.args[0]
            if (inner := self._unnamed(args[0], np.subtract)) is not None:
                return self.emit(np.subtract, inner.args[::-1], {}, out)
        return self.emit(function, args, {}, out)

    def _unnamed(self, value: Any, function: Any) -> Call | None:
        """The call that made a variable, if it is of this function and its result has no name."""
        if not isinstance(value, Variable) or value.name is not None:
            return None
        call = self.by_out.get(value)
        return call if call is not None and call.function is function else None

    def view(self, function: Any, args: tuple[Any, ...], out: Variable, source: Any) -> Any:
        """A call that only moves elements: what it makes of a number is that number."""
        if isinstance(source, Spread) and not isinstance(source.source, Variable):
            return Spread(source.source, out.shape)
        if isinstance(source, Spread) and source.source.shape == ():
            return Spread(source.source, out.shape)
        if isinstance(source, Variable) and source.dtype == out.dtype and _equal(source.shape, out.shape):
            if function in (np.reshape, np.broadcast_to):
                return source
        return self.emit(function, self._filled(args), {}, out)


def _equal(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether shapes are equal, for every number of examples."""
    return len(a) == len(b) and all(x == y and form_of(x) == form_of(y) for x, y in zip(a, b, strict=True))


def _plain(value: Any, out: Variable) -> Any:
    """A NumPy scalar as a plain number, where that leaves the result's dtype as it is."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (np.floating, np.integer)) and (value.dtype == out.dtype or out.dtype == np.float64):
        return value.item()
    return value


_FOLDS: dict[Any, Callable[[Any, Any], Any]] = {
    np.add: operator.add, np.subtract: operator.sub, np.divide: operator.truediv, np.power: operator.pow,
}  # fmt: skip


def _folded(function: Any, numbers: tuple[Any, ...]) -> Any:
    """The value of a call on numbers; None where it is not to be computed in advance."""
    if function is np.multiply:
        return times(*numbers)
    if any(form_of(n) is not None for n in numbers):
        return None
    if function is np.negative:
        return -numbers[0]
    fold = _FOLDS.get(function)
    return None if fold is None or (function is np.divide and numbers[1] == 0) else fold(*numbers)


# -------------------------------------------------------------------------------- rules by function


def _ones(self: _Simplifier, out: Variable, shape: Any, dtype: Any = None) -> Any:
    return 1.0 if tuple(shape) == () else NotImplemented


def _broadcast_to(self: _Simplifier, out: Variable, array: Any, shape: Any) -> Any:
    if isinstance(array, Variable) and _equal(array.shape, out.shape):
        return array
    return Spread(array.source if isinstance(array, Spread) else array, out.shape)


def _reshape(self: _Simplifier, out: Variable, a: Any, shape: Any) -> Any:
    if isinstance(a, Variable):
        if _equal(a.shape, out.shape):
            return a
        if (inner := self._unnamed(a, np.reshape)) is not None:
            return _reshape(self, out, inner.args[0], shape)
        if (index := _new_axes(a.shape, out.shape)) is not None:
            return self.emit(operator.getitem, (a, index), {}, out)
    elif not isinstance(a, Spread):
        return Spread(a, out.shape) if out.shape else a
    return self.view(np.reshape, (a, out.shape), out, a)


def _new_axes(before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    """The index that only adds axes; None if there is none."""
    index: list[Any] = []
    rest = list(before)
    for n in after:
        if rest and _equal((rest[0],), (n,)):
            rest.pop(0)
            index.append(slice(None))
        elif n == 1:
            index.append(None)
        else:
            return None
    return None if rest else tuple(index)


def _transpose(self: _Simplifier, out: Variable, a: Any, axes: Any = None) -> Any:
    if isinstance(a, Variable):
        if len(a.shape) < 2:
            return a
        if axes is not None and tuple(axes) == tuple(range(len(a.shape)))[::-1]:
            axes = None
        if axes is None and (inner := self._unnamed(a, np.transpose)) is not None and len(inner.args) == 1:
            return inner.args[0]
        return self.emit(np.transpose, (a,) if axes is None else (a, axes), {}, out)
    return self.view(np.transpose, (a, axes), out, a)


def _swapaxes(self: _Simplifier, out: Variable, a: Any, axis1: int, axis2: int) -> Any:
    ndim = len(out.shape)
    if ndim == 2 and axis1 % 2 != axis2 % 2:
        return _transpose(self, out, a)
    return self.view(np.swapaxes, (a, axis1, axis2), out, a)


def _getitem(self: _Simplifier, out: Variable, x: Any, index: Any) -> Any:
    index = _spelled_out(index, len(shape_of(x)))
    parts = index if isinstance(index, tuple) else (index,)
    only_views = all(part is None or part is Ellipsis or isinstance(part, (slice, int)) for part in parts)
    if isinstance(x, Variable) and only_views:
        trivial = all(part is Ellipsis or part == slice(None) for part in parts)
        if trivial and _equal(x.shape, out.shape):
            return x
        column = self._unnamed(x, np.matmul)
        if (
            column is not None
            and len(parts) == len(x.shape)
            and parts[-1] == 0
            and all(p == slice(None) for p in parts[:-1])
        ):  # (A @ g[..., None])[..., 0] is A @ g
            a, b = column.args
            inner = self._unnamed(b, operator.getitem)
            if inner is not None and len(inner.args[0].shape) == 1 and len(shape_of(a)) >= 2 and b.shape[-1] == 1:
                return self.emit(np.matmul, (a, inner.args[0]), {}, out)
        if None in parts and (added := _new_axes(x.shape, out.shape)) is not None:
            return self.emit(operator.getitem, (x, added), {}, out)
    if only_views:
        return self.view(operator.getitem, (x, index), out, x)
    return NotImplemented


def _spelled_out(index: Any, ndim: int) -> Any:
    """An index with full slices in the place of an ellipsis."""
    parts = index if isinstance(index, tuple) else (index,)
    places = [k for k, part in enumerate(parts) if part is Ellipsis]
    if not places or ndim > 3 or any(isinstance(part, Variable) for part in parts):
        return index
    missing = ndim - sum([part is not None and part is not Ellipsis for part in parts])
    return (*parts[: places[0]], *(slice(None),) * missing, *parts[places[0] + 1 :])


def _astype(self: _Simplifier, out: Variable, x: Any, dtype: Any) -> Any:
    if isinstance(x, Variable) and x.dtype == out.dtype:
        return x
    return NotImplemented


def _sum(self: _Simplifier, out: Variable, a: Any, axis: Any = None, keepdims: bool = False, **other: Any) -> Any:
    if other:
        return NotImplemented
    shape = shape_of(a)
    axes = tuple(range(len(shape))) if axis is None else tuple([k % len(shape) for k in _tuple(axis)])
    if isinstance(a, Variable) and not axes:
        return a
    if isinstance(a, Spread):
        count = math.prod([int(shape[k]) for k in axes])
        sizes: Any = 1
        for k in axes:
            sizes = None if sizes is None else times(sizes, shape[k])
        if sizes is not None and is_number(a.source) and (product := times(a.source, sizes)) is not None:
            return Spread(product, out.shape) if out.shape else product
        if sizes is not None and isinstance(a.source, Variable) and a.source.shape == () and sizes == count:
            value = self.emit(np.multiply, (a.source, sizes), {}, self.fresh(out, (), a.source.value * count))
            return Spread(value, out.shape) if out.shape else value
        a = self._full(a)
    if keepdims and isinstance(a, Variable) and all(shape[k] == 1 for k in axes):
        return a
    simple = None if len(axes) == len(shape) else axes[0] if len(axes) == 1 else axes
    kwargs: dict[str, Any] = {} if simple is None else {"axis": simple}
    if keepdims:
        kwargs["keepdims"] = True
    return self.emit(np.sum, (a,), kwargs, out)


def _tuple(axis: Any) -> tuple[int, ...]:
    return tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)


def _reduction(function: Any) -> Callable[..., Any]:
    def rule(self: _Simplifier, out: Variable, a: Any, **kwargs: Any) -> Any:
        ndim = len(shape_of(a))
        if kwargs.get("axis") is not None and not isinstance(kwargs["axis"], (tuple, list)) and ndim:
            kwargs["axis"] = kwargs["axis"] % ndim
        kept = {k: v for k, v in kwargs.items() if v is not None and v is not False}
        return self.emit(function, self._filled((a,)), kept, out)

    return rule


_RULES: dict[Any, Callable[..., Any]] = {
    np.ones: _ones, np.broadcast_to: _broadcast_to, np.reshape: _reshape, np.transpose: _transpose,
    np.swapaxes: _swapaxes, operator.getitem: _getitem, shape_rules.astype: _astype, np.sum: _sum,
    **{f: _reduction(f) for f in (np.mean, np.max, np.min, np.var, np.std, np.prod, np.argmax)},
}  # fmt: skip
