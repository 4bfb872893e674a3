"""What is known of the nodes of a graph: values, cotangents, and where the examples stand and are added up.

The graph is only read.  Where backward has freed what the rules need, they are run on a copy of the graph: with the
values, if all of them are known, else with ones in their place, which tell where examples are summed, and no numbers.
Where there are hooks, which are the user's to run, the rules are run on a copy without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from ..autodiff import Hidden, bare
from ..carriers.rows import Rows
from ..derivation.contributions import Step, Use, Walk
from ..graph import Node, ancestors
from ..modes import new_level
from ..primitives import OUT
from .words import name_of

_FEW = 64  # numbers of a result that is worth being computed again


class Sum(NamedTuple):
    """A place where backward adds up what the examples contribute.

    count   how many examples
    axis    the axis of the operation's cotangent along which they stand; None where vmap hides it
    use     what is passed on there
    """

    count: int  # type: ignore[assignment]  # a tuple's method, which nobody needs here
    axis: int | None
    use: Use


class Facts:
    """What is known of all that ``roots`` were computed from; δ are derivatives of their sum.

    nodes     oldest first
    data      the names of arrays that take part, and the arrays
    recorded  whether the graph was made for the picture, so that its gradients are nobody else's
    examples  how many examples there are, if that is known; 0 if they are not told apart
    reason    why they are not, in that case
    failed    whether backward does not run
    numbers   whether the cotangents' numbers are known, and not only their shapes
    sums      where backward adds up over the examples: by operation and the position of the operand
    """

    def __init__(
        self,
        roots: Sequence[Node],
        data: Sequence[tuple[str, Any]] = (),
        examples: int | None = None,
        recorded: bool = False,
    ) -> None:
        self.roots = list(dict.fromkeys(roots))
        self.nodes = ancestors(*roots)[::-1]
        self.data, self.recorded = list(data), recorded
        self.examples, self.reason, self.numbers = 0, "nothing here requires a gradient", True
        self.failed = False
        self.sums: dict[tuple[Node, int], Sum] = {}
        self.reductions: set[Node] = set()
        self._steps: dict[Node, Step] = {}
        self._values: dict[Node, Any] = {}
        twins, self.numbers = self._ready()
        self._originals = {twin: node for node, twin in twins.items()}
        starts = [twins[root] for root in self.roots if root.plan is not None]
        if starts:
            self._follow(starts, examples)

    # ---------------------------------------------------------------------------------------- the walks

    def _ready(self) -> tuple[dict[Node, Node], bool]:
        """The nodes to walk, by those of the graph, and whether their numbers are true."""
        if all((node.saved is not None and not _has_hooks(node)) or node.plan is None for node in self.nodes):
            return {node: node for node in self.nodes}, True
        known = True
        twins: dict[Node, Node] = {}
        for node in self.nodes:
            saved = node.saved
            if saved is None and node.plan is not None:
                found = [self._saved(node, position) for position in node.plan.saves]
                known = known and all(true for _, true in found)
                saved = tuple([x for x, _ in found])
            inputs = tuple([twins[x] if isinstance(x, Node) else x for x in node.inputs])
            twins[node] = node.copied(inputs, saved)
        return twins, known

    def _saved(self, node: Node, position: int) -> tuple[Any, bool]:
        """What a rule asks for, and whether these are the true numbers."""
        if position != OUT and node.op is not None and node.op.variadic:
            found = [self._array(x) for x in node.inputs]
            return [x for x, _ in found], all(true for _, true in found)
        return self._array(node if position == OUT else node.inputs[position])

    def _array(self, x: Any) -> tuple[Any, bool]:
        value = self.value(x) if isinstance(x, Node) else x
        if value is None:
            return np.ones(x.shape, x.dtype), False
        return value, not (isinstance(x, Node) and type(x.held) is ref) or self._as_before(x) is True

    def _follow(self, starts: Sequence[Node], examples: int | None) -> None:
        originals = self._originals
        try:
            with np.errstate(all="ignore"):  # forward has said what there is to say
                walk = Walk(*starts, examples=examples)
        except Exception as error:  # a picture is wanted also where backward fails
            self.failed, self.reason, self.numbers = True, f"backward does not run: {error}", False
            return
        self.examples, self.reason = walk.examples, walk.reason
        for twin, step in walk.steps.items():
            node = originals[twin]
            self._steps[node] = step
            for use in step.passed:
                if use.each is not None or use.hidden:
                    axis = step.places.axis if step.places is not None else None
                    count = use.each.examples if use.each is not None else int(np.prod(use.hidden))
                    self.sums[node, use.rule.position] = Sum(count, axis, use)
            if step.places is None and any(walk.steps[use.parent].places is not None for use in step.passed):
                self.reductions.add(node)

    # ------------------------------------------------------------------------------------ of single nodes

    def value(self, node: Node) -> Any:
        """The value of a node as an array; None where it is not known."""
        if node not in self._values:
            self._values[node] = self._found(node)
        return self._values[node]

    def _found(self, node: Node) -> Any:
        value = node.value
        if value is None and node.saved is not None and node.plan is not None and OUT in node.plan.saves:
            value = node.saved[node.plan.saves.index(OUT)]
        if value is None:
            value = self._as_operand.get(node)
        if value is None or isinstance(value, Hidden):
            return None
        value = np.asarray(value)
        return value.copy() if node.op is None else value

    @cached_property
    def _as_operand(self) -> dict[Node, Any]:
        """The values that rules of other nodes have saved."""
        found: dict[Node, Any] = {}
        for node in self.nodes:
            if node.plan is None or node.saved is None or (node.op is not None and node.op.variadic):
                continue
            for position, array in zip(node.plan.saves, node.saved, strict=True):
                if position != OUT and isinstance(node.inputs[position], Node):
                    found.setdefault(node.inputs[position], array)
        return found

    def data_name(self, node: Node) -> str | None:
        """The name of the data that a constant holds."""
        return name_of(bare(node.value), self.data) if node.op is None and node.plan is None else None

    def delta(self, node: Node) -> Any:
        """The derivative of the output, or of the sum of all, by a node's value; None where it is not known."""
        step = self._steps.get(node)
        return np.asarray(bare(step.delta)) if step is not None and self.numbers else None

    def step(self, node: Node) -> Step | None:
        """The node's turn in backward; None for those that backward does not reach."""
        return self._steps.get(node)

    def original(self, node: Node) -> Node:
        """The node of the graph that one of a step stands for."""
        return self._originals[node]

    def hidden(self, node: Node) -> int:
        """The length of the axes that vmap hides from a node; 0 where it hides none."""
        step = self._steps.get(node)
        if node.op is None and isinstance(node.value, Hidden):
            shape = np.shape(bare(node.value))
        elif step is not None and node.level and isinstance(step.delta, np.ndarray):
            shape = step.delta.shape
        else:
            return 0
        hidden = shape[: len(shape) - len(node.shape)]
        return int(np.prod(hidden, dtype=int)) if hidden else 0

    @cached_property
    def _places(self) -> dict[Node, Rows]:
        """By node: an array in which the examples stand as they do in the node's value."""
        found = {node: step.places for node, step in self._steps.items() if step.places is not None}
        level = new_level()
        for node, step in self._steps.items():
            if step.places is None or node.op is None:
                continue
            for position, source in enumerate(node.inputs):
                if isinstance(source, Node) and source.plan is None and self._could_have_examples(source):
                    places = self._of_constant(step, position, level)
                    if places is not None:
                        found.setdefault(source, places)
        return found

    def _could_have_examples(self, node: Node) -> bool:
        return any(n and n % self.examples == 0 for n in node.shape)

    def _of_constant(self, step: Step, position: int, level: int) -> Rows | None:
        """Where the examples stand in a constant: where its gradient would have them, if it had one."""
        node = step.node
        assert node.op is not None
        assert step.places is not None
        shape = node.inputs[position].shape
        try:
            plan = node.op.plans.get(1 << position) or node.op.plan(1 << position)
            saved = tuple([self._saved_of_twin(node, at) for at in plan.saves])
            passed = plan.rules[0].pull(step.places, node, saved)
        except Exception:  # no rule, or one that does not like ones
            passed = None
        if not isinstance(passed, Rows):
            labels = node.inputs[position].dtype.kind in "iub"  # a mask, too, which is broadcast
            return self._of_labels(step, shape, len(node.shape) - len(shape), level) if labels else None
        axis = passed.axis - (len(passed.shape) - len(shape))
        if axis < 0 or shape[axis] != passed.shape[passed.axis]:
            return None
        return Rows(np.broadcast_to(0.0, shape), level, axis, passed.examples, passed._after)

    def _of_labels(self, step: Step, shape: tuple[int, ...], shift: int, level: int) -> Rows | None:
        """Where the examples stand in whole numbers whose first axis is that of the result with number ``shift``."""
        assert step.places is not None
        places = step.places
        axis = places.axis - shift
        if not 0 <= axis < len(shape) or shape[axis] != places.shape[places.axis]:
            return None
        return Rows(np.broadcast_to(0.0, shape), level, axis, self.examples, places._after)

    @staticmethod
    def _saved_of_twin(node: Node, position: int) -> Any:
        """Ones in the place of what a rule asks for."""

        def ones(x: Any) -> Any:
            return np.ones(x.shape, x.dtype) if isinstance(x, Node) else x

        if position != OUT and node.op is not None and node.op.variadic:
            return [ones(x) for x in node.inputs]
        return ones(node if position == OUT else node.inputs[position])

    def axis(self, node: Node, beside: Any = None) -> int | None:
        """The axis of a node's value along which the examples stand; None where it has none.

        The same for ``beside``, an array of whole numbers that the node's operation reads besides its operands.
        """
        places = self._places_in(node, beside)
        return None if places is None else places.axis

    def of_example(self, node: Node, array: Any, example: int, beside: Any = None) -> Any:
        """One example's own part of an array of a node's shape, or ``beside``'s; all of it where it has none."""
        places = self._places_in(node, beside)
        if places is None or array is None:
            return array
        return places.own(array, example)

    def _places_in(self, node: Node, beside: Any) -> Rows | None:
        if beside is None:
            return self._places.get(node)
        step = self._steps.get(node)
        if step is None or step.places is None or not beside.ndim or beside.dtype.kind not in "iub":
            return None
        return self._of_labels(step, beside.shape, 0, 0)

    def mixes(self, node: Node) -> bool:
        """Whether parts of other examples' losses come in at an example's places here."""
        step = self._steps.get(node)
        return step is not None and bool(step.mixing)

    def changed(self, node: Node) -> bool:
        """Whether a leaf holds other numbers now than the graph was computed with; False where that is not known."""
        return self._as_before(node) is False

    def _as_before(self, node: Node) -> bool | None:
        """Whether what a tensor holds now gives the result of an operation that used it; None if none is known."""
        if self.value(node) is None:
            return None
        for user, _ in self.users.get(node, ()):
            operands = [self.value(x) if isinstance(x, Node) else x for x in user.inputs]
            made = self.value(user)
            if made is None or made.size > _FEW or any(x is None for x in operands) or user.op is None:
                continue
            with np.errstate(all="ignore"):
                again = user.op.fn(operands, *user.params) if user.op.variadic else user.op.fn(*operands, *user.params)
            return np.array_equal(again, made, equal_nan=True)
        return None

    @cached_property
    def users(self) -> dict[Node, list[tuple[Node, int]]]:
        """Where each node is used, and as which operand; oldest use first."""
        found: dict[Node, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for position, source in enumerate(node.inputs):
                if isinstance(source, Node):
                    found.setdefault(source, []).append((node, position))
        return found


def _has_hooks(node: Node) -> bool:
    return node.extras is not None and bool(node.extras.hooks)
