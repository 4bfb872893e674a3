"""The models whose derivations are kept: losses as a person writes them, with parameters and batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_mb import nn

M = 7


class Model(NamedTuple):
    """A loss function, ``loss(params, *batch)``; ``batch(m)`` makes data of any number of examples."""

    name: str
    loss: Callable[..., Any]
    params: dict[str, np.ndarray[Any, Any]]
    batch: Callable[[int], tuple[Any, ...]]


MODELS: list[Model] = []


def model(
    batch: Callable[[np.random.Generator, int], tuple[Any, ...]], **shapes: tuple[int, ...]
) -> Callable[..., Any]:
    """Enter a model; parameters are given by their shapes, data by a function of a generator and a size."""

    def enter(loss: Callable[..., Any]) -> Callable[..., Any]:
        rng = np.random.default_rng(len(MODELS))
        params = {name: rng.normal(0, 0.6, shape) for name, shape in shapes.items()}
        MODELS.append(Model(loss.__name__, loss, params, lambda m: batch(np.random.default_rng(m), m)))
        return loss

    return enter


def vectors(rng, m):
    return rng.normal(size=(m, 2)), rng.normal(size=m)


def classes(rng, m):
    return rng.normal(size=(m, 2)), rng.integers(0, 3, m)


def yes_or_no(rng, m):
    return rng.normal(size=(m, 2)), rng.integers(0, 2, m).astype(float)


def series(rng, m):
    return rng.normal(size=(m, 3, 2)), rng.normal(size=(m, 1))


def images(rng, m):
    return rng.normal(size=(m, 1, 6, 6)), rng.integers(0, 3, m)


def scores(rng, m):
    return rng.integers(0, 5, m), rng.integers(0, 4, m), rng.normal(size=m)


def tokens(rng, m):
    mask = (rng.random((m, 4)) < 0.7).astype(float)
    mask[:, 0] = 1
    return rng.integers(0, 6, (m, 4)), rng.integers(0, 6, (m, 4)), mask


@model(vectors, w=(2,), b=())
def linear_regression(params, x, y):
    f = x @ params["w"] + params["b"]
    return np.square(f - y).mean()


@model(yes_or_no, w=(2,), b=())
def logistic_regression(params, x, y):
    z = x @ params["w"] + params["b"]
    p = 1 / (1 + np.exp(-z))
    losses = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    return losses.mean()


@model(classes, W1=(2, 4), b1=(4,), W2=(4, 5), b2=(5,), W3=(5, 3), b3=(3,))
def softmax_net(params, x, y):
    z1 = x @ params["W1"] + params["b1"]
    h1 = nn.relu(z1)
    z2 = h1 @ params["W2"] + params["b2"]
    h2 = np.tanh(z2)
    z3 = h2 @ params["W3"] + params["b3"]
    losses = nn.cross_entropy(z3, y)
    return losses.mean()


@model(vectors, W1=(4, 2), b1=(4,), W2=(1, 4), b2=(1,))
def tanh_net(params, x, y):
    h = np.tanh(x @ params["W1"].T + params["b1"])
    f = (h @ params["W2"].T + params["b2"])[:, 0]
    losses = 0.5 * (f - y) ** 2
    return losses.mean()


@model(series, W=(3, 3), U=(2, 3), b=(3,), v=(3, 1))
def recurrence(params, x, y):
    h = np.zeros((len(x), 3))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ params["U"] + h @ params["W"] + params["b"])
    f = h @ params["v"]
    return nn.squared_error(f, y).mean()


@model(vectors, W1=(2, 4), gamma=(4,), beta=(4,), w2=(4,))
def layer_norm(params, x, y):
    z = x @ params["W1"]
    mean = z.mean(axis=1, keepdims=True)
    centred = z - mean
    sigma = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    normed = centred / sigma
    h = np.tanh(normed * params["gamma"] + params["beta"])
    return np.square(h @ params["w2"] - y).mean()


@model(vectors, W1=(2, 4), gamma=(4,), beta=(4,), w2=(4,))
def batch_norm(params, x, y):
    z = x @ params["W1"]
    centred = z - z.mean(axis=0)
    sigma = np.sqrt((centred**2).mean(axis=0) + 1e-5)
    normed = centred / sigma
    h = np.tanh(normed * params["gamma"] + params["beta"])
    return np.square(h @ params["w2"] - y).mean()


@model(images, K=(2, 1, 3, 3), b=(2,), W=(8, 3), c=(3,))
def convolution(params, x, y):
    z = nn.conv2d(x, params["K"], params["b"])
    h = nn.relu(z)
    pooled = nn.max_pool2d(h, 2)
    flat = pooled.reshape(len(x), -1)
    logits = flat @ params["W"] + params["c"]
    return nn.cross_entropy(logits, y).mean()


@model(vectors, W1=(2, 4), b1=(4,), w2=(4,))
def regularised_net(params, x, y):
    h = np.tanh(x @ params["W1"] + params["b1"])
    data_loss = np.square(h @ params["w2"] - y).mean()
    penalty = np.sum(params["W1"] ** 2) + np.sum(params["w2"] ** 2)
    return data_loss + 0.01 * penalty


@model(tokens, E=(6, 3), W=(3, 6), b=(6,))
def masked_tokens(params, tokens, targets, mask):
    e = nn.embedding(params["E"], tokens)
    logits = e @ params["W"] + params["b"]
    losses = nn.cross_entropy(logits, targets) * mask
    per_sequence = losses.sum(axis=1) / mask.sum(axis=1)
    return per_sequence.mean()


@model(classes, W=(2, 3), b=(3,))
def softmax_by_hand(params, x, y):
    m = len(y)
    z = x @ params["W"] + params["b"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(m), y]).mean()


@model(classes, W1=(2, 4), b1=(4,), W2=(4, 3), b2=(3,))
def one_hot_by_hand(params, x, y):
    h = np.maximum(0, x @ params["W1"] + params["b1"])
    z = h @ params["W2"] + params["b2"]
    p = np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True)
    Y = np.eye(3)[y]
    return -np.sum(Y * np.log(p)) / len(x)


@model(classes, W=(2, 3), b=(3,))
def logsumexp_by_hand(params, x, y):
    z = x @ params["W"] + params["b"]
    top = z.max(axis=1)
    logsumexp = np.log(np.exp(z - top[:, None]).sum(axis=1)) + top
    losses = logsumexp - z[np.arange(len(y)), y]
    return losses.mean()


@model(series, Q=(2, 3), K=(2, 3), V=(2, 3), w=(3, 1))
def attention_by_hand(params, x, y):
    q, k, v = x @ params["Q"], x @ params["K"], x @ params["V"]
    s = q @ k.swapaxes(1, 2) / np.sqrt(3)
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    a = e / e.sum(axis=-1, keepdims=True)
    f = (a @ v)[:, -1] @ params["w"]
    return np.mean((f - y) ** 2)


@model(scores, U=(5, 3), V=(4, 3), c=(5,))
def matrix_factorisation(params, user, item, rating):
    prediction = (params["U"][user] * params["V"][item]).sum(axis=1) + params["c"][user]
    penalty = np.sum(params["U"] ** 2) + np.sum(params["V"] ** 2)
    return np.mean((prediction - rating) ** 2) + 0.1 * penalty


@model(vectors, W=(2, 4), b=(4,), v=(4,))
def gelu_net(params, x, y):
    z = x @ params["W"] + params["b"]
    t = np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))
    h = 0.5 * z * (1 + t)
    return np.mean((h @ params["v"] - y) ** 2)
