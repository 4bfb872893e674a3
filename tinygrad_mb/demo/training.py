"""The demonstration's model, and its training in mini-batches."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .. import minibatch, nn, no_grad, optim
from .data import Array, Data

HIDDEN, EPOCHS, BATCH = 128, 30, 32
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.05, 0.9, 1e-3


class Training(NamedTuple):
    """What came out of the training."""

    steps: int
    seconds: float
    loss: float  # the mean over the last epoch
    accuracy: float  # on the test set


def new_model(seed: int) -> nn.Sequential:
    """A perceptron with one hidden layer, 64 -> 128 relu -> 10, float64."""
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Linear(64, HIDDEN, rng=rng, init="he"), nn.relu, nn.Linear(HIDDEN, 10, rng=rng))


def train(model: nn.Sequential, data: Data, seed: int, show_progress: bool) -> Training:
    """Train in mini-batches, the order of the examples drawn anew for each epoch."""
    batches = minibatch.batches(data.x_train, data.y_train, size=BATCH, rng=seed)
    optimizer = optim.SGD(model, lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    start, loss_sum = time.perf_counter(), 0.0
    for _ in _progress(range(EPOCHS), show_progress):
        loss_sum = 0.0  # sums and counts: the last batch of an epoch is smaller than the others
        for x, y in batches:
            losses = nn.cross_entropy(model(x), y)
            optimizer.zero_grad()
            losses.mean().backward()
            optimizer.step()
            loss_sum += float(losses.data.sum())
    seconds = time.perf_counter() - start
    mean = loss_sum / len(data.y_train)
    return Training(EPOCHS * len(batches), seconds, mean, accuracy(model, data.x_test, data.y_test))


def accuracy(model: nn.Sequential, x: Array, y: Array) -> float:
    """The share of the examples whose largest logit is at the label."""
    with no_grad():
        return float((model(x).argmax(axis=1) == y).mean())


def _progress(epochs: Iterable[int], show: bool) -> Iterable[int]:
    """The epochs, with a bar on the error stream if that is a terminal and tqdm is installed."""
    if not show:
        return epochs
    try:
        from tqdm import tqdm
    except ImportError:
        return epochs
    bar: Iterable[int] = tqdm(epochs, desc="training", unit="epoch", disable=None)
    return bar
