"""Per-example gradients of a 784-128-64-10 relu net, cross-entropy, 128 examples, float32."""

from __future__ import annotations

import numpy as np
from per_example_sides import sides
from side_by_side import Step, weights_and_biases

SIZES = (784, 128, 64, 10)
M = 128


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(M, 784)).astype(np.float32), rng.integers(0, 10, M)


def initial() -> list[np.ndarray]:
    Ws, bs = weights_and_biases(SIZES)
    return [*Ws, *bs]


def losses(params: list, x: object, labels: np.ndarray) -> object:
    """One loss per example, by this library."""
    from tinygrad_mb import nn

    W1, W2, W3, b1, b2, b3 = params
    h1 = nn.relu(nn.linear(x, W1, b1))
    h2 = nn.relu(nn.linear(h1, W2, b2))
    return nn.cross_entropy(nn.linear(h2, W3, b3), labels)


tinygrad_mb, norms, batch_gradient = sides(losses, initial, data)


def numpy_readable() -> Step:
    X, labels = data()
    W1, W2, W3, b1, b2, b3 = initial()
    one_hot = np.eye(10, dtype=np.float32)[labels]

    def step() -> list[np.ndarray]:
        h1 = np.maximum(X @ W1 + b1, 0)
        h2 = np.maximum(h1 @ W2 + b2, 0)
        logits = h2 @ W3 + b3
        exps = np.exp(logits - logits.max(1, keepdims=True))
        d3 = exps / exps.sum(1, keepdims=True) - one_hot
        d2 = (d3 @ W3.T) * (h2 > 0)
        d1 = (d2 @ W2.T) * (h1 > 0)
        return [*[a[:, :, None] * d[:, None, :] for a, d in ((X, d1), (h1, d2), (h2, d3))], d1, d2, d3]

    return step


def torch_func() -> Step:
    import torch
    from torch.func import grad, vmap

    X, labels = map(torch.from_numpy, data())
    params = [torch.from_numpy(a) for a in initial()]

    def loss(params: list, x: object, label: object) -> object:
        W1, W2, W3, b1, b2, b3 = params
        h1 = torch.relu(x @ W1 + b1)
        h2 = torch.relu(h1 @ W2 + b2)
        return torch.nn.functional.cross_entropy(h2 @ W3 + b3, label)

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    return lambda: gradients(params, X, labels)
