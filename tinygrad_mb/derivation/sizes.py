"""Which numbers of a program follow the number of examples.

A program is traced three times, with batches of different sizes.  A size or a factor that is not the same in all three
is written as an expression of ``m``, the number of examples, if one fits all three; so no run's numbers are left over
in a program that is to work for any batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from .program import Call, Program, Variable, replaced


class OfExamples(NamedTuple):
    """``factor * (m + offset) ** exponent``, where m is the number of examples of the run that was written down."""

    factor: float
    exponent: float
    offset: int
    m: int

    def text(self) -> str:
        """The expression in Python."""
        base = "m" if not self.offset else f"(m {'+' if self.offset > 0 else '-'} {abs(self.offset)})"
        power = abs(self.exponent)
        raised = base if power == 1 else f"np.sqrt({base.strip('()')})" if power == 0.5 else f"{base}**{power:g}"
        over, under = self.fraction
        if self.exponent < 0:
            return f"{over!r} / {raised}" if under == 1 else f"{over!r} / ({under} * {raised})"
        whole = raised if over == 1 else f"{over!r} * {raised}"
        return whole if under == 1 else f"{whole} / {under}"

    @property
    def fraction(self) -> tuple[float, int]:
        """The factor as a numerator and a denominator: 2 and 3 for 0.666..., 0.02 and 1 for 0.02."""
        near = Fraction(self.factor).limit_denominator(1000)
        if float(self.factor).is_integer():
            return int(self.factor), 1
        if len(repr(self.factor)) > 8 and near and math.isclose(near, self.factor, rel_tol=1e-13):
            return near.numerator, near.denominator
        return self.factor, 1

    @property
    def counts_examples(self) -> bool:
        """Whether it is the number of examples, or a multiple of it, as of the tokens of m sequences."""
        return self.exponent == 1 and not self.offset and float(self.factor).is_integer()


class Size(int):
    """A size that follows the number of examples."""

    of_examples: OfExamples

    def __repr__(self) -> str:
        return self.of_examples.text()

    __str__ = __repr__


class Factor(float):
    """A number that follows the number of examples, such as 1/m."""

    of_examples: OfExamples

    def __repr__(self) -> str:
        return self.of_examples.text()

    __str__ = __repr__


def form_of(number: Any) -> OfExamples | None:
    """How a number follows the number of examples; None if it does not."""
    form: OfExamples | None = getattr(number, "of_examples", None)
    return form


def following(value: Any, form: OfExamples) -> Any:
    """The number ``value``, which knows how it follows the number of examples."""
    number: Any = Size(value) if isinstance(value, int) else Factor(value)
    number.of_examples = form
    return number


def times(x: Any, y: Any) -> Any:
    """The product of two numbers, which follows the number of examples as they do; None if it has no simple form."""
    a, b = form_of(x), form_of(y)
    plain = (int if isinstance(x, int) and isinstance(y, int) else float)(x * y)
    if a is None and b is None:
        return x * y
    if a is None or b is None:
        form, other = (b, x) if a is None else (a, y)
        assert form is not None
        return following(plain, form._replace(factor=form.factor * float(other)))
    if a.offset != b.offset:
        return None
    exponent = a.exponent + b.exponent
    if exponent == 0:
        return a.factor * b.factor
    return following(plain, OfExamples(a.factor * b.factor, exponent, a.offset, a.m))


def over(x: Any, y: Any) -> Any:
    """The quotient of two numbers, as ``times`` gives their product."""
    form = form_of(y)
    if form is None:
        return times(x, 1 / y) if form_of(x) is not None else x / y
    inverse = form._replace(factor=1 / form.factor, exponent=-form.exponent)
    return times(x, following(1 / float(y), inverse))


_EXPONENTS = (1, -1, 2, -2, 0.5, -0.5)


def fitted(values: Sequence[Any], ms: Sequence[int]) -> Any:
    """The first of three numbers, as the same expression of m that gives all three; None if none is known."""
    first = values[0]
    if all(v == first for v in values):
        return first
    if not all(math.isfinite(v) for v in values):
        return first if all(math.isnan(v) for v in values) else None
    for offset in (0, -1, 1):
        if min(ms) + offset <= 0:
            continue
        for exponent in _EXPONENTS:
            factor = first / (ms[0] + offset) ** exponent
            near = round(factor)
            if near and math.isclose(factor, near, rel_tol=1e-13):
                factor = near
            elif isinstance(first, int):
                continue
            fits = [factor * (m + offset) ** exponent for m in ms]
            if all(math.isclose(v, f, rel_tol=1e-12) for v, f in zip(values, fits, strict=True)):
                return following(first, OfExamples(factor, exponent, offset, ms[0]))
    if all(isinstance(v, int) for v in values):  # a sum such as m + 3
        offset = first - ms[0]
        if all(v == m + offset for v, m in zip(values, ms, strict=True)):
            return following(first, OfExamples(1, 1, offset, ms[0]))
    return None


def align(programs: Sequence[Program], ms: Sequence[int]) -> Program:
    """The first of three programs of one function, its numbers expressed by the number of examples.

    What cannot be expressed stays as it is, and ``notes`` says so.
    """
    first = programs[0]
    if not all(alike(first, other) for other in programs[1:]):
        first.notes.append(f"the calls depend on the number of examples: this is right for {ms[0]} examples only")
        return first
    every = [list(program.variables()) for program in programs]
    for variables in zip(*every, strict=True):
        shapes = zip(*[v.shape for v in variables], strict=True)
        variables[0].shape = tuple([_number(sizes, ms, first) for sizes in shapes])
    matched = [dict(zip(variables, every[0], strict=True)) for variables in every]
    calls: list[Call] = []
    for parts in zip(*[program.calls for program in programs], strict=True):
        nests = [replaced((c.args, c.kwargs), known.__getitem__) for c, known in zip(parts, matched, strict=True)]
        args, kwargs = _merged(nests, ms, calls, first)
        calls.append(Call(parts[0].function, args, kwargs, parts[0].out))
    first.calls = calls
    return first


def _number(values: Sequence[Any], ms: Sequence[int], program: Program) -> Any:
    """A number for those of three runs; the first one, and a note, if no expression gives all three."""
    found = fitted(values, ms)
    if found is None:
        _note(program, ms, f"the number {values[0]:g}")
        return values[0]
    return found


def alike(a: Program, b: Program) -> bool:
    """Whether programs make the same calls, of the same variables."""
    if len(a.calls) != len(b.calls) or len(a.inputs) != len(b.inputs):
        return False
    variables = dict(zip(b.variables(), a.variables(), strict=True))
    if any(len(x.shape) != len(y.shape) for y, x in variables.items()):
        return False
    for x, y in zip(a.calls, b.calls, strict=True):
        if x.function is not y.function or not _same((x.args, x.kwargs), (y.args, y.kwargs), variables):
            return False
    return True


def _same(x: Any, y: Any, variables: dict[Variable, Variable]) -> bool:
    """Whether two nests of arguments have the same variables in the same places."""
    if isinstance(y, Variable):
        return variables[y] is x
    if isinstance(x, Variable) or type(x) is not type(y):
        return False
    if isinstance(x, (tuple, list)):
        return len(x) == len(y) and all(_same(a, b, variables) for a, b in zip(x, y, strict=True))
    if isinstance(x, dict):
        return x.keys() == y.keys() and all(_same(x[k], y[k], variables) for k in x)
    if isinstance(x, slice):
        return _same((x.start, x.stop, x.step), (y.start, y.stop, y.step), variables)
    if isinstance(x, np.ndarray):
        return bool(x.ndim == y.ndim and x.dtype == y.dtype)
    return isinstance(x, (int, float, np.generic)) or repr(x) == repr(y)


def _merged(nests: list[Any], ms: Sequence[int], calls: list[Call], program: Program) -> Any:
    """One nest of arguments for those of three runs."""
    x = nests[0]
    if isinstance(x, Variable):
        return x
    if isinstance(x, (tuple, list)):
        return type(x)([_merged(list(part), ms, calls, program) for part in zip(*nests, strict=True)])
    if isinstance(x, dict):
        return {key: _merged([nest[key] for nest in nests], ms, calls, program) for key in x}
    if isinstance(x, slice):
        return slice(*_merged([(s.start, s.stop, s.step) for s in nests], ms, calls, program))
    if isinstance(x, np.ndarray):
        return _constant(nests, ms, calls, program)
    if isinstance(x, np.number) and any(y != x for y in nests):
        nests = [y.item() for y in nests]
    if isinstance(nests[0], bool) or not isinstance(nests[0], (int, float)):
        return x
    return _number(nests, ms, program)


def _note(program: Program, ms: Sequence[int], what: str) -> None:
    note = f"{what} holds for {ms[0]} examples only"
    if note not in program.notes:
        program.notes.append(note)


def _constant(arrays: list[Any], ms: Sequence[int], calls: list[Call], program: Program) -> Any:
    """A constant array, or the variable of a call that makes it where its shape follows the number of examples."""
    x = arrays[0]
    if all(a.shape == x.shape and a.tobytes() == x.tobytes() for a in arrays):
        return x
    shape = [fitted(sizes, ms) for sizes in zip(*[a.shape for a in arrays], strict=True)]
    found: tuple[Any, tuple[Any, ...]] | None = None
    if None not in shape and all(a.size and (a == a.flat[0]).all() for a in arrays):
        value = fitted([a.flat[0].item() for a in arrays], ms)
        if value is not None:
            found = (np.full, (tuple(shape), value))
    elif None not in shape and all(np.array_equal(a, np.arange(a.size).reshape(a.shape)) for a in arrays):
        size = fitted([a.size for a in arrays], ms)
        found = None if size is None else (np.arange, (size,))
    elif x.ndim == 2 and None not in shape and all((a == np.eye(*a.shape)).all() for a in arrays):
        found = (np.eye, tuple(shape))
    if found is None:
        _note(program, ms, f"a constant array of shape {x.shape}")
        return x
    kwargs = {} if found[0](*found[1]).dtype == x.dtype else {"dtype": x.dtype}
    return _made(calls, found[0], found[1], kwargs, tuple(shape), x)


def _made(calls: list[Call], function: Any, args: Any, kwargs: Any, shape: tuple[int, ...], x: Any) -> Variable:
    """The variable of new calls that make the array ``x``."""
    if function is np.arange and len(shape) > 1:
        flat = _made(calls, function, args, kwargs, args, x.reshape(-1))
        return _made(calls, np.reshape, (flat, shape), {}, shape, x)
    variable = Variable(-1 - len(calls), shape, x.dtype, "value", None, x)
    calls.append(Call(function, args, kwargs, variable))
    return variable
