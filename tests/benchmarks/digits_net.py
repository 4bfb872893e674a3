"""A training step of a 784-128-64-10 relu net on a batch of 64, cross-entropy, SGD with momentum, float32."""

from __future__ import annotations

import numpy as np
from side_by_side import Step, weights_and_biases

LR, MOMENTUM = 0.01, 0.9
SIZES = (784, 128, 64, 10)
M = 64


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(M, 784)).astype(np.float32), rng.integers(0, 10, M)


def initial() -> tuple[list[np.ndarray], list[np.ndarray]]:
    return weights_and_biases(SIZES)


def tinygrad_mb() -> Step:
    from tinygrad_mb import Tensor, nn, optim

    X, labels = data()
    Ws, bs = ([Tensor(a, requires_grad=True) for a in arrays] for arrays in initial())
    (W1, W2, W3), (b1, b2, b3) = Ws, bs
    optimizer = optim.SGD([*Ws, *bs], lr=LR, momentum=MOMENTUM)

    def step() -> float:
        h1 = nn.relu(X @ W1 + b1)
        h2 = nn.relu(h1 @ W2 + b2)
        loss = nn.cross_entropy(h2 @ W3 + b3, labels).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def tinygrad_mb_nn() -> Step:
    from tinygrad_mb import nn, optim

    X, labels = data()
    f = np.float32
    model = nn.Sequential(
        nn.Linear(784, 128, dtype=f, rng=0), nn.relu, nn.Linear(128, 64, dtype=f, rng=1), nn.relu,
        nn.Linear(64, 10, dtype=f, rng=2),
    )  # fmt: skip
    optimizer = optim.SGD(model, lr=LR, momentum=MOMENTUM)

    def step() -> float:
        loss = nn.cross_entropy(model(X), labels).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def numpy_readable() -> Step:
    X, labels = data()
    (W1, W2, W3), (b1, b2, b3) = initial()
    parameters = [W1, W2, W3, b1, b2, b3]
    velocities = [np.zeros_like(p) for p in parameters]
    rows = np.arange(M)

    def step() -> float:
        z1 = X @ W1 + b1
        h1 = np.maximum(z1, 0)
        z2 = h1 @ W2 + b2
        h2 = np.maximum(z2, 0)
        logits = h2 @ W3 + b3
        shifted = logits - logits.max(1, keepdims=True)
        exps = np.exp(shifted)
        sums = exps.sum(1, keepdims=True)
        loss = (np.log(sums[:, 0]) - shifted[rows, labels]).mean()
        d3 = exps / sums
        d3[rows, labels] -= 1
        d3 /= M
        d2 = (d3 @ W3.T) * (z2 > 0)
        d1 = (d2 @ W2.T) * (z1 > 0)
        gradients = [X.T @ d1, h1.T @ d2, h2.T @ d3, d1.sum(0), d2.sum(0), d3.sum(0)]
        for p, v, g in zip(parameters, velocities, gradients, strict=True):
            v *= MOMENTUM
            v += g
            p -= LR * v
        return float(loss)

    return step


def torch() -> Step:
    import torch

    X, labels = map(torch.from_numpy, data())
    Ws, bs = ([torch.from_numpy(a).requires_grad_() for a in arrays] for arrays in initial())
    (W1, W2, W3), (b1, b2, b3) = Ws, bs
    optimizer = torch.optim.SGD([*Ws, *bs], lr=LR, momentum=MOMENTUM)

    def step() -> float:
        h1 = torch.relu(X @ W1 + b1)
        h2 = torch.relu(h1 @ W2 + b2)
        loss = torch.nn.functional.cross_entropy(h2 @ W3 + b3, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_nn() -> Step:
    import torch

    X, labels = map(torch.from_numpy, data())
    nn = torch.nn
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)

    def step() -> float:
        loss = nn.functional.cross_entropy(model(X), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def autograd() -> Step:
    import autograd
    import autograd.numpy as anp

    X, labels = data()
    Ws, bs = initial()
    parameters = [*Ws, *bs]
    velocities = [np.zeros_like(p) for p in parameters]
    rows = np.arange(M)

    def loss(p):  # type: ignore[no-untyped-def]
        h1 = anp.maximum(anp.dot(X, p[0]) + p[3], 0)
        h2 = anp.maximum(anp.dot(h1, p[1]) + p[4], 0)
        logits = anp.dot(h2, p[2]) + p[5]
        top = anp.max(logits, axis=1, keepdims=True)
        logs = logits - top - anp.log(anp.sum(anp.exp(logits - top), axis=1, keepdims=True))
        return -anp.mean(logs[rows, labels])

    gradient = autograd.value_and_grad(loss)

    def step() -> float:
        value, gradients = gradient(parameters)
        for p, v, g in zip(parameters, velocities, gradients, strict=True):
            v *= MOMENTUM
            v += g
            p -= LR * v
        return float(value)

    return step


def mygrad() -> Step:
    import mygrad
    from mygrad.nnet import softmax_crossentropy

    X, labels = data()
    Ws, bs = ([mygrad.tensor(a) for a in arrays] for arrays in initial())
    (W1, W2, W3), (b1, b2, b3) = Ws, bs
    velocities = [np.zeros_like(p.data) for p in (*Ws, *bs)]

    def step() -> float:
        h1 = mygrad.nnet.relu(mygrad.matmul(X, W1) + b1)
        h2 = mygrad.nnet.relu(mygrad.matmul(h1, W2) + b2)
        loss = softmax_crossentropy(mygrad.matmul(h2, W3) + b3, labels)
        loss.backward()
        for p, v in zip((*Ws, *bs), velocities, strict=True):
            v *= MOMENTUM
            v += p.grad
            p.data -= np.float32(LR) * v
            p.null_grad()
        return loss.item()

    return step
