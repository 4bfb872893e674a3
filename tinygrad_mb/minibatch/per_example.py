"""The gradients of a batch's examples, each by itself, from one backward of the whole batch.

The batch's code runs as it is.  Only the cotangent that backward starts from is of another kind: ``Rows``, which
knows that the i-th row of the loss's cotangent belongs to example i.  The derivative rules carry it back; wherever
they add up over examples, the contributions are kept apart instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
from ..transforms import Argument, finish, fresh_argument
from .apart import Followed, followed_batch, refuse_coupled
from .statistics import ExampleGradients, Part, Stacked

_REDUCTIONS = PRIMITIVES[np.mean], PRIMITIVES[np.sum]


def per_example_grads(loss: Callable[..., Any] | Tensor, params: Any, *batch: Any, **options: Any) -> Any:
    """The gradient of each example's own loss: an array ``(m, *shape)`` for each parameter, nested as ``params``.

    ``per_example_grads(loss_fn, params, *batch, **options)`` calls ``loss_fn(params, *batch, **options)`` once, on the
    whole batch.  It returns one loss for each example (m,), or several (m, ...), which are added up for each example;
    or the mean or the sum of such an array, whose last operation is then undone, so that nothing is divided by m.
    ``params`` is a nest of arrays or a module (then the result is a dict by attribute path).  In ``batch``, and among
    ``options``, examples stand along the first axis of the first array, and of all that are as long.

    ``per_example_grads(losses, tensors)`` does the same for losses (m,) that have been computed from tensors.

    The sum of the results is the gradient of the summed loss.  Whatever makes the losses of a batch is right: products,
    convolutions, embeddings, sequences, weights used several times, masks of dropout.  Where examples influence each
    other (the statistics of a batch, contrast between its examples) the gradient of one example does not exist, and
    the first form raises ``CoupledExamplesError``, if floating-point arrays of the batch or what its integers pick out
    of parameters lead there.  To see that, backward goes on to the data, which costs a product with the first weights.
    The second form gives the gradients of the losses as they were computed, from all examples.

    Raises ``ShapeError`` for a loss that is one number and neither a mean nor a sum, and for losses that are not as
    many as the examples; ``TypeError`` for tensors that require no gradient.

    >>> import numpy as np, tinygrad_mb as tg
    >>> def loss(params, x, y):
    ...     return 0.5 * np.square(x @ params["w"] - y)
    >>> X, y = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, -1.0]]), np.array([-1.0, 1.0, 0.0])
    >>> tg.per_example_grads(loss, {"w": np.array([1.0, -2.0])}, X, y)
    {'w': array([[-2., -4.],
           [ 0.,  0.],
           [ 0., -2.]])}
    """
    found = _losses(loss, params, batch, options)
    return found.recorded() if found.outer else found.gradients().materialize()


def example_gradients(loss: Callable[..., Any] | Tensor, params: Any, *batch: Any, **options: Any) -> ExampleGradients:
    """As ``per_example_grads``, without making the arrays: their lengths, angles, spread and sums are computed without.

    >>> import numpy as np, tinygrad_mb as tg
    >>> W = tg.Tensor(np.ones((3, 2)), requires_grad=True, name="W")
    >>> losses = np.square(np.eye(3) @ W).sum(axis=1)
    >>> tg.minibatch.example_gradients(losses, {"W": W}).norms().round(4)
    array([2.8284, 2.8284, 2.8284])
    """
    found = _losses(loss, params, batch, options)
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
    batch    what is followed of the batch's arrays; None for losses that were computed already
    outer    the name of an argument of an enclosing transform that the losses depend on; empty if there is none
    """

    node: Node
    seed: Rows
    nest: Nest
    nodes: list[Node]
    batch: Followed | None
    outer: str

    def gradients(self) -> ExampleGradients:
        """The gradients as what they come out as."""
        found = self._checked_walk(self.nodes)
        return ExampleGradients(
            [_part(found.get(n), n, self.seed.examples) for n in self.nodes], self.nest, self.seed.examples
        )

    def recorded(self) -> Any:
        """The gradients as tensors that can be differentiated, at the price of m walks: the seed has no structure."""
        self._checked_walk([])
        level, m = self.seed._level, self.seed.examples
        with enable_grad():
            found = autodiff.gradient({self.node: Tensor(self.seed.dense())}, self.nodes, Tensor)
            rows = [reveal(found.get(n, np.zeros(n.shape, n.dtype)), level, m) for n in self.nodes]
        return self.nest.fill(rows)

    def _checked_walk(self, nodes: list[Node]) -> dict[Node, Any]:
        """The cotangents of the nodes; raises ``CoupledExamplesError`` if those of the batch's data say so."""
        if not self.seed.examples:
            return {}

        def walk(wanted: list[Node]) -> dict[Node, Any]:
            return autodiff.gradient({self.node: self.seed}, wanted) if wanted else {}

        data = self.batch.nodes(self.node) if self.batch else []
        found = walk([*nodes, *data])
        refuse_coupled(self.node, data, found, walk)
        return found


def _losses(loss: Callable[..., Any] | Tensor, params: Any, batch: tuple[Any, ...], options: dict[str, Any]) -> _Losses:
    """Run the batch, unless that has been done, and see what it is."""
    nest, followed = Nest(params), None
    if isinstance(loss, Tensor):
        if batch or options:
            raise TypeError("per-example gradients of losses that are computed already take no batch")
        losses = loss
        tensors = [_required(leaf, path) for leaf, path in zip(nest.leaves, nest.paths, strict=True)]
    elif callable(loss):
        with enable_grad():
            tensors = [fresh_argument(x, path or "params") for x, path in zip(nest.leaves, nest.paths, strict=True)]
            followed = followed_batch(loss, batch, options)
            losses = _single(followed.call(loss, nest.fill(tensors, whole=True)))
        finish([*tensors, *followed.tensors])
    else:
        raise TypeError(
            "per_example_grads wants a loss function, or losses that are Tensors, and got "
            f"{errors.describe(loss)}: it carries no graph"
        )
    node, seed = _start(losses)
    if followed and followed.examples not in (None, seed.examples):
        raise errors.ShapeError(
            f"per_example_grads: the losses {node.shape} are not those of the {followed.examples} examples of the "
            "batch's first array. They have the examples along axis 0: (m,), or (m, ...), such as one loss per token, "
            "which are added up for each example. Losses that were flattened come apart by reshape(m, -1)."
        )
    nodes = [t.node for t in tensors]
    own = {*nodes, *(followed.sources if followed else ())}
    others = [n for n in differentiable_ancestors([node]) if isinstance(n, Argument) and n.running and n not in own]
    return _Losses(node, seed, nest, nodes, followed, others[0].label if others else "")


def _single(losses: Any) -> Tensor:
    found = Nest(losses).leaves
    if len(found) != 1 or not isinstance(found[0], Tensor):
        raise TypeError("per_example_grads wants a function that returns an array of losses that depend on params")
    return found[0]


def _required(leaf: Any, path: str) -> Tensor:
    if not isinstance(leaf, Tensor) or not leaf.requires_grad:
        what = errors.describe(leaf, path or "the given one")
        raise TypeError(f"per-example gradients are for tensors that require gradients, and {what} does not")
    return leaf


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
