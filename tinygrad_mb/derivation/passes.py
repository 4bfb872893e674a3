"""Passes over programs: what a person would not write is gone, and what is computed twice is computed once."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arguments import Spread, broadcast, computed, folded, is_elementwise, is_number, key_of, plain, shape_of
from .merging import drop_parts
from .program import Call, Program, Variable, replaced, variables_in
from .rearranging import RULES
from .sizes import form_of, times
from .trimming import TRIMMED


def simplify(program: Program) -> Program:
    """The same program, less dead code, repeated calls, and calls that change nothing; constants are gathered."""
    found = Simplifier(program).run()
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


class Simplifier:
    """Goes through the calls in order; ``now`` says what each variable has become."""

    def __init__(self, program: Program) -> None:
        self.old = program
        self.calls: list[Call] = []
        self.now: dict[Variable, Any] = {}
        self.made: dict[Any, Variable] = {}
        self.by_out: dict[Variable, Call] = {}
        self.index = max([v.index for v in program.variables()], default=0)

    def run(self) -> Program:
        """The new program."""
        for call in self.old.calls:
            args, kwargs = self._current((call.args, call.kwargs))
            found = self.now[call.out] = self.result(call._replace(args=args, kwargs=kwargs))
            if isinstance(found, Variable) and found.name is None:
                found.name = call.out.name
        new = Program()
        new.__dict__.update(self.old.__dict__)
        new.calls = self.calls
        assert self.old.loss is not None
        new.outputs = {path: self._solid(v) for path, v in self.old.outputs.items()}
        new.loss = self._solid(self.old.loss)
        for name, known in (("values", self.old.values), ("cotangents", self.old.cotangents)):
            kept = {node: self.now.get(v, v) for node, v in known.items()}
            setattr(new, name, {node: v for node, v in kept.items() if isinstance(v, Variable)})
        drop_parts(new)
        return new

    def result(self, call: Call) -> Any:
        """What becomes of a call."""
        return self.simplified(call.function, call.args, call.kwargs, call.out)

    def _current(self, nest: Any) -> Any:
        return replaced(nest, lambda v: self.now.get(v, v))

    # ------------------------------------------------------------------------------------- one call

    def simplified(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Variable) -> Any:
        """What a call's result is: a variable, a number, a ``Spread`` of these, or a constant array."""
        if (constant := computed(function, args, kwargs)) is not None:
            return constant
        if is_elementwise(function) and not kwargs:
            return self._elementwise(function, args, out)
        rule = RULES.get(function)
        if rule is not None:
            found = rule(self, out, *args, **kwargs)
            if found is not NotImplemented:
                return found
        said = {key: value for key, value in kwargs.items() if value is not None or key == "axis"}
        return self.emit(function, self.filled(args), self.filled(said), out)

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

    def make(self, function: Any, args: tuple[Any, ...], like: Variable) -> Any:
        """An elementwise call that the program did not have, in its simplest form."""
        values = [a.value if isinstance(a, Variable) else a for a in args]
        out = self.fresh(like, broadcast(*[shape_of(a) for a in args]), function(*values))
        return self.trimmed(function, args, out)

    def fresh(self, like: Variable, shape: tuple[int, ...], value: Any) -> Variable:
        """A variable for a call that the program did not have."""
        self.index += 1
        return Variable(
            self.index, shape, like.dtype, "cotangent" if like.role == "cotangent" else "value", None, value
        )

    def filled(self, nest: Any) -> Any:
        """Arguments with arrays in the place of what is to be broadcast."""
        if isinstance(nest, Spread):
            return self.full(nest)
        if isinstance(nest, (tuple, list)):
            return type(nest)([self.filled(part) for part in nest])
        if isinstance(nest, dict):
            return {key: self.filled(part) for key, part in nest.items()}
        return nest

    def full(self, spread: Spread, like: Variable | None = None) -> Variable:
        """The variable of a call that makes the array."""
        source, shape = spread
        if isinstance(source, Variable):
            out = like or self.fresh(source, shape, np.broadcast_to(source.value, [int(n) for n in shape]))
            return self.emit(np.broadcast_to, (source, shape), {}, out)
        if isinstance(source, np.ndarray):
            return self.emit(np.broadcast_to, (source, shape), {}, like or self._constant(source, shape))
        value = np.full([int(n) for n in shape], float(source))
        out = like or Variable(self._next_index(), shape, value.dtype, "value", None, value)
        return self.emit(np.full, (shape, source), {}, out)

    def _constant(self, source: Any, shape: tuple[int, ...]) -> Variable:
        value = np.broadcast_to(source, [int(n) for n in shape])
        return Variable(self._next_index(), shape, value.dtype, "value", None, value)

    def _next_index(self) -> int:
        self.index += 1
        return self.index

    def _solid(self, variable: Variable) -> Variable:
        """What has become of an output, as a variable."""
        found = self.now.get(variable, variable)
        if isinstance(found, Spread):
            found = self.full(found, variable)
        elif isinstance(found, np.ndarray):
            found = self.emit(np.array, (found,), {}, variable)
        elif not isinstance(found, Variable):
            found = self.emit(np.full, (variable.shape, found), {}, variable)
        if found.name is None:
            found.name = variable.name
        if found.role not in ("parameter", "data"):
            found.role = variable.role
        return found

    # --------------------------------------------------------------------------- element by element

    def _elementwise(self, function: Any, args: tuple[Any, ...], out: Variable) -> Any:
        args = tuple([plain(a, out) for a in args])
        sources = tuple([a.source if isinstance(a, Spread) else a for a in args])
        shape = broadcast(*[shape_of(a) for a in sources])
        if all(is_number(a) for a in sources) and (number := folded(function, sources)) is not None:
            return Spread(number, out.shape) if out.shape else number
        if len(shape) == len(out.shape) and all(a == b for a, b in zip(shape, out.shape, strict=True)):
            return self.trimmed(function, sources, out)
        if out.dtype is None or not any(isinstance(a, Spread) for a in args):
            return self.emit(function, sources, {}, out)
        return Spread(self.make(function, sources, out), out.shape)

    def trimmed(self, function: Any, args: tuple[Any, ...], out: Variable) -> Any:
        """An elementwise call in its simplest form."""
        simpler = TRIMMED.get(function)
        found = simpler(self, out, *args) if simpler is not None else None
        return self.emit(function, args, {}, out) if found is None else found

    def negated(self, value: Any) -> Any:
        """``x`` where a value is ``-x`` and has no name, or is a negative number; None for others."""
        if is_number(value):
            form = form_of(value)
            return times(-1, value) if (form.factor if form else value) < 0 else None
        call = self.unnamed(value, np.negative)
        return None if call is None else call.args[0]

    def unnamed(self, value: Any, function: Any) -> Call | None:
        """The call that made a variable, if it is of this function and its result has no name."""
        if not isinstance(value, Variable) or value.name is not None:
            return None
        call = self.by_out.get(value)
        return call if call is not None and call.function is function else None

    def view(self, function: Any, args: tuple[Any, ...], out: Variable, source: Any) -> Any:
        """A call that only moves elements: what it makes of a number is that number."""
        if isinstance(source, Spread) and shape_of(source.source) == ():
            return Spread(source.source, out.shape)
        if isinstance(source, Variable) and (positive := self.negated(source)) is not None:
            inner = self.fresh(out, out.shape, -out.value)
            return self.trimmed(np.negative, (self.simplified(function, (positive, *args[1:]), {}, inner),), out)
        return self.emit(function, self.filled(args), {}, out)
