"""The gradients of a batch's examples, each by itself, from one backward of the whole batch.

The batch's code runs as it is.  Only the cotangent that backward starts from is of another kind: ``Rows``, which
knows that the i-th row of the loss's cotangent belongs to example i.  The derivative rules carry it back; wherever
they add up over examples, the contributions are kept apart instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import autodiff, errors
from ..carriers.factors import Factors
from ..carriers.rows import Rows
from ..graph import Node, differentiable_ancestors
from ..modes import enable_grad, new_level
from ..primitives import PRIMITIVES
from ..pytrees import Nest
from ..tensor import Tensor
from ..transforms import _fresh as fresh
from .statistics import ExampleGradients, Part, Stacked

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
    return example_gradients(loss, params, *batch).materialize()


def example_gradients(loss: Callable[..., Any] | Tensor, params: Any, *batch: Any) -> ExampleGradients:
    """As ``per_example_grads``, without making the arrays: their lengths, angles, spread and sums are computed without.

    >>> import numpy as np, tinygrad_mb as tg
    >>> W = tg.Tensor(np.ones((3, 2)), requires_grad=True, name="W")
    >>> losses = np.square(np.eye(3) @ W).sum(axis=1)
    >>> tg.minibatch.example_gradients(losses, {"W": W}).norms().round(4)
    array([2.8284, 2.8284, 2.8284])
    """
    nest = Nest(params)
    if isinstance(loss, Tensor):
        if batch:
            raise TypeError("per-example gradients of losses that are computed already take no batch")
        return _of_losses(
            loss, nest, [_required(leaf, path) for leaf, path in zip(nest.leaves, nest.paths, strict=True)]
        )
    with enable_grad():
        names = ["", *getattr(getattr(loss, "__code__", None), "co_varnames", ())[1:]]
        tensors = [fresh(leaf, path or "params") for leaf, path in zip(nest.leaves, nest.paths, strict=True)]
        data: list[Tensor] = []
        arguments = []
        for k, part in enumerate(batch, 1):
            argument = Nest(part)
            default = names[k] if k < len(names) else f"argument {k}"
            leaves = [_floating(x, f"{default}.{path}" if path else default, data)
                      for x, path in zip(argument.leaves, argument.paths, strict=True)]  # fmt: skip
            arguments.append(argument.fill(leaves, whole=True))
        losses = loss(nest.fill(tensors, whole=True), *arguments)
    if not isinstance(losses, Tensor):
        found = Nest(losses).leaves
        if len(found) != 1 or not isinstance(found[0], Tensor):
            raise TypeError("per_example_grads wants a function that returns an array of losses that depend on params")
        losses = found[0]
    return _of_losses(losses, nest, tensors, data)


def _required(leaf: Any, path: str) -> Tensor:
    if not isinstance(leaf, Tensor) or not leaf.requires_grad:
        what = errors.describe(leaf, path or "the given one")
        raise TypeError(f"per-example gradients are for tensors that require gradients, and {what} does not")
    return leaf


def _floating(x: Any, name: str, data: list[Tensor]) -> Any:
    """A floating-point array as a tensor whose influence on the losses can be followed."""
    if not getattr(x, "shape", ()) or x.dtype.kind != "f":
        return x
    data.append(fresh(x, name))
    return data[-1]


def _of_losses(losses: Tensor, nest: Nest, tensors: list[Tensor], data: Sequence[Tensor] = ()) -> ExampleGradients:
    node, seed = _start(losses)
    nodes = [t.node for t in tensors]
    wanted = [*nodes, *[t.node for t in data]]
    found = autodiff.gradient({node: seed}, wanted, keep=seed._level) if seed.examples else {}
    _refuse_coupled(node, seed, [t.node for t in data], found)
    return ExampleGradients([_part(found.get(n), n, seed.examples) for n in nodes], nest, seed.examples)


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


def _refuse_coupled(losses: Node, seed: Rows, data: list[Node], found: dict[Node, Any]) -> None:
    """Raise ``CoupledExamplesError`` if the loss of one example depends on the data of another.

    ``found`` are the cotangents of the nodes ``data``, those of the batch's floating-point arrays.
    """
    for node in data:
        if node.shape[0] == seed.examples and node in found and not _is_apart(found[node]):
            raise errors.coupled_examples(*_first_joined(losses, seed, data), seed.examples)


def _is_apart(cotangent: Any) -> bool:
    """Whether no row of an array has a say in the losses of two examples."""
    if isinstance(cotangent, Rows):
        return True
    rows = cotangent.dense()._data  # (examples, rows, ...)
    says = (rows.reshape(*rows.shape[:2], -1) != 0).any(axis=2)
    return bool((says.sum(axis=0) <= 1).all())


def _first_joined(losses: Node, seed: Rows, data: list[Node]) -> tuple[Node, Node]:
    """A value made of several examples' data, and the operation that uses it, or what follows from it, for each."""
    nodes = differentiable_ancestors([losses])
    from_data = set(data)
    for node in reversed(nodes):
        if not from_data.isdisjoint([n for n in node.inputs if isinstance(n, Node)]):
            from_data.add(node)
    found = autodiff.gradient({losses: seed}, nodes, keep=seed._level)
    joined = next(n for n in nodes if n in from_data and n in found and not isinstance(found[n], Rows))
    user = next(n for n in reversed(nodes) if joined in n.inputs)
    while seed.examples not in joined.shape:  # back to where the examples came together
        before = [n for n in joined.inputs if n in from_data]
        if any(seed.examples in n.shape for n in before):
            break
        joined = before[0]
    return joined, user
