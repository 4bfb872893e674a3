"""A program as a NumPy function that a person would have written: one step a line, with names, and shapes beside."""

from __future__ import annotations

import operator
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..vjps import convolution, special
from . import assignments, definitions
from .arguments import added_up, shape_of
from .expansions import shares_ties
from .notation import shape_text
from .program import Call, Program, Variable, variables_in
from .python_text import Text, array_text, expression
from .ranks import ATOM
from .sizes import form_of, times
from .tracing import RESERVED

WIDTH = 100
_CODE = 72  # a longer line is taken apart, where it can be
_DEEPEST = 20  # calls in one another, in one line
_INDENT = "    "
_TEMPORARY: dict[Any, str] = {
    np.exp: "e", np.sum: "total", np.mean: "mean", np.max: "top", np.sqrt: "root", np.var: "var", np.arange: "places",
    np.full: "filled", np.subtract: "error", np.matmul: "product", convolution.patches: "windows",
}  # fmt: skip
_CHEAP = (np.transpose, np.arange)


def source(program: Program) -> str:
    """The program as the source of a function ``gradients``, after ``import numpy as np`` if it needs it."""
    return _Writer(program).source()


class _Line:
    """A statement: the variable that it computes, its lines of code, what is said beside, and what it needs."""

    def __init__(self, out: Variable, code: list[str], comment: str, needs: set[Variable]) -> None:
        self.out = out
        self.code = code
        self.comment = comment
        self.needs = needs


class _Writer:
    """Prints one program.

    A call whose result has no name and is used once stands in the line of its user, unless that would become too long.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.calls = {call.out: call for call in program.calls}
        nests = [(call.args, call.kwargs) for call in program.calls]
        self.uses = Counter(variables_in(nests))
        self.outputs = {*program.outputs.values(), program.loss}
        self.names: dict[Variable, str] = {}
        self.forward = {program.loss}  # what the loss is computed from
        for call in reversed(program.calls):
            if call.out in self.forward:
                self.forward.update(variables_in((call.args, call.kwargs)))
        self.taken = {*RESERVED, *program.signature}
        self.own_lines: set[Variable] = set()
        for variable in program.inputs:
            self.names[variable] = variable.name or "x"
            self.taken.add(self.names[variable])
        for call in program.calls:
            if call.out.name is not None or call.out in self.outputs:
                self._name(call.out)
        depths: dict[Variable, int] = {}
        for call in program.calls:
            inner = [depths.get(v, 0) for v in variables_in((call.args, call.kwargs)) if v not in self.names]
            depths[call.out] = 1 + max(inner, default=0)
            if self._needs_line(call) or depths[call.out] > _DEEPEST:
                self._name(call.out)
        self.constants: dict[str, str] = {}
        self.given = set(program.inputs)  # what no line computes

    def _needs_line(self, call: Call) -> bool:
        if call.out in self.names or call.function in assignments.STATEMENTS:
            return True
        if call.function in _CHEAP or self._adds_axes(call) or self._is_trivial(call):
            return False
        return self.uses[call.out] > 1

    def _adds_axes(self, call: Call) -> bool:
        return (
            call.function is operator.getitem
            and isinstance(call.args[1], tuple)
            and all(part is None or (isinstance(part, slice) and part == slice(None)) for part in call.args[1])
        )

    def _is_trivial(self, call: Call) -> bool:
        """Whether a call is no longer than a name for it: ``1 - p``, ``x[:, 0]``."""
        operands = [a for a in call.args if isinstance(a, Variable)]
        if len(operands) != 1 or operands[0].name is None or call.kwargs:
            return False
        if call.function in (np.add, np.subtract):
            return all(isinstance(a, (Variable, int, float)) for a in call.args)
        if call.function is operator.getitem:
            parts = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
            return all(type(part) in (int, slice) for part in parts)
        return False

    def _name(self, variable: Variable) -> str:
        """The variable's name in the source, which no other has."""
        if variable not in self.names:
            base = variable.name or self._temporary(self.calls[variable])
            name, k = base, 2
            while name in self.taken:
                name, k = f"{base}{'_' if base[-1].isdigit() else ''}{k}", k + 1
            self.names[variable] = name
            self.taken.add(name)
            if self.calls[variable].function in assignments.STATEMENTS:
                self.taken.update([f"{name}_{part}" for part in assignments.PARTS])
        return self.names[variable]

    def _temporary(self, call: Call) -> str:
        plain = call.function is np.subtract and not all(isinstance(a, Variable) for a in call.args)
        return (not plain and _TEMPORARY.get(call.function)) or ("g" if call.out.role == "cotangent" else "t")

    # ---------------------------------------------------------------------------------------- lines

    def source(self) -> str:
        """The whole text."""
        self.shorten()
        lines = self._ordered(list(self._lines()))
        forward = [line for line in lines if self._is_forward(line.out)]
        backward = [line for line in lines if not self._is_forward(line.out)]
        head = self._head()
        body: list[str] = []
        for title, part in (("forward", forward), ("backward", backward)):
            if part:
                body += ["", f"# {title}", *self._aligned(part)]
        text = "\n".join([*body, *head])
        m = [f"m = {self._batch()}  # the number of examples"] if self.program.examples and _mentions_m(text) else []
        constants = [line for name, code in self.constants.items() for line in _wrapped(f"{name} = {code}")]
        ends = self._return()
        everything = [*head, *m, *constants, *self._definitions(), *body, "", *ends]
        signature = f"def gradients({', '.join(self.program.signature)}):"
        lines_of_code = [_INDENT + line if line else "" for line in [*self._docstring(), *everything]]
        text = "\n".join([signature, *lines_of_code, ""])
        return f"import numpy as np\n\n\n{text}" if "np." in text else text

    def _definitions(self) -> list[str]:
        """What NumPy lacks, and a line calls."""
        if not any(call.function is special.erf for call in self.program.calls):
            return []
        lines = definitions.ERF.splitlines()
        return ["", *[part for line in lines for part in textwrap.wrap(line, WIDTH - 4, subsequent_indent=2 * _INDENT)]]

    def _is_forward(self, variable: Variable) -> bool:
        return variable in self.forward or variable.role not in ("cotangent", "result")

    def _lines(self) -> Iterator[_Line]:
        for call in self.program.calls:
            if self._needs_line(call):
                yield self._line(call)

    def _line(self, call: Call) -> _Line:
        """The line of a call; operands get lines of their own until it is short enough."""
        needs: set[Variable] = set()

        def operand(variable: Variable) -> Text:
            if variable in self.names:
                needs.add(variable)
                return Text(self.names[variable], ATOM)
            inner = self.calls[variable]
            return expression(self._with_constants(inner), operand)

        name = self._name(call.out)
        if (statement := assignments.STATEMENTS.get(call.function)) is not None:
            code = statement(name, self._with_constants(call), operand)
        else:
            code = _bracketed(name, expression(self._with_constants(call), operand).code)
        return _Line(call.out, code, self._comment(call), needs)

    def _with_constants(self, call: Call) -> Call:
        """A call with names in the place of long constant arrays."""

        def named(value: Any) -> Any:
            if isinstance(value, np.ndarray) and value.ndim:
                return self._constant(value)
            return type(value)(map(named, value)) if type(value) in (tuple, list) else value

        return call._replace(args=named(call.args))

    def _constant(self, array: np.ndarray[Any, Any]) -> Any:
        text = array_text(array)
        if len(text) <= 24:
            return array
        known = next((name for name, code in self.constants.items() if code == text), None)
        users = self.program.table_name(array)
        known = known or (users if users not in self.taken else None)
        name = known or next(n for k in range(1, 999) if (n := f"constant{k}") not in self.taken)
        self.constants[name] = text
        self.taken.add(name)
        variable = Variable(-1, array.shape, array.dtype, "data", name, array)
        self.names[variable] = name
        self.given.add(variable)
        return variable

    def shorten(self) -> None:
        """Give lines of their own to operands of lines that are too long."""
        for call in reversed(self.program.calls):
            while self._needs_line(call):
                line = self._line(call)
                if max(map(len, line.code)) <= _CODE or not self._split(line):
                    break

    def _split(self, line: _Line) -> bool:
        """Name the largest operand that stands in a line; false if there is none."""
        inner = [v for v in self._inlined(self.calls[line.out]) if not self._adds_axes(self.calls[v])]
        inner = [v for v in inner if self.calls[v].function not in _CHEAP]
        if not inner:
            return False
        middle = (len(line.code[0]) - len(self.names[line.out])) / 2
        self._name(min(inner, key=lambda v: abs(self._length(v) - middle)))
        return True

    def _inlined(self, call: Call) -> Iterator[Variable]:
        for variable in variables_in((call.args, call.kwargs)):
            if variable not in self.names:
                yield variable
                yield from self._inlined(self.calls[variable])

    def _length(self, variable: Variable) -> int:
        def operand(inner: Variable) -> Text:
            if inner in self.names:
                return Text(self.names[inner], ATOM)
            return expression(self.calls[inner], operand)

        return len(operand(variable).code)

    def _ordered(self, lines: list[_Line]) -> list[_Line]:
        """The lines in the order of the program, but each gradient as soon as it can be computed."""
        by_out = {line.out: line for line in lines}
        results = [by_out[v] for v in dict.fromkeys(self.program.outputs.values()) if v in by_out]
        waiting = {line.out: line.needs - self.given for line in results}
        rest = [line for line in lines if line.out not in waiting]
        ordered: list[_Line] = []

        def add(line: _Line) -> None:
            ordered.append(line)
            for other in results:
                needs = waiting.get(other.out)
                if needs is not None:
                    needs.discard(line.out)
            release()

        def release() -> None:
            if self.program.loss not in made:
                return
            for line in results:
                if line.out in waiting and not waiting[line.out]:
                    del waiting[line.out]
                    made.add(line.out)
                    add(line)

        def force(needs: set[Variable]) -> None:
            for need in needs:
                if need in waiting:  # a gradient that something else is computed from
                    del waiting[need]
                    force(by_out[need].needs)
                    made.add(need)
                    add(by_out[need])

        made: set[Variable | None] = set()
        for line in rest:
            force(line.needs)
            made.add(line.out)
            add(line)
        release()
        return ordered

    # ------------------------------------------------------------------------------------- comments

    def _comment(self, call: Call) -> str:
        """The shapes, and where the examples are added up."""
        out = shape_text(call.out.shape)
        summing = [c.function for c in self._calls_of_line(call) if any(map(_counts_examples, added_up(c)))]
        means = all(function is np.mean for function in summing)
        over = f": {'mean' if means else 'Σ'} over the m examples" if summing else ""
        if any(map(self._shares_ties, self._calls_of_line(call))):
            over += ", ties share" if over else ": ties share"
        if means and summing and (count := self._count(call)) is not None:
            over = f": mean over all {count} elements"
        if call.function is np.matmul:
            text = " @ ".join([shape_text(shape_of(a)) for a in call.args])
            return f"{text}{over or f' -> {out}'}"
        if call.function in (np.sum, np.mean):
            return f"{shape_text(shape_of(call.args[0]))} -> {out}{over}"
        return f"{out}{over}"

    def _shares_ties(self, call: Call) -> bool:
        """Whether a call gives half to values that are equal, of which neither is the larger one."""
        if call.function is not np.add:
            return False
        wins, half = [self.calls.get(a) if isinstance(a, Variable) else None for a in call.args]
        if half is None or half.function is not np.multiply or not isinstance(half.args[1], Variable):
            return False
        return shares_ties(wins, self.calls.get(half.args[1]))

    def _count(self, call: Call) -> Any:
        """How many numbers a mean is over, where these are more than the examples."""
        counts = [added_up(c) for c in self._calls_of_line(call) if c.function is np.mean]
        sizes = [n for n in counts[0] if n != 1 or form_of(n)]
        found: Any = 1
        for n in sizes:
            found = times(found, n)
        return found if len(sizes) > 1 else None

    def _calls_of_line(self, call: Call) -> Iterator[Call]:
        yield call
        for variable in self._inlined(call):
            yield self.calls[variable]

    def _aligned(self, lines: list[_Line]) -> list[str]:
        column = min(max([len(line.code[-1]) for line in lines if len(line.code[-1]) < 50], default=0), 50)
        printed = []
        for line in lines:
            *first, last = line.code
            printed += first
            with_comment = f"{last:<{column}}  # {line.comment}"
            if len(_INDENT + with_comment) > WIDTH:
                printed.append(f"# {line.comment}")
                with_comment = last
            printed.append(with_comment)
        return printed

    # -------------------------------------------------------------------------- the function's frame

    def _docstring(self) -> list[str]:
        loss = "sum of the losses" if self.program.summed else "loss"
        return [f'"""The {loss}, and its gradient by each parameter."""', *[f"# NB: {n}" for n in self.program.notes]]

    def _head(self) -> list[str]:
        """Lines that take the arguments apart."""
        lines: list[str] = []
        for name in self.program.signature:
            pairs = [(self.names[v], code) for v, code in accesses(self.program.arguments[name], name)]
            pairs = [(short, code) for short, code in pairs if short != code]
            for pair in pairs:
                known = lines[-1].split(" = ") if lines else [name, ""]
                together = f"{known[0]}, {pair[0]} = {known[1]}, {pair[1]}"
                if pair is not pairs[0] and len(together) < _CODE:
                    lines[-1] = together
                else:
                    lines.append(" = ".join(pair))
            fixed = self.program.arguments[name]
            if isinstance(fixed, (bool, int, str)):
                lines.append(f"assert {name} == {fixed!r}, 'the function was derived for this value'")
        if self.program.notes and self.program.examples:
            lines.append(f"assert {self._batch()} == {self.program.examples}")
        return lines + self._fixed()

    def _fixed(self) -> list[str]:
        """Checks of the sizes that the program depends on, as where a loop's steps stand one by one."""
        lines = []
        for v in self.program.inputs:
            for axis, n in enumerate(v.shape if v.role == "data" else ()):
                if len({k % int(n) for k in self._steps_along(v, axis)}) == int(n) > 1:
                    lines.append(f"assert {self._size(v, axis)} == {int(n)}  # one by one below")
                elif (v, axis) in self.program.fixed:
                    lines.append(f"assert {self._size(v, axis)} == {int(n)}  # right for this size only")
        return lines

    def _size(self, v: Variable, axis: int) -> str:
        return f"{self.names[v]}.shape[{axis}]" if axis else f"len({self.names[v]})"

    def _steps_along(self, v: Variable, axis: int) -> Iterator[int]:
        """The places along an axis of an input that are taken by their number, also out of its transpose."""
        turned = {v: axis}
        for call in self.program.calls:
            source = call.args[0] if call.args else None
            if not isinstance(source, Variable) or source not in turned:
                continue
            ndim, place = len(source.shape), turned[source]
            if call.function in (np.transpose, np.swapaxes):
                order = list(range(ndim))
                if call.function is np.swapaxes:
                    j, k = call.args[1:3]
                    order[j], order[k] = order[k], order[j]
                else:
                    order = [k % ndim for k in call.args[1]] if len(call.args) > 1 else order[::-1]
                turned[call.out] = order.index(place)
            elif call.function is operator.getitem:
                index = call.args[1] if isinstance(call.args[1], tuple) else (call.args[1],)
                if len(index) > place and type(index[place]) is int:
                    yield index[place]

    def _batch(self) -> str:
        """The number of examples, as the length of an array."""
        along = self.program.along
        if not along:
            usual = [v for v in self.program.inputs if v.role == "data" and v.shape[:1] == (self.program.examples,)]
            along = dict.fromkeys(usual, 0)
        v = min(along, key=lambda v: (along[v], form_of(v.shape[along[v]]) is None))
        return self._size(v, along[v])

    def _return(self) -> list[str]:
        parameters = self.program.arguments[self.program.signature[0]]
        paths = iter(self.program.outputs.values())
        assert self.program.loss is not None

        def structure(tree: Any) -> str:
            if isinstance(tree, Variable):
                return self.names[next(paths)]
            if isinstance(tree, dict):
                return f"{{{', '.join([f'{_key(key)}: {structure(part)}' for key, part in tree.items()])}}}"
            if isinstance(tree, (tuple, list)):
                parts = ", ".join([structure(part) for part in tree])
                return f"[{parts}]" if isinstance(tree, list) else f"({parts}{',' if len(tree) == 1 else ''})"
            return repr(tree)

        loss = self.names[self.program.loss]
        code = f"return {loss}, {structure(parameters)}"
        if len(_INDENT + code) <= WIDTH or not isinstance(parameters, dict):
            return _wrapped(code)
        paths = iter(self.program.outputs.values())
        items = [f"{_INDENT}{_key(key)}: {structure(part)}," for key, part in parameters.items()]
        return [f"return {loss}, {{", *items, "}"]


def accesses(tree: Any, code: str) -> Iterator[tuple[Variable, str]]:
    """The variables in a nest, each with the code that takes it out."""
    if isinstance(tree, Variable):
        yield tree, code
    elif isinstance(tree, dict):
        for key, part in tree.items():
            yield from accesses(part, f"{code}[{_key(key)}]")
    elif isinstance(tree, (tuple, list)):
        for k, part in enumerate(tree):
            yield from accesses(part, f"{code}[{k}]")


def _key(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) and key.replace(".", "").isidentifier() else repr(key)


def _counts_examples(size: int) -> bool:
    form = form_of(size)
    return form is not None and form.counts_examples


def _mentions_m(code: str) -> bool:
    lines = [line.partition("#")[0] for line in code.splitlines()]
    words = " ".join(lines)
    for sign in "()[]{},:*/+-=@<>.'\"":
        words = words.replace(sign, f" {sign} ")
    return "m" in words.split()


def _bracketed(name: str, code: str) -> list[str]:
    """An assignment; one that is too long stands in brackets, on several lines."""
    line = f"{name} = {code}"
    if len(_INDENT + line) <= WIDTH:
        return [line]
    lines = textwrap.wrap(code, WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    return [f"{name} = (", *[_INDENT + part for part in lines], ")"]


def _wrapped(code: str) -> list[str]:
    """A long statement on several lines, broken inside its brackets."""
    if len(_INDENT + code) <= WIDTH:
        return [code]
    return textwrap.wrap(code, WIDTH - 8, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False)
