"""Convolutions and maxima over windows, derived by hand."""

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb import nn

RNG = np.random.default_rng(8)
PARAMS = {"K": RNG.normal(size=(2, 1, 2, 2)), "L": RNG.normal(size=(2, 2, 2, 2)), "v": RNG.normal(size=8)}
X, Y = RNG.normal(size=(7, 1, 6, 6)), RNG.normal(size=7)


def windows(x):
    return np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(2, 3))


def convolved(x, k):
    return np.einsum("mcijkl,ockl->moij", windows(x), k)


def written_out(p, x, y):
    h = convolved(np.tanh(convolved(x, p["K"])), p["L"])
    return np.mean((h.reshape(len(y), 2, 2, 2, 2, 2).max(axis=(3, 5)).reshape(len(y), -1) @ p["v"] - y) ** 2)


def by_modules(p, x, y):
    h = nn.conv2d(np.tanh(nn.conv2d(x, p["K"])), p["L"])
    return np.mean((nn.max_pool2d(h, 2).reshape(len(y), -1) @ p["v"] - y) ** 2)


def hand(p, x, y, pool="largest", image=1, kernel=1):
    a = np.tanh(convolved(x, p["K"]))
    h = convolved(a, p["L"])
    tiles = h.reshape(len(y), 2, 2, 2, 2, 2)
    top = tiles.max(axis=(3, 5))
    f = top.reshape(len(y), -1)
    d = 2 * (f @ p["v"] - y) / len(y)
    wide = (d[:, None] * p["v"]).reshape(top.shape)[:, :, :, None, :, None]
    largest = tiles == top[:, :, :, None, :, None]
    dh = (wide * {"largest": largest, "evenly": 0.25 + 0 * largest, "all": 1 + 0 * largest}[pool]).reshape(h.shape)
    back = p["L"].swapaxes(0, 1)[:, :, ::-image, ::-image]
    da = convolved(np.pad(dh, [(0, 0), (0, 0), (1, 1), (1, 1)]), back)
    dz = da * (1 - a * a)
    of_l = np.einsum("moij,mcijkl->ockl", dh, windows(a))[:, :, ::kernel, ::kernel]
    return {"v": f.T @ d, "L": of_l, "K": np.einsum("moij,mcijkl->ockl", dz, windows(x))}


@pytest.mark.parametrize("loss", [written_out, by_modules])
@pytest.mark.parametrize(
    ("mistake", "says"),
    [({"pool": "evenly"}, "shared evenly by all arguments, as those of a mean"), ({"pool": "all"}, "go to all argum")],
)
def test_maxima_that_go_back_as_means(loss, mistake, says):
    assert tg.check_derivation(loss, PARAMS, hand, X, Y).ok
    report = tg.check_derivation(loss, PARAMS, lambda p, x, y: hand(p, x, y, **mistake), X, Y)
    assert {d.number for d in report.diagnoses} == {23}, report
    assert says in str(report)


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ({"image": -1}, "go back through a kernel that is turned around"),
        ({"kernel": -1}, "The gradient of a kernel is"),
    ],
)
def test_kernels_that_are_turned_around(mistake, says):
    report = tg.check_derivation(by_modules, PARAMS, lambda p, x, y: hand(p, x, y, **mistake), X, Y)
    assert {d.number for d in report.diagnoses} == {12}, report
    assert says in str(report)
