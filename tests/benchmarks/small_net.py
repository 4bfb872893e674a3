"""A training step of a 2-16-16-1 tanh net on a batch of 64, plain SGD, float32: bookkeeping is everything."""

from __future__ import annotations

import numpy as np
from side_by_side import Step, weights_and_biases

LR = 0.01
SIZES = (2, 16, 16, 1)
M = 64


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(M, 2)).astype(np.float32), rng.normal(size=(M, 1)).astype(np.float32)


def initial() -> tuple[list[np.ndarray], list[np.ndarray]]:
    return weights_and_biases(SIZES)


def tinygrad_mb() -> Step:
    from tinygrad_mb import Tensor, optim

    X, y = data()
    Ws, bs = ([Tensor(a, requires_grad=True) for a in arrays] for arrays in initial())
    (W1, W2, W3), (b1, b2, b3) = Ws, bs
    optimizer = optim.SGD([*Ws, *bs], lr=LR)

    def step() -> float:
        h1 = np.tanh(X @ W1 + b1)
        h2 = np.tanh(h1 @ W2 + b2)
        loss = ((h2 @ W3 + b3 - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def tinygrad_mb_nn() -> Step:
    from tinygrad_mb import nn, optim

    X, y = data()
    model = nn.Sequential(
        nn.Linear(2, 16, dtype=np.float32, rng=0), np.tanh, nn.Linear(16, 16, dtype=np.float32, rng=1), np.tanh,
        nn.Linear(16, 1, dtype=np.float32, rng=2),
    )  # fmt: skip
    optimizer = optim.SGD(model, lr=LR)

    def step() -> float:
        loss = nn.squared_error(model(X), y).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def numpy_readable() -> Step:
    X, y = data()
    (W1, W2, W3), (b1, b2, b3) = initial()
    parameters = [W1, W2, W3, b1, b2, b3]

    def step() -> float:
        h1 = np.tanh(X @ W1 + b1)
        h2 = np.tanh(h1 @ W2 + b2)
        error = h2 @ W3 + b3 - y
        loss = (error**2).mean()
        d3 = error * (2 / M)
        d2 = (d3 @ W3.T) * (1 - h2 * h2)
        d1 = (d2 @ W2.T) * (1 - h1 * h1)
        gradients = [X.T @ d1, h1.T @ d2, h2.T @ d3, d1.sum(0), d2.sum(0), d3.sum(0)]
        for p, g in zip(parameters, gradients, strict=True):
            p -= LR * g
        return float(loss)

    return step


def numpy_buffers() -> Step:
    X, y = data()
    (W1, W2, W3), (b1, b2, b3) = initial()
    h1, h2, d1, d2, t = (np.empty((M, 16), np.float32) for _ in range(5))
    error, squares = np.empty((M, 1), np.float32), np.empty((M, 1), np.float32)
    parameters = [W1, b1, W2, b2, W3, b3]
    gradients = [np.empty_like(p) for p in parameters]
    gW1, gb1, gW2, gb2, gW3, gb3 = gradients
    pairs = list(zip(parameters, gradients, strict=True))
    matmul, add, tanh, multiply, subtract, total = np.matmul, np.add, np.tanh, np.multiply, np.subtract, np.add.reduce
    W2T, W3T, h1T, h2T, XT = W2.T, W3.T, h1.T, h2.T, X.T

    def step() -> float:
        tanh(add(matmul(X, W1, h1), b1, h1), h1)
        tanh(add(matmul(h1, W2, h2), b2, h2), h2)
        subtract(add(matmul(h2, W3, error), b3, error), y, error)
        loss = float(total(multiply(error, error, squares), None)) / M
        multiply(error, 2 / M, error)
        matmul(h2T, error, gW3)
        total(error, 0, None, gb3)
        subtract(1, multiply(h2, h2, t), t)
        multiply(matmul(error, W3T, d2), t, d2)
        matmul(h1T, d2, gW2)
        total(d2, 0, None, gb2)
        subtract(1, multiply(h1, h1, t), t)
        multiply(matmul(d2, W2T, d1), t, d1)
        matmul(XT, d1, gW1)
        total(d1, 0, None, gb1)
        for p, g in pairs:
            subtract(p, multiply(g, LR, g), p)
        return loss

    return step


def torch() -> Step:
    import torch

    X, y = map(torch.from_numpy, data())
    Ws, bs = ([torch.from_numpy(a).requires_grad_() for a in arrays] for arrays in initial())
    (W1, W2, W3), (b1, b2, b3) = Ws, bs
    optimizer = torch.optim.SGD([*Ws, *bs], lr=LR)

    def step() -> float:
        h1 = torch.tanh(X @ W1 + b1)
        h2 = torch.tanh(h1 @ W2 + b2)
        loss = ((h2 @ W3 + b3 - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_nn() -> Step:
    import torch

    X, y = map(torch.from_numpy, data())
    nn = torch.nn
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)

    def step() -> float:
        loss = nn.functional.mse_loss(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def autograd() -> Step:
    import autograd
    import autograd.numpy as anp

    X, y = data()
    Ws, bs = initial()
    parameters = [*Ws, *bs]

    def loss(p):  # type: ignore[no-untyped-def]
        h1 = anp.tanh(anp.dot(X, p[0]) + p[3])
        h2 = anp.tanh(anp.dot(h1, p[1]) + p[4])
        return anp.mean((anp.dot(h2, p[2]) + p[5] - y) ** 2)

    gradient = autograd.value_and_grad(loss)

    def step() -> float:
        value, gradients = gradient(parameters)
        for p, g in zip(parameters, gradients, strict=True):
            p -= LR * g
        return float(value)

    return step


def mygrad() -> Step:
    import mygrad

    X, y = data()
    Ws, bs = ([mygrad.tensor(a) for a in arrays] for arrays in initial())
    (W1, W2, W3), (b1, b2, b3) = Ws, bs

    def step() -> float:
        h1 = mygrad.tanh(mygrad.matmul(X, W1) + b1)
        h2 = mygrad.tanh(mygrad.matmul(h1, W2) + b2)
        loss = ((mygrad.matmul(h2, W3) + b3 - y) ** 2).mean()
        loss.backward()
        for p in (*Ws, *bs):
            p.data -= np.float32(LR) * p.grad
            p.null_grad()
        return loss.item()

    return step
