"""Which operations of a graph a picture shows, and for whom each of them stands."""

# ruff: noqa: RUF001, RUF002

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeGuard

import numpy as np

from ..graph import Node
from ..wording import listed, many
from .turns import Run, Wiring, adds_up_examples, runs

_SAVING = 8  # boxes that are worth folding a repetition
_ENDS = 8  # items that are left of a long row, if modules can be folded instead
_HARDLY_ANY = 12  # boxes that say too little
_ANY = sys.maxsize


@dataclass(slots=True, eq=False, repr=False)
class Group:
    """A part of the graph: a module, a part that comes several times in a row, or operations that are left out.

    title   the scope's name; of a repetition "blocks.0 … blocks.11  × 12" or "× 36"; else "… 9,812 operations"
    scope   the path of the scope itself, or of the one in which the part stands, such as "model/encoder"
    items   what is inside, in order; of a repetition what its first turn shows
    turns   of a repetition what each turn consists of, ``items`` being the first
    folded  shown as one box; of a repetition: its first turn stands for all
    span    the positions of the first operation inside, and behind the last one, in the whole graph
    """

    kind: Literal["module", "repeat", "rest"]
    title: str
    scope: str
    folded: bool
    graph: Sequence[Node]
    span: tuple[int, int]
    items: list[Item] = field(default_factory=list)
    turns: list[list[Item]] = field(default_factory=list)

    @property
    def adds_examples(self) -> bool:
        """Whether each turn adds the loss of an example to a running sum."""
        return self.kind == "repeat" and self.title.endswith(" examples")

    @property
    def nodes(self) -> list[Node]:
        """All operations inside, those of all turns included."""
        return list(self.graph[slice(*self.span)])

    def __repr__(self) -> str:
        return f"<{self.kind} {self.title!r} of {self.span[1] - self.span[0]} operations>"


Item: TypeAlias = Node | Group


@dataclass(slots=True, eq=False)
class Folding:
    """What a picture shows of a graph.

    root   everything, in a module without a title, which is never folded
    shown  for each operation what stands for it: itself, one of the first turn, or the folded part that it is in
    turns  for operations in repetitions the turn, counted from 0, of each repetition that they are in
    path   for everything that is shown the frames around it, the outermost first
    notes  what was folded without being asked for, in words
    """

    root: Group
    shown: dict[Node, Item]
    turns: dict[Node, dict[Group, int]]
    path: dict[Item, tuple[Group, ...]]
    notes: list[str]


def fold(
    nodes: Sequence[Node],
    *,
    depth: int | None = None,
    limit: int = 150,
    unfold: bool | Collection[str] = (),
) -> Folding:
    """Choose what a picture shows of ``nodes``, operations in the order in which they were made.

    Operations in a row with the same scope are a module; one that lies deeper than ``depth`` levels is one box.  A
    part that comes three times or more in a row, with the same operations wired in the same way, is shown once if
    that saves some boxes: modules that differ in the numbers of their names count as the same, and so do parameters
    of one shape.  If there would be more than ``limit`` boxes, modules are folded, the innermost first, and then the
    middle of long rows is left out.

    ``unfold`` names modules, by name or path, and repetitions, by title, that are to be shown in full, whatever the
    limit; True shows the turns of all repetitions.

    Raises ``ValueError`` for a negative depth, a limit below 1, and a name that nothing has.

    >>> import tinygrad_mb as tg
    >>> from tinygrad_mb.graph import ancestors
    >>> y = tg.Tensor(1.0, requires_grad=True)
    >>> for _ in range(36):
    ...     y = y + y
    >>> fold(ancestors(y.node)[-2::-1]).root.items
    [<repeat '× 36' of 36 operations>]
    """
    if limit < 1:
        raise ValueError(f"limit is the number of boxes that may be drawn, at least 1, not {limit}")
    if depth is not None and depth < 0:
        raise ValueError(f"depth is the number of levels of modules that are shown open, 0 or more, not {depth}")
    names: set[str] = set() if isinstance(unfold, bool) else {unfold} if isinstance(unfold, str) else set(unfold)
    folder = _Folder(nodes, depth, names)
    if unfold is not True:
        folder.find_repetitions()
    folder.refuse_unknown()
    folder.fit(limit)
    return folder.folding()


class _Folder:
    """The tree of modules while it is being folded; all walks are loops, however deep the scopes are."""

    def __init__(self, nodes: Sequence[Node], depth: int | None, names: set[str]) -> None:
        self.nodes = nodes
        self.names = names
        self.titles: set[str] = set()  # all that can be named
        self.wiring = Wiring(nodes)
        self.named: set[Group] = set()  # modules that the user named
        self.open: set[Group] = set()  # those, and the ones around them
        self.kinds: dict[Group, int] = {}  # of modules: the same number for those that do the same
        self.boxes: dict[Group, int] = {}  # that show a module before repetitions are folded
        self.folded: set[Group] = set()  # modules that there was no room for
        self.root = Group("module", "", "", False, nodes, (0, len(nodes)))
        self._build(depth)

    # ------------------------------------------------------------------------------------------- modules

    def _build(self, depth: int | None) -> None:
        around = [self.root]
        scope = ""
        for k, node in enumerate(self.nodes):
            if node.scope != scope:
                scope = node.scope
                names = [name for name in scope.split("/") if name]
                same = 0
                while same < len(names) and same + 1 < len(around) and around[same + 1].title == names[same]:
                    same += 1
                while len(around) > same + 1:
                    self._close(around, k)
                for name in names[same:]:
                    path = f"{around[-1].scope}/{name}" if around[-1].scope else name
                    module = Group("module", name, path, depth is not None and len(around) > depth, self.nodes, (k, k))
                    around[-1].items.append(module)
                    around.append(module)
            around[-1].items.append(node)
        while around:
            self._close(around, len(self.nodes))

    def _close(self, around: list[Group], end: int) -> None:
        """Finish the innermost module."""
        module = around.pop()
        module.span = module.span[0], end
        if module is not self.root:
            self.titles |= {module.title, module.scope}
        if not self.names.isdisjoint((module.title, module.scope)):
            self.named.add(module)
            self.open.update([module, *around])
        if module in self.open:
            module.folded = False
        kinds = tuple(self._kinds(module.items, module.span[0]))
        self.kinds[module] = self.wiring.number((re.sub(r"\d+", "#", module.title), kinds))
        self.boxes[module] = 1 if module.folded else sum(self._costs(module.items))

    def _kinds(self, items: Sequence[Item], start: int) -> list[int]:
        return [
            self.kinds[item] if isinstance(item, Group) else int(self.wiring.kinds[at])
            for item, at in zip(items, _starts(items, start), strict=False)
        ]

    def _costs(self, items: Sequence[Item]) -> list[int]:
        return [self.boxes[item] if isinstance(item, Group) else 1 for item in items]

    # --------------------------------------------------------------------------------------- repetitions

    def find_repetitions(self) -> None:
        """Put what comes several times in a row into groups, from the outside to the inside."""
        rows = [self.root]
        while rows:
            group = rows.pop()
            self._gather(group)
            rows += filter(_is_open, group.items)

    def _gather(self, group: Group) -> None:
        items = group.items
        starts = _starts(items, group.span[0])
        numbers = self._kinds(items, starts[0]), starts, self._costs(items)
        columns = [np.array(column, dtype=np.int64) for column in numbers]
        found = runs(self.wiring, columns[0], columns[1], columns[2], _SAVING)
        for run in reversed(found):  # so that the positions of those before it stay
            repeat = self._repeat(group, run, starts)
            if repeat is not None:
                items[run.start : run.end] = [repeat]

    def _repeat(self, group: Group, run: Run, starts: list[int]) -> Group | None:
        items = group.items[run.start : run.end]
        if self.open and any(item in self.open for item in items):
            return None
        turns = [items[at : at + run.length] for at in range(0, len(items), run.length)]
        start, second = starts[run.start], starts[run.start + run.length]
        name, times = _numbered(turns[0], turns[-1]), f"× {run.times}"
        if adds_up_examples(self.wiring, self.nodes, start, second - start):
            times += " examples"
        title = f"{name}  {times}" if name else times
        called = {title, times, *([name] if name else [])}
        self.titles |= called
        if not self.names.isdisjoint(called):
            return None
        return Group("repeat", title, group.scope, True, self.nodes, (start, starts[run.end]), turns[0], turns)

    def refuse_unknown(self) -> None:
        """Raise ``ValueError`` for names to unfold that nothing has."""
        unknown = sorted(self.names - self.titles)
        if unknown:
            there = listed([repr(title) for title in sorted(self.titles)]) or "no module, and no repetition"
            raise ValueError(f"unfold: nothing is called {unknown[0]!r}; there is {there}")

    # --------------------------------------------------------------------------------------------- limit

    def fit(self, limit: int) -> None:
        """Fold modules, and leave out the middle of long rows, until there are at most ``limit`` boxes."""
        most = _ANY
        if self._rows(most).boxes > limit:
            self._fold_levels(limit, _ANY, sparing=True)
            most = self._longest(limit, min(_ENDS, 1 + limit // 4))
            if self._rows(most).boxes > limit:
                self._fold_levels(limit, most, sparing=False)
                most = self._longest(limit, 1)
        for group, gaps in self._rows(most).gaps:
            starts = _starts(group.items, group.span[0])
            for start, end in reversed(gaps):
                span = starts[start], starts[end]
                title = f"… {many(span[1] - span[0], 'operation')}"
                left_out = group.items[start:end]
                group.items[start:end] = [Group("rest", title, group.scope, True, self.nodes, span, left_out)]

    def _fold_levels(self, limit: int, most: int, sparing: bool) -> None:
        """Fold level after level until it fits; ``sparing`` leaves one module open if hardly anything else is left."""
        boxes = self._rows(most).boxes
        levels = self._rows(_ANY).modules
        for level in sorted(levels, reverse=True):
            if boxes <= limit:
                return
            modules = [module for module in levels[level] if module not in self.open]
            saved = sum(self._rows(most, module).boxes - 1 for module in modules)
            if not (sparing and len(modules) == 1 and boxes - saved < _HARDLY_ANY):
                boxes -= saved
                for module in modules:
                    module.folded = True
                self.folded.update(modules)

    def _longest(self, limit: int, fewest: int) -> int:
        """How many items a row may show, ``fewest`` at least, so that there are at most ``limit`` boxes."""
        return fewest + bisect_right(range(fewest + 1, limit + 1), limit, key=lambda most: self._rows(most).boxes)

    def _rows(self, most: int, top: Group | None = None) -> _Rows:
        """What is shown inside ``top`` if each row of items shows at most ``most`` of them."""
        rows = _Rows(0, [], {})
        waiting = [(top or self.root, 0)]
        while waiting:
            group, level = waiting.pop()
            gaps = self._gaps(group, most)
            if gaps:
                rows.gaps.append((group, gaps))
            rows.boxes += len(gaps)
            bounds = [0, *[at for gap in gaps for at in gap], len(group.items)]
            for start, end in zip(bounds[::2], bounds[1::2], strict=True):
                inside = list(filter(_is_open, group.items[start:end]))
                rows.boxes += end - start - len(inside)
                for part in inside:
                    if part.kind == "module":
                        rows.modules.setdefault(level, []).append(part)
                    waiting.append((part, level + (part.kind == "module")))
        return rows

    def _gaps(self, group: Group, most: int) -> list[tuple[int, int]]:
        """The items to be left out of a row, so that the same number stays at both ends, and what is to stay open."""
        count = len(group.items)
        if count <= most or group in self.named:
            return []
        start, end = most // 2, count - (most - 1) // 2
        stay = [at for at in range(start, end) if group.items[at] in self.open] if self.open else []
        gaps = zip([start, *[at + 1 for at in stay]], [*stay, end], strict=True)
        return [(a, b) for a, b in gaps if b - a > 1 or (b > a and _is_open(group.items[a]))]

    # -------------------------------------------------------------------------------------------- result

    def folding(self) -> Folding:
        """The tree as it is now, and what stands for each operation."""
        stands: list[Item] = list(self.nodes)
        path: dict[Item, tuple[Group, ...]] = {}
        repeats, boxed, notes = [], [], []
        waiting: list[tuple[Item, tuple[Group, ...]]] = [(self.root, ())]
        while waiting:
            item, frames = waiting.pop()
            if _is_open(item):
                inside = frames if item is self.root else (*frames, item)
                waiting += [(part, inside) for part in reversed(item.items)]
                if item.kind == "repeat":
                    repeats.append(item)
                    notes.append(_note(item))
                continue
            path[item] = frames
            if isinstance(item, Group):
                stands[slice(*item.span)] = [item] * (item.span[1] - item.span[0])
                if item.kind == "rest":
                    notes.append(_note(item))
                elif item in self.folded:
                    boxed.append(item)
        if boxed:
            names = boxed[0].scope if len(boxed) == 1 else f"{boxed[0].scope} … {boxed[-1].scope}"
            notes.append(f"{names}: {many(len(boxed), 'module')} as one box each")
        turns = self._turns(repeats, stands)
        return Folding(self.root, dict(zip(self.nodes, stands, strict=True)), turns, path, list(dict.fromkeys(notes)))

    def _turns(self, repeats: list[Group], stands: list[Item]) -> dict[Node, dict[Group, int]]:
        """The turns of all operations; enters in ``stands`` who stands for those of later turns."""
        turns: list[dict[Group, int] | None] = [None] * len(stands)
        for repeat in reversed(repeats):  # from the inside to the outside
            start, end = repeat.span
            length = (end - start) // len(repeat.turns)
            first = turns[start : start + length]
            stands[start:end] = stands[start : start + length] * len(repeat.turns)
            kinds = {id(inner): inner for inner in first}
            for turn in range(len(repeat.turns)):
                entries = {key: {repeat: turn, **(inner or {})} for key, inner in kinds.items()}
                turns[start + turn * length : start + (turn + 1) * length] = [entries[id(inner)] for inner in first]
        return {node: entry for node, entry in zip(self.nodes, turns, strict=True) if entry}


@dataclass(slots=True)
class _Rows:
    """What would be shown.

    boxes    how many boxes
    gaps     the items that are left out of the rows of groups
    modules  those that are open, by level
    """

    boxes: int
    gaps: list[tuple[Group, list[tuple[int, int]]]]
    modules: dict[int, list[Group]]


def _is_open(item: Item) -> TypeGuard[Group]:
    """Whether an item is a frame around others."""
    return isinstance(item, Group) and (item.kind == "repeat" or not item.folded)


def _starts(items: Sequence[Item], start: int) -> list[int]:
    """The position of the first operation of each item, and last where the next one would be."""
    starts = [start]
    for item in items:
        start = item.span[1] if isinstance(item, Group) else start + 1
        starts.append(start)
    return starts


def _numbered(first: Sequence[Item], last: Sequence[Item]) -> str:
    """What a row of modules with numbers is called, by the first one and the last one; "" if none have numbers."""
    for a, b in zip(first, last, strict=True):
        if isinstance(a, Group) and isinstance(b, Group) and a.title != b.title:
            return f"{a.title} … {b.title}"
    return ""


def _note(group: Group) -> str:
    """What was folded, in words."""
    where = f" of {group.scope}" if group.scope else ""
    count = group.span[1] - group.span[0]
    if group.kind == "rest":
        return f"{many(count, 'operation')}{where}: left out"
    name, _, times = group.title.rpartition("× ")
    return f"{name.rstrip() or many(count // len(group.turns), 'operation')}{where}: shown once, × {times}"
