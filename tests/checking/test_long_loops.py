"""Losses of many steps, or examples: mistakes made in every step are found, and what is not looked for is told."""

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.checking import candidates, catalogue

RNG = np.random.default_rng(1)
PARAMS = {"U": RNG.normal(size=(2, 3)), "W": 0.5 * RNG.normal(size=(3, 3)), "v": RNG.normal(size=3)}


def loss(p, x, y):
    h = np.zeros((len(x), 3))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ p["U"] + h @ p["W"])
    return np.mean((h @ p["v"] - y) ** 2)


def hand(p, x, y, through=lambda w: w.T, steps=1000):
    hs = [np.zeros((len(x), 3))]
    for t in range(x.shape[1]):
        hs.append(np.tanh(x[:, t] @ p["U"] + hs[-1] @ p["W"]))
    error = 2 * (hs[-1] @ p["v"] - y) / len(x)
    found = {"v": hs[-1].T @ error, "U": 0 * p["U"], "W": 0 * p["W"]}
    dh = error[:, None] * p["v"]
    for t in reversed(range(max(0, x.shape[1] - steps), x.shape[1])):
        dz = dh * (1 - hs[t + 1] ** 2)
        found["U"] = found["U"] + x[:, t].T @ dz
        found["W"] = found["W"] + hs[t].T @ dz
        dh = dz @ through(p["W"])
    return found


def check(steps, derivation):
    rng = np.random.default_rng(steps)
    return tg.check_derivation(loss, PARAMS, derivation, rng.normal(size=(5, steps, 2)), rng.normal(size=5))


@pytest.mark.parametrize("steps", [20, 60, 120])
def test_mistakes_of_every_step_are_found(steps):
    assert check(steps, hand).ok
    turned = check(steps, lambda p, x, y: hand(p, x, y, through=lambda w: w))
    assert {d.number for d in turned.diagnoses} == {12}
    cut = check(steps, lambda p, x, y: hand(p, x, y, steps=5))
    assert {d.number for d in cut.diagnoses} == {26}
    assert f"stops after the last 5 steps of the {steps} steps" in str(cut)


def test_what_was_not_looked_for_is_told(monkeypatch):
    def cubed(p, x, y):
        return {**hand(p, x, y), "W": hand(p, x, y)["W"] ** 3}

    assert "not looked for" not in str(check(8, cubed))
    monkeypatch.setattr(candidates, "_MOST_PLACES", 40)
    text = str(check(8, cubed))
    assert "operations, and mistakes in one step of a loop alone were not looked for: check fewer steps." in text
    monkeypatch.setattr(catalogue, "_MOST_OF_PAIRS", 40)
    assert "loop alone and two mistakes on the way back were not looked for" in str(check(8, cubed))
    monkeypatch.setattr(catalogue, "_MOST_NODES", 40)
    text = str(check(8, cubed))
    assert "operations, and mistakes on the way back were not looked for: check fewer steps." in text


@pytest.mark.parametrize("m", [5, 80])
def test_examples_that_are_too_many_to_be_looked_at_alone_are_told(m):
    x = np.random.default_rng(m).normal(size=(m, 3))

    def line(p, x):
        return np.square(x @ p["v"]).mean()

    def cubed(p, x):
        return {"v": (2 * x.T @ (x @ p["v"]) / len(x)) ** 3}

    told = (
        "With 80 examples, mistakes about single ones, about pairs of them and about micro-batches were not looked for"
    )
    assert (told in str(tg.check_derivation(line, PARAMS, cubed(PARAMS, x), x))) == (m == 80)
    assert told not in str(tg.check_derivation(line, PARAMS, cubed, x))
