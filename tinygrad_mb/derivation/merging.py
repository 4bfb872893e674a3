"""Values that a function computes more than once are one value, whose δ is the sum of what all its uses pass back."""

from __future__ import annotations

from typing import Any

from ..carriers.traced import Traced
from ..graph import Node, ancestors
from .arguments import key_of
from .program import Program, Variable, replaced


def merge_repeats(program: Program, root: Node, names: dict[Variable, str]) -> None:
    """Make one node of all nodes below ``root`` that the same operation made of the same operands, before backward."""
    same: dict[Variable, Variable] = {}
    made: dict[Any, Variable] = {}
    for call in program.calls:
        args, kwargs = replaced((call.args, call.kwargs), lambda v: same.get(v, v))
        same[call.out] = made.setdefault((id(call.function), key_of(args), key_of(kwargs)), call.out)
    for v in [v for v in names if same.get(v, v) is not v]:
        name = names.pop(v)
        names.setdefault(same[v], name)

    def key(value: Any) -> Any:
        if isinstance(value, Traced):
            return id(same.get(value.variable, value.variable))
        return tuple(map(key, value)) if isinstance(value, (tuple, list)) else key_of(value)

    first: dict[Any, Node] = {}
    kept: dict[Any, Node] = {}
    for node in reversed(ancestors(root)):
        node.inputs = tuple([kept.get(x, x) if isinstance(x, Node) else x for x in node.inputs])
        value = program.values.get(node)
        if node.op is not None and value is not None:
            operands = tuple([id(x) if isinstance(x, Node) and x.plan is not None else None for x in node.inputs])
            made_by = (node.op.key, node.level, operands, key(node.params), same.get(value, value))
            kept[node] = first.setdefault(made_by, node)
            if kept[node] is not node:
                del program.values[node]


def drop_parts(program: Program) -> None:
    """Keep the δ of each value only: of nodes that have one value, as h and 1 h, the oldest one's, and its name."""
    nodes: dict[Variable, list[Node]] = {}
    for node in sorted(program.values, key=lambda node: node.order):
        nodes.setdefault(program.values[node], []).append(node)
    parts = []
    for oldest, *others in nodes.values():
        dropped = others if all(oldest in ancestors(other) for other in others) else [oldest, *others]
        parts += [program.cotangents.pop(node) for node in dropped if node in program.cotangents]
    wanted: dict[Variable, list[str]] = {}
    for node, v in program.cotangents.items():
        if node in program.values:
            wanted.setdefault(v, []).append(f"d{program.values[node].name}")
    for v in parts:
        if v.role == "cotangent" and v.name not in wanted.get(v, ()):
            v.name = None
