"""The demonstration's data: scikit-learn's handwritten digits, or a synthetic set where that is not installed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Data(NamedTuple):
    """Standardised inputs (m, 64), float64, and labels (m,) from 0 to 9, to train on and to test on."""

    name: str
    synthetic: bool
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def load() -> Data:
    """The digits, a quarter of each class kept for the test; the split is always the same one."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        return _prepare("synthetic clusters", True, *_clusters())
    digits = load_digits()
    return _prepare(
        "handwritten digits of 8 by 8 pixels (scikit-learn's load_digits)", False, digits.data, digits.target
    )


def _clusters() -> tuple[Array, Array]:
    """Ten clouds of points in 64 dimensions, with some overlap."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), 180)
    return rng.normal(size=(10, 64))[y] + 1.7 * rng.normal(size=(y.size, 64)), y


def _prepare(name: str, synthetic: bool, x: Array, y: Array) -> Data:
    rng = np.random.default_rng(0)
    order = rng.permutation(y.size)
    order = order[np.argsort(y[order], kind="stable")]  # class by class, shuffled within each
    test = rng.permutation(order[::4])
    train = rng.permutation(np.delete(order, np.s_[::4]))
    # The mean of each pixel, but one scale for all: a pixel that is nearly always empty would be blown up to noise.
    mean, scale = x[train].mean(axis=0), x[train].std()
    return Data(name, synthetic, (x[train] - mean) / scale, y[train], (x[test] - mean) / scale, y[test])
