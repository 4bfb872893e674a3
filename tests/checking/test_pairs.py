"""A column of predictions (m, 1) that meets a vector of targets (m,) in the loss itself."""

import warnings

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.errors import BroadcastWarning

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(7, 3)), RNG.normal(size=7)
PARAMS = {"W": RNG.normal(size=(3, 1))}


def loss(p, x, y):
    return np.mean((x @ p["W"] - y) ** 2)


def as_meant(p, x, y):
    return {"W": 2 * x.T @ (x @ p["W"] - y[:, None]) / len(x)}


def of_pairs(p, x, y):
    return {"W": 2 * x.T @ (x @ p["W"] - y).mean(axis=1, keepdims=True) / len(x)}


def check(hand):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = tg.check_derivation(loss, PARAMS, hand, X, Y)
    return report, [w.category for w in caught]


@pytest.mark.parametrize("as_function", [True, False])
def test_a_derivation_of_what_is_meant_is_told_from_the_loss_that_is_not(as_function):
    report, caught = check(as_meant if as_function else as_meant(PARAMS, X, Y))
    assert not report.ok
    assert [d.number for d in report.diagnoses] == [20]
    assert "the mistake is in loss_fn, and not in the derivation" in str(report)
    assert "catalogue" not in str(report)
    assert caught == [BroadcastWarning]  # once, and not for every batch


def test_a_derivation_of_what_is_written_is_right_and_the_pairs_are_told():
    report, _ = check(of_pairs)
    assert report.ok
    assert "loss_fn itself compares each of the 7 examples with all of them, in" in str(report)
    assert "a column (7, 1) met a vector (7,)" in str(report)


def test_another_mistake_beside_the_pairs():
    report, _ = check(lambda p, x, y: {"W": -of_pairs(p, x, y)["W"]})
    assert [d.number for d in report.diagnoses] == [5]
    assert "loss_fn itself compares" in str(report)
    unknown, _ = check(lambda p, x, y: {"W": as_meant(p, x, y)["W"] ** 3})
    assert unknown.diagnoses == []
    assert "loss_fn itself compares" in str(unknown)
