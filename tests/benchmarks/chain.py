"""A chain of 100,000 additions to a scalar: forward, backward and release."""

from __future__ import annotations

from side_by_side import Step

N = 100_000


def _chain(x):  # type: ignore[no-untyped-def]
    for _ in range(N):
        x = x + 1.0
    return x


def tinygrad_mb() -> Step:
    from tinygrad_mb import Tensor

    x = Tensor(1.0, requires_grad=True)
    return lambda: _chain(x).backward()


def torch() -> Step:
    import torch

    x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    return lambda: _chain(x).backward()


def autograd() -> Step:
    import autograd

    gradient = autograd.grad(_chain)
    return lambda: gradient(1.0)


def mygrad() -> Step:
    import mygrad

    x = mygrad.tensor(1.0)
    return lambda: _chain(x).backward()
