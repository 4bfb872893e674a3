"""The recorded graph: what a node remembers, and the order in which backward meets the nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from weakref import ref

from .modes import Mode, current
from .primitives import Plan

if TYPE_CHECKING:
    from .primitives import Primitive

    Hook = Callable[[Any], Any]

_next_order = count().__next__


class Extras:
    """What few nodes have: hooks, the wish to keep the gradient, the user's line that made the value."""

    __slots__ = ("hooks", "keeps_grad", "where")

    def __init__(self) -> None:
        self.hooks: dict[object, Hook] = {}
        self.keeps_grad = False
        self.where: str | None = None


class Node:
    """One value of the computation: a leaf (no ``op``) or the result of an operation.

    A node knows where its value came from, and not the value itself, unless that is small: the only arrays it keeps
    alive are those that a derivative rule asks for, and backward drops them as soon as it has used them.  Nodes point
    from results to inputs and to nothing else, so a graph has no cycles and dies with its last tensor.

    op         the primitive that made the value; None for a leaf
    inputs     the operands in their order: nodes, or plain Python and NumPy scalars
    params     the call's other arguments, such as ``axis``, in the order of ``op.names``
    plan       the derivative rules to run; None for a constant, which needs no gradient
    saved      the arrays that those rules ask for; None once backward has freed them
    guards     (array, its fingerprint when it was saved, its position) for arrays that others could write to
    mode       what held when the value was made: the scope, and the level of the hidden axis of examples
    order      the place in the order of creation: inputs always come before results
    grad       the accumulated gradient of a leaf, or of a tensor that keeps its gradient
    held       a result of few numbers, for those who read the graph; of a leaf a weak reference to its tensor; any
               array where ``keep_values`` was on; else None
    """

    __slots__ = (
        "dtype", "extras", "grad", "guards", "held", "inputs", "mode", "name", "op", "order", "params", "plan", "saved",
        "shape",
    )  # fmt: skip

    def __init__(
        self,
        op: Primitive | None,
        inputs: tuple[Any, ...],
        params: tuple[Any, ...],
        plan: Plan | None,
        saved: tuple[Any, ...] | None,
        guards: list[tuple[Any, Any, int]] | None,
        shape: tuple[int, ...],
        dtype: Any,
        mode: Mode,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.params = params
        self.plan = plan
        self.saved = saved
        self.guards = guards
        self.shape = shape
        self.dtype = dtype
        self.mode = mode
        self.order: int = _next_order()
        self.name: str | None = None
        self.grad: Any = None
        self.extras: Extras | None = None
        self.held: Any = None

    def copied(self, inputs: tuple[Any, ...], saved: tuple[Any, ...] | None) -> Node:
        """The same operation of other inputs, which has saved these arrays; without hooks, and without a gradient."""
        node = Node(self.op, inputs, self.params, self.plan, saved, None, self.shape, self.dtype, self.mode)
        node.name = self.name
        return node

    def note(self) -> Extras:
        """The node's extras, made where there are none yet."""
        if self.extras is None:
            self.extras = Extras()
        return self.extras

    @property
    def scope(self) -> str:
        """The scope in which the value was made."""
        return self.mode.scope

    @property
    def level(self) -> int:
        """The innermost hidden axis of examples inside of which the value was made; 0 if there was none."""
        return self.mode.level

    @property
    def value(self) -> Any:
        """The value, where it is known: an array, or a NumPy scalar; of a leaf what its tensor holds now."""
        held = self.held
        if type(held) is not ref:
            return held
        tensor = held()
        return None if tensor is None else tensor._data

    @property
    def label(self) -> str:
        """The user's name for the value, else what made it."""
        return self.name or (self.op.name if self.op else "leaf")

    def __repr__(self) -> str:
        return f"<Node {self.label} {self.shape} {self.dtype}>"


_OUTSIDE = Mode()


def leaf_mode() -> Mode:
    """The mode of a value that no operation makes: it is in no scope."""
    level = current().level
    return Mode(level=level) if level else _OUTSIDE


NO_RULES = Plan((), (), lambda values, out: (), ())


def leaf(shape: tuple[int, ...], dtype: Any, needs_grad: bool) -> Node:
    """A node for a value that no recorded operation made."""
    return Node(None, (), (), NO_RULES if needs_grad else None, (), None, shape, dtype, leaf_mode())


_order = attrgetter("order")


def ancestors(*roots: Node) -> list[Node]:
    """All nodes that ``roots`` were computed from, themselves included, newest first."""
    seen = set(roots)
    nodes = list(seen)
    for node in nodes:  # grows on the way
        for parent in node.inputs:
            if isinstance(parent, Node) and parent not in seen:
                seen.add(parent)
                nodes.append(parent)
    nodes.sort(key=_order, reverse=True)
    return nodes


def taken_as_constant(root: Node, node: Node) -> Node | None:
    """A result below ``root`` whose rule for ``node`` was left out, since it required no gradient then."""
    for result in ancestors(root):
        if result.op is not None and result.plan is not None:
            ruled = {rule.position for rule in result.plan.rules}
            for k, parent in enumerate(result.inputs):
                if parent is node and k not in ruled and (0 if result.op.variadic else k) in result.op.rules:
                    return result
    return None


def differentiable_ancestors(roots: Iterable[Node], oldest: int = -1) -> list[Node]:
    """The nodes that cotangents of ``roots`` can reach, newest first; those older than ``oldest`` are not passed."""
    seen = set(roots)
    nodes = list(seen)
    mark, append = seen.add, nodes.append
    for node in nodes:  # grows on the way
        inputs = node.inputs
        if inputs and node.order >= oldest:
            for rule in node.plan.rules:  # type: ignore[union-attr]  # only nodes with a plan get here
                parent = inputs[rule.position]
                if parent not in seen:
                    mark(parent)
                    append(parent)
    nodes.sort(key=_order, reverse=True)
    return nodes
