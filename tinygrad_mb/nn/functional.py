"""Functions for models that are made of primitives."""

from __future__ import annotations

from typing import Any

from ..autodiff import as_array
from ..vjps.special import normal_cdf
from . import checks


def gelu(x: Any) -> Any:
    """``x`` times the probability that a standard normal variable is at most ``x``.

    The exact form, with the error function, of D. Hendrycks and K. Gimpel, "Gaussian error linear units" (2016).

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.nn.gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    return x * normal_cdf(x)


def embedding(W: Any, indices: Any) -> Any:
    """The rows of the table ``W`` (v, d) that the integers ``indices`` (...) name, with shape (..., d).

    A row that is named several times gets the sum of its gradients.

    Raises ``TypeError`` for indices that are not integers, ``ValueError`` for indices outside of 0 ... v - 1.

    >>> import numpy as np, tinygrad_mb as tg
    >>> W = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> rows = tg.nn.embedding(W, np.array([1, 1, 0]))
    >>> rows.shape
    (3, 2)
    >>> rows.sum().gradient(W)
    array([[1., 1.],
           [2., 2.]])
    """
    W = as_array(W)
    return W[checks.integers_below("embedding", "indices", indices, W.shape[0])]
