"""Models with one loss per example, written as users write them: what is true of a batch must be true of all of them.

Each has its losses, its parameters and a batch of five examples; no example has a say in another's loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_mb import jacobian, nn, vmap

M, D, H, K, T = 5, 3, 4, 2, 6


class Model(NamedTuple):
    """``losses(params, *batch)`` has the shape (M,), or more axes where an example has several losses."""

    name: str
    losses: Callable[..., Any]
    params: Any
    batch: tuple[Any, ...]


MODELS: list[Model] = []


def model(batch: str, **params: tuple[int, ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a model; ``batch`` names its arrays, params are given by their shapes."""

    def enter(losses: Callable[..., Any]) -> Callable[..., Any]:
        rng = np.random.default_rng(len(MODELS))
        values = {name: rng.normal(0, 0.6, shape) for name, shape in params.items()}
        MODELS.append(Model(losses.__name__, losses, values, tuple([ARRAYS[name] for name in batch.split()])))
        return losses

    return enter


_rng = np.random.default_rng(7)
ARRAYS = {
    "x": _rng.normal(size=(M, D)), "y": _rng.normal(size=M), "y2": _rng.normal(size=(M, K)),
    "labels": np.array([1, 0, 0, 1, 1]), "series": _rng.normal(size=(M, T, D)), "steps": _rng.normal(size=(T, M, D)),
    "tokens": _rng.integers(0, 7, (M, T)), "next": _rng.integers(0, 7, (M, T)),
    "images": _rng.normal(size=(M, 2, 7, 6)), "pair": _rng.normal(size=(M, D)), "mask": _rng.random((M, T)) < 0.7,
    "lengths": np.array([6, 2, 1, 4, 3]), "ids": np.arange(M),
}  # fmt: skip


@model("x y", w=(D,), b=())
def linear_regression(p, x, y):
    return 0.5 * np.square(x @ p["w"] + p["b"] - y)


@model("x y2", W1=(D, H), b1=(H,), W2=(H, K), b2=(K,))
def perceptron(p, x, y):
    return nn.squared_error(np.tanh(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"], y)


@model("x labels", W1=(H, D), b1=(H,), W2=(K, H), b2=(K,))
def rows_are_units(p, x, labels):
    logits = nn.relu(x @ p["W1"].T + p["b1"]) @ p["W2"].T + p["b2"]
    return nn.cross_entropy(logits, labels)


@model("x labels", W1=(D, H), b1=(H,), W2=(H, K), b2=(K,))
def fused_layers(p, x, labels):
    return nn.cross_entropy(nn.linear(nn.gelu(nn.linear(x, p["W1"], p["b1"])), p["W2"], p["b2"]), labels)


@model("x labels", W=(D, K))
def one_hot_targets(p, x, labels):
    probabilities = nn.softmax(x @ p["W"])
    return -(np.log(probabilities) * np.eye(K)[labels]).sum(axis=1)


@model("x labels", W=(D, K))
def picked_by_index(p, x, labels):
    return -nn.log_softmax(x @ p["W"])[np.arange(len(labels)), labels]


@model("x labels", W=(K, D))
def columns_are_examples(p, x, labels):
    scores = p["W"] @ x.T
    return np.log(np.exp(scores).sum(axis=0)) - scores[labels, np.arange(len(labels))]


@model("x y", W=(D, H), gain=(H,), bias=(H,), w=(H,))
def layer_norm(p, x, y):
    h = x @ p["W"]
    h = (h - h.mean(axis=1, keepdims=True)) / np.sqrt(h.var(axis=1, keepdims=True) + 1e-5)
    return np.square((h * p["gain"] + p["bias"]) @ p["w"] - y)


@model("x y", V=(D, H), g=(H,), w=(H,))
def weight_norm(p, x, y):
    W = p["V"] / np.linalg.norm(p["V"], axis=0) * p["g"]
    return np.square(np.tanh(x @ W) @ p["w"] - y)


@model("x y", W=(D, D), w=(D,))
def one_weight_three_times(p, x, y):
    h = x
    for _ in range(3):
        h = np.tanh(h @ p["W"])
    return np.square(h @ p["w"] - y)


@model("x y", W=(D, D), w=(D,))
def with_a_penalty_for_each(p, x, y):
    return np.square(np.tanh(x @ p["W"]) @ p["w"] - y) + 0.1 * np.square(p["W"]).sum() + 0.3


@model("x y", A=(D, H, D))
def einsum_of_three(p, x, y):
    return np.square(np.einsum("md,dhe,me->mh", x, p["A"], x)).sum(axis=1) - y


@model("x y", A=(H, D), B=(D, H))
def low_rank(p, x, y):
    return np.square(np.einsum("md,dh,hd->m", x, p["B"], p["A"]) - y)


@model("x y", W=(H, D, K))
def heads_by_tensordot(p, x, y):
    return np.abs(np.tensordot(x, p["W"], (1, 1))).sum(axis=(1, 2)) - y


@model("x pair", W=(D, H), b=(H,))
def both_halves_at_once(p, x, pair):
    z = np.tanh(np.concatenate([x, pair]) @ p["W"] + p["b"])
    return np.square(z[: len(x)] - z[len(x) :]).sum(axis=1)


@model("x pair", W=(D, H))
def stacked_pair(p, x, pair):
    z = np.tanh(np.stack([x, pair]) @ p["W"])
    return np.maximum(z[0], z[1]).sum(axis=-1)


@model("x y ids", offset=(M, H), W=(D, H))
def a_row_of_its_own(p, x, y, ids):
    return ((x @ p["W"] + p["offset"][ids]) ** 2).sum(axis=1) - y


@model("tokens y", E=(7, H), w=(H,))
def bag_of_words(p, tokens, y):
    return np.square(np.tanh(nn.embedding(p["E"], tokens).mean(axis=1)) @ p["w"] - y)


@model("tokens next", E=(7, H))
def tied_embeddings(p, tokens, targets):
    return nn.cross_entropy(p["E"][tokens] @ p["E"].T, targets)


@model("tokens next", E=(7, H), W=(H, 7), b=(7,))
def tokens_flattened(p, tokens, targets):
    h = p["E"][tokens].reshape(-1, H)
    logits = np.tanh(h) @ p["W"] + p["b"]
    return nn.cross_entropy(logits, targets.reshape(-1)).reshape(tokens.shape).sum(axis=1)


@model("series y mask", W=(D, H), U=(H, H), b=(H,), w=(H,))
def recurrence(p, series, y, mask):
    h = np.zeros((len(y), H))
    for t in range(series.shape[1]):
        new = np.tanh(series[:, t] @ p["W"] + h @ p["U"] + p["b"])
        h = np.where(mask[:, t, None], new, h)
    return np.square(h @ p["w"] - y)


@model("series next", W=(D, H), U=(H, H), V=(H, 7))
def recurrence_with_a_loss_per_step(p, series, targets):
    h, hidden = np.zeros((len(series), H)), []
    for t in range(series.shape[1]):
        h = np.tanh(series[:, t, :] @ p["W"] + h @ p["U"])
        hidden.append(h)
    return nn.cross_entropy(np.stack(hidden, axis=1) @ p["V"], targets)


@model("series y", W=(D, H), v=(H,))
def time_first(p, series, y):
    steps = series.transpose(1, 0, 2)
    z = np.tanh(steps.reshape(-1, D) @ p["W"]).reshape(steps.shape[0], len(y), H)
    return np.square(z.sum(axis=0) @ p["v"] - y)


@model("series y", Q=(D, H), K=(D, H), V=(D, H), w=(H,), scale=(H,))
def attention_over_time(p, series, y):
    q, k, v = series @ p["Q"], series @ p["K"], series @ p["V"]
    weights = nn.softmax(q @ k.swapaxes(1, 2) / H**0.5 + np.triu(np.full((T, T), -1e9), 1))
    h = (weights @ v) * p["scale"]
    return np.square(h.mean(axis=1) @ p["w"] - y)


@model("series y", Q=(D, 2, H), w=(2, H))
def attention_with_heads(p, series, y):
    q = np.einsum("mtd,dnh->mnth", series, p["Q"])
    weights = nn.softmax(np.einsum("mnth,mnsh->mnts", q, q))
    return np.square(np.einsum("mnts,mnsh,nh->m", weights, q, p["w"]) - y)


@model("series lengths y", W=(D, H), w=(H,))
def means_over_lengths(p, series, lengths, y):
    there = (np.arange(T) < lengths[:, None]).astype(float)
    h = np.tanh(series @ p["W"]) * there[:, :, None]
    return np.square(h.sum(axis=1) / lengths[:, None] @ p["w"] - y)


@model("series y", W=(D, H))
def running_products(p, series, y):
    z = 1 + 0.1 * np.tanh(series @ p["W"])
    return np.cumsum(np.cumprod(z, axis=1), axis=1)[:, -1].max(axis=1) - y + np.prod(z, axis=1).sum(axis=1)


@model("series y", W=(D, H))
def sorted_and_rolled(p, series, y):
    z = np.tanh(series @ p["W"])
    z = np.sort(z, axis=1) + np.roll(z, 1, axis=1) + np.flip(z, axis=2)
    return z[:, ::2, 1:].std(axis=1).sum(axis=1) - y


@model("images labels", K1=(3, 2, 3, 3), c1=(3,), W=(3 * 2 * 2, K), b=(K,))
def small_lenet(p, images, labels):
    h = nn.max_pool2d(nn.relu(nn.conv2d(images, p["K1"], p["c1"])), 2)
    return nn.cross_entropy(h.reshape(len(labels), -1) @ p["W"] + p["b"], labels)


@model("images y", K1=(4, 2, 3, 2), K2=(2, 4, 2, 2), w=(2,))
def strides_and_padding(p, images, y):
    h = np.tanh(nn.conv2d(images, p["K1"], stride=2, padding=1))
    h = nn.conv2d(h, p["K2"], padding=(1, 0))
    return np.square(h.mean(axis=(2, 3)) @ p["w"] - y)


@model("x y", W=(D, H), w=(H,))
def dropout_drawn_inside(p, x, y):
    keep = np.random.default_rng(3).random((M, H))[: len(x)] < 0.6
    return np.square((np.tanh(x @ p["W"]) * keep / 0.6) @ p["w"] - y)


@model("x y", W=(D, H), gate=(H,))
def gates_and_clips(p, x, y):
    z = x @ p["W"]
    z = np.where(z > 0, z, 0.1 * z) * nn.sigmoid(p["gate"])
    return np.clip(np.linalg.norm(z, axis=1), 0.1, 3) + np.logaddexp(z, 1).sum(axis=1) * y


@model("x y", W=(D, H))
def padded_and_tiled(p, x, y):
    z = np.pad(np.tanh(x @ p["W"]), ((0, 0), (1, 2)), mode="reflect")
    z = np.tile(z, (1, 2))[:, 1:-1]
    return (z[:, ::-1] * np.repeat(z, 1, axis=1)).sum(axis=1) * y


@model("x y", W=(D, H), w=(H,))
def transposed_twice(p, x, y):
    h = np.tanh(p["W"].T @ x.T)
    return np.square(p["w"] @ h - y)


@model("x y", W=(D, H), w=(H,))
def each_example_by_vmap(p, x, y):
    def one(x, y):
        return np.square(np.tanh(x @ p["W"]) @ p["w"] - y)

    return vmap(one)(x, y)


@model("series y", W=(D, H), w=(H,))
def steps_by_vmap(p, series, y):
    h = vmap(lambda rows: np.tanh(rows @ p["W"]), in_axes=1, out_axes=1)(series)
    return np.square(h.mean(axis=1) @ p["w"] - y)


@model("x y", W=(H, D, K), w=(K,))
def heads_by_vmap(p, x, y):
    heads = vmap(lambda W: np.tanh(x @ W), out_axes=1)(p["W"])
    return np.square(heads.sum(axis=1) @ p["w"] - y)


@model("x y", W=(D, H), w=(H,))
def a_penalty_on_slopes(p, x, y):
    slopes = jacobian(lambda W: np.tanh(x @ W).sum(axis=1))(p["W"])  # (M, D, H)
    return np.square(np.tanh(x @ p["W"]) @ p["w"] - y) + np.square(slopes).sum(axis=(1, 2))
