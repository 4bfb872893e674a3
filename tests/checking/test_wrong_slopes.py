"""Activations that go straight into a cost, written as one expression."""

import numpy as np
import pytest

import tinygrad_mb as tg

RNG = np.random.default_rng(5)
X, W, V = RNG.normal(size=(7, 3)), RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))


def numbers(report):
    return {d.number for d in report.diagnoses}


@pytest.mark.parametrize(
    ("slope", "number", "says"),
    [
        (lambda h: 1.0, 7, "The derivative of tanh is missing"),
        (lambda h: 1 - h, 8, "The derivative of tanh is wrong: 1 - h, with h its result"),
        (lambda h: h * (1 - h), 23, "The derivative of sigmoid, h(1 - h), stands in the place of that of tanh"),
    ],
)
def test_a_slope_of_an_activation_in_a_square(slope, number, says):
    def hand(w, x):
        h = np.tanh(x @ w)
        return x.T @ (2 * h * slope(h) / len(x)) / 4

    report = tg.check_derivation(lambda w, x: np.square(np.tanh(x @ w)).mean(), W, hand, X)
    assert numbers(report) == {number}, report
    assert says in str(report)

    def two_layers(p, x):
        return np.mean(np.tanh(np.tanh(x @ p["W"]) @ p["V"]) ** 2)

    def by_hand(p, x):
        h = np.tanh(x @ p["W"])
        f = np.tanh(h @ p["V"])
        dz = 2 * f * slope(f) / f.size
        return {"V": h.T @ dz, "W": x.T @ (dz @ p["V"].T * (1 - h * h))}

    report = tg.check_derivation(two_layers, {"W": W, "V": V}, by_hand, X)
    assert numbers(report) == {number}, report


def test_a_mean_that_goes_into_a_product_is_no_statistic():
    """Embeddings that the output uses too, of which the first use is forgotten."""
    i, t = RNG.integers(0, 6, size=(7, 4)), RNG.integers(0, 6, size=7)
    embeddings = RNG.normal(size=(6, 3))

    def loss(e, i, t):
        return tg.nn.cross_entropy(tg.nn.embedding(e, i).mean(axis=1) @ e.T, t).mean()

    def of_output(e, i, t):
        h = e[i].mean(axis=1)
        return (tg.nn.softmax(h @ e.T) - np.eye(6)[t]).T @ h / len(t)

    report = tg.check_derivation(loss, embeddings, of_output, i, t)
    assert numbers(report) == {19}
