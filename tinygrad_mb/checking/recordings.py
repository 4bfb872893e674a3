"""A loss on one batch, recorded with every value, and the ways back through it: the right one, and wrong ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..autodiff import Hidden, data_of, gradient
from ..broadcasting import unbroadcast
from ..errors import NotDifferentiableError, ShapeError
from ..graph import Node, ancestors
from ..modes import enable_grad, keep_values, no_grad
from ..primitives import OUT, PRIMITIVES, Primitive
from ..pytrees import Nest
from ..tensor import Tensor
from ..transforms import fresh_argument
from .differences import judge, noise_of

Array = Any
Gradients = dict[str, Array]
Pull = Callable[[Array, Node, Any], Array]

ADD, SUBTRACT, NEGATIVE = PRIMITIVES[np.add], PRIMITIVES[np.subtract], PRIMITIVES[np.negative]
MULTIPLY, DIVIDE = PRIMITIVES[np.multiply], PRIMITIVES[np.divide]
MEAN, SUM = PRIMITIVES[np.mean], PRIMITIVES[np.sum]
LINEAR = frozenset((ADD, SUBTRACT, NEGATIVE, MULTIPLY, DIVIDE, MEAN, SUM, PRIMITIVES[np.positive]))


@dataclass(frozen=True)
class Change:
    """What is done differently on a way back; nodes are given by their places in ``Recording.nodes``.

    at     what becomes of the cotangent of a node
    edges  rules in the place of those of (node, position of the argument)
    jumps  (an older node, what it gets from the cotangent of this one) in the place of all rules of a node
    joins  what becomes of the contributions of several uses, in the place of their sum
    saved  (k, what becomes of the arrays, if not of parameters alone, that the rules of nodes up to k read)
    """

    at: dict[int, Callable[[Array], Array]] = field(default_factory=dict)
    edges: dict[tuple[int, int], Pull] = field(default_factory=dict)
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


RIGHT = Change()


class Recording:
    """A loss on one batch.

    m       how many examples the batch has: the length of most of its arrays
    batch   the nest of its arrays
    root    the loss, one number: a loss with axes stands for its mean
    nodes   all that the loss is made of, oldest first
    params  the parameters' nodes by their paths
    named   the nodes that the loss function gave a name
    truth   the gradients by all of these
    notes   what readers have found out, so that they need not do so again
    """

    def __init__(self, loss_fn: Callable[..., Any], params: Nest, batch: Nest) -> None:
        self.loss_fn, self.nest, self.batch = loss_fn, params, batch
        self.notes: dict[str, Any] = {}
        lengths = Counter([len(x) for x in batch.leaves if np.shape(x)])
        self.m: int = max(lengths, key=lengths.__getitem__, default=1)
        with enable_grad(), keep_values():
            leaves = [fresh_argument(np.array(x), path or "params") for x, path in named_leaves(params)]
            loss = loss_fn(params.fill(leaves, whole=True), *batch.fill([own(x) for x in batch.leaves], whole=True))
            if not isinstance(loss, Tensor) or not loss.requires_grad:
                raise TypeError(
                    "check_derivation: the loss does not depend on params. It must be computed from them by NumPy's "
                    f"functions, and the function returned {loss!r:.60}"
                )
            self.per_example = loss.shape != ()
            self.loss = loss.mean() if self.per_example else loss
        self.root = self.loss.node
        self.params = {path: leaf.node for leaf, (_, path) in zip(leaves, named_leaves(params), strict=True)}
        self.nodes = ancestors(self.root)[::-1]
        self.index = {node: k for k, node in enumerate(self.nodes)}
        inputs = set(self.params.values())
        self.named = {n.name: n for n in self.nodes if n.name and n not in inputs and n.plan is not None}
        self.truth = self._gradients()

    def _gradients(self) -> Gradients:
        """Those by parameters and named tensors, as the engine computes them; what vmap names has none of its own."""
        wanted = self.params | {name: n for name, n in self.named.items() if name not in self.params}
        found = gradient({self.root: np.ones(())}, list(wanted.values()))
        by_name = {name: found.get(n, np.zeros(n.shape)) for name, n in wanted.items()}
        self.named = {name: n for name, n in self.named.items() if not isinstance(by_name[name], Hidden)}
        return {name: np.asarray(g) for name, g in by_name.items() if not isinstance(g, Hidden)}

    @cached_property
    def followed(self) -> bool:
        """Whether the way back that can be changed runs, and leads to the engine's gradients when it is not changed."""
        try:
            found = self.flow
        except Exception:  # arrays with hidden axes, and whatever else only the engine's own walk knows of
            return False
        wanted = self.params | self.named
        return all(
            abs(found.get(wanted[name], 0.0) - g).max(initial=0) <= 1e-9 * abs(g).max(initial=0)
            for name, g in self.truth.items()
        )

    @cached_property
    def rounding(self) -> Gradients:
        """By how much the true gradients move if params and batch move in their last digits; infinite if they jump."""
        rng, moves = np.random.default_rng(0), {name: 0 * g for name, g in self.truth.items()}
        for _ in range(2):
            other = self.on(_moved(rng, self.batch.leaves, 2.0**-50), _moved(rng, self.nest.leaves, 2.0**-50))
            if other is None or other.signature != self.signature:
                return {name: np.full(g.shape, np.inf) for name, g in self.truth.items()}
            moves = {name: np.maximum(move, abs(other.truth[name] - self.truth[name])) for name, move in moves.items()}
        return moves

    def vanishes(self, name: str) -> bool:
        """Whether a true gradient is 0, or nothing but rounding."""
        largest = abs(self.truth[name]).max(initial=0)
        return bool(largest == 0 or (largest < 1e-10 and largest <= 100 * self.rounding[name].max(initial=0) < 1e-8))

    def elsewhere(self) -> Recording | None:
        """The same loss and batch at parameters that lie near these; None where it does not run."""
        rng = np.random.default_rng(0)
        nudged = [x + 0.1 * rng.normal(size=np.shape(x)) * np.where(x == 0, 1, abs(x)) for x in self.nest.leaves]
        other = self.on(self.batch.leaves, nudged)
        return other if other is not None and other.signature == self.signature else None

    def disagreement(self) -> tuple[float, float] | None:
        """The slope of the loss in a random direction and what its recorded gradient says, where they disagree."""
        rng, params = np.random.default_rng(0), self.nest.leaves
        direction = [rng.normal(size=np.shape(x)) * np.maximum(1, abs(x)) for x in params]
        parts = [self.truth[name] * v for name, v in zip(self.params, direction, strict=True)]
        claimed, value = float(sum([part.sum() for part in parts])), float(self.loss.item())

        def line(t: float) -> float:
            return self.loss_at([x + t * v for x, v in zip(params, direction, strict=True)])

        with np.errstate(all="ignore"):
            noise, size = noise_of(line, value)
            unit = max(float(np.sqrt(sum([np.square(part).sum() for part in parts]))), 1e-2 * size, 1e-300)
            verdict = judge(claimed, line, value, noise, unit, rtol=1e-6)
        return (verdict.reference, claimed) if verdict.kind == "wrong" else None

    def loss_at(self, params: Sequence[Array]) -> float:
        """The loss of this batch for other parameters, with nothing recorded."""
        with no_grad():
            batch = self.batch.fill([own(x) for x in self.batch.leaves], whole=True)
            return float(np.mean(data_of(self.loss_fn(self.nest.fill(map(Tensor, params), whole=True), *batch))))

    @cached_property
    def signature(self) -> list[Any]:
        """What two recordings share if node k of the one does what node k of the other does."""
        return [
            (n.op, tuple([self.index.get(p) if isinstance(p, Node) else None for p in n.inputs])) for n in self.nodes
        ]

    @cached_property
    def users(self) -> dict[Node, list[tuple[Node, int]]]:
        """Where each node is used, and as which argument."""
        found: dict[Node, list[tuple[Node, int]]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for k, parent in enumerate(node.inputs):
                if isinstance(parent, Node):
                    found[parent].append((node, k))
        return found

    def value(self, x: Any) -> Array:
        """The value of a node, or of a number in the place of one; None where it is not known."""
        if not isinstance(x, Node):
            return x
        return x.value

    def back(self, change: Change = RIGHT, start: dict[Node, Array] | None = None) -> Gradients:
        """The cotangents of parameters and named tensors on the way back with this change."""
        found = self.cotangents(change, start)
        wanted = self.params | {name: n for name, n in self.named.items() if name not in self.params}
        return {name: found.get(n, np.zeros(n.shape)) for name, n in wanted.items()}

    def cotangents(self, change: Change = RIGHT, start: dict[Node, Array] | None = None) -> dict[Node, Array]:
        """Those of all nodes."""
        at, edges, jumps, joins, saved = change.at, change.edges, change.jumps, change.joins, change.saved
        parts = {n: [g] for n, g in (start or {self.root: np.ones(())}).items()}
        found: dict[Node, Array] = {}
        for k in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[k]
            if node not in parts:
                continue
            g = joins[k](parts[node]) if k in joins else sum(parts[node][1:], parts[node][0])
            if k in at:
                g = np.broadcast_to(at[k](g), node.shape)
            found[node] = g
            if node.op is None or node.plan is None:
                continue
            if k in jumps:
                older, made = jumps[k]
                target = self.nodes[older]
                parts.setdefault(target, []).append(unbroadcast(made(g), target.shape))
                continue
            arrays = node.saved
            if saved is not None and k <= saved[0] and arrays is not None:
                sources = [node if at == OUT else node.inputs[at] for at in node.plan.saves]
                arrays = tuple([
                    x if source in self.of_parameters else saved[1](x)
                    for source, x in zip(sources, arrays, strict=True)
                ])  # fmt: skip
            for rule in node.plan.rules:
                pull = edges.get((k, rule.position), rule.pull)
                parent = node.inputs[rule.position]
                c = np.asarray(pull(g, node, arrays))
                if c.shape != parent.shape:  # a wrong rule may give less than the right one
                    c = unbroadcast(np.broadcast_to(c, np.broadcast_shapes(c.shape, parent.shape)), parent.shape)
                parts.setdefault(parent, []).append(c)
        return found

    @cached_property
    def flow(self) -> dict[Node, Array]:
        """The true cotangents of all nodes."""
        return self.cotangents()

    def order(self) -> list[str]:
        """Parameters and named tensors in the order in which backward gets to know them."""
        last = {
            name: min([self.index[user] for user, _ in self.users.get(node, ())], default=-1)
            for name, node in (self.named | self.params).items()
        }
        return sorted(last, key=lambda name: -last[name])

    # ------------------------------------------------------------------------------- the parts of a loss

    @cached_property
    def terms(self) -> list[Node]:
        """The nodes that the loss is a linear combination of, and those in between, newest first."""
        found = [self.root]
        for node in found:
            if node.op in LINEAR and node not in self.of_parameters:
                parents = [p for p in node.inputs if isinstance(p, Node) and p.plan is not None]
                if len(parents) == 1 or node.op in (ADD, SUBTRACT):
                    found += [p for p in parents if p not in found]
        return found

    @cached_property
    def regularisers(self) -> list[int]:
        """The terms of the loss that are made of parameters and numbers alone."""
        return [self.index[n] for n in self.terms if n.op is not None and n in self.of_parameters]

    @cached_property
    def of_parameters(self) -> set[Node]:
        """The nodes that no data reaches."""
        found: set[Node] = set()
        for node in self.nodes:
            parents = [p for p in node.inputs if isinstance(p, Node)]
            if found.issuperset(parents) if node.op is not None else node.plan is not None or node.shape == ():
                found.add(node)
        return found

    @cached_property
    def regularisation(self) -> Gradients:
        """The part of the gradients that the regularisers make."""
        return self.part_of(self.regularisers)

    def part_of(self, terms: Sequence[int]) -> Gradients:
        """The part of the gradients that comes through these terms of the loss."""
        if not terms:
            return {}
        every, others = self.back(), self.back(Change(at={k: lambda g: 0 * g for k in terms}))
        return {name: g - others[name] for name, g in every.items()}

    @cached_property
    def losses(self) -> int | None:
        """The array whose sum or mean over the examples is the loss; None if there is none."""
        for node in self.terms:
            if node.op in (MEAN, SUM) and node.inputs[0].shape[:1] == (self.m,) and node.shape[:1] != (self.m,):
                return self.index[node.inputs[0]]
        return None

    @cached_property
    def weight(self) -> float | None:
        """What the loss divides by on its way from the examples' losses, as 1/m; None if they count differently.

        Numbers that the loss is multiplied by, and a division by 2, belong to the examples' losses.
        """
        if self.losses is None or not self.followed:
            return None
        weights = self.flow[self.nodes[self.losses]]
        if np.ptp(weights) > 1e-12 * abs(weights).max():
            return None
        share = 1.0
        after = {self.nodes[self.losses]}
        for node in self.nodes[self.losses + 1 :]:
            parents = [p for p in node.inputs if isinstance(p, Node)]
            if node not in self.terms or after.isdisjoint(parents):
                continue
            after.add(node)
            if node.op is MEAN:
                share *= float(np.prod(node.shape)) / float(np.prod(node.inputs[0].shape))
            elif node.op is DIVIDE:
                divisor = float(self.value(node.inputs[1]))
                share /= divisor if divisor != 2 or self.m == 2 else 1.0
        return share

    @property
    def is_mean(self) -> bool:
        """Whether the loss divides by something that grows with the batch, or with its elements."""
        return self.weight is not None and self.m > 1 and self.weight < 1

    def row(self, i: int) -> Gradients:
        """The contribution of one example to the gradients, as it stands in the sum; nothing of the regulariser."""
        assert self.losses is not None
        node = self.nodes[self.losses]
        one = np.zeros(node.shape)
        one[i] = self.flow[node][i]
        return self.back(start={node: one})

    @cached_property
    def rows(self) -> list[Gradients]:
        """The contributions of all examples."""
        return [self.row(i) for i in range(self.m)] if self.losses is not None and self.m <= 64 else []

    # -------------------------------------------------------------------------------------- other batches

    def on(self, batch: Sequence[Any], params: Sequence[Array] | None = None) -> Recording | None:
        """The same loss on other arrays; None where it does not run, or runs differently."""
        try:
            with np.errstate(all="ignore"):
                arrays = Nest(self.batch.fill(batch, whole=True))
                nest = self.nest if params is None else nest_of(self.nest.fill(params, whole=True))
                other = Recording(self.loss_fn, nest, arrays)
        except (ValueError, TypeError, IndexError, AssertionError, ArithmeticError):
            return None
        return other

    def rows_at(self, places: Array) -> list[Array]:
        """The batch's arrays with these rows; what does not have a row for each example stays."""
        return [x[places] if np.shape(x)[:1] == (self.m,) else x for x in self.batch.leaves]

    def averaged(self) -> list[Array]:
        """The batch's arrays with all rows replaced by their mean, one row."""
        return [
            x.mean(axis=0, keepdims=True) if np.shape(x)[:1] == (self.m,) and x.dtype.kind == "f" else x
            for x in self.batch.leaves
        ]

    def batched(self) -> Iterator[int]:
        """The nodes that have a row for each example, and that a gradient flows through, newest first."""
        for k in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[k]
            data = node.op is not None and node in self.flow and node not in self.of_parameters
            if data and node.plan is not None and node.shape[:1] == (self.m,):
                yield k


def nest_of(tree: Any) -> Nest:
    """A nest in which the parts of a sequence are called as Python calls them, params[0] or params[2][0]."""
    nest = Nest(tree)
    if isinstance(tree, (list, tuple)):
        nest.paths = [
            "params" + "".join([f"[{part}]" if part.isdigit() else f".{part}" for part in path.split(".")])
            for path in nest.paths
        ]
    return nest


def named_leaves(nest: Nest) -> list[tuple[Any, str]]:
    """The leaves of a nest with their paths; an array that is no nest is called params."""
    return [(data_of(x), path or "params") for x, path in zip(nest.leaves, nest.paths, strict=True)]


def _moved(rng: np.random.Generator, arrays: Sequence[Any], by: float) -> list[Any]:
    """The arrays of floating-point numbers, moved by a part of their size."""
    return [
        x * (1 + by * rng.normal(size=x.shape)) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for x in arrays
    ]


def own(x: Any) -> Any:
    """An array that nobody else can change."""
    return x.copy() if isinstance(x, np.ndarray) else x


def lifted(x: Any) -> Any:
    """An array as float64 if it is of floating-point numbers; raises for complex ones."""
    x = data_of(x)
    if not hasattr(x, "dtype"):
        return np.asarray(x) if isinstance(x, (int, float, list)) else x
    if x.dtype.kind == "c":
        raise NotDifferentiableError("check_derivation is for real numbers, and an array is complex")
    return np.array(x, dtype=np.float64) if x.dtype.kind == "f" else x


def attempt(make: Callable[[], Any]) -> Any:
    """What ``make`` gives; None where the mistake that it makes does not even run."""
    try:
        with np.errstate(all="ignore"):
            return make()
    except (ValueError, TypeError, IndexError, ShapeError, AssertionError, ArithmeticError):
        return None


def operation(node: Node) -> Primitive:
    """What made a node that is no leaf."""
    assert node.op is not None
    return node.op
