"""The pictures of the page on drawing, made anew with each build."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_mb as tg


def make(folder: Path, pages: Path) -> None:
    """Write all pictures to ``folder``, and the page to ``pages``."""
    pages.mkdir(exist_ok=True)
    batch = (two_layers, *two_layers_data())
    tg.draw(*batch).save(folder / "batch.svg")
    tg.draw(*batch, view="backward").save(folder / "backward.svg")
    tg.draw(*batch, view="both").save(folder / "both.svg")
    tg.draw(*batch, example=2, values="numbers").save(folder / "example.svg")
    tg.draw(*batch, contributions=True).save(folder / "contributions.svg")
    tg.draw(*batch, values="heat", grads="heat").save(folder / "heat.svg")
    tg.draw(*batch, highlight="W1").save(folder / "path.svg")
    tg.draw(*batch).save(pages / "batch.html")
    report = tg.check_derivation(two_layers, two_layers_data()[0], wrong, *two_layers_data()[1:])
    tg.draw(*batch, view="both", highlight=report).save(folder / "wrong.svg")
    tg.draw(recurrent, *recurrent_data()).save(folder / "recurrent.svg")
    net, images, labels = convolutional()
    tg.draw(classify, net, images, labels).save(folder / "convolution.svg")
    tg.draw(classify, net, images, labels, depth=0).save(folder / "convolution_folded.svg")
    model, tokens, targets = transformer()
    tg.draw(next_token, model, tokens, targets, depth=1).save(folder / "transformer.svg")
    tg.draw(next_token, model, tokens, targets).save(folder / "transformer_unfolded.svg")


# ------------------------------------------------------------------------------------ two layers, and a mistake


def two_layers(params: Any, x: Any, y: Any) -> Any:
    """A hidden layer, and the mean of the examples' losses."""
    z1 = x @ params["W1"] + params["b1"]
    h = np.tanh(z1)
    z2 = (h @ params["W2"] + params["b2"]).named("z2")
    losses = tg.nn.cross_entropy(z2, y)
    return losses.mean()


def two_layers_data() -> tuple[Any, ...]:
    """Parameters, and a batch of five examples."""
    rng = np.random.default_rng(0)
    params = {"W1": rng.normal(size=(3, 4)), "b1": np.zeros(4), "W2": rng.normal(size=(4, 2)), "b2": np.zeros(2)}
    return params, rng.normal(size=(5, 3)), np.array([0, 1, 1, 0, 1])


def wrong(params: Any, x: Any, y: Any) -> Any:
    """A derivation by hand that forgets the derivative of tanh."""
    h = np.tanh(x @ params["W1"] + params["b1"])
    e = np.exp(h @ params["W2"] + params["b2"])
    dz2 = (e / e.sum(axis=1, keepdims=True) - np.eye(2)[y]) / len(x)
    dz1 = dz2 @ params["W2"].T
    return {"z2": dz2, "W2": h.T @ dz2, "b2": dz2.sum(axis=0), "W1": x.T @ dz1, "b1": dz1.sum(axis=0)}


# --------------------------------------------------------------------------------------------- larger models


def recurrent(params: Any, x: Any, y: Any) -> Any:
    """A recurrence over the second axis of ``x``; its last state is what predicts."""
    h = np.zeros((len(x), 4))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ params["Wx"] + h @ params["Wh"] + params["b"])
    return np.square(h @ params["v"] - y).mean()


def recurrent_data() -> tuple[Any, ...]:
    """Three shared parameters, and five sequences of 36 steps."""
    rng = np.random.default_rng(0)
    params = {"Wx": rng.normal(size=(3, 4)), "Wh": rng.normal(size=(4, 4)) / 2, "b": np.zeros(4), "v": np.ones(4)}
    return params, rng.normal(size=(5, 36, 3)), rng.normal(size=5)


class Convolution(tg.nn.Module):
    """A convolution with its kernels, relu, and pooling."""

    def __init__(self, channels: int, maps: int, rng: Any) -> None:
        self.kernels = tg.Tensor(rng.normal(size=(maps, channels, 3, 3)) / 3, requires_grad=True)
        self.b = tg.Tensor(np.zeros((maps, 1, 1)), requires_grad=True)

    def forward(self, images: Any) -> Any:
        """Maps of half the height and width."""
        return tg.nn.max_pool2d(tg.nn.relu(tg.nn.conv2d(images, self.kernels, padding=1) + self.b), 2)


class Net(tg.nn.Module):
    """A small convolutional net."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.first = Convolution(1, 4, rng)
        self.second = Convolution(4, 8, rng)
        self.out = tg.nn.Linear(32, 3, rng=rng)

    def forward(self, images: Any) -> Any:
        """The logits (m, 3) of images (m, 1, 8, 8)."""
        maps = self.second(self.first(images))
        return self.out(maps.reshape(len(images), -1))


def classify(net: Any, images: Any, labels: Any) -> Any:
    """The mean cross-entropy."""
    return tg.nn.cross_entropy(net(images), labels).mean()


def convolutional() -> tuple[Any, ...]:
    """The net, five images and their labels."""
    rng = np.random.default_rng(0)
    return Net(), rng.normal(size=(5, 1, 8, 8)), rng.integers(0, 3, 5)


class Attention(tg.nn.Module):
    """Self-attention with one head, which looks back only."""

    def __init__(self, d: int, rng: Any) -> None:
        self.queries, self.keys, self.values = (tg.nn.Linear(d, d, bias=False, rng=rng) for _ in range(3))

    def forward(self, x: Any) -> Any:
        """Of tokens (m, t, d) as many, each a mean of values."""
        q, k, v = self.queries(x), self.keys(x), self.values(x)
        scores = q @ np.swapaxes(k, -1, -2) / x.shape[-1] ** 0.5
        later = np.triu(np.ones((x.shape[1], x.shape[1]), dtype=bool), 1)
        weights = tg.nn.softmax(np.where(later, -1e9, scores))
        return weights @ v


class Norm(tg.nn.Module):
    """Layer normalisation."""

    def __init__(self, d: int) -> None:
        self.scale = tg.Tensor(np.ones(d), requires_grad=True)
        self.shift = tg.Tensor(np.zeros(d), requires_grad=True)

    def forward(self, x: Any) -> Any:
        """Each token with mean 0 and variance 1, then scaled and shifted."""
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 1e-5)
        return centred / deviation * self.scale + self.shift


class Block(tg.nn.Module):
    """Attention and two layers for each token, with residual connections."""

    def __init__(self, d: int, rng: Any) -> None:
        self.norm1, self.norm2 = Norm(d), Norm(d)
        self.attention = Attention(d, rng)
        self.mlp = tg.nn.Sequential(tg.nn.Linear(d, 2 * d, rng=rng), tg.nn.relu, tg.nn.Linear(2 * d, d, rng=rng))

    def forward(self, x: Any) -> Any:
        """Tokens (m, t, d) as before."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Transformer(tg.nn.Module):
    """Embeddings, two blocks, and logits of the next token."""

    def __init__(self, words: int, d: int, blocks: int = 2) -> None:
        rng = np.random.default_rng(0)
        self.embedding = tg.Tensor(rng.normal(size=(words, d)), requires_grad=True)
        self.blocks = [Block(d, rng) for _ in range(blocks)]
        self.out = tg.nn.Linear(d, words, rng=rng)

    def forward(self, tokens: Any) -> Any:
        """Logits (m, t, words) of tokens (m, t)."""
        x = tg.nn.embedding(self.embedding, tokens)
        for block in self.blocks:
            x = block(x)
        return self.out(x)


def next_token(model: Any, tokens: Any, targets: Any) -> Any:
    """The mean over examples of the mean over tokens."""
    return tg.nn.cross_entropy(model(tokens), targets).mean(axis=1).mean()


def transformer() -> tuple[Any, ...]:
    """The model, five sequences of seven tokens, and what follows each."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 11, (5, 8))
    return Transformer(11, 6), tokens[:, :-1], tokens[:, 1:]
