"""What the boxes of a picture say: titles, formulas, shapes, lines and numbers, of values and of their δ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from ..calls import call_of, shown
from ..carriers.hiding import hide, reveal
from ..derivation.contributions import Use
from ..derivation.rule_formulas import DELTA, rule_formula
from ..graph import Node
from ..wording import many
from . import words
from .facts import Facts, Sum
from .folding import Folding, Group
from .words import Grid, Shape

Direction = Literal["forward", "backward", "both"]
Numbers = Literal["numbers", "heat", False] | None

_VERBS = {"mean": "mean", **dict.fromkeys(("sum", "matmul", "dot", "vdot", "inner", "tensordot", "einsum"), "Σ")}
_TINY = 4  # numbers that are shown unasked
_MOST_USES = 4  # of a value, whose parts of its δ are written out
_MOST_CONTRIBUTIONS = 12


class Options(NamedTuple):
    """What a picture is to show besides; see ``draw``."""

    view: Direction = "forward"
    example: int | None = None
    values: Numbers = None
    grads: Numbers = None
    contributions: bool = False
    depth: int | None = None
    limit: int = 150
    unfold: bool | Collection[str] = ()


class Line(NamedTuple):
    """A line of a box: plain, about a sum over examples, or about what is missing."""

    text: str
    kind: Literal["plain", "sum", "note"] = "plain"


class Side(NamedTuple):
    """What a box says in one direction: of a value, or of its δ.

    title    the user's name, else what the value is
    named    whether the title is the user's name
    formula  how it is computed; empty where the title says it
    shape    with the axis of examples marked
    lines    what else there is to say
    grids    arrays
    """

    title: str
    named: bool
    formula: str = ""
    shape: Shape = Shape()
    lines: tuple[Line, ...] = ()
    grids: tuple[Grid, ...] = ()


class Sides:
    """The words for the nodes of a graph, as the options of a picture want them."""

    def __init__(self, facts: Facts, folding: Folding, options: Options) -> None:
        self.facts, self.folding, self.options = facts, folding, options
        self.number = {node: k for k, node in enumerate(facts.nodes)}
        names = {node.name for node in facts.nodes}
        self._free = next(name for name in ("L", "loss", "result", "the result") if name not in names)
        self._named = Counter(name for name in {self._shown(node): node.name for node in facts.nodes}.values() if name)
        self._result = self.label(facts.roots[0]) if len(facts.roots) == 1 else self._free

    # ------------------------------------------------------------------------------------------- boxes

    def of_operation(self, node: Node) -> tuple[Side, ...]:
        """The sides that the options want of an operation."""
        if self.options.view == "forward":
            return (self._value(node),)
        if self.options.view == "backward":
            return (self._delta(node),)
        return (self._value(node), self._delta(node))

    def of_leaf(self, node: Node, title: str, named: bool, stub: bool, alike: int) -> tuple[Side, ...]:
        """Those of a leaf that stands for so many ``alike``; a stub has a title only."""
        slope = f"∂{self._result}/∂{title}" if node.plan is not None else ""
        if stub:
            side, delta = Side(title, named), Side(slope, named)
        else:
            value = self._value(node)
            lines = (Line(f"{alike} alike, the first is shown", "note"),) if alike > 1 else value.lines
            side = value._replace(title=title, named=named, lines=lines)
            wanted = slope and self.options.view != "forward"
            delta = self._delta(node)._replace(title=slope) if wanted else Side("", False)
        if self.options.view == "both":
            return (side, delta)
        return (delta,) if self.options.view == "backward" else (side,)

    def of_group(self, group: Group) -> tuple[Side, ...]:
        """Those of a folded part."""
        nodes = group.nodes
        inside = set(nodes)
        leaves = {x for n in nodes for x in n.inputs if isinstance(x, Node) and x.op is None and x.plan is not None}
        own = [leaf for leaf in leaves if all(user in inside for user, _ in self.facts.users[leaf])]
        lines = [Line(many(len(nodes), "operation"))]
        if own:
            numbers = sum([int(np.prod(leaf.shape)) for leaf in own])
            lines.append(Line(f"{many(len(own), 'parameter')}, {many(numbers, 'number')}"))
            sums = {key for key in self.facts.sums if key[0] in inside and key[0].inputs[key[1]] in leaves}
            if sums:
                lines.append(Line(f"Σ over m={self.facts.examples} at {many(len(sums), 'place')}", "sum"))
        side = Side(group.title, True, "", self._shape(nodes[-1]), tuple(lines))
        return (side,) * (1 + (self.options.view == "both"))

    def of_array(self, node: Node, array: Any, name: str | None) -> tuple[Side, ...]:
        """That of an array which an operation reads besides its operands."""
        grids = tuple(self._grids("", node, array, self.options.values, array))
        return (Side(name or "constant", bool(name), "", self._shape(node, array), (), grids),)

    # ------------------------------------------------------------------------------------------ values

    def _value(self, node: Node) -> Side:
        facts, options = self.facts, self.options
        text = "" if node.op is None else self.call(node)
        lines = []
        if node in facts.reductions and facts.examples:
            verb = _VERBS.get(node.op.name if node.op is not None else "", "")
            text_of = (
                f"{verb} over the m={facts.examples} examples" if verb else f"the m={facts.examples} examples meet"
            )
            lines.append(Line(text_of, "sum"))
        if facts.mixes(node):
            lines.append(Line("examples influence each other", "note"))
        if options.view == "forward" and (node.op is None or (node.extras is not None and node.extras.keeps_grad)):
            lines += self._gradient_lines(node)
        caption = "changed since" if node.op is None and facts.changed(node) else ""
        grids = [*self._grids(caption, node, facts.value(node), options.values)]
        if options.view == "forward" and options.grads:
            left = isinstance(node.grad, np.ndarray)
            grids += self._grids(
                *("gradient", node, node.grad) if left else ("δ", node, facts.delta(node)), options.grads
            )
        title = node.name or text or "constant"
        if text and not node.name and (label := self.label(node)) != "·":
            title = f"{label} = {text}"
        return Side(title, bool(node.name), text if node.name else "", self._shape(node), tuple(lines), tuple(grids))

    def call(self, node: Node) -> str:
        """The call that made a value; vmap's own operations in words."""
        assert node.op is not None
        operands = self._inside(node)
        if node.op.key in (hide, reveal):
            which = "one example of" if node.op.key is hide else "all examples of"
            return f"vmap: {which} {operands(node.inputs[0])}"
        return call_of(node, operands, self.label)

    def _shape(self, node: Node, beside: Any = None) -> Shape:
        facts, example = self.facts, self.options.example
        shape, axis = (node if beside is None else beside).shape, facts.axis(node, beside)
        if axis is not None and example is not None:
            shape, axis = facts.of_example(node, np.broadcast_to(0.0, shape), example, beside).shape, None
        return words.shape_of(shape, axis, facts.examples, facts.hidden(node) if beside is None else 0)

    def _gradient_lines(self, node: Node) -> Iterator[Line]:
        """What backward has left; words where it has not run."""
        if node.plan is None:
            return
        if (uses := len(self.facts.users.get(node, ()))) > 1:
            yield Line(f"gradient: Σ over {uses} uses")
        grad = self.facts.delta(node) if self.facts.recorded else node.grad
        if grad is None:
            yield Line("no backward yet", "note")
        elif not isinstance(grad, np.ndarray):
            yield Line(f"gradient: {type(grad).__name__}")
        elif not self.options.grads:
            yield Line(f"gradient {words.short(grad)}" if grad.size <= _TINY else f"gradient: {words.size(grad)}")

    def _grids(self, caption: str, node: Node, array: Any, wanted: Numbers, beside: Any = None) -> Iterator[Grid]:
        if array is None or wanted is False or array.dtype.kind not in "fiub":
            return
        if self.options.example is not None:
            array = self.facts.of_example(node, array, self.options.example, beside)
        if array.size == 0 or (not wanted and array.size > _TINY):
            return
        yield words.grid(caption, array, wanted == "heat" and array.size > 1)

    # ---------------------------------------------------------------------------------------- backward

    def _delta(self, node: Node) -> Side:
        step = self.facts.step(node)
        if step is None:
            text = "backward does not run" if self.facts.failed else "no gradient flows here"
            return Side("", False, lines=(Line(text, "note"),))
        parts = Counter(["1"] if node in self.facts.roots else [])
        for use in step.received:
            if len(parts) > _MOST_USES:
                break
            parts[self.rule(use, f"δ{self._label_of_twin(use.node)}")] += 1
        texts = [text if count == 1 else f"{text}, {count} times" for text, count in parts.items()]
        lines = [Line(f"+ {text}") for text in texts[1:_MOST_USES]]
        if (more := len(step.received) - sum(list(parts.values())[:_MOST_USES])) > 0:
            lines.append(Line(f"+ {many(more, 'more use')}"))
        if len(step.received) > 1:
            lines.append(Line(f"Σ over {len(step.received)} uses"))
        known = self.facts.delta(node)
        what = ("", known) if known is not None or not isinstance(node.grad, np.ndarray) else (".grad", node.grad)
        grids = tuple(self._grids(what[0], node, what[1], self.options.grads))
        return Side(f"δ{self.label(node)}", bool(node.name), f"= {texts[0]}", self._shape(node), tuple(lines), grids)

    def rule(self, use: Use, delta: str = DELTA) -> str:
        """What a use passes back, as a formula, with the axes that are summed over since broadcasting made them."""
        axes = ", ".join(map(str, use.summed))
        summed = f", Σ over ax{'i' if len(use.summed) == 1 else 'e'}s {axes}" if axes else ""
        return rule_formula(use.node, use.rule, use.node.saved, self._label_of_twin, delta=delta).text + summed

    def contributions(self, sums: list[Sum]) -> tuple[str, ...]:
        """What the examples contribute to all of the sums: the numbers of one, or the norms of all."""
        if not self.facts.numbers or any(found.use.each is None for found in sums):
            return ()

        def part(example: int) -> Any:
            return sum(np.asarray(found.use.of_example(example)) for found in sums)

        count = sums[0].count
        if self.options.example is not None:
            own = part(self.options.example)
            text = words.short(own) if own.size <= _TINY else f"norm {words.number(np.linalg.norm(own))}"
            return (f"example {self.options.example}: {text}",)
        if not self.options.contributions:
            return ()
        rows = [part(k) for k in range(min(count, _MOST_CONTRIBUTIONS))]
        few = all(row.size <= _TINY for row in rows)
        texts = [f"{k}: {words.short(x) if few else words.number(np.linalg.norm(x))}" for k, x in enumerate(rows)]
        more = count - len(rows)
        return (
            "each one's part:" if few else "norm of each one's part:",
            *texts,
            *([f"… {more} more"] if more else []),
        )

    # ------------------------------------------------------------------------------------------- names

    def label(self, x: Any) -> str:
        """What an operand is called in formulas."""
        if not isinstance(x, Node):
            return words.name_of(x, self.facts.data) or shown(x)
        x = self._shown(x)
        plain = self.options.view == "forward"
        if x.name:
            return x.name if plain or self._named[x.name] == 1 else f"{x.name}#{self.number[x]}"
        if len(self.facts.roots) == 1 and x is self.facts.roots[0] and not x.shape:
            return self._free
        return self.facts.data_name(x) or ("·" if plain else f"#{self.number[x]}")

    def _shown(self, node: Node) -> Node:
        """The node of the first turn that stands for one of a later turn."""
        shown = self.folding.shown.get(node)
        return shown if isinstance(shown, Node) else node

    def _inside(self, node: Node) -> words.Label:
        """What operands are called within the frames of an operation: a module's path is not said again."""
        frames = self.folding.path.get(self.folding.shown.get(node, node), ())
        return lambda x: words.local(self.label(x), [group.title for group in frames])

    def _label_of_twin(self, x: Any) -> str:
        return self.label(self.facts.original(x) if isinstance(x, Node) else x)
