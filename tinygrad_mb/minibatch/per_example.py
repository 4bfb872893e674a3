"""The gradients of a batch's examples, each by itself, from one backward of the whole batch.

The batch's code runs as it is.  Only the cotangent that backward starts from is of another kind: ``Rows``, which
knows that the i-th row of the loss's cotangent belongs to example i.  The derivative rules carry it back; wherever
they add up over examples, the contributions are kept apart instead.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from .. import autodiff, errors
from ..carriers.factors import Factors
from ..carriers.hiding import reveal
from ..carriers.rows import Rows
from ..graph import Node, differentiable_ancestors
from ..modes import enable_grad, new_level
from ..primitives import PRIMITIVES
from ..pytrees import Nest
from ..tensor import Tensor
from ..transforms import Argument, fresh_argument
from ..vjps.indexing import Followed
from .statistics import ExampleGradients, Part, Stacked

_NOTE = (
    "per_example_grads hands over the floating-point arrays of the batch as tensors, so that examples that influence "
    "each other are found. What needs plain arrays is best done before; or compute the losses first: "
    "per_example_grads(losses, tensors)."
)
_INDEX = PRIMITIVES[operator.getitem]
_REDUCTIONS = PRIMITIVES[np.mean], PRIMITIVES[np.sum]


def per_example_grads(loss: Callable[..., Any] | Tensor, params: Any, *batch: Any) -> Any:
    """The gradient of each example's own loss: an array ``(m, *shape)`` for each parameter, nested as ``params``.

    ``per_example_grads(loss_fn, params, *batch)`` calls ``loss_fn(params, *batch)`` once, on the whole batch.  It
    returns one loss for each example (m,), or several (m, ...), which are added up for each example; or the mean or
    the sum of such an array, whose last operation is then undone, so that nothing is divided by m.
    ``params`` is a nest of arrays or a module (then the result is a dict by attribute path).  Examples stand along the
    first axis of each floating-point array in ``batch``.

    ``per_example_grads(losses, tensors)`` does the same for losses (m,) that have been computed from tensors.

    The sum of the results is the gradient of the summed loss.  Whatever makes the losses of a batch is right: products,
    convolutions, embeddings, sequences, weights used several times, masks of dropout.  Where examples influence each
    other (the statistics of a batch, contrast between its examples) the gradient of one example does not exist, and
    the first form raises ``CoupledExamplesError``; the second form gives the gradients of the losses as they were
    computed, from all examples.

    Raises ``ShapeError`` for a loss that is one number and neither a mean nor a sum, ``TypeError`` for tensors that
    require no gradient.

    >>> import numpy as np, tinygrad_mb as tg
    >>> def loss(params, x, y):
    ...     return 0.5 * np.square(x @ params["w"] - y)
    >>> X, y = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, -1.0]]), np.array([-1.0, 1.0, 0.0])
    >>> tg.per_example_grads(loss, {"w": np.array([1.0, -2.0])}, X, y)
    {'w': array([[-2., -4.],
           [ 0.,  0.],
           [ 0., -2.]])}
    """
    found = _losses(loss, params, batch)
    return found.recorded() if found.outer else found.gradients().materialize()


def example_gradients(loss: Callable[..., Any] | Tensor, params: Any, *batch: Any) -> ExampleGradients:
    """As ``per_example_grads``, without making the arrays: their lengths, angles, spread and sums are computed without.

    >>> import numpy as np, tinygrad_mb as tg
    >>> W = tg.Tensor(np.ones((3, 2)), requires_grad=True, name="W")
    >>> losses = np.square(np.eye(3) @ W).sum(axis=1)
    >>> tg.minibatch.example_gradients(losses, {"W": W}).norms().round(4)
    array([2.8284, 2.8284, 2.8284])
    """
    found = _losses(loss, params, batch)
    if found.outer:
        raise errors.NotDifferentiableError(
            f"example_gradients inside of a transform: its results are plain numbers, and a derivative by "
            f"{found.outer!r} is asked for. per_example_grads gives gradients that can be differentiated."
        )
    return found.gradients()


class _Losses(NamedTuple):
    """A batch's losses as computed.

    node     the array of losses, one or several for each example along its first axis
    seed     the cotangent of each example's own loss
    nest     the parameters
    nodes    theirs
    data     what the batch's arrays come into the graph as: the floating-point ones themselves, and what integers pick
    outer    the name of an argument of an enclosing transform that the losses depend on; empty if there is none
    """

    node: Node
    seed: Rows
    nest: Nest
    nodes: list[Node]
    data: list[Node]
    outer: str

    def gradients(self) -> ExampleGradients:
        """The gradients as what they come out as."""
        m = self.seed.examples
        found = self._walk([*self.nodes, *self.data]) if m else {}
        self.refuse_coupled(found)
        return ExampleGradients([_part(found.get(node), node, m) for node in self.nodes], self.nest, m)

    def recorded(self) -> Any:
        """The gradients as tensors that can be differentiated, at the price of m walks: the seed has no structure."""
        self.refuse_coupled(self._walk(self.data) if self.data else {})
        level, m = self.seed._level, self.seed.examples
        with enable_grad():
            found = autodiff.gradient({self.node: Tensor(self.seed.dense())}, self.nodes, Tensor, keep=level)
            rows = [reveal(found.get(n, np.zeros(n.shape, n.dtype)), level, m) for n in self.nodes]
        return self.nest.fill(rows)

    def _walk(self, wanted: list[Node]) -> dict[Node, Any]:
        return autodiff.gradient({self.node: self.seed}, wanted, keep=self.seed._level)

    def refuse_coupled(self, found: dict[Node, Any]) -> None:
        """Raise ``CoupledExamplesError`` if the loss of one example depends on the data of another.

        ``found`` are the cotangents of the data.
        """
        for node in self.data:
            if node in found and not _is_apart(found[node], range(1) if node.op is None else range(len(node.shape))):
                raise errors.coupled_examples(*self.first_joined(), self.seed.examples)

    def first_joined(self) -> tuple[Node, Node]:
        """A value made of several examples' data, and the operation that uses it, or what follows from it, for each."""
        nodes = differentiable_ancestors([self.node])
        from_data = set(self.data)
        for node in reversed(nodes):
            if not from_data.isdisjoint([n for n in node.inputs if isinstance(n, Node)]):
                from_data.add(node)
        found = self._walk(nodes)
        joined = next(n for n in nodes if n in from_data and n in found and not isinstance(found[n], Rows))
        user = next(n for n in reversed(nodes) if joined in n.inputs)
        while self.seed.examples not in joined.shape:  # back to where the examples came together
            before = [n for n in joined.inputs if n in from_data]
            if not before or any(self.seed.examples in n.shape for n in before):
                break
            joined = before[0]
        return joined, user


def _losses(loss: Callable[..., Any] | Tensor, params: Any, batch: tuple[Any, ...]) -> _Losses:
    """Run the batch, unless that has been done, and see what it is."""
    nest = Nest(params)
    data: list[Tensor] = []
    if isinstance(loss, Tensor):
        if batch:
            raise TypeError("per-example gradients of losses that are computed already take no batch")
        losses = loss
        tensors = [_required(leaf, path) for leaf, path in zip(nest.leaves, nest.paths, strict=True)]
    else:
        losses, tensors = _run(loss, nest, batch, data)
    node, seed = _start(losses)
    nodes, sources = [t.node for t in tensors], [t.node for t in data]
    below = differentiable_ancestors([node])
    others = [n for n in below if isinstance(n, Argument) and n not in {*nodes, *sources}]
    sources += [n for n in below if n.op is _INDEX and any(isinstance(p, Followed) for p in _parts_of(n.params[0]))]
    if _length(batch) != seed.examples:  # the losses are of something else than the batch's examples
        sources = []
    return _Losses(node, seed, nest, nodes, sources, others[0].label if others else "")


def _parts_of(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _length(batch: tuple[Any, ...]) -> int:
    """How many examples the first array has."""
    return next((x.shape[0] for x in Nest(batch).leaves if getattr(x, "shape", ())), 0)


def _run(loss: Callable[..., Any], nest: Nest, batch: tuple[Any, ...], data: list[Tensor]) -> Any:
    """The losses, and the tensors in the place of the parameters; those in the place of the batch go into ``data``."""
    code = getattr(loss, "__code__", None)
    names = code.co_varnames[1 : code.co_argcount] if code else ()
    arrays, m, leaves = Nest(batch), _length(batch), []
    with enable_grad():
        tensors = [fresh_argument(leaf, path or "params") for leaf, path in zip(nest.leaves, nest.paths, strict=True)]
        for x, path in zip(arrays.leaves, arrays.paths, strict=True):
            first, dot, rest = path.partition(".")
            name = names[int(first)] if int(first) < len(names) else f"argument {int(first) + 1}"
            leaves.append(_followed(x, name + dot + rest, m, data))
        arguments = arrays.fill(leaves, whole=True)
        try:
            losses = loss(nest.fill(tensors, whole=True), *arguments)
        except TypeError as error:
            if data:
                error.add_note(_NOTE)
            raise
    if not isinstance(losses, Tensor):
        found = Nest(losses).leaves
        if len(found) != 1 or not isinstance(found[0], Tensor):
            raise TypeError("per_example_grads wants a function that returns an array of losses that depend on params")
        losses = found[0]
    return losses, tensors


def _required(leaf: Any, path: str) -> Tensor:
    if not isinstance(leaf, Tensor) or not leaf.requires_grad:
        what = errors.describe(leaf, path or "the given one")
        raise TypeError(f"per-example gradients are for tensors that require gradients, and {what} does not")
    return leaf


def _followed(x: Any, name: str, m: int, data: list[Tensor]) -> Any:
    """An array of the batch in a form whose influence on the losses can be followed."""
    kind = x.dtype.kind if getattr(x, "shape", ())[:1] == (m,) else ""
    if kind in "iu" and type(x) is np.ndarray:
        return x.view(Followed)
    if kind != "f":
        return x
    data.append(fresh_argument(x, name))
    return data[-1]


def _start(losses: Tensor) -> tuple[Node, Rows]:
    """The node of the array of losses, and the cotangent of every example's own loss."""
    node = losses._require_node("per_example_grads")
    share = 1.0
    if node.shape == ():
        if node.op not in _REDUCTIONS or node.inputs[0].shape == ():
            raise errors.ShapeError(
                f"per_example_grads wants one loss for each example, and got {errors.describe(losses, 'one number')}, "
                "which is not simply their mean or sum: return the losses themselves, of shape (m,)"
            )
        mean = node.op is PRIMITIVES[np.mean]
        node = node.inputs[0]
        share = 1 / max(math.prod(node.shape[1:]), 1) if mean else 1.0
    return node, Rows(np.full(node.shape, share, node.dtype), new_level(), 0, node.shape[0])


def _part(found: Any, node: Node, examples: int) -> Part:
    """One parameter's gradients, as what they came out as."""
    if found is None:
        return Stacked(np.broadcast_to(np.zeros((), node.dtype), (examples, *node.shape)))
    return found if isinstance(found, Factors) else Stacked(found.dense()._data)


def _is_apart(cotangent: Any, axes: Iterable[int]) -> bool:
    """Whether the examples stand along one of the axes, and none has a say in the loss of another."""
    if isinstance(cotangent, Rows):
        return True
    has_say = cotangent.dense()._data != 0  # (m, ...)
    m = cotangent.examples
    for axis in axes:
        n = has_say.shape[axis + 1]
        says = autodiff.bare(has_say.any(axis=tuple([k for k in range(1, has_say.ndim) if k != axis + 1])))
        for owners in (np.arange(n) * m // max(n, 1), np.arange(n) % m):  # one after the other, or in turn
            if n % m == 0 and not (says & (owners != np.arange(m)[:, None])).any():
                return True
    return False
