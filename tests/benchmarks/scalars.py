"""A graph of 20,000 scalar operations, forward and backward: nothing but bookkeeping."""

from __future__ import annotations

from side_by_side import Step

N = 10_000


def _chain(tensors: list) -> object:  # type: ignore[type-arg]
    s = tensors[0]
    for k in range(N):
        s = s * tensors[k % 10] + tensors[(k + 3) % 10]
    return s


VALUES = [0.9 + 0.01 * k for k in range(10)]


def tinygrad_mb() -> Step:
    from tinygrad_mb import Tensor

    tensors = [Tensor(v, requires_grad=True) for v in VALUES]
    return lambda: _chain(tensors).backward()  # type: ignore[attr-defined]


def torch() -> Step:
    import torch

    tensors = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in VALUES]
    return lambda: _chain(tensors).backward()  # type: ignore[attr-defined]


def autograd() -> Step:
    import autograd

    gradient = autograd.grad(_chain)
    return lambda: gradient(VALUES)


def mygrad() -> Step:
    import mygrad

    tensors = [mygrad.tensor(v) for v in VALUES]
    return lambda: _chain(tensors).backward()  # type: ignore[attr-defined]


def floats() -> Step:
    return lambda: _chain(VALUES)
