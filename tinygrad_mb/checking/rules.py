"""Which derivative rule is to blame: each operation of a recorded graph, checked on its own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..graph import Node, differentiable_ancestors
from .differences import EPS, judge, noise_of
from .subjects import Subject


class WrongRule(NamedTuple):
    """A rule that does not give its operation's derivative.

    op, argument   the operation's name, and that of the argument that the rule is for
    value          what the rule gives, of the derivative along a random direction
    reference      what it should give
    where          the line that called the operation
    """

    op: str
    argument: str
    value: float
    reference: float
    where: str


def wrong_rules(subject: Subject) -> list[WrongRule]:
    """The rules in the graph of a function that are wrong where it uses them, in the order of their use."""
    found: dict[tuple[str, str], WrongRule] = {}
    rng = np.random.default_rng(0)
    for node in reversed(differentiable_ancestors(subject.graph())):
        for position, pull, name, _ in node.plan.rules if node.op is not None and node.plan is not None else ():
            key = (node.op.name, name)  # type: ignore[union-attr]  # leaves have no rules
            if key not in found and (pair := _compare(node, position, pull, rng)) is not None:
                where = (node.extras.where if node.extras is not None else None) or ""
                found[key] = WrongRule(*key, *pair, where)
    return list(found.values())


def _compare(node: Node, position: int, pull: Any, rng: np.random.Generator) -> tuple[float, float] | None:
    """What a rule gives along a random direction, and what it should give, if that is something else."""
    op = node.op
    assert op is not None
    values = [_value(parent) for parent in node.inputs]
    if any(value is None for value in values):
        return None
    x = np.asarray(values[position], float)
    g, v = rng.uniform(0.5, 1.5, node.shape), rng.normal(size=x.shape) * np.maximum(1, np.abs(x))

    def line(t: float) -> float:
        moved = [*values]
        moved[position] = x + t * v
        out = op.fn(moved, *node.params) if op.variadic else op.fn(*moved, *node.params)
        return float((g * out).sum())

    claimed = float((pull(g, node, node.saved) * v).sum())
    at_zero = line(0.0)
    if not np.isfinite([claimed, at_zero]).all():
        return None
    size = float(np.abs(g * _value(node)).sum())
    noise = max(EPS * size, noise_of(line, at_zero)[0])
    verdict = judge(claimed, line, at_zero, noise, max(abs(claimed), 1e-3 * size, 1e-300))
    return (claimed, verdict.reference) if verdict.kind == "wrong" else None


def _value(x: Any) -> Any:
    if not isinstance(x, Node):
        return x
    return x.value
