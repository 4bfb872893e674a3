"""What the page of a picture knows: the numbers of each box and of each edge, and the steps of forward and backward."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..autodiff import Hidden
from ..broadcasting import unbroadcast
from ..derivation.contributions import Use
from ..graph import Node
from .facts import Facts
from .opening import Opening
from .sides import Options, Sides
from .view import Box, Edge, View, gradients_of

FEW = 400  # numbers of an array that the page has; of more it has statistics
_NUMBER = re.compile(r"#(\d+)")  # of a value, in its label
_ROOM = 1 << 22  # numbers of the examples' contributions that are looked at one by one

Json = dict[str, Any]


def played(view: View, facts: Facts, opening: Opening) -> Json:
    """The page's knowledge of a forward view, ready for JSON; see ``page/numbers.js`` for arrays."""
    return _Play(view, facts, opening).json()


class _Play:
    def __init__(self, view: View, facts: Facts, opening: Opening) -> None:
        self.view, self.facts, self.opening = view, facts, opening
        self.words = Sides(facts, opening.folding, Options(view="both"))  # in which all values have names
        self.frames = {frame.group: frame.id for frame in view.frames}
        self.leaves: dict[Any, str] = {}  # the first box of each leaf
        self.into: dict[str, list[tuple[str, Edge]]] = {}  # the edges into each box, with their ids
        for k, edge in enumerate(view.edges):
            self.into.setdefault(edge.target, []).append((f"e{k}", edge))
        self.totals: dict[str, Any] = {}  # what is passed back along edges
        self.rules: dict[Any, tuple[list[str], str]] = {}

    def json(self) -> Json:
        twins = self._twins()
        boxes = {}
        for order, box in enumerate(self.view.boxes):
            boxes[box.id] = {**self._box(box), "order": order, "twins": twins.get(box.id, {})}
        edges = [self._edge(f"e{k}", edge) for k, edge in enumerate(self.view.edges)]
        return {
            "examples": self.view.examples,
            "boxes": boxes,
            "edges": edges,
            "clusters": {
                frame.id: {
                    "title": frame.title,
                    "kind": "repeat" if frame.group in self.opening.repeats else "module",
                    "folded": frame.group in self.opening.folded,
                    "turns": len(frame.group.turns),
                    "parent": frame.parent,
                }
                for frame in self.view.frames
            },
            "steps": [*self._forward(), *self._backward()],
            "notes": self.view.notes,
            "gradients_of": gradients_of(self.facts),
        }

    # ------------------------------------------------------------------------------------------- boxes

    def _box(self, box: Box) -> Json:
        side, node = box.sides[0], box.node
        array, delta, axis = box.array, None, self.facts.axis(node, box.array)
        if box.array is None:
            array, delta = self.facts.value(node), self.facts.delta(node)
        leaf = self.leaves.setdefault(node, box.id) if node.op is None else box.id
        stub = leaf if leaf != box.id else None
        shape = node.shape if array is None else array.shape
        return {
            "kind": box.kind,
            "title": (node.name if box.array is None else None) or side.title,
            "formula": self.words.call(node)
            if box.array is None and box.kind in ("operation", "output") and node.op
            else side.formula,
            "number": self.words.number[node] if box.array is None else None,
            "op": node.op.name if node.op is not None and box.array is None else "",
            "shape": list(shape),
            "axis": self._told_apart(axis, shape),
            "clusters": list(box.frames),
            "value": None if stub or box.kind == "folded" else self._numbers(array, axis),
            "grad": None if stub or box.kind == "folded" else self._numbers(delta, axis),
            "stub_of": stub,
        }

    def _told_apart(self, axis: int | None, shape: tuple[int, ...]) -> int | None:
        """The axis of examples, if it has one place for each."""
        return axis if axis is not None and axis < len(shape) and shape[axis] == self.facts.examples else None

    def _numbers(self, array: Any, axis: int | None = None) -> Json | None:
        """An array for the page."""
        if array is None:
            return None
        array = np.asarray(array)
        if array.dtype.kind not in "fiub":
            return None
        return _described(array, self._told_apart(axis, array.shape))

    def _twins(self) -> dict[str, dict[str, tuple[str, int]]]:
        """For boxes of later turns of what is repeated: the box of the first turn, and the turn."""
        stands = self.opening.folding.shown
        ids = {stands[box.node]: box.id for box in self.view.boxes if box.array is None and box.node in stands}
        found: dict[str, dict[str, tuple[str, int]]] = {}
        for repeat, twins in self.opening.twins.items():
            frame = self.frames[repeat]
            for item, (twin, turn) in twins.items():
                one, first = ids[item], ids[twin]
                found.setdefault(one, {})[frame] = first, turn
                operands = self._leaves_of(first)
                for place, leaf in self._leaves_of(one).items():
                    if place in operands and operands[place] != leaf:
                        found.setdefault(leaf, {})[frame] = operands[place], turn
        return found

    def _leaves_of(self, box: str) -> dict[Any, str]:
        """The boxes of the leaves that one uses, by their positions among the operands; labels by their order."""
        found: dict[Any, str] = {}
        for order, (_, edge) in enumerate(self.into.get(box, [])):
            if not edge.uses:
                found["label", order] = edge.source
            for node, position in edge.uses:
                if node.inputs[position].op is None:
                    found[position] = edge.source
        return found

    # ------------------------------------------------------------------------------------------- edges

    def _edge(self, id_: str, edge: Edge) -> Json:
        carrying = [use for node, position in edge.uses if (use := self._use(node, position)) is not None]
        sums = [use for use in carrying if (self.facts.original(use.node), use.rule.position) in self.facts.sums]
        badge = edge.badge
        made: Json = {
            "id": id_,
            "source": edge.source,
            "target": edge.target,
            "carries": edge.carries,
            "examples": edge.examples,
            "uses": max(len(edge.uses), 1),
            "sum": None if badge is None else {"count": badge.count, "axis": badge.axis, "uses": badge.uses},
            "all_sums": len(sums) == len(carrying),
            "rule": self._rule(carrying[0]) if len(carrying) == 1 else "",
            "passed": None,
            "contributions": None,
        }
        if not carrying or not self.facts.numbers or len({node.inputs[position] for node, position in edge.uses}) > 1:
            return made
        with np.errstate(all="ignore"):
            total = sum(map(self._total, carrying))
        self.totals[id_] = total
        made["passed"] = self._numbers(total, carrying[0].places.axis if carrying[0].places is not None else None)
        if sums and all(use.each is not None for use in sums):
            made["contributions"] = self._contributions(sums, total.shape)
        return made

    def _use(self, node: Node, position: int) -> Use | None:
        step = self.facts.step(node)
        return next((use for use in step.passed if use.rule.position == position), None) if step is not None else None

    def _rule(self, use: Use) -> str:
        """The formula of a use, which is read once for all that are alike but for the numbers of values."""
        operands = use.node, *use.node.inputs
        labels = [self.words.label(self.facts.original(x)) if isinstance(x, Node) else "" for x in operands]
        numbers = list(dict.fromkeys(_NUMBER.findall(" ".join(labels))))

        def told(x: Any, label: str) -> Any:
            if not isinstance(x, Node):
                return type(x), x
            return _NUMBER.sub(lambda found: f"#{numbers.index(found[1])}", label), x.shape, x.dtype

        ids = [*map(id, operands)]
        same = tuple(map(ids.index, ids))
        key = use.node.op, use.rule.position, use.summed, use.node.params, same, *map(told, operands, labels)
        try:
            if key not in self.rules:
                self.rules[key] = numbers, self.words.rule(use)
        except TypeError:  # an array, or a slice, among the options
            return self.words.rule(use)
        alike, text = self.rules[key]
        own = dict(zip(alike, numbers, strict=True))
        return _NUMBER.sub(lambda found: f"#{own.get(found[1], found[1])}", text)

    def _total(self, use: Use) -> Any:
        """What is passed back by one use, summed over the examples where the operand is the same for all of them."""
        step = self.facts.step(self.facts.original(use.node))
        assert step is not None
        level = use.parent.level
        cotangent = step.cotangent if use.node.level else step.delta
        passed = unbroadcast(use.rule.pull(cotangent, use.node, use.node.saved), use.parent.shape)
        while isinstance(passed, Hidden):  # what vmap hides from the operand is summed over
            passed = passed.summed(passed._level) if passed._level > level else passed.dense()._data
        return np.asarray(passed)

    def _contributions(self, uses: list[Use], shape: tuple[int, ...]) -> Json | None:
        """What each example contributes, along a first axis."""
        count = self.facts.examples
        if count * math.prod(shape) > _ROOM:
            return None
        return _described(np.stack([sum(np.asarray(use.of_example(k)) for use in uses) for k in range(count)]), 0)

    # ------------------------------------------------------------------------------------------- steps

    def _steps(self) -> list[Box]:
        shown = self.view.boxes
        return [box for box in shown if box.node.op is not None and box.array is None]

    def _forward(self) -> list[Json]:
        return [
            {"direction": "forward", "box": box.id, "edges": [id_ for id_, _ in self.into.get(box.id, [])]}
            for box in self._steps()
        ]

    def _backward(self) -> list[Json]:
        """The steps of backward, with the gradients that have grown in each: the sums of all that has arrived.

        Of leaves of which it is not known what arrives on some edge there are none.
        """
        edges = [(f"e{k}", edge) for k, edge in enumerate(self.view.edges) if edge.carries]
        lost = {node.inputs[at] for id_, edge in edges if id_ not in self.totals for node, at in edge.uses}
        steps = []
        sums = {self.leaves[root]: np.ones(root.shape) for root in self.facts.roots if root in self.leaves}
        for box in reversed(self._steps()):
            if self.facts.step(box.node) is None:
                continue
            passing = [(id_, edge) for id_, edge in self.into.get(box.id, []) if edge.carries]
            grown = {}
            for id_, edge in passing:
                node = edge.uses[0][0].inputs[edge.uses[0][1]]
                if node.op is None and node not in lost:
                    leaf = self.leaves[node]
                    sums[leaf] = sums.get(leaf, 0) + self.totals[id_]
                    grown[leaf] = self._numbers(sums[leaf])
            ids = [id_ for id_, _ in passing]
            steps.append({"direction": "backward", "box": box.id, "edges": ids, "gradients": grown})
        return steps


def _described(array: Any, axis: int | None) -> Json:
    with np.errstate(all="ignore"):
        real = array.astype(float)
        squares = np.square(real)
        norms = None if axis is None else np.sqrt(squares.sum(axis=tuple([k for k in range(array.ndim) if k != axis])))
        few = [_plain(x) for x in real.reshape(-1).tolist()] if array.size <= FEW else None
        some = array.size > 0
        return {
            "shape": list(array.shape),
            "axis": axis,
            "min": _plain(real.min()) if some else None,
            "max": _plain(real.max()) if some else None,
            "mean": _plain(real.mean()) if some else None,
            "norm": _plain(np.sqrt(squares.sum())),
            "numbers": few,
            "each": None if norms is None else [_plain(x) for x in norms],
        }


def _plain(x: Any) -> float | str:
    """A number for JSON, which has no words for those that are not finite."""
    x = float(x)
    if math.isfinite(x):
        return float(f"{x:.9g}")
    return "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"
