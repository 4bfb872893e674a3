"""Cotangents of a program by their formulas, where these are shorter than the calls that the rules made.

The chain rule goes through all parts of a softmax and of its cost, and what comes out is (p - y) / m.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..vjps.indexing import scatter_add
from ..vjps.shapes import astype
from . import exponentials
from .expressions import Expr, is_number, negative, rebuilt, split, variable, walk
from .insight import Insight
from .passes import Simplifier, without_dead_code
from .program import Call, Program, Variable, variables_in
from .sizes import OfExamples, following, over, times

_CLOSE = 1e-12
_NO_CALLS = frozenset(("variable", "number", "size", "broadcast", "reshape"))


def by_formulas(program: Program) -> Program:
    """The same program with calls that compute the formulas of cotangents, where that takes fewer."""
    formulas, known = _formulas(program)
    return without_dead_code(_Rewriter(program, formulas, known).run())


def _formulas(program: Program) -> tuple[dict[Variable, Expr], dict[Expr, Expr]]:
    """What cotangents are in terms of values of the forward pass, and what is known as a variable."""
    insight, known = Insight(program), dict[Expr, Expr]()
    formulas = {}
    cotangents = set(program.cotangents.values())
    for call in program.calls:
        meaning = insight.read(call)
        if call.out in cotangents and any(map(exponentials.is_probability, walk(meaning))):
            formulas[call.out] = rebuilt(meaning, known)
        elif call.out.role == "value" and meaning.length and meaning.op not in ("variable", "broadcast"):
            known[meaning] = variable(call.out) if call.function is astype else known.get(meaning, variable(call.out))
        insight.settle(call.out, variable(call.out))
    return formulas, known


class _Unwritten(Exception):  # noqa: N818
    """A formula that has no short form in calls."""


class _Rewriter(Simplifier):
    """Goes through the calls, and writes those cotangents anew whose formulas are shorter."""

    def __init__(self, program: Program, formulas: dict[Variable, Expr], known: dict[Expr, Expr]) -> None:
        super().__init__(program)
        self.formulas = formulas
        self.known = known
        self.old_calls = {call.out: call for call in program.calls}
        self.users: dict[Variable, set[Variable]] = {}
        for call in program.calls:
            for v in variables_in((call.args, call.kwargs)):
                self.users.setdefault(v, set()).add(call.out)
        self.kept = {*program.outputs.values(), program.loss}
        self.names = {v.name for v in program.variables()} | set(program.signature)

    def result(self, call: Call) -> Any:
        """The call, or the calls of its formula."""
        formula = self.formulas.get(call.out)
        if formula is not None and self._calls_of(formula) < self._calls_for(call.out, formula):
            try:
                found = self._written(formula, call.out)
            except _Unwritten:
                found = None
            if isinstance(found, Variable) and _is_close(found, call.out):
                return found
        return super().result(call)

    def _calls_for(self, v: Variable, formula: Expr) -> int:
        """How many calls nothing would need any more."""
        symbols = {part.payload for part in walk(formula) if part.op == "variable"}
        gone = {v}
        waiting = list(self._operands(v))
        while waiting:
            operand = waiting.pop()
            spared = operand.role != "cotangent" or operand in symbols or operand in self.kept
            if not spared and operand not in gone and self.users[operand] <= gone:
                gone.add(operand)
                waiting += self._operands(operand)
        return len(gone) + sum(self.old_calls[u].function is scatter_add for u in gone)  # which takes two lines

    def _operands(self, v: Variable) -> Iterator[Variable]:
        call = self.old_calls.get(v)
        return iter(()) if call is None else variables_in((call.args, call.kwargs))

    def _calls_of(self, x: Expr) -> int:
        """How many calls a formula takes."""
        found = 0
        for part in walk(x):
            if part.op == "add":
                found += len(part.args) - 1
            elif part.op not in _NO_CALLS and not (part.op == "power" and part.args[0].op == "size"):
                found += 1
        return found

    # ---------------------------------------------------------------------------------- formulas as calls

    def _written(self, x: Expr, out: Variable) -> Any:
        """A formula as a variable or a number; its calls are added to the program."""
        if x.op == "variable":
            return self.now.get(x.payload, x.payload)
        if x.op == "number" and is_number(x):
            return int(x.data) if x.data.denominator == 1 else float(x.data)
        if x.op == "size":
            return following(x.data[1], OfExamples(1, 1, 0, x.data[1]))
        if x.op == "broadcast":
            return self._written(x.args[0], out)
        if x.op == "add":
            return self._sum(x, out)
        if x.op in ("multiply", "power"):
            return self._product(x, out)
        if x.op == "onehot":
            return self._one_hot(x, out)
        if x.op == "softmax" and (parts := exponentials.parts_of(x, self.known)) is not None:
            found = self.make(np.divide, tuple([self._written(part, out) for part in parts]), out)
            if found.name is None and "p" not in self.names:
                found.name = "p"
                self.names.add("p")
            return found
        if x.op == "sum" and x.args[0].op != "broadcast" and isinstance(a := self._written(x.args[0], out), Variable):
            axes, keepdims = x.data
            sizes = [1 if k in axes else n for k, n in enumerate(a.shape) if keepdims or k not in axes]
            total = self.fresh(out, tuple(sizes), np.sum(a.value, axis=axes, keepdims=keepdims))
            return self.simplified(np.sum, (a,), {"axis": axes, "keepdims": keepdims}, total)
        if x.op == "reshape" and x.shape == (*x.args[0].shape, 1):
            a = self._written(x.args[0], out)
            index = (*(slice(None),) * (x.ndim - 1), None)
            return self.emit(operator.getitem, (a, index), {}, self.fresh(out, (*a.shape, 1), a.value[..., None]))
        raise _Unwritten

    def _sum(self, x: Expr, out: Variable) -> Any:
        terms = sorted(x.args, key=lambda term: split(term)[0] < 0)
        found = self._written(terms[0], out)
        for term in terms[1:]:
            if split(term)[0] < 0:
                found = self.make(np.subtract, (found, self._written(negative(term), out)), out)
            else:
                found = self.make(np.add, (found, self._written(term, out)), out)
        return found

    def _product(self, x: Expr, out: Variable) -> Any:
        """A product as numbers, times what is above the line, over what is below it."""
        number: Any = 1
        above: list[Variable] = []
        below: list[Variable] = []
        for factor in (x,) if x.op == "power" else x.args:
            base, exponent = (factor.args[0], factor.data) if factor.op == "power" else (factor, 1)
            if abs(exponent) not in (1, 2):
                raise _Unwritten
            value = self._written(base, out)
            for _ in range(int(abs(exponent))):
                if isinstance(value, Variable):
                    (above if exponent > 0 else below).append(value)
                else:
                    number = times(number, value) if exponent > 0 else over(number, value)
                    if number is None:
                        raise _Unwritten
        coefficient = split(x)[0]
        number = times(number, int(coefficient) if coefficient.denominator == 1 else float(coefficient))
        found: Any = above[0] if above else number
        for value in above[1:]:
            found = self.make(np.multiply, (found, value), out)
        for value in below:
            found = self.make(np.divide, (found, value), out)
        return self.make(np.multiply, (number, found), out) if above and number != 1 else found

    def _one_hot(self, x: Expr, out: Variable) -> Variable:
        """``y[:, None] == np.arange(k)``."""
        labels = self._written(x.args[0], out)
        if not isinstance(labels, Variable) or labels.dtype.kind not in "iu":
            raise _Unwritten
        index = (*(slice(None),) * len(labels.shape), None)
        wide = self.fresh(out, (*labels.shape, 1), labels.value[..., None])
        column = self.emit(operator.getitem, (labels, index), {}, wide)
        count = x.shape[-1]
        places = self.emit(np.arange, (count,), {}, self._index_of(out, (count,), np.arange(count)))
        value = column.value == places.value
        return self.emit(np.equal, (column, places), {}, self._index_of(out, (*labels.shape, count), value))

    def _index_of(self, out: Variable, shape: tuple[int, ...], value: Any) -> Variable:
        made = self.fresh(out, shape, value)
        made.dtype = value.dtype
        return made


def _is_close(found: Variable, expected: Variable) -> bool:
    """Whether two variables have the same numbers, and the same shape and dtype."""
    a, b = found.value, expected.value
    if np.shape(a) != np.shape(b) or found.dtype != expected.dtype:
        return False
    scale = np.max(np.abs(b), initial=1e-300)
    return bool(np.all(np.abs(a - b) <= _CLOSE * scale))
