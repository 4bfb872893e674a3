"""Graph -> view: what a picture is to show of each node, in words, before any thought of colours."""

from __future__ import annotations

from collections.abc import Collection
from itertools import takewhile
from typing import Literal, NamedTuple

import numpy as np

from ..calls import call_of
from ..graph import Node, ancestors

Kind = Literal["parameter", "data", "operation", "output"]


class Box(NamedTuple):
    """A node as a picture shows it.

    id     unique in its view, and the same for the same program
    kind   a leaf that needs gradients, any other leaf, an operation, or what the picture is of
    title  the user's name, else what the value is
    named  whether the title is the user's name
    lines  what else there is to say, one phrase each: the formula, the shape, the gradient
    scope  the names of the boxes around it, the outermost first
    """

    id: str
    kind: Kind
    title: str
    named: bool
    lines: tuple[str, ...]
    scope: tuple[str, ...]


class Edge(NamedTuple):
    """A value used by an operation; ``carries`` says whether a gradient flows back along it."""

    source: str
    target: str
    carries: bool


class View(NamedTuple):
    """The boxes, oldest first, and the edges between them."""

    boxes: list[Box]
    edges: list[Edge]


def view(*outputs: Node) -> View:
    """The view of all that ``outputs`` were computed from; the graph is only read."""
    nodes = ancestors(*outputs)[::-1]
    ids = {node: f"n{position}" for position, node in enumerate(nodes)}
    scopes, shown = _scopes(nodes), set(outputs)
    boxes = []
    for node in nodes:
        title, lines = _words(node)
        boxes.append(Box(ids[node], _kind(node, shown), title, bool(node.name), lines, scopes[node]))
    edges = []
    for node in nodes:
        carrying = {rule.position for rule in node.plan.rules} if node.plan else set()
        for position, source in enumerate(node.inputs):
            if isinstance(source, Node):
                edges.append(Edge(ids[source], ids[node], position in carrying))
    return View(boxes, edges)


def _kind(node: Node, outputs: Collection[Node] = ()) -> Kind:
    if node.op is None:
        return "data" if node.plan is None else "parameter"
    return "output" if node in outputs else "operation"


def _scopes(nodes: list[Node]) -> dict[Node, tuple[str, ...]]:
    """The scope of each node; a parameter stands in the innermost one that all its uses share."""
    scopes = {node: tuple(node.scope.split("/")) if node.scope else () for node in nodes}
    shared: dict[Node, tuple[str, ...]] = {}
    for node in nodes:
        for source in node.inputs:
            if isinstance(source, Node) and _kind(source) == "parameter":
                shared[source] = _common(shared.get(source, scopes[node]), scopes[node])
    return scopes | shared


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(x for x, _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _words(node: Node) -> tuple[str, tuple[str, ...]]:
    shape = f"shape {node.shape}" if node.shape else "scalar"
    if node.op is None:
        unnamed = "constant" if node.plan is None else "parameter"
        gradient = () if node.plan is None else (_gradient(node),)
        return node.name or unnamed, (f"{shape} {node.dtype}", *gradient)
    kept = (_gradient(node),) if node.extras is not None and node.extras.keeps_grad else ()
    formula = call_of(node, lambda source: source.name or "·")  # a dot stands for a value without a name
    return (node.name, (formula, shape, *kept)) if node.name else (formula, (shape, *kept))


def _gradient(node: Node) -> str:
    grad = node.grad
    if grad is None:
        return "no backward yet"
    if not isinstance(grad, np.ndarray):
        return f"gradient: {type(grad).__name__}"
    if grad.size == 1:
        return f"gradient {grad.item() + 0.0:.3g}"  # no "-0"
    if grad.size == 0:
        return "gradient: empty"
    with np.errstate(all="ignore"):
        size = np.abs(grad)
        return f"gradient: mean |g| {size.mean():.2g}, max |g| {size.max():.2g}"
