"""Graph -> view: what a picture is to show, in words, before any thought of colours.

Every use of a parameter, or of data, has a box of its own beside the operation: a full one at the first use, a stub at
further ones.  So no line is longer than need be, and a sum over examples stands where it is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from ..autodiff import bare
from ..calls import call_of, shown
from ..derivation.contributions import Use
from ..derivation.rule_formulas import rule_formula
from ..graph import Node
from . import words
from .facts import Facts, Sum
from .folding import Folding, Group, fold
from .words import Grid, Shape

Kind = Literal["parameter", "data", "constant", "operation", "output", "folded"]
Direction = Literal["forward", "backward", "both"]
Numbers = Literal["numbers", "heat"] | bool | None
State = Literal["", "path", "faded", "right", "wrong", "first wrong"]

_TINY = 4  # numbers that are shown unasked
_MOST_USES = 4  # of a value, whose parts of its δ are written out
_MOST_CONTRIBUTIONS = 12


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
    formula: str
    shape: Shape
    lines: tuple[Line, ...]
    grids: tuple[Grid, ...]


class Badge(NamedTuple):
    """A sum over examples that backward makes at an edge.

    count          how many examples there are
    axis           along which axis of the operation's cotangent they stand; None where vmap hides it
    uses           how many uses the edge stands for
    contributions  what each example contributes, on request
    """

    count: int  # type: ignore[assignment]  # a tuple's method, which nobody needs here
    axis: int | None
    uses: int
    contributions: tuple[str, ...]


@dataclass(slots=True)
class Box:
    """A value as a picture shows it.

    id      unique in its view, and the same for the same program
    kind    a leaf that needs gradients, other data, a number, an operation, what the picture is of, a folded part
    sides   the value, its δ, or both
    frames  the ids of the frames around it, the outermost first
    stub    whether it is a further use of a leaf that has a full box elsewhere
    times   how many values it stands for
    node    the value, or the first of them; of an array that is no operand, such as labels, the operation
    array   such an array
    """

    id: str
    kind: Kind
    sides: tuple[Side, ...]
    frames: tuple[str, ...]
    stub: bool = False
    times: int = 1
    state: State = ""
    node: Node | None = None
    array: Any = None


@dataclass(slots=True)
class Edge:
    """A value used by an operation.

    carries   whether a gradient flows back along it
    examples  whether each example has its own part of the value
    badge     the sum over examples that backward makes here
    loop      whether it leads to the next turn of what is repeated
    uses      those that it stands for: by which operation, and as which operand
    """

    source: str
    target: str
    carries: bool
    examples: bool
    badge: Badge | None = None
    loop: bool = False
    uses: list[tuple[Node, int]] = field(default_factory=list)
    state: State = ""


class Frame(NamedTuple):
    """A box around boxes: a scope, or a part that is repeated."""

    id: str
    title: str
    kind: Literal["module", "repeat"]
    parent: str | None
    group: Group


class View(NamedTuple):
    """All that a picture shows, oldest first; ``notes`` are for its margin."""

    boxes: list[Box]
    edges: list[Edge]
    frames: list[Frame]
    direction: Direction
    examples: int
    notes: list[str]


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


_DEFAULT = Options()


def view(facts: Facts, options: Options = _DEFAULT, folding: Folding | None = None) -> View:
    """What a picture of these facts shows, folded as the options say if it is not said how."""
    if folding is None:
        operations = [node for node in facts.nodes if node.op is not None]
        folding = fold(operations, depth=options.depth, limit=options.limit, unfold=options.unfold)
    return _Builder(facts, folding, options).view()


class _Builder:
    def __init__(self, facts: Facts, folding: Folding, options: Options) -> None:
        self.facts, self.folding, self.options = facts, folding, options
        self.number = {node: k for k, node in enumerate(facts.nodes)}
        self.boxes: dict[str, Box] = {}
        self.edges: dict[tuple[str, str, bool], Edge] = {}
        self.frames: dict[Group, Frame] = {}
        self.titles: dict[str, str] = {}
        self.ids: dict[Node | Group, str] = {}
        self.drawn: set[Any] = set()  # leaves that have a full box
        self._result = self._label(facts.roots[0]) if len(facts.roots) == 1 else "L"

    def view(self) -> View:
        facts, folding = self.facts, self.folding
        members: dict[Node | Group, list[Node]] = {}
        for node, item in folding.shown.items():
            members.setdefault(item, []).append(node)
        for item, nodes in members.items():
            self._operation(item, nodes)
        for root in facts.roots:
            if root.op is None:
                self._leaf([root], "", (), 1)
        for item, nodes in members.items():
            self._operands(item, nodes)
        for edge in self.edges.values():
            edge.badge = self._badge(edge.uses)
        notes = list(folding.notes)
        if len(facts.roots) > 1:
            notes.append("gradients are those of the sum of all results")
        if self.options.example is not None:
            notes.append(f"example {self.options.example} of m={facts.examples}: its own numbers, its part of each sum")
        if not facts.examples and any(
            node.plan is not None and node.op is not None and node.shape for node in facts.nodes
        ):
            notes.append(f"examples are not told apart: {facts.reason}")
        order = sorted(self.boxes.values(), key=self._order)
        return View(
            order, list(self.edges.values()), list(self.frames.values()), self.options.view, facts.examples, notes
        )

    def _order(self, box: Box) -> tuple[int, bool, str]:
        return (self.number[box.node] if box.node is not None else -1, box.array is None, box.id)

    # ------------------------------------------------------------------------------------------- boxes

    def _operation(self, shown: Node | Group, nodes: list[Node]) -> None:
        frames = self._frames(self.folding.path[shown])
        if isinstance(shown, Group):
            self.ids[shown] = f"g{self.number[nodes[0]]}"
            sides = tuple([self._group(shown, nodes)] * (1 + (self.options.view == "both")))
            box = Box(self.ids[shown], "folded", sides, frames, times=len(nodes), node=nodes[-1])
        else:
            self.ids[shown] = f"n{self.number[shown]}"
            kind: Kind = "output" if not self.facts.roots or set(nodes) & set(self.facts.roots) else "operation"
            sides = self._sides(shown)
            box = Box(self.ids[shown], kind, sides, frames, times=len(nodes), node=shown)
        self.boxes[box.id] = box

    def _frames(self, groups: tuple[Group, ...]) -> tuple[str, ...]:
        """The ids of frames, the outermost first."""
        ids: tuple[str, ...] = ()
        for group in groups:
            if group not in self.frames:
                kind: Literal["module", "repeat"] = "repeat" if group.kind == "repeat" else "module"
                frame = Frame(f"f{len(self.frames)}", group.title, kind, ids[-1] if ids else None, group)
                self.frames[group] = frame
                self.titles[frame.id] = group.title
            ids += (self.frames[group].id,)
        return ids

    def _group(self, group: Group, nodes: list[Node]) -> Side:
        inside = set(nodes)
        leaves = {x for n in nodes for x in n.inputs if isinstance(x, Node) and x.op is None and x.plan is not None}
        own = [leaf for leaf in leaves if all(user in inside for user, _ in self.facts.users[leaf])]
        lines = [Line(_many(len(nodes), "operation"))]
        if own:
            numbers = sum([int(np.prod(leaf.shape)) for leaf in own])
            lines.append(Line(f"{_many(len(own), 'parameter')}, {_many(numbers, 'number')}"))
            sums = {key for key in self.facts.sums if key[0] in inside and key[0].inputs[key[1]] in leaves}
            if sums:
                lines.append(Line(f"Σ over m={self.facts.examples} at {_many(len(sums), 'place')}", "sum"))
        last = nodes[-1]
        return Side(group.title, True, "", self._shape(last), tuple(lines), ())

    def _sides(self, node: Node) -> tuple[Side, ...]:
        if self.options.view == "forward":
            return (self._value(node),)
        if self.options.view == "backward":
            return (self._delta(node),)
        return (self._value(node), self._delta(node))

    def _shape(self, node: Node, beside: Any = None) -> Shape:
        facts, example = self.facts, self.options.example
        shape, axis = (node if beside is None else beside).shape, facts.axis(node, beside)
        if axis is not None and example is not None:
            shape, axis = facts.of_example(node, np.broadcast_to(0.0, shape), example, beside).shape, None
        return words.shape_of(shape, axis, facts.examples, facts.hidden(node) if beside is None else 0)

    def _value(self, node: Node) -> Side:
        text = "" if node.op is None else call_of(node, self._inside(node), self._label)
        lines = []
        if node in self.facts.reductions and self.facts.examples:
            what = node.op.name if node.op is not None else ""
            verb = {"mean": "mean", "sum": "Σ"}.get(what, what)
            lines.append(Line(f"{verb} over the m={self.facts.examples} examples", "sum"))
        if self.facts.mixes(node):
            lines.append(Line("examples influence each other", "note"))
        if self.options.view == "forward" and (node.op is None or (node.extras is not None and node.extras.keeps_grad)):
            lines += self._gradient_lines(node)
        grids = [*self._array("", node, self.facts.value(node), self.options.values)]
        if self.options.view == "forward" and self.options.grads:
            grids += self._array("δ", node, self._known_gradient(node), self.options.grads)
        title = node.name or text or "constant"
        if text and not node.name and (label := self._label(node)) != "·":
            title = f"{label} = {text}"
        return Side(title, bool(node.name), text if node.name else "", self._shape(node), tuple(lines), tuple(grids))

    def _known_gradient(self, node: Node) -> Any:
        return node.grad if isinstance(node.grad, np.ndarray) else self.facts.delta(node)

    def _gradient_lines(self, node: Node) -> Iterator[Line]:
        """What backward has left; words where it has not run."""
        if node.plan is None:
            return
        if (uses := len(self.facts.users.get(node, ()))) > 1:
            yield Line(f"gradient: Σ over {uses} uses")
        grad = node.grad
        if grad is None:
            if not self.facts.data:
                yield Line("no backward yet", "note")
        elif not isinstance(grad, np.ndarray):
            yield Line(f"gradient: {type(grad).__name__}")
        elif not self.options.grads:
            yield Line(f"gradient {words.short(grad)}" if grad.size <= _TINY else f"gradient: {words.size(grad)}")

    def _delta(self, node: Node) -> Side:
        step = self.facts.step(node)
        name = self._label(node)
        title = f"∂{self._result}/∂{name}" if node.op is None else f"δ{name}"
        if step is None:
            return Side("", False, "", Shape(), (Line("no gradient flows here", "note"),), ())
        parts = ["1"] if node in self.facts.roots else []
        for use in step.received[:_MOST_USES]:
            label = self._label_of_twin
            found = rule_formula(use.node, use.rule, use.node.saved, label, delta=f"δ{label(use.node)}")
            parts.append(found.text + _summed(use))
        lines = [Line(f"+ {text}") for text in parts[1:]]
        if len(step.received) > _MOST_USES:
            lines.append(Line(f"+ {len(step.received) - _MOST_USES} more uses"))
        if len(step.received) > 1:
            lines.append(Line(f"Σ over {len(step.received)} uses"))
        grids = tuple(self._array("", node, self._known_gradient(node), self.options.grads))
        return Side(title, bool(node.name), f"= {parts[0]}", self._shape(node), tuple(lines), grids)

    def _array(self, caption: str, node: Node, array: Any, wanted: Numbers, beside: Any = None) -> Iterator[Grid]:
        if array is None or wanted is False or array.dtype.kind not in "fiub":
            return
        if self.options.example is not None:
            array = self.facts.of_example(node, array, self.options.example, beside)
        if array.size == 0 or (not wanted and array.size > _TINY):
            return
        if node.op is None and not caption and self.facts.changed(node):
            caption = "changed since"
        yield words.grid(caption, array, wanted == "heat" and array.size > 1)

    def _label(self, x: Any) -> str:
        """What an operand is called in formulas."""
        if not isinstance(x, Node):
            return words.name_of(x, self.facts.data) or shown(x)
        if x.name:
            return x.name
        if len(self.facts.roots) == 1 and x is self.facts.roots[0] and not x.shape:
            return "L"
        return self._data_name(x) or ("·" if self.options.view == "forward" else f"#{self.number[x]}")

    def _inside(self, node: Node) -> words.Label:
        """What operands are called within the frames of an operation: a module's path is not said again."""
        frames = self.folding.path.get(self.folding.shown.get(node, node), ())
        return lambda x: words.local(self._label(x), [group.title for group in frames])

    def _label_of_twin(self, x: Any) -> str:
        return self._label(self.facts.original(x) if isinstance(x, Node) else x)

    def _data_name(self, node: Node) -> str | None:
        return words.name_of(bare(node.value), self.facts.data) if node.op is None and node.plan is None else None

    # --------------------------------------------------------------------------------------- operands

    def _operands(self, shown: Node | Group, nodes: list[Node]) -> None:
        """The edges into what is shown, with the boxes of the leaves there."""
        leaves: dict[Any, dict[Node, list[tuple[Node, int]]]] = {}  # by place: the leaves, and their uses
        for node in nodes:
            for position, source in enumerate(node.inputs):
                if not isinstance(source, Node):
                    continue
                if source.op is None:
                    place = source if isinstance(shown, Group) else position
                    leaves.setdefault(place, {}).setdefault(source, []).append((node, position))
                else:
                    self._between(shown, node, position, source)
            if self.options.view == "forward" and shown is node:
                self._labels(node)
        inside = set(nodes) if isinstance(shown, Group) else set()
        alike: dict[tuple[Node, ...], list[tuple[Node, int]]] = {}
        for by_leaf in leaves.values():
            alike.setdefault(tuple(by_leaf), []).extend([use for uses in by_leaf.values() for use in uses])
        for which, uses in alike.items():
            hidden = self._kind_of_leaf(which[0]) != "data" and inside
            if hidden and all(user in inside for leaf in which for user, _ in self.facts.users[leaf]):
                continue
            if self.options.view == "backward" and which[0].plan is None:
                continue
            id_ = self._leaf(list(which), self.ids[shown], self.boxes[self.ids[shown]].frames, len(uses))
            self._edge(id_, self.ids[shown], uses, False)

    def _between(self, shown: Node | Group, node: Node, position: int, source: Node) -> None:
        origin = self.folding.shown[source]
        turns, of_source = self.folding.turns.get(node, {}), self.folding.turns.get(source, {})
        loop = any(of_source.get(group, turn) != turn for group, turn in turns.items())
        if origin is shown and (isinstance(shown, Group) or not loop) and isinstance(shown, Group):
            return
        self._edge(self.ids[origin], self.ids[shown], [(node, position)], loop)

    def _edge(self, source: str, target: str, uses: list[tuple[Node, int]], loop: bool) -> None:
        edge = self.edges.get((source, target, loop))
        if edge is None:
            edge = self.edges[source, target, loop] = Edge(source, target, False, False, loop=loop)
        edge.uses += uses
        for node, position in uses:
            edge.carries |= node.plan is not None and any(rule.position == position for rule in node.plan.rules)
            edge.examples |= self.facts.axis(node.inputs[position]) is not None

    def _badge(self, uses: list[tuple[Node, int]]) -> Badge | None:
        """The sum over examples that backward makes at some uses."""
        sums = [self.facts.sums[use] for use in uses if use in self.facts.sums]
        if not sums:
            return None
        same = [found for found in sums if found.use.parent is sums[0].use.parent]
        return Badge(sums[0].count, sums[0].axis, len(sums), self._contributions(same))

    def _contributions(self, sums: list[Sum]) -> tuple[str, ...]:
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

    def _leaf(self, which: list[Node], target: str, frames: tuple[str, ...], uses: int) -> str:
        """A box for leaves that are used at one place; its id."""
        node = which[0]
        key = self._data_key(node)
        stub = key in self.drawn
        self.drawn.add(key)
        id_ = f"n{self.number[node]}" + (f"_{target}" if stub else "")
        kind = self._kind_of_leaf(node)
        named = node.name or self._data_name(node)
        title = named or kind
        if named and len(which) > 1 and (last := which[-1].name or self._data_name(which[-1]) or title) != title:
            title = f"{title} … {last}"
        if kind == "data":
            frames = ()
        title = words.local(title, [self.titles[frame] for frame in frames])
        sides = self._leaf_sides(node, title, bool(named), stub, len(which))
        self.boxes[id_] = Box(id_, kind, sides, frames, stub, len(which), node=node)
        return id_

    def _kind_of_leaf(self, node: Node) -> Kind:
        if node.plan is not None:
            return "parameter"
        return "data" if node.name or self._data_name(node) else "constant"

    def _leaf_sides(self, node: Node, title: str, named: bool, stub: bool, alike: int) -> tuple[Side, ...]:
        if stub:
            side = Side(title, named, "", Shape(), (), ())
            delta = Side(f"∂{self._result}/∂{title}" if node.plan is not None else "", named, "", Shape(), (), ())
        else:
            value = self._value(node)
            lines = (Line(f"{alike} alike, the first is shown", "note"),) if alike > 1 else value.lines
            side = value._replace(title=title, named=named, lines=lines)
            delta = Side("", False, "", Shape(), (), ())
            if node.plan is not None:
                delta = self._delta(node)._replace(title=f"∂{self._result}/∂{title}")
        if self.options.view == "both":
            return (side, delta)
        return (delta,) if self.options.view == "backward" else (side,)

    def _data_key(self, node: Node) -> Any:
        """What two boxes share if they are of the same leaf: data that came as an array may be several nodes."""
        name = self._data_name(node)
        return node if name is None else name

    def _labels(self, node: Node) -> None:
        """Boxes for arrays that are no operands: labels, indices."""
        parts = [(part, param) for param in node.params for part in (param if type(param) is tuple else (param,))]
        for k, (array, param) in enumerate(parts):
            name = words.name_of(array, self.facts.data)
            if not isinstance(array, np.ndarray) or not array.ndim or (array is not param and name is None):
                continue
            id_ = f"{self.ids[node]}p{k}"
            axis = self.facts.axis(node, array)
            grids = tuple(self._array("", node, array, self.options.values, array))
            side = Side(name or "constant", bool(name), "", self._shape(node, array), (), grids)
            self.boxes[id_] = Box(id_, "data" if name else "constant", (side,), (), node=node, array=array)
            self.edges[id_, self.ids[node], False] = Edge(id_, self.ids[node], False, axis is not None)


def _summed(use: Use) -> str:
    """The axes that are summed over after the rule, since broadcasting made them."""
    axes = ", ".join(map(str, use.summed))
    return f", Σ over ax{'i' if len(use.summed) == 1 else 'e'}s {axes}" if axes else ""


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
