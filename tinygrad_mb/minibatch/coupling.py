"""Do the examples of a batch influence each other?  Where they do, no example has a gradient of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import autodiff, errors
from ..arraylike import Array
from ..modes import no_grad
from ..pytrees import Nest
from .per_example import example_gradients


class Coupling(NamedTuple):
    """The answer of ``couples_examples``: whether examples influence each other, and how that shows.

    As a truth value it is ``coupled``.

    >>> import tinygrad_mb as tg
    >>> bool(tg.minibatch.Coupling(False, "the losses of parts of the batch are those of the whole"))
    False
    """

    coupled: bool
    reason: str

    def __bool__(self) -> bool:
        return self.coupled


def couples_examples(loss_fn: Callable[..., Any], params: Any, *batch: Any) -> Coupling:
    """Whether the loss of any example of ``batch`` depends on other examples, as with the statistics of a batch.

    Asked in two ways: does a derivative of one example's loss by another's data differ from 0, and do the losses
    change when the batch is divided, in about 2 log₂ m ways, so that any two examples are parted once.  The second sees
    what has no derivative, such as ranks and counts; it cannot tell where the losses are random, and says so.
    ``loss_fn`` and ``params`` are as for ``per_example_grads``; examples stand along the first axis of all arrays
    in ``batch`` that are as long as the first.

    Raises as ``per_example_grads`` does, and ``ValueError`` without a batch.

    >>> import numpy as np, tinygrad_mb as tg
    >>> def loss(w, x):
    ...     return np.square((x - x.mean(axis=0)) @ w)
    >>> answer = tg.minibatch.couples_examples(loss, np.array([1.0, 2.0]), np.eye(2))
    >>> bool(answer)
    True
    >>> print(answer.reason)
    mean(axis=0) of (2, 2) makes one array (2,) of all examples, and subtract gives it to each
    """
    nest = Nest(batch)
    sizes = [len(x) for x in nest.leaves if np.ndim(x)]
    if not sizes:
        raise ValueError("couples_examples wants the batch with its examples: couples_examples(loss_fn, params, x, y)")
    try:
        example_gradients(loss_fn, params, *batch)
    except errors.CoupledExamplesError as error:
        return Coupling(True, error.how)
    m = sizes[0]

    def losses(which: Array) -> Array:
        part = nest.fill([x[which] if np.ndim(x) and len(x) == m else x for x in nest.leaves], whole=True)
        with no_grad():
            return np.asarray(autodiff.data_of(loss_fn(params, *part)), float)

    def agrees(before: Array, now: Array) -> bool:
        return before.shape == now.shape and np.allclose(now, before, rtol=1e-5, atol=1e-8, equal_nan=True)

    everyone = np.arange(m)
    whole = losses(everyone)
    if not np.array_equal(whole, losses(everyone), equal_nan=True):
        return Coupling(False, "no derivative says so; the losses are random, and so those of parts cannot be compared")
    for bit in range(max(m - 1, 0).bit_length()):
        parts = everyone[everyone >> bit & 1 == 0], everyone[everyone >> bit & 1 == 1]
        alone = [losses(part) for part in parts]
        if whole.ndim == 0:
            mean = sum([loss * len(part) / m for loss, part in zip(alone, parts, strict=True)])
            if not agrees(whole, np.asarray(mean)) and not agrees(whole, np.asarray(sum(alone))):
                which = " and ".join(str(part.tolist()) for part in parts)
                return Coupling(True, f"the loss is neither the mean nor the sum of those of the examples {which}")
        for loss, part in zip(alone, parts, strict=True) if whole.ndim else ():
            if not agrees(whole[part], loss):
                how = f"the losses of the examples {part.tolist()} change when they are a batch of their own"
                return Coupling(True, how)
    return Coupling(False, "no derivative says so, and the losses of parts of the batch are those of the whole")
