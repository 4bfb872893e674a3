"""The recorded graph as a walk through backward, in words and numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import errors
from ..calls import call_of
from ..graph import Node
from ..tensor import Tensor
from ..wording import listed, many
from .contributions import Step, Use, Walk
from .expressions import Expr, walk
from .repeats import Repeat, repeats
from .rule_formulas import rule_formula

LIMIT = 60  # steps that are shown, unless more are asked for
_FEW = 24  # numbers that are shown as they are

_SYMBOLS = {  # what stands in formulas, or an <operation> in them, and what it means
    "⊙": "⊙ multiplies element by element",
    "<matmul>|<outer>|<scatter>": "arrays side by side, as in A B, are multiplied as matrices",
    "ᵀ": "ᵀ exchanges the last two axes; a vector is a column",
    "<compare>": "[...] is 1 where it holds, else 0",
    "<sum>": "Σⱼ adds up along the first axis, Σₖ along the second, and so on",
    "onehot": "onehot(y) has a row for each number in y, which is 1 at that place and 0 elsewhere",
    r"\bnew\b": "a[:, new] has a new axis, of length one",
    "<unpool>": "unpool(δ; x) gives the δ of each window to its largest elements of x, in equal parts",
    "⋆": "⋆ is the sliding product of images and kernels, ⋆ᵀ what takes it back",
}

Kind = Literal["title", "line", "number", "sum", "note"]


class Line(NamedTuple):
    """A line of the explanation, what kind of line it is, and the formula in it, if there is one."""

    kind: Kind
    text: str
    form: Expr | None = None


class Explanation:
    """A walk through backward, for people: ``print`` it, or let a notebook show it.

    examples  how many examples the loss is made of; 0 if they are not told apart
    """

    def __init__(self, walk: Walk, example: int | None = None) -> None:
        self._walk = walk
        self._example = example
        self._values = [step for step in walk.steps.values() if step.node.op is not None]
        self._leaves = [step for step in walk.steps.values() if step.node.op is None][::-1]
        order = [step.node for step in (*self._values, *self._leaves)]
        self._number = {node: k for k, node in enumerate(order, start=1)}
        self._names = Counter(node.name for node in order)

    @property
    def examples(self) -> int:
        """How many examples the loss is made of; 0 if they are not told apart."""
        return self._walk.examples

    def example(self, number: int) -> Explanation:
        """The same walk with the numbers of one example: its own part of each δ, and what it adds to each sum.

        Examples are counted from 0.  Raises ``IndexError`` for one that there is not.
        """
        if not 0 <= number < self.examples:
            why = f": {self._walk.reason}" if self._walk.reason else ""
            raise IndexError(f"there is no example {number}; {self.examples} examples are told apart{why}")
        return Explanation(self._walk, number)

    def text(self, limit: int | None = LIMIT) -> str:
        """The explanation with about ``limit`` operations, and as many parameters at most; None shows all.

        Where a part is repeated four times or more, as by a loop, the first and the last time are shown, unless
        ``limit`` is None.
        """
        return _written(self._blocks(limit))

    def about(self, *names: str) -> str:
        """What is said of the values with these names, or numbers, such as "h" or "#7".

        Raises ``KeyError`` for a name that no value has.
        """
        steps = []
        for name in names:
            found = [n for n, k in self._number.items() if name in (n.name, f"#{k}")]
            if not found:
                raise KeyError(f"no value that the loss depends on is called {name!r}")
            steps += [self._walk.steps[node] for node in found]
        return _written(map(self._step, steps))

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        style = {
            "title": "font-weight:bold", "line": "margin-left:2em", "number": "margin-left:4em",
            "sum": "margin-left:2em;background:#ffe3b3;color:black", "note": "margin-left:2em;font-style:italic",
        }  # fmt: skip
        blocks = [
            "".join(f'<div style="{style[kind]}">{escape(text)}</div>' for kind, text, _ in block)
            for block in self._blocks(LIMIT)
        ]
        inside = "".join(f'<div style="margin:0.6em 0">{block}</div>' for block in blocks)
        return f'<div style="font-family:monospace;white-space:pre;overflow-x:auto">{inside}</div>'

    # ---------------------------------------------------------------------------------------- its blocks

    def _blocks(self, limit: int | None) -> list[list[Line]]:
        blocks = [*self._operations(limit), *self._parameters(limit)]
        formulas = [(line.text, line.form) for block in blocks for line in block if line.form is not None]
        signs = "".join([text + "".join([f"<{part.op}>" for part in walk(form)]) for text, form in formulas])
        return [self._head([meaning for sign, meaning in _SYMBOLS.items() if re.search(sign, signs)]), *blocks]

    def _head(self, symbols: list[str]) -> list[Line]:
        root = self._values[0].node if self._values else self._leaves[0].node
        loss = self._label(root) + (f" {root.shape}, all of it added up" if root.shape else "")
        counts = f"{many(len(self._values), 'operation')}, {many(len(self._leaves), 'parameter')}"
        lines = [Line("title", f"Backward from {loss}: {counts}"), Line("line", self._of_examples())]
        if any(step.mixing for step in self._walk.steps.values()):
            lines.append(Line("note", "NB: the examples influence each other; notes below say where"))
        symbols = ["δ of a value is the derivative of the loss by it", *symbols]
        return [*lines, *[Line("line", text) for text in symbols]]

    def _of_examples(self) -> str:
        if not self.examples:
            return f"examples are not told apart: {self._walk.reason}"
        starts = listed([self._label(node) for node in self._walk.starts])
        of_one = "" if self._example is None else f"; here is what example {self._example} has to do with it"
        return f"{many(self.examples, 'example')}, along the first axis of {starts}{of_one}"

    def _operations(self, limit: int | None) -> Iterator[list[Line]]:
        steps = self._values
        found = range(len(steps)) if limit is None else repeats([_signature(step.node) for step in steps], limit)
        reached = 0
        for part in found:
            if isinstance(part, Repeat):
                first, last, reached = part.start, part.start + part.length * (part.times - 1), part.end
                yield from map(self._step, steps[first : first + part.length])
                what = f"the same {many(part.length, 'operation')} {part.times - 2} more times"
                yield [Line("note", f"… {what}, #{first + part.length + 1} to #{last}, and for the last time:")]
                yield from map(self._step, steps[last:reached])
            else:
                yield self._step(steps[part])
                reached = part + 1
        if reached < len(steps):
            yield self._rest(len(steps) - reached, "more operation")

    def _parameters(self, limit: int | None) -> Iterator[list[Line]]:
        yield from map(self._step, self._leaves[:limit])
        if limit is not None and len(self._leaves) > limit:
            yield self._rest(len(self._leaves) - limit, "more parameter")

    @staticmethod
    def _rest(n: int, what: str) -> list[Line]:
        return [Line("note", f"… and {many(n, what)}: .text(limit=None) shows all")]

    # ------------------------------------------------------------------------------------- a step of it

    def _step(self, step: Step) -> list[Line]:
        node = step.node
        shape = f"  {node.shape}" if node.shape else ""
        if node.op is None:
            title = f"{self._label(node)}{shape}, a parameter"
        elif node.name:
            title = f"#{self._number[node]}  {self._label(node)} = {call_of(node, self._label)}{shape}"
        else:
            title = f"#{self._number[node]}  {call_of(node, self._label)}{shape}"
        lines = [Line("title", title), *self._delta(step)]
        for use in step.mixing:
            source = f"#{self._number[use.node]}"
            lines.append(Line("note", f"NB: {source} passes parts of all examples' losses to each example"))
        for use in step.passed:
            lines += self._passed(use, step.saved)
        return lines

    def _delta(self, step: Step) -> list[Line]:
        sources = [f"#{self._number[use.node]}" for use in step.received]
        what = "gradient" if step.node.op is None else "δ"
        if len(sources) > 1:
            what += f", Σ over {len(sources)} uses, by {listed(sources)}"
        elif sources:
            what += f", from {sources[0]}"
        kind: Kind = "sum" if len(sources) > 1 else "line"
        if step.node.level and step.delta.ndim > len(step.node.shape):
            lines = _numbers(kind, f"{what}; the examples that vmap hides are along axis 0", step.delta)
        elif step.places is None or not step.delta.ndim:
            lines = _numbers(kind, what, step.delta)
        elif self._example is not None:
            lines = _numbers(kind, f"{what}; of example {self._example}", step.of_example(self._example))
        elif step.places.axis == 0 and len(step.delta) == self.examples:
            lines = _numbers(
                kind, f"{what}; a {'row' if step.delta.ndim > 1 else 'number'} for each example", step.delta
            )
        else:
            lines = _numbers(kind, f"{what}; examples along axis {step.places.axis}", step.delta)
        added = [use for use in step.received if use.each is not None]
        if self._example is not None and added:
            own = sum(use.of_example(self._example) for use in added)
            lines += _numbers("line", f"contributed by example {self._example}", own)
        return lines

    def _passed(self, use: Use, saved: Any) -> list[Line]:
        formula = rule_formula(use.node, use.rule, saved, self._label)
        text = f"→ {self._label(use.parent)}: {formula.text}"
        if formula.spread is not None:
            text += f", spread over {formula.spread}"
        if use.summed:
            axes = f"ax{'i' if len(use.summed) == 1 else 'e'}s {listed([str(k) for k in use.summed])}"
            text += f", summed over {axes}, which broadcasting made"
        line = Line("line", text, formula.form)
        if use.lost:
            return [line, Line("note", "NB: from here on the examples are not told apart")]
        if use.hidden:
            sizes = " x ".join(map(str, use.hidden))
            return [line._replace(kind="sum", text=f"{text}   ← Σ over the {sizes} examples that vmap hides")]
        if use.each is not None:
            return [line._replace(kind="sum", text=f"{text}   ← Σ over the {many(self.examples, 'example')}")]
        return [line]

    def _label(self, x: Node) -> str:
        """An operand by the user's name, or the number of its step."""
        if x not in self._number:
            return x.name or "data"
        if x.name and self._names[x.name] == 1:
            return x.name
        return f"{x.name or ''}#{self._number[x]}"


def _written(blocks: Iterable[list[Line]]) -> str:
    indent = {"title": "", "line": "    ", "number": "        ", "sum": "    ", "note": "    "}
    return "\n".join(indent[kind] + text for block in blocks for kind, text, _ in block)


def _signature(node: Node) -> Any:
    """What operations that repeat have in common."""
    kinds = [(x.op is None, x.shape) if isinstance(x, Node) else x for x in node.inputs]
    return node.op, node.shape, tuple(kinds), node.scope


def _numbers(kind: Kind, what: str, array: Any) -> list[Line]:
    """What an array is, and its numbers, or its size where there are too many of them."""
    array = np.asarray(array) + 0.0  # no "-0"
    if array.size > _FEW:
        size = f"{array.shape}, norm {np.linalg.norm(array):.4g}, largest |δ| {np.abs(array).max():.4g}"
        return [Line(kind, f"{what}: {size}")]
    small = bool(np.abs(array).max(initial=0) < 1e-3)
    text = f"{array:.4g}" if not array.ndim else np.array2string(array, precision=4, suppress_small=not small)
    numbers = text.split("\n")
    if len(numbers) == 1:
        return [Line(kind, f"{what}: {text}")]
    return [Line(kind, f"{what}:"), *[Line("number", line) for line in numbers if line.strip()]]


def explain(loss: Any) -> Explanation:
    """Explain backward from a loss: value by value what comes in, by which rule it is passed on, and to whom.

    ``loss`` is one number, or one loss for each example, which are explained as if added up.  Each value of the graph
    is shown in the order of backward, under the user's name for it or a number: its δ, which is the derivative of the
    loss by it; the rule that gives the δ of its operands; the places where what the examples contribute is added up;
    and, where a value is used several times, the uses whose contributions make up its δ.  ``.example(i)`` shows the
    numbers of one example.

    The graph is only read: no ``.grad`` is touched and nothing is freed.  Hooks take part, as in backward.

    Raises ``TypeError`` for what is not a tensor that requires gradients, ``GraphFreedError`` after a ``backward()``
    without ``retain_graph=True``, and ``NotDifferentiableError`` for a loss inside ``vmap``.

    >>> import numpy as np, tinygrad_mb as tg
    >>> x, y = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]]), np.array([1.0, 2.0, 0.0])
    >>> w = tg.Tensor([1.0, -1.0], requires_grad=True, name="w")
    >>> e = (tg.Tensor(x, name="x") @ w - tg.Tensor(y, name="y")).named("e")
    >>> tg.explain(np.square(e).mean().named("loss"))
    Backward from loss: 4 operations, 1 parameter
        3 examples, along the first axis of #2
        δ of a value is the derivative of the loss by it
        ⊙ multiplies element by element
        arrays side by side, as in A B, are multiplied as matrices
        ᵀ exchanges the last two axes; a vector is a column
    #1  loss = mean(#2)
        δ: 1
        → #2: δ / 3, spread over (3,)
    #2  square(e)  (3,)
        δ, from #1; a number for each example: [0.3333 0.3333 0.3333]
        → e: 2 δ ⊙ e
    #3  e = #4 - y  (3,)
        δ, from #2; a number for each example: [-1.3333  0.6667 -0.6667]
        → #4: δ
    #4  x @ w  (3,)
        δ, from #3; a number for each example: [-1.3333  0.6667 -0.6667]
        → w: xᵀ δ   ← Σ over the 3 examples
    w  (2,), a parameter
        gradient, from #4: [ 0.6667 -3.3333]
    """
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"explain() wants the loss as a Tensor, and got {type(loss).__name__}: an array does not know how it was "
            "computed"
        )
    if not loss.requires_grad:
        raise TypeError(
            f"explain() wants a loss that requires gradients, and {errors.describe(loss, 'this tensor')} does not: it "
            "was computed from constants, or inside no_grad()"
        )
    return Explanation(Walk(loss.node))
