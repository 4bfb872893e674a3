"""Functions for models that are made of primitives."""

from __future__ import annotations

from typing import Any

from ..autodiff import as_array
from ..carriers.randomness import draws, is_generator
from ..vjps.indexing import item
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
    return item(W, checks.integers_below("embedding", "indices", indices, W.shape[0]))


def dropout(x: Any, rate: float, rng: Any) -> Any:
    """``x`` with each element set to zero with probability ``rate``, and the others divided by 1 - ``rate``.

    Its expectation is ``x``, so that a trained model uses all elements as they are.  ``rng`` is a
    ``np.random.Generator``; inside ``vmap`` the examples' masks are as its ``randomness`` says.  N. Srivastava et al.,
    "Dropout: a simple way to prevent neural networks from overfitting" (2014), in the form with the division.

    Raises ``ValueError`` for a rate outside of 0 <= rate < 1, ``TypeError`` for another kind of ``rng``.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.nn.dropout(np.ones(6), 0.5, np.random.default_rng(0))
    array([2., 0., 0., 0., 2., 2.])
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate is the probability of zero, 0 <= rate < 1, and not {rate!r}")
    if not is_generator(rng):
        raise TypeError(f"dropout: rng must be a generator such as np.random.default_rng(seed), not {rng!r}")
    x = as_array(x)
    if rate == 0:
        return x
    kept = draws(rng).random(x.shape) >= rate
    return x * (kept.astype(x.dtype if x.dtype.kind == "f" else float) * (1 / (1 - rate)))
