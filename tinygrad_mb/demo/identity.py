"""Four other ways to a batch's gradient, beside one backward: three that agree with it, and one that does not.

Gradients are lists of arrays here, in the order W1 (64, h), b1 (h,), W2 (h, 10), b2 (10,).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import nn
from .data import Array

STEP = 1e-6  # of the central differences
SAMPLE = 100  # entries of each parameter that they are taken for


class Row(NamedTuple):
    """One way to the gradient.

    key        the row's name for programs
    text       the row's name for people
    error      max |a - b| / max |b| of a parameter, b being autograd's gradient; the largest of all parameters
    tolerance  the largest error of a right way; None for the way that is known to be wrong
    """

    key: str
    text: str
    error: float
    tolerance: float | None

    @property
    def passed(self) -> bool:
        """Whether the row is as it should be: right ways agree, and the wrong way does not."""
        return self.error > 1e-3 if self.tolerance is None else self.error <= self.tolerance


def rows(model: nn.Sequential, x: Array, y: Array, seed: int) -> list[Row]:
    """Compare each way on the batch ``x`` (m, 64), ``y`` (m,) with one backward of the batch's mean loss."""
    parameters = [t.data for t in model.parameters()]
    right = backward(model, x, y)
    entries, slopes, kinks = central_differences(parameters, x, y, np.random.default_rng(seed))
    taken, total = sum(map(len, entries)), sum(p.size for p in parameters)
    at_kinks = f" ({kinks} more, at a kink of relu, are left out)" if kinks else ""
    at_entries = [b.ravel()[k] for b, k in zip(right, entries, strict=True)]
    return [
        Row("one_by_one", f"the {len(y)} examples' gradients, one by one, then their mean",
            largest_error(one_by_one(model, x, y), right, right), 1e-12),
        Row("by_hand", "the derivation by hand, in NumPy",
            largest_error(by_hand(parameters, x, y), right, right), 1e-12),
        Row("central_differences", f"central differences, for {taken} of the {total} entries{at_kinks}",
            largest_error(slopes, at_entries, right), 1e-5),
        Row("averaged_first", "WRONG: the activations' means over the batch, then one backward",
            largest_error(averaged_first(parameters, x, y), right, right), None),
    ]  # fmt: skip


def largest_error(a: list[Array], b: list[Array], whole: list[Array]) -> float:
    """The largest over the parameters of max |a - b| / max |whole|."""
    return float(np.max([np.abs(p - q).max() / np.abs(r).max() for p, q, r in zip(a, b, whole, strict=True)]))


# ------------------------------------------------------------------------------------------- right ways


def backward(model: nn.Sequential, x: Array, y: Array) -> list[Array]:
    """One backward of the mean of the batch's losses."""
    return list(nn.cross_entropy(model(x), y).mean().gradient(*model.parameters()))


def one_by_one(model: nn.Sequential, x: Array, y: Array) -> list[Array]:
    """A forward and a backward for each example alone; the mean of the gradients."""
    total = [np.zeros(t.shape) for t in model.parameters()]
    for i in range(len(y)):
        loss = nn.cross_entropy(model(x[i : i + 1]), y[i : i + 1])[0]
        for sum_, gradient in zip(total, loss.gradient(*model.parameters()), strict=True):
            sum_ += gradient
    return [sum_ / len(y) for sum_ in total]


def by_hand(parameters: list[Array], x: Array, y: Array) -> list[Array]:
    """The derivation that one would write down: every example keeps its row in each of the arrays."""
    _, _, W2, _ = parameters
    m = len(y)
    z1, h, p = forward(parameters, x)
    dz2 = (p - np.eye(10)[y]) / m
    dW2 = h.T @ dz2
    db2 = dz2.sum(axis=0)
    dh = dz2 @ W2.T
    dz1 = dh * (z1 > 0)
    dW1 = x.T @ dz1
    db1 = dz1.sum(axis=0)
    return [dW1, db1, dW2, db2]


def forward(parameters: list[Array], x: Array) -> tuple[Array, Array, Array]:
    """The model in NumPy: the hidden layer before and after relu, (m, h) both, and the probabilities (m, 10)."""
    W1, b1, W2, b2 = parameters
    z1 = x @ W1 + b1
    h = np.maximum(z1, 0)
    z2 = h @ W2 + b2
    e = np.exp(z2 - z2.max(axis=1, keepdims=True))
    return z1, h, e / e.sum(axis=1, keepdims=True)


def central_differences(
    parameters: list[Array], x: Array, y: Array, rng: np.random.Generator
) -> tuple[list[Array], list[Array], int]:
    """Slopes of the mean loss along single entries, no derivative used.

    Returns for each parameter the places of the entries and the slopes there, and how many entries were left out
    because a relu switches between the two points, where the loss has a kink.
    """

    def loss() -> tuple[float, Array]:
        z1, _, p = forward(parameters, x)
        return float(-np.log(p[np.arange(len(y)), y]).mean()), z1 > 0

    places, slopes, kinks = [], [], 0
    parameters = [p.copy() for p in parameters]
    for parameter in parameters:
        flat, kept, found = parameter.reshape(-1), [], []
        for k in rng.choice(flat.size, min(SAMPLE, flat.size), replace=False):
            value = flat[k]
            flat[k] = value + STEP
            above, on_above = loss()
            flat[k] = value - STEP
            below, on_below = loss()
            flat[k] = value
            if np.array_equal(on_above, on_below):
                kept.append(k)
                found.append((above - below) / (2 * STEP))
            else:
                kinks += 1
        places.append(np.array(kept))
        slopes.append(np.array(found))
    return places, slopes, kinks


# ---------------------------------------------------------------------------------------- the wrong way


def averaged_first(parameters: list[Array], x: Array, y: Array) -> list[Array]:
    """The mistake: the batch's mean activations and mean error, as if they were those of one example."""
    _, _, W2, _ = parameters
    z1, h, p = forward(parameters, x)
    dz2 = (p - np.eye(10)[y]).mean(axis=0)
    dz1 = (dz2 @ W2.T) * (z1.mean(axis=0) > 0)
    return [np.outer(x.mean(axis=0), dz1), dz1, np.outer(h.mean(axis=0), dz2), dz2]
