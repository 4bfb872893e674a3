"""What a person sees as one function in the graph: an activation, a softmax with its loss, however it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..autodiff import record
from ..graph import Node
from ..modes import enable_grad
from ..tensor import Tensor
from ..vjps.special import sigmoid, softmax
from .loss_parts import DIVIDE, MULTIPLY
from .recordings import Recording
from .walks import Array

_OF_ELEMENTS = frozenset(("relu", "sigmoid", "softplus", "erf", "normal_cdf"))
_KNOWN: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    # the function, and its derivative as a formula in what it returns
    "tanh": (np.tanh, lambda u: 1 - u * u),
    "sigmoid": (sigmoid, lambda u: u * (1 - u)),
    "exp": (np.exp, lambda u: u),
    "relu": (lambda z: np.maximum(z, 0), lambda u: 1.0 * (u > 0)),
}
_ACTIVATIONS = frozenset(("tanh", "sigmoid", "relu"))


class Region(NamedTuple):
    """A function of single elements: the node ``top`` is computed from the node ``base`` and numbers alone.

    ``inner`` is one that goes into another function of the same base, as tanh does in a square of it.
    """

    top: int
    base: int
    name: str
    inner: bool = False

    def slope(self, recording: Recording) -> Array:
        """The derivative at each element."""
        top, base = recording.nodes[self.top], recording.nodes[self.base]
        return recording.walk.spread({top: np.ones(top.shape)})[base]

    def formula(self) -> Callable[[Array], Array] | None:
        """The derivative as a function of the result, where it is a known one."""
        return _KNOWN[self.name][1] if self.name in _KNOWN else None

    def slope_at(self, recording: Recording, z: Array) -> Array:
        """The derivative at other arguments than those of the forward pass."""
        with enable_grad():
            tensor = Tensor(np.array(z), requires_grad=True)
            made: dict[Any, Any] = {recording.nodes[self.base]: tensor}
            for node in recording.nodes[self.base + 1 : self.top + 1]:
                inputs = [made.get(p, recording.value(p)) for p in node.inputs if isinstance(p, (Node, int, float))]
                if node.op is not None and any(isinstance(x, Tensor) for x in inputs):
                    made[node] = record(node.op, (*inputs, *node.params), Tensor)
            return made[recording.nodes[self.top]].sum().gradient(tensor)


def regions(recording: Recording) -> list[Region]:
    """All activations, and what is like one, newest first; linear ones are left out."""
    return recording.once("regions", lambda: _regions(recording))


def _regions(recording: Recording) -> list[Region]:
    found = []
    bases = bases_of(recording)
    for k in range(len(recording.nodes) - 1, -1, -1):
        node = recording.nodes[k]
        base = bases.get(node)
        if base is None or base is node or base.op is None or base not in recording.flow:
            continue
        inner = all(bases.get(user) is base for user, _ in recording.users[node])
        if not inner or _known(recording, node, base) in _ACTIVATIONS:
            region = Region(k, recording.index[base], "", inner)
            slope = region.slope(recording)
            kinked = set(np.unique(slope).tolist()) <= {0.0, 1.0}
            if kinked or np.ptp(slope) > 1e-9 * abs(slope).max():
                found.append(region._replace(name=_name(recording, node, base, slope)))
    return found


def _known(recording: Recording, node: Node, base: Node) -> str:
    """Which of the known functions a node is of its base; empty if it is none of them."""
    value, z = recording.value(node), recording.value(base)
    for name, (function, _) in _KNOWN.items():
        with np.errstate(all="ignore"):
            if np.allclose(value, function(z), rtol=1e-12, atol=1e-14):
                return name
    return ""


def _name(recording: Recording, node: Node, base: Node, slope: Array) -> str:
    value, z = recording.value(node), recording.value(base)
    if known := _known(recording, node, base):
        return known
    if np.array_equal(value, np.where(z > 0, z, value)) and len(np.unique(slope)) == 2:
        return "leaky relu"
    written = node.op.name if node.op else ""
    return {"multiply": "the product", "square": "the square", "power": "the power"}.get(written, written)


def bases_of(recording: Recording) -> dict[Node, Node]:
    """For each node the one that it is computed from element by element, with numbers alone; itself if there is none.

    A node that no gradient flows through is left out.
    """
    bases: dict[Node, Node] = {}
    for node in recording.nodes:
        if node.plan is None:
            continue
        bases[node] = node
        if node.op is None:
            continue
        elementwise = isinstance(node.op.key, np.ufunc) or node.op.name in _OF_ELEMENTS
        inputs = node.inputs
        if node.op.name == "where":
            elementwise, inputs = chooses(recording, node), inputs[1:]
        if not elementwise or node.op.variadic:
            continue
        nodes = [p for p in inputs if isinstance(p, Node)]
        found = {bases[p] for p in nodes if p.plan is not None}
        if len(found) == 1 and all(p.plan is not None or p.shape == () for p in nodes):
            base = found.pop()
            if base.shape == node.shape:
                bases[node] = base
    return bases


def chooses(recording: Recording, node: Node) -> bool:
    """Whether a ``where`` goes by the size of what it picks from, as activations do, and not by a mask."""
    chosen = recording.value(node.inputs[0])
    for x in node.inputs[1:]:
        value = recording.value(x) if isinstance(x, Node) and x.plan is not None else None
        if value is not None and value.shape == np.shape(chosen):
            low, high = value[~chosen], value[chosen]
            if not low.size or not high.size or low.max() <= high.min() or high.max() <= low.min():
                return True
    return False


def is_of_cost(recording: Recording, k: int) -> bool:
    """Whether nothing but masks, weights and regularisers comes in between this node and the loss.

    An activation that goes into a cost, as tanh into its square, is none itself.
    """
    if any(a.top == k and a.inner for a in regions(recording)):
        return False
    after = {recording.nodes[k]}
    others: set[Node] = set()
    for node in recording.nodes[k + 1 :]:
        parents = [p for p in node.inputs if isinstance(p, Node)]
        if not after.isdisjoint(parents):
            after.add(node)
            if node.op not in (MULTIPLY, DIVIDE) or any(p.plan is not None and p not in after for p in parents):
                others.update(p for p in parents if p not in after and p.shape != ())
    return {recording.nodes[t] for t in recording.parts.regularisers} >= others


class Softmax(NamedTuple):
    """A softmax: the node ``top`` of its results, and the node ``base`` of its arguments."""

    top: int
    base: int
    axis: int


def softmaxes(recording: Recording) -> list[Softmax]:
    """All of them, also those that are written out as a fraction."""
    found = []
    bases = bases_of(recording)
    for k, node in enumerate(recording.nodes):
        if node.op is None or node.plan is None or node.shape == ():
            continue
        if node.op.name == "softmax":
            found.append(Softmax(k, recording.index[node.inputs[0]], node.params[0]))
        elif node.op is DIVIDE and isinstance(node.inputs[0], Node):
            base = bases.get(node.inputs[0])
            if base is None or base.shape != node.shape:
                continue
            for axis in range(len(node.shape)):
                if np.allclose(softmax(recording.value(base), axis), recording.value(node), rtol=1e-10):
                    if base.op is not None and base.op.name == "subtract" and base.inputs[0].shape == base.shape:
                        base = base.inputs[0]
                    found.append(Softmax(k, recording.index[base], axis))
                    break
    return found


class Logits(NamedTuple):
    """The arguments z of a softmax, or of a sigmoid, with cross-entropy: where δ is c (s - t)."""

    at: int
    z: Array
    s: Array
    target: Array
    c: Array
    kind: str


def logits(recording: Recording, k: int) -> Logits | None:
    """What a node is if its δ is that of a cross-entropy; None if it is not."""
    node = recording.nodes[k]
    if recording.parts.losses is None or not node.shape or node not in recording.flow:
        return None
    z, g = recording.value(node), recording.flow[node]
    losses = recording.nodes[recording.parts.losses]
    weight = abs(recording.flow[losses])  # the minus of -log p may come after the losses
    shapes = {weight.shape, weight.shape + (1,) * (g.ndim - weight.ndim)}
    for shape in shapes:
        try:
            c = np.broadcast_to(weight.reshape(shape), g.shape)
        except ValueError:
            continue
        used = c != 0
        scale = np.where(used, c, 1)
        for kind in ("softmax", "sigmoid"):
            if kind == "softmax" and z.shape[-1] < 2:
                continue
            s = softmax(z) if kind == "softmax" else sigmoid(z)
            target = s - g / scale
            inside = (target > -1e-8) & (target < 1 + 1e-8)
            if kind == "softmax":
                inside &= abs(target.sum(-1, keepdims=True) - 1) < 1e-8
            whole = np.minimum(abs(target), abs(target - 1)) < 1e-8
            if (inside & whole | ~used).all() and used.any():
                return Logits(k, z, s, target, c, kind)
    return None
