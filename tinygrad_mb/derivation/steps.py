"""The steps of a derivation, forward and backward, one value after the other."""

# ruff: noqa: RUF002
from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from ..graph import Node
from .equations import Equation
from .expressions import walk
from .formulas import Formulas
from .latex import Latex
from .notation import shape_text
from .program import Program, Variable
from .rule_formulas import rule_formula
from .sizes import form_of
from .unicode import Unicode

Array = Any


class Step(NamedTuple):
    """One value of the forward pass, or one δ of the backward pass.

    name       the value's symbol: "z1", "δz1", "∂L/∂W1"
    rule       the operation that makes it; backward, the derivative of each operation that used the value
    formula    what it is, in Unicode: "δz1 = δh1 ⊙ (1 − h1²)"
    latex      the same in LaTeX
    shapes     the shape of the value, and of each operand, by their symbols; ``m`` is the number of examples
    direction  "forward" or "backward"
    """

    name: str
    rule: str
    formula: str
    latex: str
    shapes: dict[str, tuple[int, ...]]
    direction: Literal["forward", "backward"]
    arrays: dict[str, tuple[Array, int | None]]

    def values(self, example: int | None = None) -> dict[str, Array]:
        """The numbers of the value and of its operands, by their symbols; those of one example, where it has its own.

        Raises ``IndexError`` for an example that the batch does not have.
        """
        lengths = {array.shape[axis] for array, axis in self.arrays.values() if axis is not None}
        if example is not None and any(not -n <= example < n for n in lengths):
            raise IndexError(f"example {example} of a batch of {min(lengths)} examples")
        return {
            name: array.copy() if example is None or axis is None else np.take(array, example, axis)
            for name, (array, axis) in self.arrays.items()
        }

    def __repr__(self) -> str:
        return f"{self.formula}    {shape_text(self.shapes[self.name])}    {self.rule}".rstrip()


class Steps(list[Step]):
    """The steps in order; as text, a table of them."""

    def __repr__(self) -> str:
        rows = [(*s.formula.split(" = ", 1), shape_text(s.shapes[s.name]), s.rule) for s in self]
        wide, wider, widest = (max([len(row[k]) for row in rows], default=0) for k in range(3))
        blocks = []
        for direction in ("forward", "backward"):
            lines = [direction.capitalize()]
            for step, (left, right, shape, rule) in zip(self, rows, strict=True):
                if step.direction == direction:
                    lines.append(f"  {left:<{wide}} = {right:<{wider}}  {shape:<{widest}}  {rule}".rstrip())
            blocks += ["\n".join(lines)] if lines[1:] else []
        return "\n\n".join(blocks)


def steps(program: Program, made_up: dict[Variable, str] | None = None) -> Steps:
    """The steps of a program, each value of the graph and each δ one; ``made_up`` has names for the nameless."""
    formulas = Formulas(program, inline=False, made_up=made_up)
    rules = _Rules(program, formulas)
    return Steps(_step(equation, formulas, rules) for equation in formulas.lines)


def _step(equation: Equation, formulas: Formulas, rules: _Rules) -> Step:
    left, right = formulas.sides(equation, Unicode)
    left_latex, right_latex = formulas.sides(equation, Latex)
    found = [part.payload for part in walk(equation.forms[0]) if part.op == "variable"]
    operands = sorted(found, key=lambda v: v.index)
    symbol = formulas.text_symbols
    everything = {symbol[v.index](): v for v in (equation.left, *operands)}
    return Step(
        name=symbol[equation.left.index](),
        rule=rules.backward(equation.left) if equation.backward else rules.forward(equation),
        formula=" = ".join([left, *right]),
        latex=" = ".join([left_latex, *right_latex]),
        shapes={name: tuple(v.shape) for name, v in everything.items()},
        direction="backward" if equation.backward else "forward",
        arrays={name: (np.asarray(v.value), _axis(v)) for name, v in everything.items() if v.value is not None},
    )


def _axis(v: Variable) -> int | None:
    """The axis of a variable along which the examples stand."""
    return next((k for k, n in enumerate(v.shape) if (form := form_of(n)) and form[:3] == (1, 1, 0)), None)


class _Rules:
    """Which operation made each value, and which lines of the table of derivatives made each δ."""

    def __init__(self, program: Program, formulas: Formulas) -> None:
        self.program = program
        self.nodes = sorted(program.values, key=lambda node: node.order)
        self.symbols = formulas.text_symbols

    def label(self, x: Node) -> str:
        """The symbol of a node's value."""
        v = self.program.values.get(x)
        symbol: Callable[..., str] | None = None if v is None else self.symbols.get(v.index)
        return "·" if symbol is None else symbol()

    def shape(self, x: Node) -> tuple[int, ...]:
        """The shape of a node's value, whose sizes know whether they follow the number of examples."""
        v = self.program.values.get(x)
        return x.shape if v is None else v.shape

    def forward(self, equation: Equation) -> str:
        """The operation that made a value; of one that only its formula has, what the formula is."""
        v = equation.left
        for node in self.nodes:
            if self.program.values[node] is v and node.op is not None:
                return node.op.name
        made_by = (call.function.__name__ for call in self.program.calls if call.out is v)
        return next(made_by, equation.forms[0].op)

    def backward(self, v: Variable) -> str:
        """The rules whose contributions are added up in a cotangent."""
        newest = [node for node in self.nodes if self.program.cotangents.get(node) is v][-1:]
        found = []
        for user in self.nodes:
            for planned in user.plan.rules if user.op is not None and user.plan is not None else ():
                if user.op is not None and user.inputs[planned.position] in newest:
                    formula = rule_formula(user, planned, user.saved, self.label, self.shape)
                    found.append(f"{user.op.name}: {formula.text}")
        return "; ".join(dict.fromkeys(found))
