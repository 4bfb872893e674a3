"""Mark boxes of a view: what lies between given values and the result, or what a report says of each."""

from __future__ import annotations

from typing import Any

from ..autodiff import Recorded
from ..graph import Node
from .facts import Facts
from .view import State, View

_WORST: list[State] = ["right", "wrong", "first wrong"]  # comes last, and is what a box of several values says


def mark(view: View, facts: Facts, wanted: Any) -> None:
    """Give boxes and lines their states, as ``draw`` says of ``highlight``."""
    if hasattr(wanted, "verdicts"):
        _by_report(view, wanted)
        return
    parts = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    start = {node for part in parts for node in _nodes(part, facts)}
    reached = set(start)
    for node in facts.nodes:  # oldest first: operands stand before results
        if any(isinstance(x, Node) and x in reached for x in node.inputs):
            reached.add(node)
    for box in view.boxes:
        box.state = "path" if box.array is None and not reached.isdisjoint(box.nodes) else "faded"
    states = {box.id: box.state for box in view.boxes}
    for edge in view.edges:
        edge.state = "path" if states[edge.source] == states[edge.target] == "path" else "faded"


def _nodes(part: Any, facts: Facts) -> list[Node]:
    """The nodes that are meant by a tensor or by a name."""
    if isinstance(part, Recorded):
        found = [node for node in facts.nodes if node is part._node]
        what = "this tensor"
    else:
        found = [node for node in facts.nodes if part in (node.name, facts.data_name(node))]
        what = repr(part)
    if not found:
        known = [node.name or facts.data_name(node) for node in facts.nodes]
        names = ", ".join(dict.fromkeys(name for name in known if name))
        raise ValueError(f"draw: highlight: {what} is not in this graph; it has {names or 'no names'}")
    return found


def _by_report(view: View, report: Any) -> None:
    states: dict[str, State] = {v.name: "right" if v.right else "wrong" for v in report.verdicts}
    if report.first is not None:
        states[report.first] = "first wrong"
    for box in view.boxes:
        if box.array is None and not box.stub:
            told = {states[node.name] for node in box.nodes if node.name in states}
            box.state = max(told, key=_WORST.index, default="")
