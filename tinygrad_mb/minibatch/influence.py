"""Which training example pulls on which test example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arraylike import Array
from .per_example import example_gradients


def influence(
    loss_fn: Callable[..., Any], params: Any, train_batch: tuple[Any, ...], test_batch: tuple[Any, ...]
) -> Array:
    """How much a step on each training example lowers each test example's loss: gᵢ · g'ⱼ, an array (m, m').

    A step of gradient descent on training example i with learning rate η lowers the loss of test example j by about
    η gᵢ · g'ⱼ: positive for helpful examples, negative for harmful ones.  Summed over the states that a training goes
    through, each times its η, this is TracIn (G. Pruthi et al., "Estimating training data influence by tracing gradient
    descent", 2020, arXiv 2002.08484, equation 1 and section 3.3).  No gradient of a single example is formed where
    factors do.  ``loss_fn`` and ``params`` are as for ``per_example_grads``, and each batch is the tuple of the other
    arguments.

    Raises as ``per_example_grads`` does.

    >>> import numpy as np, tinygrad_mb as tg
    >>> def loss(w, x, y):
    ...     return 0.5 * np.square(x @ w - y)
    >>> train = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([1.0, 2.0])
    >>> test = np.array([[1.0, 1.0]]), np.array([1.0])
    >>> tg.minibatch.influence(loss, np.zeros(2), train, test)
    array([[1.],
           [4.]])
    """
    for name, batch in (("train_batch", train_batch), ("test_batch", test_batch)):
        if not isinstance(batch, tuple):
            raise TypeError(f"influence: {name} must be the tuple of loss_fn's arguments after params, such as (x, y)")
    train = example_gradients(loss_fn, params, *train_batch)
    return train.inner(example_gradients(loss_fn, params, *test_batch))
