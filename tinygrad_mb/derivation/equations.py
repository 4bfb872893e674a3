"""A program as equations: which of its values get a line of their own, and what stands on the right of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from typing import NamedTuple

from ..vjps import special
from . import exponentials
from .examples import example_axis, takes_places
from .expressions import (
    Expr,
    Shape,
    add,
    multiply,
    number,
    rebuilt,
    split,
    variable,
    walk,
)  # fmt: skip
from .insight import Insight, cost
from .program import Program, Variable, variables_in
from .reading import Reader
from .sizes import form_of

LONG = 9  # operands: a longer formula stops at a value that is computed on the way
DEEP = 25  # operations inside of one another, likewise
LIGHT = frozenset((
    "variable", "constant", "number", "size", "reshape", "broadcast", "transpose", "multiply", "add", "power",
    "compare", "not", "index", "gather", "pick", "onehot",
))  # fmt: skip

IsKept = Callable[[Variable, Expr], bool]


class Equation(NamedTuple):
    """A line: a variable, and one or more equal forms of what it is.

    left      the variable
    forms     expressions that are all equal to it
    each      the sizes of the leading axes whose elements the line is about one by one
    backward  whether the backward pass computes it
    """

    left: Variable
    forms: tuple[Expr, ...]
    each: Shape
    backward: bool


class Equations:
    """The equations of a program, in their order.

    With ``inline=False`` every value of the graph and every cotangent has a line; else those that a person would name.

    owners     for each cotangent the variable that it is the cotangent of
    gradients  for each gradient of a parameter the parameter's path
    lines      the equations
    """

    def __init__(self, program: Program, inline: bool = True) -> None:
        self.program = program
        self.inline = inline
        self.used_by = Counter(variables_in([(call.args, call.kwargs) for call in program.calls]))
        self.doubles: set[Variable] = set()  # nameless cotangents that are equal to those of named values
        self.gradients = {v: path for path, v in program.outputs.items()}
        self.owners: dict[Variable, Variable] = {}
        for node, cotangent in program.cotangents.items():
            value, known = program.values.get(node), self.owners.get(cotangent)
            if value is not None and (known is None or cotangent.name == f"d{value.name}"):
                self.owners[cotangent] = value
        found = self._inlined() if inline else self._read(lambda v, meaning: True)
        self.lines = [self._finished(equation) for equation in self._with_repeats_named(found)]

    def deltas(self) -> list[Variable]:
        """The variables of lines that are cotangents, and not gradients of parameters."""
        return [e.left for e in self.lines if e.left in self.owners and e.left not in self.gradients]

    # --------------------------------------------------------------------------------- which lines there are

    def _inlined(self) -> list[Equation]:
        """The lines that a person would write; twice, since what takes part in a longer formula may vanish in it."""
        shown = set(self.program.variables())
        for _ in range(2):
            found = self._read(partial(self._is_candidate, shown))
            found = self._worth_a_line(Counter(_operands(form for e in found for form in e.forms)))
            shown = {e.left for e in found}
        return found

    def _is_candidate(self, shown: set[Variable], v: Variable, meaning: Expr) -> bool:
        return v in shown and v not in self.doubles and (v.name is not None or v.role != "value" or is_long(meaning))

    def _worth_a_line(self, uses: Counter[Expr]) -> list[Equation]:
        forced: set[Variable] = set()
        while True:
            found = self._read(partial(self._is_kept, uses, forced))
            shown = {e.left for e in found} | set(self.program.inputs)
            owners = {self.owners[v] for v in shown - set(self.gradients) if v in self.owners}
            if owners <= shown | forced:
                return found
            forced |= owners

    def _is_kept(self, uses: Counter[Expr], forced: set[Variable], v: Variable, meaning: Expr) -> bool:
        if self._is_final(v) or v in forced or (v.name is not None and v.role == "value"):
            return True
        if v in self.doubles:
            return False
        used = self.used_by[v] if v.name is not None and v in self.owners else 0
        often = max(uses[meaning], uses[variable(v)], used) > 1
        return is_long(meaning) or (often and not is_light(meaning, 1 if v in self.owners else 2))

    def _is_final(self, v: Variable) -> bool:
        return v in self.gradients or v is self.program.loss

    def _read(self, is_kept: IsKept) -> list[Equation]:
        """The equations of the values that are to be kept, less what nothing depends on."""
        program, reader, insight = self.program, Reader(self.program), Insight(self.program)
        candidates = {*program.values.values(), *program.cotangents.values(), *self.gradients}
        candidates |= {v for v in program.variables() if v.name is not None}
        found = []
        known: dict[Expr, Expr] = {}
        for call in program.calls:
            out, meaning, inner = call.out, rebuilt(reader.read(call), known), insight.read(call)
            if self.inline and cost(shorter := rebuilt(inner, known)) < cost(meaning):
                meaning = shorter
            reader.standing[out] = meaning
            if out in candidates and (meaning.op != "variable" or self._is_final(out)) and is_kept(out, meaning):
                found.append(Equation(out, (meaning,), (), out.role == "cotangent" or out in self.gradients))
                symbol = reader.standing[out] = variable(out)
                if not is_light(meaning, 2) or meaning.op == "onehot":
                    known.setdefault(meaning, symbol)
                    known.setdefault(inner, symbol)
                known.update({x: y for x, y in exponentials.also_known(meaning, symbol) if x not in known})
            elif meaning.op == "variable" and out in self.owners and out.name and meaning.payload.name is None:
                self.doubles.add(meaning.payload)
            insight.settle(out, reader.standing[out])
        needed = {*self.gradients, program.loss}
        used = []
        for equation in reversed(found):
            if equation.left in needed:
                used.append(equation)
                if equation.left not in self.gradients and (owner := self.owners.get(equation.left)) is not None:
                    needed.add(owner)  # a δ wants a line for what it is the δ of
                needed.update([part.payload for part in walk(equation.forms[0]) if part.op == "variable"])
        return self._by_parameter(used[::-1])

    def _by_parameter(self, equations: list[Equation]) -> list[Equation]:
        """The same with gradients that follow one another in the order of the parameters."""
        order = {path: k for k, path in enumerate(self.program.paths.values())}
        out: list[Equation] = []
        for is_gradient, group in groupby(equations, key=lambda e: e.left in self.gradients):
            found = list(group)
            lefts = {variable(e.left) for e in found}
            if is_gradient and not any(part in lefts for e in found for part in walk(e.forms[0])):
                found.sort(key=lambda e: order.get(self.gradients[e.left], 0))
            out += found
        return out

    def _with_repeats_named(self, equations: list[Equation]) -> list[Equation]:
        """The equations with a name for each softmax that occurs in several places."""
        index = max([v.index for v in self.program.variables()], default=0)
        while True:
            counts = Counter(_operands(form for e in equations for form in e.forms))
            repeated = [x for x, n in counts.items() if n > 1 and x.op == "softmax"]
            if not repeated:
                return equations
            chosen = max(repeated, key=lambda x: x.length)
            index += 1
            of = chosen.args[0]
            value = special.softmax(of.payload.value, chosen.data[0]) if of.op == "variable" else None
            taken = {v.name for v in (*self.program.variables(), *[e.left for e in equations])}
            name = None if "y_hat" in taken else "y_hat"
            new = Variable(index, _following(chosen), None, "value", name, value)
            first = next(k for k, e in enumerate(equations) if chosen in walk(e.forms[0]))
            known = {chosen: variable(new)}
            equations = [e._replace(forms=tuple(rebuilt(x, known) for x in e.forms)) for e in equations]
            equations.insert(first, Equation(new, (chosen,), (), equations[first].backward))

    def _finished(self, equation: Equation) -> Equation:
        """The equation with its further forms, and told for which elements it is written."""
        form = equation.forms[0]
        written_out = over_examples(form) if equation.left in self.gradients else None
        forms = (form,) if written_out is None else (form, written_out)
        return equation._replace(forms=forms, each=_elements(form))


# ------------------------------------------------------------------------------------------- expressions


def _operands(forms: Iterable[Expr]) -> Iterator[Expr]:
    """All operands inside of expressions, each as often as it is used there, and the expressions themselves."""
    for form in forms:
        yield form
        for part in walk(form):
            yield from part.args


def is_long(x: Expr) -> bool:
    """Whether an expression is longer than a line should be, or goes deeper."""
    return x.length > LONG or x.depth > DEEP


def is_light(x: Expr, operands: int) -> bool:
    """Whether an expression is about as short as a name for it would be: it has no more than so many operands."""
    return x.length <= operands and all(part.op in LIGHT for part in walk(x))


def _following(x: Expr) -> Shape:
    """A shape whose size along the examples knows that it is."""
    along = example_axis(x)
    sizes = [n for leaf in walk(x) if leaf.op == "variable" for n in leaf.payload.shape if form_of(n)]
    return tuple(next((s for s in sizes if s == n), n) if k == along else n for k, n in enumerate(x.shape))


def _elements(form: Expr) -> Shape:
    """The axes whose elements a line is about: where one element of each example is picked, or all are added up."""
    if example_axis(form) != 0 or any(_mixes_examples(part) for part in walk(form)):
        return ()
    for part in walk(form):
        if part.op == "pick" and example_axis(part) == 0 and form.shape[: part.ndim] == part.shape:
            return part.shape
        if part.op == "index" and takes_places(part) and example_axis(part) == 0 and form.shape[0] == part.shape[0]:
            return form.shape[:1]
        one_each = form.shape[1:] in ((), (1,))
        if part.op == "sum" and part.shape == form.shape and one_each and example_axis(part) == 0:
            return form.shape[:1]
    return ()


def _mixes_examples(x: Expr) -> bool:
    """Whether it is a sum over the examples for each of the examples."""
    inside = x.args[0] if x.op == "sum" else None
    return inside is not None and bool(x.shape) and example_axis(inside) in x.data[0] and inside.shape[0] in x.shape


def over_examples(x: Expr) -> Expr | None:
    """A sum over the examples written out, where an expression is products that contract their axis."""
    if x.op == "add":
        parts = [over_examples(term) for term in x.args]
        found = [part or term for part, term in zip(parts, x.args, strict=True)]
        return add(*found) if any(parts) else None
    coefficient, factors = split(x)
    if x.op == "multiply":
        parts = [over_examples(factor) for factor in factors]
        if sum(part is not None for part in parts) != 1:
            return None
        return multiply(number(coefficient), *[part or f for part, f in zip(parts, factors, strict=True)])
    if x.op != "matmul":
        return None
    a, b = x.args
    if any(part.op == "sum" and example_axis(part.args[0]) in part.data[0] for part in walk(x)):
        return None  # examples that have a say in one another's rows
    if a.op == "transpose" and a.data == (1, 0) and example_axis(a.args[0]) == 0 == example_axis(b):
        return Expr("examples", (a.args[0], b), None, x.shape)
    return None
