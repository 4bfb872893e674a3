"""Graph -> view: what a picture is to show, in words, before any thought of colours.

Every use of a parameter, or of data, has a box of its own beside the operation: a full one at the first use, a stub at
further ones.  So no line is longer than need be, and a sum over examples stands where it is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from ..graph import Node
from . import words
from .facts import Facts
from .folding import Folding, Group, fold
from .sides import Direction, Options, Side, Sides

Kind = Literal["parameter", "data", "constant", "operation", "output", "folded"]
State = Literal["", "path", "faded", "right", "wrong", "first wrong"]


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
    node    the value that it shows; of an array that is no operand, such as labels, the operation
    nodes   all values that it stands for
    array   such an array
    """

    id: str
    kind: Kind
    sides: tuple[Side, ...]
    frames: tuple[str, ...]
    node: Node
    nodes: list[Node]
    stub: bool = False
    array: Any = None
    state: State = ""


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


_DEFAULT = Options()


def view(facts: Facts, options: Options = _DEFAULT, folding: Folding | None = None) -> View:
    """What a picture of these facts shows, folded as the options say if it is not said how."""
    if folding is None:
        operations = [node for node in facts.nodes if node.op is not None]
        folding = fold(operations, depth=options.depth, limit=options.limit, unfold=options.unfold)
    return _Builder(facts, folding, options).view()


def gradients_of(facts: Facts) -> str:
    """What gradients are those of, where that is not the result itself."""
    if len(facts.roots) > 1:
        return "the sum of all results"
    return "the sum of all numbers of the result" if facts.roots and facts.roots[0].shape else ""


class _Builder:
    def __init__(self, facts: Facts, folding: Folding, options: Options) -> None:
        self.facts, self.folding, self.options = facts, folding, options
        self.words = Sides(facts, folding, options)
        self.number = self.words.number
        self.boxes: dict[str, Box] = {}
        self.edges: dict[tuple[str, str, bool], Edge] = {}
        self.frames: dict[Group, Frame] = {}
        self.titles: dict[str, str] = {}
        self.ids: dict[Node | Group, str] = {}
        self.drawn: set[Any] = set()  # leaves that have a full box
        self._same: dict[Any, Node] = {}  # the first node of each leaf: data that came as an array may be several

    def view(self) -> View:
        facts, folding = self.facts, self.folding
        members: dict[Node | Group, list[Node]] = {}
        for node, item in folding.shown.items():
            members.setdefault(item, []).append(node)
        for item, nodes in members.items():
            self._operation(item, nodes)
        for root in facts.roots:
            if root.op is None:
                self._leaf([root], "", ())
        for item, nodes in members.items():
            self._operands(item, nodes)
        for edge in self.edges.values():
            edge.badge = self._badge(edge.uses)
        notes = list(folding.notes)
        whose = gradients_of(facts)
        if whose and (len(facts.roots) > 1 or self.options.view != "forward"):
            notes.append(f"gradients are those of {whose}")
        if self.options.example is not None:
            notes.append(f"example {self.options.example} of m={facts.examples}: its own numbers, its part of each sum")
        if not facts.examples and not facts.sums and any(node.shape for node in facts.nodes):
            notes.append(f"examples are not told apart: {facts.reason}")
        order = sorted(self.boxes.values(), key=self._order)
        return View(
            order, list(self.edges.values()), list(self.frames.values()), self.options.view, facts.examples, notes
        )

    def _order(self, box: Box) -> tuple[int, bool, str]:
        return (self.number[box.node], box.array is None, box.id)

    # ------------------------------------------------------------------------------------------- boxes

    def _operation(self, shown: Node | Group, nodes: list[Node]) -> None:
        frames = self._frames(self.folding.path[shown])
        if isinstance(shown, Group):
            self.ids[shown] = f"g{self.number[nodes[0]]}"
            box = Box(self.ids[shown], "folded", self.words.of_group(shown), frames, nodes[-1], [*nodes])
        else:
            self.ids[shown] = f"n{self.number[shown]}"
            kind: Kind = "output" if not self.facts.roots or set(nodes) & set(self.facts.roots) else "operation"
            box = Box(self.ids[shown], kind, self.words.of_operation(shown), frames, shown, nodes)
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

    # --------------------------------------------------------------------------------------- operands

    def _operands(self, shown: Node | Group, nodes: list[Node]) -> None:
        """The edges into what is shown, with the boxes of the leaves there."""
        box = self.boxes[self.ids[shown]]
        leaves: dict[Any, dict[Node, list[tuple[Node, int]]]] = {}  # by place: the leaves, and their uses
        for node in nodes:
            for position, source in enumerate(node.inputs):
                if not isinstance(source, Node):
                    continue
                if source.op is None:
                    source = self._same.setdefault(self._data_key(source), source)
                    place = source if isinstance(shown, Group) else position
                    leaves.setdefault(place, {}).setdefault(source, []).append((node, position))
                else:
                    self._between(shown, node, position, source)
            if self.options.view == "forward" and (shown is node or isinstance(shown, Group)):
                self._labels(node, shown)
        inside = set(nodes) if isinstance(shown, Group) else set()
        alike: dict[tuple[Node, ...], list[tuple[Node, int]]] = {}
        for by_leaf in leaves.values():
            alike.setdefault(tuple(by_leaf), []).extend([use for uses in by_leaf.values() for use in uses])
        for which, uses in alike.items():
            hidden = self._kind_of_leaf(which[0]) != "data" and inside
            if hidden and all(user in inside for leaf in which for user, _ in self.facts.users[leaf]):
                box.nodes += which
                continue
            if self.options.view == "backward" and which[0].plan is None:
                continue
            self._edge(self._leaf(list(which), box.id, box.frames), box.id, uses, False)

    def _between(self, shown: Node | Group, node: Node, position: int, source: Node) -> None:
        origin = self.folding.shown[source]
        turns, of_source = self.folding.turns.get(node, {}), self.folding.turns.get(source, {})
        loop = any(of_source.get(group, turn) != turn for group, turn in turns.items())
        if origin is shown and isinstance(shown, Group):
            return
        self._edge(self.ids[origin], self.ids[shown], [(node, position)], loop)

    def _edge(self, source: str, target: str, uses: list[tuple[Node, int]], loop: bool) -> None:
        edge = self.edges.get((source, target, loop))
        if edge is None:
            edge = self.edges[source, target, loop] = Edge(source, target, False, False, loop=loop)
        edge.uses += uses
        for node, position in uses:
            if not edge.carries and node.plan is not None:
                edge.carries = any(rule.position == position for rule in node.plan.rules)
            edge.examples = edge.examples or self.facts.axis(node.inputs[position]) is not None

    def _badge(self, uses: list[tuple[Node, int]]) -> Badge | None:
        """The sum over examples that backward makes at some uses."""
        sums = [self.facts.sums[use] for use in uses if use in self.facts.sums]
        if not sums:
            return self._badge_of_loop(uses)
        same = [found for found in sums if found.use.parent is sums[0].use.parent]
        return Badge(sums[0].count, sums[0].axis, len(same), self.words.contributions(same))

    def _badge_of_loop(self, uses: list[tuple[Node, int]]) -> Badge | None:
        """That of a loop over examples, at a parameter that each of its turns uses."""
        sources = {node.inputs[position] for node, position in uses}
        if len(sources) != 1 or sources.pop().plan is None:
            return None
        for group in self.folding.turns.get(uses[0][0], {}):
            turns = {self.folding.turns.get(user, {}).get(group) for user, _ in uses}
            if group.adds_examples and len(turns) == len(group.turns):
                return Badge(len(turns), None, len(uses) // len(turns), ())
        return None

    def _leaf(self, which: list[Node], target: str, frames: tuple[str, ...]) -> str:
        """A box for leaves that are used at one place; its id."""
        node = which[0]
        key = self._data_key(node)
        stub = key in self.drawn
        self.drawn.add(key)
        id_ = f"n{self.number[node]}" + (f"_{target}" if stub else "")
        kind = self._kind_of_leaf(node)
        named = node.name or self.facts.data_name(node)
        title = named or kind
        if kind == "data":
            frames = ()
            last = which[-1].name or self.facts.data_name(which[-1])
            title = title if last == title else f"{title} … {last}"
        elif not named and self.options.view != "forward":
            title = f"#{self.number[node]} {kind}"
        title = words.local(title, [self.titles[frame] for frame in frames])
        sides = self.words.of_leaf(node, title, bool(named), stub, len(which))
        self.boxes[id_] = Box(id_, kind, sides, frames, node, which, stub)
        return id_

    def _kind_of_leaf(self, node: Node) -> Kind:
        if node.plan is not None:
            return "parameter"
        return "data" if node.name or self.facts.data_name(node) else "constant"

    def _data_key(self, node: Node) -> Any:
        """What two boxes share if they are of the same leaf: data that came as an array may be several nodes."""
        return self.facts.data_name(node) or node

    def _labels(self, node: Node, shown: Node | Group) -> None:
        """Boxes for arrays that are no operands: labels, indices; beside a folded part only for those with a name."""
        parts = [(part, param) for param in node.params for part in (param if type(param) is tuple else (param,))]
        for k, (array, param) in enumerate(parts):
            name = words.name_of(array, self.facts.data)
            if not isinstance(array, np.ndarray) or not array.ndim:
                continue
            if name is None and (array is not param or shown is not node):
                continue
            id_ = f"n{self.number[node]}p{k}"
            sides = self.words.of_array(node, array, name)
            self.boxes[id_] = Box(id_, "data" if name else "constant", sides, (), node, [node], array=array)
            marked = self.facts.axis(node, array) is not None
            self.edges[id_, self.ids[shown], False] = Edge(id_, self.ids[shown], False, marked)
