"""Products with constant matrices, whose transpose is forgotten on the way back."""

import numpy as np
import pytest

import tinygrad_mb as tg

RNG = np.random.default_rng(6)
A, X, Y = abs(RNG.normal(size=(7, 7))), RNG.normal(size=(7, 3)), RNG.normal(size=(7, 2))
PARAMS = {"W": RNG.normal(size=(3, 4)), "V": RNG.normal(size=(4, 2))}


def loss(p, a, x, y):
    return np.mean((a @ (np.tanh(a @ (x @ p["W"])) @ p["V"]) - y) ** 2)


@pytest.mark.parametrize("wrong", [{"V"}, {"W"}, {"V", "W"}])
def test_a_matrix_on_the_left_without_its_transpose(wrong):
    def hand(p, a, x, y):
        h = np.tanh(a @ (x @ p["W"]))
        d = 2 * (a @ (h @ p["V"]) - y) / y.size
        dv = (a if "V" in wrong else a.T) @ d
        dw = (a if "W" in wrong else a.T) @ (dv @ p["V"].T * (1 - h * h))
        return {"V": h.T @ dv, "W": x.T @ dw}

    report = tg.check_derivation(loss, PARAMS, hand, A, X, Y)
    assert {d.number for d in report.diagnoses} == {12}, report
    assert "multiplied by an array (7, 7), not by its transpose" in str(report)
