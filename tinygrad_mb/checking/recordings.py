"""A loss on one batch, recorded with every value: its true gradients, and the same loss on other batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ..autodiff import Hidden, data_of, gradient
from ..batch_axes import Axes, first_axes, taken
from ..errors import NotDifferentiableError, ShapeError
from ..graph import Node, ancestors
from ..modes import enable_grad, keep_values, no_grad
from ..primitives import Primitive
from ..pytrees import Nest
from ..tensor import Tensor
from ..transforms import fresh_argument
from .loss_parts import Parts
from .walks import Array, Change, Gradients, Stop, Walk

T = TypeVar("T")


class Recording:
    """A loss on one batch.

    m       how many examples the batch has
    batch   the nest of its arrays
    axes    the axis of examples of each of these; None if it has none
    root    the loss, one number: a loss with axes stands for its mean
    nodes   all that the loss is made of, oldest first
    params  the parameters' nodes by their paths
    named   the nodes that the loss function gave a name
    truth   the gradients by all of these
    """

    def __init__(self, loss_fn: Callable[..., Any], params: Nest, batch: Nest, axes: Axes | None = None) -> None:
        self.loss_fn, self.nest, self.batch = loss_fn, params, batch
        self._found: dict[str, Any] = {}
        self.axes = first_axes(batch.leaves) if axes is None else axes
        lengths = [np.shape(x)[a] for x, a in zip(batch.leaves, self.axes, strict=True) if a is not None]
        self.m: int = lengths[0] if lengths else 1
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
        self.nodes = _in_order(self.root)
        self.index = {node: k for k, node in enumerate(self.nodes)}
        inputs = set(self.params.values())
        self.named = {n.name: n for n in self.nodes if n.name and n not in inputs and n.plan is not None}
        self.truth = self._gradients()

    def _gradients(self) -> Gradients:
        """Those by parameters and named tensors, as the engine computes them; what vmap names has none of its own."""
        with np.errstate(all="ignore"):
            found = gradient({self.root: np.ones(())}, list(self.wanted.values()))
        by_name = {name: found.get(n, np.zeros(n.shape)) for name, n in self.wanted.items()}
        self.named = {name: n for name, n in self.named.items() if not isinstance(by_name[name], Hidden)}
        return {name: np.asarray(g) for name, g in by_name.items() if not isinstance(g, Hidden)}

    @property
    def wanted(self) -> dict[str, Node]:
        """Parameters and named tensors."""
        return self.named | self.params

    def once(self, what: str, find: Callable[[], T]) -> T:
        """What a reader of the recording finds out, so that it need not do so again."""
        if what not in self._found:
            self._found[what] = find()
        found: T = self._found[what]
        return found

    @cached_property
    def followed(self) -> bool:
        """Whether the way back that can be changed runs, and leads to the engine's gradients when it is not changed."""
        found = attempt(lambda: self.flow)  # not of arrays with hidden axes, which only the engine's own walk knows
        return found is not None and all(
            abs(found.get(self.wanted[name], 0.0) - g).max(initial=0) <= 1e-9 * abs(g).max(initial=0)
            for name, g in self.truth.items()
        )

    @cached_property
    def rounding(self) -> Gradients:
        """By how much the true gradients move if params and batch move in their last digits; infinite if they jump."""
        rng, moves = np.random.default_rng(0), {name: 0 * g for name, g in self.truth.items()}
        for _ in range(2):
            other = self.on(_moved(rng, self.batch.leaves, 2.0**-50), _moved(rng, self.nest.leaves, 2.0**-50))
            if other is None:
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
        return self.on(self.batch.leaves, nudged)

    def without_derivative(self) -> str:
        """Which result gives numbers on the way back that are not finite, though its own cotangent is."""
        flow = attempt(lambda: self.flow) or {}
        for node in self.nodes[::-1]:
            parents = [p for p in node.inputs if p in flow]
            if node in flow and np.isfinite(flow[node]).all() and not all(np.isfinite(flow[p]).all() for p in parents):
                where = node.extras.where if node.extras else None
                return f"{operation(node).name} has none there{f', in {where}' if where else ''}"
        return "a rule gives none"

    def flips(self, k: int) -> Array:
        """Where the condition at a node changes if params move by very little."""
        rng, found = np.random.default_rng(0), np.zeros(self.nodes[k].shape, bool)
        for _ in range(4):
            moves = [1e-9 * rng.normal(size=np.shape(x)) * np.maximum(1, abs(x)) for x in self.nest.leaves]
            for sign in (1, -1):
                other = self.on(self.batch.leaves, [x + sign * v for x, v in zip(self.nest.leaves, moves, strict=True)])
                if other is not None:
                    found |= other.value(other.nodes[k]) != self.value(self.nodes[k])
        return found

    def loss_of(self, batch: Sequence[Any]) -> float:
        """The loss of another batch for the same parameters, with nothing recorded."""
        with np.errstate(all="ignore"):
            return self._plain_loss(self.nest.leaves, batch)

    def loss_at(self, params: Sequence[Array]) -> float:
        """The loss of this batch for other parameters, with nothing recorded."""
        return self._plain_loss(params, self.batch.leaves)

    def _plain_loss(self, params: Sequence[Array], batch: Sequence[Any]) -> float:
        with no_grad():
            arrays = self.batch.fill([own(x) for x in batch], whole=True)
            return float(np.mean(data_of(self.loss_fn(self.nest.fill(map(Tensor, params), whole=True), *arrays))))

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

    @cached_property
    def walk(self) -> Walk:
        """The ways back; raises where only the engine's own walk knows how."""
        return Walk(self.nodes, self.of_parameters)

    @property
    def flow(self) -> dict[Node, Array]:
        """The true cotangents of all nodes."""
        return self.walk.flow

    @cached_property
    def parts(self) -> Parts:
        """What the loss is made of."""
        return Parts(self)

    @cached_property
    def of_parameters(self) -> set[Node]:
        """The nodes that no data reaches."""
        found: set[Node] = set()
        for node in self.nodes:
            parents = [p for p in node.inputs if isinstance(p, Node)]
            if found.issuperset(parents) if node.op is not None else node.plan is not None or node.shape == ():
                found.add(node)
        return found

    def back(self, change: Change, stop: Stop | None = None) -> Gradients | None:
        """The gradients on the way back with this change; None where ``stop`` has ended it."""
        found = self.walk.changed(change, stop)
        return None if found is None else self.gradients({**self.flow, **found})

    def gradients(self, cotangents: dict[Node, Array | None]) -> Gradients:
        """Those by parameters and named tensors among the cotangents of all nodes; 0 for what got nothing."""
        found = {name: cotangents.get(n) for name, n in self.wanted.items()}
        return {name: np.zeros(self.wanted[name].shape) if g is None else g for name, g in found.items()}

    def order(self) -> list[str]:
        """Parameters and named tensors in the order in which backward gets to know them."""
        last = {
            name: min([self.index[user] for user, _ in self.users.get(node, ())], default=-1)
            for name, node in self.wanted.items()
        }
        return sorted(last, key=lambda name: -last[name])

    # -------------------------------------------------------------------------------------- other batches

    def on(self, batch: Sequence[Any], params: Sequence[Array] | None = None) -> Recording | None:
        """The same loss on other arrays; None where it does not run, or runs differently."""

        def record() -> Recording:
            nest = self.nest if params is None else nest_of(self.nest.fill(params, whole=True))
            return Recording(self.loss_fn, nest, Nest(self.batch.fill(batch, whole=True)), self.axes)

        other: Recording | None = attempt(record)
        return other if other is not None and other.signature == self.signature else None

    def rows_at(self, places: Array) -> list[Array]:
        """The batch's arrays with these examples; what does not have an entry for each example stays."""
        return taken(self.batch.leaves, self.axes, places)

    def averaged(self) -> list[Array]:
        """The batch's arrays with all rows replaced by their mean, one row."""
        return [
            x if a is None or x.dtype.kind != "f" else x.mean(axis=a, keepdims=True)
            for x, a in zip(self.batch.leaves, self.axes, strict=True)
        ]

    def axis_of(self, shape: Sequence[int]) -> int | None:
        """The axis of the examples in a result of this shape; None if there is none."""
        if tuple(shape[:1]) == (self.m,):
            return 0
        others = any(self.axes) and list(shape).count(self.m) == 1
        return list(shape).index(self.m) if others else None

    def mean(self, x: Array) -> Array:
        """An array whose examples are all replaced by their mean."""
        axis = self.axis_of(x.shape)
        return x if axis is None else np.broadcast_to(x.mean(axis=axis, keepdims=True), x.shape)

    def batched(self) -> Iterator[int]:
        """The nodes that have a row for each example, and that a gradient flows through, newest first."""
        for k in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[k]
            data = node.op is not None and node in self.flow and node not in self.of_parameters
            if data and node.plan is not None and self.axis_of(node.shape) is not None:
                yield k


def _in_order(root: Node) -> list[Node]:
    """All nodes in the order of creation, and leaves just before their first use: a way back ends with it for them."""
    found: dict[Node, None] = {}
    for node in ancestors(root)[::-1]:
        if node.op is not None:
            found.update(dict.fromkeys([p for p in node.inputs if isinstance(p, Node)]))
            found[node] = None
    return list(found) or [root]


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
