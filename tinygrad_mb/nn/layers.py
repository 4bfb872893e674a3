"""Layers: modules that own the weights of a function."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autodiff import record
from ..primitives import PRIMITIVES
from ..tensor import Tensor
from ..vjps.special import linear
from .module import Module

_LINEAR = PRIMITIVES[linear]


class Linear(Module):
    """``x @ W + b`` with weights ``W`` (d, h) and bias ``b`` (h,): from inputs (..., d) to (..., h).

    ``init`` says how W is drawn with ``rng``, a generator or a seed; b starts at zero.  "glorot" is uniform
    between -r and r with r = sqrt(6 / (d + h)) (X. Glorot and Y. Bengio, "Understanding the difficulty of training
    deep feedforward neural networks", 2010, equation 16); "he", meant for relu, is normal with variance 2 / d
    (K. He et al., "Delving deep into rectifiers", 2015, equation 10).

    Raises ``ValueError`` for sizes below 1 and for another ``init``.

    >>> import numpy as np, tinygrad_mb as tg
    >>> layer = tg.nn.Linear(3, 2, rng=0)
    >>> layer
    Linear(3, 2)
    >>> layer(np.ones((5, 3))).shape
    (5, 2)
    """

    def __init__(
        self,
        d: int,
        h: int,
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: Any = float,
        init: str = "glorot",
    ) -> None:
        d, h = operator.index(d), operator.index(h)
        if d < 1 or h < 1:
            raise ValueError(f"Linear({d}, {h}): both sizes must be 1 or more")
        rng = np.random.default_rng(rng)
        if init == "glorot":
            limit = np.sqrt(6 / (d + h))
            weights = rng.uniform(-limit, limit, (d, h))
        elif init == "he":
            weights = rng.normal(0, np.sqrt(2 / d), (d, h))
        else:
            raise ValueError(f"Linear: init must be 'glorot' or 'he', not {init!r}")
        self.W = Tensor(weights, requires_grad=True, dtype=dtype)
        self.b = Tensor(np.zeros(h), requires_grad=True, dtype=dtype) if bias else None

    def forward(self, x: Any) -> Any:
        """``x @ W + b``."""
        return x @ self.W if self.b is None else record(_LINEAR, (x, self.W, self.b), Tensor)

    def __repr__(self) -> str:
        return f"Linear({self.W.shape[0]}, {self.W.shape[1]}{', bias=False' if self.b is None else ''})"


class Sequential(Module):
    """Functions and modules one after the other, each on the result of the one before.

    Raises ``TypeError`` for a layer that cannot be called.

    >>> import numpy as np, tinygrad_mb as tg
    >>> model = tg.nn.Sequential(tg.nn.Linear(2, 4, rng=0), np.tanh, tg.nn.Linear(4, 1, rng=1))
    >>> model
    Sequential(
        layers.0: Linear(2, 4)
        layers.1: tanh
        layers.2: Linear(4, 1)
    )
    >>> list(model.named_parameters())
    ['layers.0.W', 'layers.0.b', 'layers.2.W', 'layers.2.b']
    """

    def __init__(self, *layers: Callable[[Any], Any]) -> None:
        for k, layer in enumerate(layers):
            if not callable(layer):
                raise TypeError(f"Sequential: layer {k} is a {type(layer).__name__}, which cannot be called")
        self.layers = list(layers)

    def forward(self, x: Any) -> Any:
        """The result of the last layer."""
        for layer in self.layers:
            x = layer(x)
        return x

    def __repr__(self) -> str:
        return self._describe(
            {f"layers.{k}": getattr(layer, "__name__", None) or repr(layer) for k, layer in enumerate(self.layers)}
        )
