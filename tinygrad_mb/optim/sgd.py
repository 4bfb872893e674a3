"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ..arraylike import Array
from .optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and weight decay.

    With g the gradient, λ ``weight_decay`` (the gradient of λ/2 ‖θ‖²) and μ ``momentum``, a step is

        g ← g + λ θ;   v ← μ v + g;   θ ← θ - lr v,   or with ``nesterov``   θ ← θ - lr (g + μ v)

    (B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964; Nesterov's form as in
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, written for the
    point at which the gradient is taken.)  ``params`` is a Module, or a nest of lists, tuples and dicts of Tensors.

    Raises ``TypeError`` for params that are not Tensors, ``ValueError`` for Tensors that cannot be trained, for no
    params at all, for a negative lr or weight_decay, for a momentum outside of 0 ... 1, and for Nesterov's form
    without momentum.

    >>> import tinygrad_mb as tg
    >>> w = tg.Tensor(5.0, requires_grad=True)
    >>> sgd = tg.optim.SGD([w], lr=0.1)
    >>> (w * w).backward()
    >>> sgd.step()
    >>> w.item()
    4.0
    """

    settings: ClassVar[tuple[str, ...]] = ("lr", "momentum", "nesterov", "weight_decay")

    def __init__(
        self, params: Any, lr: float, momentum: float = 0, nesterov: bool = False, weight_decay: float = 0
    ) -> None:
        self.momentum = self._number("momentum", momentum, below=1)
        self.nesterov = bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov=True needs a momentum above 0")
        self.slots = ("velocity",) if self.momentum else ()
        super().__init__(params, lr, weight_decay)

    def _numbers(self, t: int) -> tuple[float, ...]:
        return self.lr, self.weight_decay, self.momentum, self.lr * self.momentum

    def _update(self, numbers: list[Array], room: Array, data: Array, grad: Array, *state: Array) -> None:
        lr, weight_decay, momentum, lr_momentum = numbers
        if self.weight_decay:
            np.multiply(data, weight_decay, room)
            grad = np.add(room, grad, room)
        if state:
            (velocity,) = state
            np.multiply(velocity, momentum, velocity)
            np.add(velocity, grad, velocity)
            if self.nesterov:
                np.multiply(grad, lr, room)
                np.subtract(data, room, data)
                lr = lr_momentum
            grad = velocity
        np.multiply(grad, lr, room)
        np.subtract(data, room, data)
