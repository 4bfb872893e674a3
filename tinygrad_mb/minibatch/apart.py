"""Do the examples of a batch stand apart?  The batch's arrays are followed through the graph of its losses.

Floating-point arrays take part as tensors.  Integers cannot, but what they pick out of parameters is known by the
index.  The cotangent that arrives at such an array says whose loss each of its places has a say in.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from .. import autodiff, errors
from ..carriers.rows import Rows
from ..graph import Node, differentiable_ancestors
from ..primitives import PRIMITIVES
from ..pytrees import Nest
from ..tensor import Tensor
from ..transforms import fresh_argument
from ..vjps.indexing import FollowedIndex

_INDEX = PRIMITIVES[operator.getitem]
_NOTE = (
    "per_example_grads hands over the floating-point arrays of the batch as tensors, so that examples that influence "
    "each other are found. Where plain NumPy is needed, prepare the arrays before, let the function close over them, "
    "or compute the losses first: per_example_grads(losses, tensors)."
)


class Followed(NamedTuple):
    """A batch whose arrays can be found again in the graph of its losses.

    arguments  the batch, as the loss function gets it, and ``options``, by keyword
    tensors    those in the place of floating-point arrays
    examples   the length of the first array along axis 0; None if there is no array
    """

    arguments: list[Any]
    options: dict[str, Any]
    tensors: list[Tensor]
    examples: int | None

    def call(self, loss: Callable[..., Any], params: Any) -> Any:
        """The losses of the batch."""
        try:
            return loss(params, *self.arguments, **self.options)
        except TypeError as error:
            if self.tensors:
                error.add_note(_NOTE)
            raise

    @property
    def sources(self) -> list[Node]:
        """The nodes of the floating-point arrays."""
        return [t.node for t in self.tensors]

    def nodes(self, losses: Node) -> list[Node]:
        """What the arrays come into the graph as: the floating-point ones themselves, and what integers pick."""
        picked = [n for n in differentiable_ancestors([losses]) if n.op is _INDEX and _is_followed(n.params[0])]
        return self.sources + picked


def followed_batch(loss: Callable[..., Any], batch: tuple[Any, ...], options: dict[str, Any]) -> Followed:
    """The arrays of a batch that are as long as the first, in forms that can be followed."""
    known = errors.argument_names(loss)[1 : len(batch) + 1]
    names = [*known, *[f"argument {k + 1}" for k in range(len(known), len(batch))]]
    nest, by_keyword = Nest(dict(zip(names, batch, strict=True))), Nest(options)
    m = next((x.shape[0] for x in nest.leaves + by_keyword.leaves if getattr(x, "shape", ())), None)
    tensors: list[Tensor] = []

    def follow(x: Any, path: str) -> Any:
        kind = getattr(getattr(x, "dtype", None), "kind", "") if getattr(x, "shape", ())[:1] == (m,) else ""
        if kind in "iu" and type(x) is np.ndarray:
            return x.view(FollowedIndex)
        if kind != "f":
            return x
        tensors.append(fresh_argument(x, path))
        return tensors[-1]

    arguments, keywords = [
        n.fill([follow(x, path) for x, path in zip(n.leaves, n.paths, strict=True)], whole=True)
        for n in (nest, by_keyword)
    ]
    return Followed(list(arguments.values()), keywords, tensors, m)


def refuse_coupled(
    losses: Node, data: list[Node], found: dict[Node, Any], walk: Callable[[list[Node]], dict[Node, Any]]
) -> None:
    """Raise ``CoupledExamplesError`` if the loss of one example depends on the data of another.

    ``found`` are the cotangents of the nodes ``data``, and ``walk`` gives those of others.
    """
    for node in data:
        if node in found and not _is_apart(found[node], range(1) if node.op is None else range(len(node.shape))):
            joined, user = _first_joined(losses, data, walk)
            raise errors.coupled_examples(joined, user, found[node].examples)


def _is_followed(index: Any) -> bool:
    return any(isinstance(part, FollowedIndex) for part in (index if isinstance(index, tuple) else (index,)))


def _is_apart(cotangent: Any, axes: Iterable[int]) -> bool:
    """Whether the examples stand along one of the axes, and none has a say in the loss of another."""
    m = cotangent.examples
    if isinstance(cotangent, Rows):
        return cotangent.axis in axes or m == 1
    has_say = cotangent.dense()._data != 0  # (m, ...)
    for axis in axes:
        n = has_say.shape[axis + 1]
        says = autodiff.bare(has_say.any(axis=tuple([k for k in range(1, has_say.ndim) if k != axis + 1])))
        for owners in (np.arange(n) * m // max(n, 1), np.arange(n) % m):  # one after the other, or in turn
            if n % m == 0 and not (says & (owners != np.arange(m)[:, None])).any():
                return True
    return False


def _first_joined(losses: Node, data: list[Node], walk: Callable[[list[Node]], dict[Node, Any]]) -> tuple[Node, Node]:
    """A value made of several examples' data, and the operation that uses it, or what follows from it, for each."""
    nodes = differentiable_ancestors([losses])
    from_data = set(data)
    for node in reversed(nodes):
        if not from_data.isdisjoint([n for n in node.inputs if isinstance(n, Node)]):
            from_data.add(node)
    found = walk(nodes)
    shared = [n for n in nodes if n in from_data and n in found and not isinstance(found[n], Rows)]
    joined = shared[0] if shared else data[0]
    user = next(n for n in reversed(nodes) if joined in n.inputs)
    examples = found[joined].examples
    while examples not in joined.shape:  # back to where the examples came together
        before = [n for n in joined.inputs if n in from_data]
        if not before or any(examples in n.shape for n in before):
            break
        joined = before[0]
    return joined, user
