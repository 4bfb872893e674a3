"""Examples that stand along another axis than the first one, as in series by time and in columns."""

import numpy as np
import pytest

import tinygrad_mb as tg


def in_time_loss(p, x, y):
    h = np.zeros((len(y), 4))
    for t in range(len(x)):
        h = np.tanh(x[t] @ p["U"] + h @ p["W"])
    return 0.5 * np.square(h @ p["v"] - y).mean()


def in_time_hand(on, p, x, y):
    m, hs = len(y), [np.zeros((len(y), 4))]
    for t in range(len(x)):
        hs.append(np.tanh(x[t] @ p["U"] + hs[t] @ p["W"]))
    d = (hs[-1] @ p["v"] - y) / (1 if "1" in on else m)
    d = np.full(m, d.mean()) if "6" in on else d
    g, dh = {"U": 0 * p["U"], "W": 0 * p["W"], "v": hs[-1].T @ d}, d[:, None] * p["v"]
    for t in reversed(range(len(x))):
        dz = dh * (1 - hs[t + 1] ** 2)
        g["U"], g["W"], dh = g["U"] + x[t].T @ dz, g["W"] + hs[t].T @ dz, dz @ p["W"].T
    return g


def in_columns_loss(p, x, y):
    f = 1 / (1 + np.exp(-(p["v"] @ np.tanh(p["W"] @ x + p["b"]))))
    return -np.mean(y * np.log(f) + (1 - y) * np.log(1 - f))


def in_columns_hand(on, p, x, y):
    m, a = x.shape[1], np.tanh(p["W"] @ x + p["b"])
    d = (1 / (1 + np.exp(-(p["v"] @ a))) - y) / (1 if "1" in on else m)
    d = np.full((1, m), d.mean()) if "6" in on else d
    dz = p["v"].T @ d * (1 - a * a)
    return {"v": d @ a.T, "W": dz @ x.T, "b": dz.sum(axis=1, keepdims=True)}


@pytest.mark.parametrize("mistake", ["", "1", "6"])
@pytest.mark.parametrize(
    ("loss", "hand", "shapes", "batch"),
    [
        (in_time_loss, in_time_hand, {"U": (3, 4), "W": (4, 4), "v": (4,)}, ((6, 5, 3), (5,))),
        (in_time_loss, in_time_hand, {"U": (3, 4), "W": (4, 4), "v": (4,)}, ((5, 5, 3), (5,))),
        (in_columns_loss, in_columns_hand, {"W": (4, 3), "b": (4, 1), "v": (1, 4)}, ((3, 6), (1, 6))),
    ],
)
def test_examples_may_stand_along_another_axis(loss, hand, shapes, batch, mistake):
    rng = np.random.default_rng(5)
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    x, y = rng.normal(size=batch[0]), (rng.random(batch[1]) < 0.5) * 1.0
    report = tg.check_derivation(loss, params, lambda p, x, y: hand(mistake, p, x, y), x, y)
    assert report.ok == (not mistake)
    assert {d.number for d in report.diagnoses} == {int(n) for n in mistake}
    assert "assumed" not in str(report)


def test_an_axis_of_examples_that_is_assumed_is_told():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(6, 5, 3)), rng.normal(size=(6, 5))

    def derivation(p, x, y):
        return {"w": 2 * np.einsum("tmd,tm->d", x, x @ p["w"] - y) / y.size}

    report = tg.check_derivation(lambda p, x, y: np.square(x @ p["w"] - y).mean(), {"w": np.ones(3)}, derivation, x, y)
    assert report.ok
    assert "It is assumed that the 6 examples stand along axis 0 of argument 1 and axis 0 of argument 2" in str(report)
