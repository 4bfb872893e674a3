"""Per-example gradients of LeNet (two convolutions, pooling, three layers) on images 28 x 28, 128 examples, float32."""

from __future__ import annotations

import numpy as np
from per_example_sides import sides
from side_by_side import Step

M = 128
SHAPES = {
    "K1": (6, 1, 5, 5), "c1": (6,), "K2": (16, 6, 5, 5), "c2": (16,),
    "W3": (256, 120), "b3": (120,), "W4": (120, 84), "b4": (84,), "W5": (84, 10), "b5": (10,),
}  # fmt: skip


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(M, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, M)


def initial() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    fans = {name: np.prod(shape[1:]) if len(shape) == 4 else shape[0] for name, shape in SHAPES.items()}
    return {name: rng.normal(0, fans[name] ** -0.5, shape).astype(np.float32) for name, shape in SHAPES.items()}


def losses(p: dict, x: object, labels: np.ndarray) -> object:
    """One loss per example, by this library."""
    from tinygrad_mb import nn

    h = nn.max_pool2d(nn.relu(nn.conv2d(x, p["K1"], p["c1"])), 2)
    h = nn.max_pool2d(nn.relu(nn.conv2d(h, p["K2"], p["c2"])), 2).reshape(len(labels), 256)
    h = nn.relu(nn.linear(h, p["W3"], p["b3"]))
    h = nn.relu(nn.linear(h, p["W4"], p["b4"]))
    return nn.cross_entropy(nn.linear(h, p["W5"], p["b5"]), labels)


tinygrad_mb, norms, batch_gradient = sides(losses, initial, data)


def torch_func() -> Step:
    import torch
    from torch.func import grad, vmap
    from torch.nn.functional import conv2d, cross_entropy, max_pool2d

    X, labels = map(torch.from_numpy, data())
    params = {name: torch.from_numpy(a) for name, a in initial().items()}

    def loss(p: dict, x: object, label: object) -> object:
        h = max_pool2d(torch.relu(conv2d(x[None], p["K1"], p["c1"])), 2)
        h = max_pool2d(torch.relu(conv2d(h, p["K2"], p["c2"])), 2).reshape(256)
        h = torch.relu(h @ p["W3"] + p["b3"])
        h = torch.relu(h @ p["W4"] + p["b4"])
        return cross_entropy(h @ p["W5"] + p["b5"], label)

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))
    return lambda: gradients(params, X, labels)
