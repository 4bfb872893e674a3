"""The way back through a graph: the right one, and others on which one thing is done differently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..broadcasting import unbroadcast
from ..graph import Node
from ..primitives import OUT

Array = Any
Gradients = dict[str, Array]  # by the names of parameters and tensors
Pull = Callable[[Array, Node, Any], Array]
Edge = tuple[int, int]  # the place of a node, and the position of one of its arguments
Stop = dict[int, Callable[[Array | None], bool]]


@dataclass(frozen=True)
class Change:
    """What is done differently on a way back; nodes are given by their places in the graph, oldest first.

    at     what becomes of the cotangent of a node
    edges  rules in the place of those of (node, position of the argument)
    jumps  (an older node, what it gets from the cotangent of this one) in the place of all rules of a node
    joins  what becomes of the contributions of several uses, in the place of their sum
    saved  (k, what becomes of the arrays, if not of parameters alone, that the rules of nodes up to k read)
    """

    at: dict[int, Callable[[Array], Array]] = field(default_factory=dict)
    edges: dict[Edge, Pull] = field(default_factory=dict)
    jumps: dict[int, tuple[int, Callable[[Array], Array]]] = field(default_factory=dict)
    joins: dict[int, Callable[[list[Array]], Array]] = field(default_factory=dict)
    saved: tuple[int, Callable[[Array], Array]] | None = None

    def joined(self, other: Change) -> Change | None:
        """Both at once; None where they are about the same place."""
        same_edges = self.edges.keys() & other.edges.keys()
        same_nodes = (self.at.keys() & other.at.keys()) | (self.joins.keys() & other.joins.keys())
        jumped = self.jumps.keys() & ({n for n, _ in other.edges} | other.jumps.keys())
        if same_edges or same_nodes or jumped or (self.saved and other.saved):
            return None
        return Change(
            self.at | other.at,
            self.edges | other.edges,
            self.jumps | other.jumps,
            self.joins | other.joins,
            self.saved or other.saved,
        )

    @property
    def places(self) -> set[int]:
        """The nodes at which something is done differently; with ``saved``, also all that are older than the last."""
        last = range(self.saved[0] + 1) if self.saved is not None else ()
        return {*self.at, *[k for k, _ in self.edges], *self.jumps, *self.joins, *last}


RIGHT = Change()


class Walk:
    """The ways back from the newest of some nodes, which stand in the order of creation.

    constants  the nodes that no data reaches: ``Change.saved`` leaves them as they are
    flow       the true cotangents
    """

    def __init__(self, nodes: Sequence[Node], constants: set[Node]) -> None:
        self.nodes, self.constants = nodes, constants
        self.index = {node: k for k, node in enumerate(nodes)}
        self._given: dict[Edge, Array] = {}  # what each edge carries
        self._uses: dict[int, list[Edge]] = {}  # the edges that lead to a node, newest first
        self.flow = self.spread({nodes[-1]: np.ones(())}, keep=True)

    def spread(self, start: dict[Node, Array], keep: bool = False) -> dict[Node, Array]:
        """The true cotangents of all nodes, from those of some; ``keep`` is for the walk itself."""
        sums, found = dict(start), {}
        for k in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[k]
            if node not in sums:
                continue
            found[node] = sums[node]
            for edge, parent, c in self._carried(k, found[node], RIGHT):
                older = self.nodes[parent]
                sums[older] = sums[older] + c if older in sums else c
                if keep:
                    self._given[edge] = c
                    self._uses.setdefault(parent, []).append(edge)
        return found

    def changed(self, change: Change, stop: Stop | None = None) -> dict[Node, Array | None] | None:
        """The cotangents that are others with this change; None for a node that gets nothing any more.

        Only what the change reaches is computed anew.  The walk ends, with None, as soon as the question that
        ``stop`` asks about a node's cotangent is answered by True.
        """
        found: dict[Node, Array | None] = {}
        given: dict[Edge, Array | None] = {}  # what edges carry now
        more: dict[int, list[Edge]] = {}  # edges that were not there
        affected, stop = change.places, stop or {}
        for k in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[k]
            if k in affected:
                uses = [*self._uses.get(k, ()), *more.get(k, ())]
                if k in change.joins or any(edge in given for edge in uses):
                    uses.sort(key=lambda edge: -edge[0])
                    parts = [given[edge] if edge in given else self._given[edge] for edge in uses]
                    g = _joined([c for c in parts if c is not None], change.joins.get(k))
                else:
                    g = self.flow.get(node)
                if k in change.at and g is not None:
                    g = np.broadcast_to(change.at[k](g), node.shape)
                found[node] = g
                for edge, parent, c in self._carried(k, g, change):
                    given[edge] = c
                    affected.add(parent)
                    if edge not in self._given:
                        more.setdefault(parent, []).append(edge)
            if k in stop and stop[k](found[node] if node in found else self.flow.get(node)):
                return None
        return found

    def _carried(self, k: int, g: Array | None, change: Change) -> Iterator[tuple[Edge, int, Array | None]]:
        """What goes from a node to its parents: edge, place of the parent, contribution."""
        node = self.nodes[k]
        rules = node.plan.rules if node.op is not None and node.plan is not None else ()
        jumps = k in change.jumps
        arrays = self._saved(k, change) if g is not None and not jumps else None
        for rule in rules:
            parent = node.inputs[rule.position]
            pull = change.edges.get((k, rule.position), rule.pull)
            c = None if g is None or jumps else _fitted(pull(g, node, arrays), parent)
            yield (k, rule.position), self.index[parent], c
        if jumps:
            older, made = change.jumps[k]
            yield (k, -1), older, None if g is None else unbroadcast(made(g), self.nodes[older].shape)

    def _saved(self, k: int, change: Change) -> Any:
        """The arrays that a node's rules read."""
        node = self.nodes[k]
        if change.saved is None or k > change.saved[0] or node.saved is None or node.plan is None:
            return node.saved
        sources = [node if at == OUT else node.inputs[at] for at in node.plan.saves]
        return tuple([
            x if source in self.constants else change.saved[1](x)
            for source, x in zip(sources, node.saved, strict=True)
        ])  # fmt: skip


def _joined(parts: list[Array], join: Callable[[list[Array]], Array] | None) -> Array | None:
    """The sum of contributions, or what else becomes of them; None if there are none."""
    if not parts:
        return None
    return join(parts) if join is not None else sum(parts[1:], parts[0])


def _fitted(c: Any, parent: Node) -> Array:
    """A contribution in its node's shape: a wrong rule may give less than the right one."""
    c = np.asarray(c)
    if c.shape != parent.shape:
        c = unbroadcast(np.broadcast_to(c, np.broadcast_shapes(c.shape, parent.shape)), parent.shape)
    return c
