"""Which derivative rule is to blame: each operation of a recorded graph, checked on its own."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..graph import Node, differentiable_ancestors
from .differences import EPS, judge, noise_of
from .subjects import Subject


class Suspect(NamedTuple):
    """A rule that does not give its operation's derivative, or that gives one of several, at a kink.

    kind           "wrong" or "kink"
    op, argument   the operation's name, and that of the argument that the rule is for
    value          what the rule gives, of the derivative along a random direction
    reference      what it should give
    factor         by what the rule is wrong, if it is the same in all directions; else None
    where          the line that called the operation
    """

    kind: str
    op: str
    argument: str
    value: float
    reference: float
    factor: float | None
    where: str


def suspects(subject: Subject) -> list[Suspect]:
    """The rules in the graph of a function that are wrong, or at a kink, where it uses them, in the order of use."""
    found: dict[tuple[str, str, str], Suspect] = {}
    rng = np.random.default_rng(0)
    for node in reversed(differentiable_ancestors(subject.graph())):
        if node.op is None or node.plan is None:
            continue
        for position, pull, name, _ in node.plan.rules:
            first = _compare(node, position, pull, rng)
            if first is None or (first[0], node.op.name, name) in found:
                continue
            second = _compare(node, position, pull, rng) if first[0] == "wrong" else None
            where = (node.extras.where if node.extras is not None else None) or ""
            kind, value, reference = first
            found[kind, node.op.name, name] = Suspect(
                kind, node.op.name, name, value, reference, _factor(first, second), where
            )
    return list(found.values())


Compared = tuple[str, float, float]  # "wrong" or "kink", what a rule gives along a direction, what it should give


def _factor(one: Compared, other: Compared | None) -> float | None:
    """What a rule's derivatives along two directions are times what they should be; None unless it is the same."""
    if other is None or other[0] != "wrong" or not one[2] or not other[2]:
        return None
    factor = one[1] / one[2]
    return factor if abs(other[1] / other[2] - factor) <= 1e-5 * abs(factor) else None


def _compare(node: Node, position: int, pull: Any, rng: np.random.Generator) -> Compared | None:
    """A rule along a random direction, if it is wrong or at a kink there."""
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
    return (verdict.kind, claimed, verdict.reference) if verdict.kind in ("wrong", "kink") else None


def _value(x: Any) -> Any:
    if not isinstance(x, Node):
        return x
    return x.value
