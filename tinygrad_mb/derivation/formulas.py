"""The pages: a program's equations as LaTeX, and as text for a terminal, with a symbol for each variable."""

# ruff: noqa: RUF001
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from . import notation
from .equations import Equation, Equations
from .expressions import Expr, constant, variable, walk
from .latex import Latex
from .printing import Printer
from .program import Program, Variable
from .unicode import Unicode

Symbol = Callable[..., str]  # of a variable, with the indices that stand below it


class Formulas:
    """A program as mathematics; ``inline`` says whether short values on the way are part of longer formulas."""

    def __init__(self, program: Program, inline: bool = True, made_up: dict[Variable, str] | None = None) -> None:
        self.program = program
        self.equations = Equations(program, inline)
        self.lines = self.equations.lines
        self.constants = numbered(form for e in self.lines for form in e.forms)
        self.loss = (r"\mathcal{L}", "ℒ") if any(v.name == "L" for v in program.variables()) else ("L", "L")
        self.made_up = {} if made_up is None else dict(made_up)  # names for variables that have none
        self.latex_symbols: dict[int, Symbol] = {}
        self.text_symbols: dict[int, Symbol] = {}
        self.latex_tables: dict[Expr, str] = {}
        self.text_tables: dict[Expr, str] = {}
        self._find_symbols()

    # ------------------------------------------------------------------------------------------- symbols

    def _find_symbols(self) -> None:
        gradients, owners = self.equations.gradients, self.equations.owners
        wanted = [*self.program.inputs, *[e.left for e in self.lines]]
        taken: set[str] = set()
        for v in sorted(wanted, key=lambda v: v in owners):
            if v in gradients:
                self._gradient(v)
            elif v in owners:
                self._delta(v, taken)
            elif v is self.program.loss:
                self.latex_symbols[v.index], self.text_symbols[v.index] = map(_fixed, self.loss)
            else:
                name = self._name(v)
                self.latex_symbols[v.index] = _in_latex(name, taken)
                self.text_symbols[v.index] = in_text(_shown(name))

        names = {v.name for v in self.program.variables()}
        for array in self.constants:
            known = None if array.payload is None else self.program.table_name(array.payload)
            if known is not None and known not in names:
                self.latex_tables[array], self.text_tables[array] = _in_latex(known, taken)(), in_text(_shown(known))()

    def _gradient(self, v: Variable) -> None:
        """The symbol of a gradient; of several, where parameters have the same."""
        latex, text = [], []
        for p in self.program.inputs:
            if p.role == "parameter" and self.program.outputs.get(self.program.paths[p]) is v:
                latex.append(rf"\frac{{\partial {self.loss[0]}}}{{\partial {self.latex_symbols[p.index]()}}}")
                text.append(f"∂{self.loss[1]}/∂{p.name}")
        self.latex_symbols[v.index], self.text_symbols[v.index] = _fixed(" = ".join(latex)), _fixed(" = ".join(text))

    def _delta(self, v: Variable, taken: set[str]) -> None:
        """The symbol of a cotangent."""
        owner = self.equations.owners[v]
        name = self._name(owner)
        symbol = self.latex_symbols.get(owner.index) or _in_latex(name, taken)
        self.latex_symbols[v.index] = lambda indices=(): r"\delta" + notation.subscript([symbol(), *indices])
        self.text_symbols[v.index] = in_text(f"δ{_shown(name)}")

    def _name(self, v: Variable) -> str:
        if v.name is not None:
            return v.name
        if v not in self.made_up:
            prefix = "g" if v.role == "cotangent" else "u"
            names = {*[w.name for w in self.program.variables()], *self.made_up.values()}
            free = (f"{prefix}{k}" for k in range(1, len(names) + 2) if f"{prefix}{k}" not in names)
            self.made_up[v] = next(free)
        return self.made_up[v]

    # --------------------------------------------------------------------------------------------- pages

    def symbols(self, kind: type[Printer]) -> tuple[dict[int, Symbol], dict[Expr, int], dict[Expr, str]]:
        """What a printer needs: the symbols of variables, the numbers of constants, the symbols of those with names."""
        if issubclass(kind, Latex):
            return self.latex_symbols, self.constants, self.latex_tables
        return self.text_symbols, self.constants, self.text_tables

    def sides(self, equation: Equation, kind: type[Printer]) -> tuple[str, list[str]]:
        """Both sides of an equation: the left one, and each form of the right one."""
        printer = kind(*self.symbols(kind))
        with printer.each(equation.each):
            left = printer.write(variable(equation.left))
            return left, [printer.write(form) for form in equation.forms]

    def latex(self) -> str:
        """The equations as one ``aligned`` block of LaTeX, the forward pass first."""
        forward, backward = [[self._row(e) for e in self.lines if e.backward is b] for b in (False, True)]
        if self.equations.deltas():
            backward.insert(0, (rf"\delta_v &:= \frac{{\partial {self.loss[0]}}}{{\partial v}}", "[1ex]"))
        if forward and backward:
            forward[-1] = (forward[-1][0], "[2ex]")
        notes = [(rf"& {notation.escaped(f'NB: {note}')}", "") for note in self.program.notes]
        rows = forward + backward + notes
        body = " \n".join([rf"{row} \\{space}" for row, space in rows[:-1]] + [row for row, _ in rows[-1:]])
        return f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}".replace(" \n", "\n")

    def _row(self, equation: Equation) -> tuple[str, str]:
        left, forms = self.sides(equation, Latex)
        row = f"{left} &= {' = '.join(forms)}"
        return row, "[0.5ex]" if r"\frac" in row or r"\sum" in row else ""

    def text(self) -> str:
        """The equations as lines for a terminal, with their equal signs below each other."""
        lines = [(e.backward, *self.sides(e, Unicode)) for e in self.lines]
        width = max([len(left) for _, left, _ in lines], default=0)
        meaning = f", δv = ∂{self.loss[1]}/∂v" if self.equations.deltas() else ""
        out = []
        for backward, title in ((False, "Forward"), (True, f"Backward{meaning}")):
            found = [f"  {left:<{width}} = {' = '.join(forms)}" for b, left, forms in lines if b is backward]
            out += ["\n".join([title, *found])] if found else []
        return "\n\n".join([*out, *[f"NB: {note}" for note in self.program.notes]])


def numbered(forms: Iterable[Expr]) -> dict[Expr, int]:
    """A number for each array that is part of expressions, in the order of their use."""
    found: dict[Expr, int] = {}
    for part in [part for form in forms for part in walk(form)]:
        given = [part] if part.op == "constant" else []
        if part.op == "call":
            given = [constant(a) for a in arrays_in((part.payload.args, part.payload.kwargs))]
        for array in given:
            found.setdefault(array, len(found) + 1)
    return found


def arrays_in(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays in the arguments of a call."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from arrays_in(part)


def _shown(name: str) -> str:
    """A name as text shows it."""
    return "ŷ" if name == "y_hat" else re.sub(r"^losses(?=\d*$)", "ℓ", name)


def _fixed(text: str) -> Symbol:
    return lambda indices=(): text


def in_text(text: str) -> Symbol:
    """The symbol of a variable in text, with its indices below it."""

    def write(indices: tuple[str, ...] = ()) -> str:
        indices = tuple(filter(None, indices))
        below = "".join(indices)
        low = notation.low(below)
        if below and {*low}.issubset(notation.SUBSCRIPTED) and not text.endswith(tuple(notation.SUBSCRIPTED)):
            return text + low
        return f"{text}[{', '.join(indices)}]" if indices else text

    return write


def _in_latex(name: str, taken: set[str]) -> Symbol:
    """The name in LaTeX; as it stands, if another one looks the same there."""
    name = re.sub(r"^losses(?=\d*$)", "ell", name)
    plain = notation.latex_name(name)
    if plain in taken:
        return lambda indices=(): notation.escaped(name) + notation.subscript(list(indices))
    taken.add(plain)
    return lambda indices=(): notation.latex_name(name, *indices)
