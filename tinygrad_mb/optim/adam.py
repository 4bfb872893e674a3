"""Adam, and its form with decoupled weight decay."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..arraylike import Array
from .optimizer import Optimizer


class Adam(Optimizer):
    """Adam: steps along the mean of the gradients, divided by the root of their mean square.

    With g the gradient, λ ``weight_decay`` (the gradient of λ/2 ‖θ‖²), and t the number of the step, a step is

        g ← g + λ θ;   m ← β1 m + (1 - β1) g;   v ← β2 v + (1 - β2) g^2;
        θ ← θ - lr m̂ / (sqrt(v̂) + eps)   with   m̂ = m / (1 - β1^t),   v̂ = v / (1 - β2^t)

    (D. Kingma and J. Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.)  ``params`` is a Module,
    or a nest of lists, tuples and dicts of Tensors; each parameter counts its own steps.

    Raises ``TypeError`` for params that are not Tensors, ``ValueError`` for Tensors that cannot be trained, for no
    params at all, for a negative lr, eps or weight_decay, and for betas outside of 0 ... 1.

    >>> import tinygrad_mb as tg
    >>> w = tg.Tensor(5.0, requires_grad=True)
    >>> adam = tg.optim.Adam([w], lr=0.1)
    >>> (w * w).backward()
    >>> adam.step()
    >>> round(w.item(), 6)
    4.9
    """

    slots = ("mean", "square")
    settings: ClassVar[tuple[str, ...]] = ("lr", "betas", "eps", "weight_decay")
    _decoupled = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
    ) -> None:
        first, second = betas
        self.betas = (self._number("betas[0]", first, below=1), self._number("betas[1]", second, below=1))
        self.eps = self._number("eps", eps)
        super().__init__(params, lr, weight_decay)

    def _numbers(self, t: int) -> tuple[float, ...]:
        beta1, beta2 = self.betas
        c = math.sqrt(1 - beta2**t)  # lr m̂ / (sqrt(v̂) + eps) with both of its parts multiplied by c
        decay = 1 - self.lr * self.weight_decay if self._decoupled else self.weight_decay
        return decay, 1 - beta1, 1 - beta2, c * self.eps, self.lr * c / (1 - beta1**t)

    def _update(self, numbers: list[Array], room: Array, data: Array, grad: Array, *state: Array) -> None:
        mean, square = state
        decay, new_in_mean, new_in_square, eps, lr = numbers
        if self.weight_decay and self._decoupled:
            np.multiply(data, decay, data)
        elif self.weight_decay:
            np.multiply(data, decay, room)
            grad = np.add(room, grad)
        np.subtract(grad, mean, room)
        np.multiply(room, new_in_mean, room)
        np.add(mean, room, mean)
        np.multiply(grad, grad, room)
        np.subtract(room, square, room)
        np.multiply(room, new_in_square, room)
        np.add(square, room, square)
        np.sqrt(square, room)
        np.add(room, eps, room)
        np.divide(mean, room, room)
        np.multiply(room, lr, room)
        np.subtract(data, room, data)


class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← (1 - lr λ) θ before a step of Adam, whose gradient is left alone.

    (I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.)  Arguments and errors
    are those of ``Adam``.

    >>> import tinygrad_mb as tg
    >>> w = tg.Tensor(5.0, requires_grad=True)
    >>> adam = tg.optim.AdamW([w], lr=0.1, weight_decay=0.2)
    >>> (w * w).backward()
    >>> adam.step()
    >>> round(w.item(), 6)
    4.8
    """

    _decoupled = True
