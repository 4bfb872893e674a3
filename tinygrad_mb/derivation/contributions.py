"""What backward passes on: for each value the uses that its δ comes from, and what it hands to each of its operands.

The δ are those of the engine's own walk.  Each rule is then run once more by itself, on the δ of its node; and where
that δ has places of each example's own, it is run on ``Rows``, which knows them.  So it is found, and not guessed,
where a rule adds up what the examples contribute.  One thing is read off the numbers: whether contributions that
``Rows`` does not follow any further meet anywhere, or have places of their own; those of a parameter count as a sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import autodiff, errors
from ..broadcasting import unbroadcast
from ..carriers.factors import Factors
from ..carriers.hidden import Carrier
from ..carriers.rows import Rows
from ..graph import Node, ancestors, differentiable_ancestors
from ..modes import new_level
from ..primitives import PlannedRule

ROOM = 1 << 25  # numbers, m times the largest value: what a rule takes that does not keep the examples apart


class Use:
    """One use of a value: what the operation that used it passes back.

    node      the operation
    rule      its derivative rule for the value
    parent    the value
    summed    the axes of what the rule gives that are summed over, since broadcasting made them
    places    the places of the examples in what is passed on, where each has its own; None elsewhere
    each      what each example contributes, where the contributions are added up here; None elsewhere
    lost      whether the examples stay apart here, and at places that are not followed any further
    hidden    the lengths of the axes that vmap hides from the operation, and not from the value: they are summed over
    """

    __slots__ = ("each", "hidden", "lost", "node", "parent", "places", "rule", "summed")

    def __init__(self, node: Node, rule: PlannedRule, summed: tuple[int, ...], passed: Any) -> None:
        self.node = node
        self.rule = rule
        self.parent: Node = node.inputs[rule.position]
        self.summed = summed
        self.places = passed if isinstance(passed, Rows) else None
        self.hidden = _hidden_from(self.parent, passed) if node.level else ()
        self.each: Carrier | None = None
        self.lost = False
        if isinstance(passed, Carrier) and self.places is None and not (node.level or self.parent.level):
            self.lost = not summed and self.parent.op is not None and _stay_apart(passed)
            self.each = None if self.lost else passed

    def of_example(self, example: int) -> Any:
        """What one example contributes to the sum over examples."""
        if isinstance(self.each, Factors):
            return self.each.rows(slice(example, example + 1))[0]
        assert self.each is not None
        return autodiff.bare(self.each.dense())[example]


def _hidden_from(parent: Node, passed: Any) -> tuple[int, ...]:
    """The lengths of the hidden axes that a value was made outside of."""
    found = []
    while isinstance(passed, Carrier):
        if passed._level > parent.level:
            found.append(passed.examples)
        passed = passed._data
    return tuple(found)


def _stay_apart(passed: Carrier) -> bool:
    """Whether the examples' arrays do not meet, and each has places of its own among those of the sum.

    NB: sums that no two examples contribute to anywhere look the same, if they have room for all examples.
    """
    if passed.examples == 1 or math.prod(passed.shape) % passed.examples:
        return False
    if isinstance(passed, Factors):
        places = [left.reshape(-1) for left, _ in passed.terms if left.ndim == 2]
        return len(places) == len(passed.terms) == 1 and len(np.unique(places[0])) == len(places[0])
    return not ((autodiff.bare(passed.dense()) != 0).sum(axis=0) > 1).any()


class Step:
    """A value whose turn it is in backward, with its complete δ.

    node      the value
    delta     the derivative of the loss by it; of a value inside vmap with the hidden axes in front
    places    ``delta``, which knows the places of the examples, where each has its own; None elsewhere
    saved     the arrays that the rules of its operation read
    received  the uses of the value, whose contributions make up ``delta``
    passed    the uses that this value makes of others: what goes on from here
    mixing    the uses by which other examples' losses come in at an example's places
    """

    __slots__ = ("_carried", "delta", "mixing", "node", "of_all", "passed", "places", "received", "saved")

    def __init__(self, node: Node, delta: Any) -> None:
        self.node = node
        self.delta = autodiff.bare(delta)
        self.saved = node.saved
        self._carried = delta
        self.places: Rows | None = None
        self.received: list[Use] = []
        self.passed: list[Use] = []
        self.mixing: list[Use] = []
        self.of_all = False  # whether parts of all examples' losses have been added up in ``delta``

    @property
    def cotangent(self) -> Any:
        """The δ as rules take it: with all that is known of its axes."""
        return self._carried if self.places is None else self.places

    def of_example(self, example: int) -> Any:
        """One example's own places of the δ."""
        assert self.places is not None
        return self.places.own(self.delta, example)


class Walk:
    """All steps of backward from a loss, or from the sum of several outputs, the newest value first.

    The examples stand along the first axis of what is computed from data and has as many rows as there are examples;
    how many is given, or read off the arrays that are reduced to the loss.  On the way back each such value starts with
    its rows apart, unless it is among those that keep the places of a newer one.

    steps     by their values
    starts    the values that start so, newest first: the examples' losses
    examples  how many there are; 0 if they are not told apart
    reason    why they are not, in that case

    Raises ``GraphFreedError`` if an earlier backward has freed what the rules need.
    """

    def __init__(self, *roots: Node, examples: int | None = None) -> None:
        for root in roots:
            if root.level:
                raise errors.NotDifferentiableError(
                    f"explain: {errors.describe_node(root)} was computed inside vmap, where a line stands for all "
                    "examples at once: explain a loss that is computed outside"
                )
        nodes = differentiable_ancestors(roots)
        deltas = autodiff.gradient({root: np.ones(root.shape, root.dtype) for root in roots}, nodes)
        self.examples, self.reason = _count(roots, nodes, examples)
        self._go(nodes, deltas)
        leaves = [step for node, step in self.steps.items() if node.op is None]
        odd = next((leaf.node for leaf in leaves if leaf.places is not None), None)
        if odd is not None and not any(use.each is not None for leaf in leaves for use in leaf.received):
            # The rows are not those of examples where no parameter is shared by them.
            self.examples, self.reason = 0, f"each would have a part of {odd.name or 'a parameter'} of its own"
            self._go(nodes, deltas)
        elif self.examples and not self.starts:
            self.examples, self.reason = 0, f"no value along the way has their {self.examples} rows"

    def _go(self, nodes: Sequence[Node], deltas: dict[Node, Any]) -> None:
        self.steps = {node: Step(node, deltas[node]) for node in nodes}
        self.starts: list[Node] = []
        with_rows = _of_data(nodes, self.examples) if self.examples else set()
        level = new_level()
        with np.errstate(all="ignore"):  # the walk has said already what there is to say
            for node, step in self.steps.items():
                self._find_places(step)
                if step.places is None and node in with_rows and node.shape[:1] == (self.examples,):
                    step.places = Rows(step.delta, level, 0, self.examples)
                    self.starts.append(node)
                self._find_mixing(step)
                self._pass_on(step)

    @staticmethod
    def _find_places(step: Step) -> None:
        found = [use.places for use in step.received if use.places is not None]
        if found and all(found[0].fits(other) for other in found[1:]):
            step.places = found[0].moved(step.delta, found[0].axis)

    def _find_mixing(self, step: Step) -> None:
        mixed = [use for use in step.received if use.places is None and self.steps[use.node].of_all]
        if step.places is not None:
            step.mixing = mixed
        else:
            step.of_all = bool(mixed) or any(use.each is not None or use.lost for use in step.received)

    def _pass_on(self, step: Step) -> None:
        node = step.node
        for rule in node.plan.rules:  # type: ignore[union-attr]  # only nodes with a plan get here
            parent = node.inputs[rule.position]
            passed = rule.pull(step.cotangent, node, node.saved)
            summed = _broadcast_axes(passed.shape, parent.shape)
            if summed:
                passed = unbroadcast(passed, parent.shape)
            use = Use(node, rule, summed, passed)
            step.passed.append(use)
            self.steps[parent].received.append(use)


def _broadcast_axes(shape: tuple[int, ...], parent: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that broadcasting ``parent`` has made or stretched."""
    lead = len(shape) - len(parent)
    return tuple(k for k, n in enumerate(shape) if k < lead or n != parent[k - lead])


def _count(roots: Sequence[Node], nodes: Sequence[Node], examples: int | None) -> tuple[int, str]:
    """How many examples there are; 0 and the reason if they are not told apart."""
    if any(node.level for node in nodes):
        return 0, "a part of the loss is computed inside vmap"
    if examples is None:
        found = _losses(roots)
        sizes = sorted({node.shape[0] for node in found})
        if len(sizes) > 1:
            return 0, f"arrays of {' and of '.join(map(str, sizes))} rows are reduced to the loss"
        if not found or not sizes[0]:
            return 0, "the loss is no sum or mean over the rows of an array that is computed from data"
        if not _have_rows_in_common(found):
            return 0, f"it is not known whether the {sizes[0]} rows of several arrays are the same examples"
        examples = sizes[0]
    if examples * max(math.prod(node.shape) for node in nodes) > ROOM:
        return 0, f"the batch is too large for that, with {examples} rows"
    return examples, ""


def _losses(roots: Sequence[Node]) -> list[Node]:
    """The arrays that the outputs, or the numbers that they are computed from, are reductions of.

    They count if they depend on data of their length, and so do outputs that are arrays.  NB: a penalty on weights that
    is made with constants of the same length would be taken for one, too.
    """
    found = [root for root in roots if root.shape and (len(roots) == 1 or _is_of_data(root))]
    scalars, seen = [root for root in roots if not root.shape], set(roots)
    for scalar in scalars:  # grows on the way
        for rule in scalar.plan.rules:  # type: ignore[union-attr]  # only nodes with a plan get here
            parent = scalar.inputs[rule.position]
            if parent in seen:
                continue
            seen.add(parent)
            if not parent.shape:
                scalars.append(parent)
            elif _is_of_data(parent):
                found.append(parent)
    return found


_MANY = 8  # arrays that are reduced to the loss


def _have_rows_in_common(found: Sequence[Node]) -> bool:
    """Whether all these arrays depend on one value, or on one array of data, that has rows for the examples."""
    if len(found) == 1:
        return True
    if len(found) > _MANY:
        return False
    m = found[0].shape[0]
    common = set.intersection(*[set(ancestors(node)) for node in found])
    return any(
        (node.op is not None or node.plan is None) and any(n and n % m == 0 for n in node.shape) for node in common
    )


def _is_of_data(node: Node) -> bool:
    """Whether a value depends on data with an axis along which its rows can stand."""
    return any(_takes_data(found, node.shape[0]) for found in ancestors(node))


def _of_data(nodes: Sequence[Node], m: int) -> set[Node]:
    """Those that depend on data with an axis along which m examples can stand; ``nodes`` are newest first."""
    found: set[Node] = set()
    for node in reversed(nodes):
        if _takes_data(node, m) or any(x in found or _takes_data(x, m) for x in node.inputs if isinstance(x, Node)):
            found.add(node)
    return found


def _takes_data(node: Node, m: int) -> bool:
    """Whether a value is data, or is picked out by indices, with an axis along which m examples can stand."""
    arrays: list[Any] = [node] if node.op is None and node.plan is None else []
    index = node.params[0] if node.op is not None and node.op.name == "index" else ()
    arrays += [part for part in (index if isinstance(index, tuple) else (index,)) if isinstance(part, np.ndarray)]
    return any(n and m and n % m == 0 for array in arrays for n in array.shape)
