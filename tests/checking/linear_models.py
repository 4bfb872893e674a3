"""Linear models with their derivations by hand."""

from __future__ import annotations

import numpy as np
from checking.making import (
    FACTORS,
    Model,
    averaged,
    bias,
    pairs,
    share,
    sigmoid,
    vectors,
    weights,
)


def linear_loss(p, x, y):
    return 0.5 * np.square(x @ p["w"] + p["b"] - y)


def linear_hand(on, p, x, y):
    m = len(x)
    f = x @ p["w"] + p["b"]
    d = (f - y) * share(on, m) * weights(on, m)
    if "20" in on:
        d = (f[:, None] - y).sum(axis=1) / m**2
    if "22 cost" in on:
        d = np.full(m, 1 / m)
    if "6 errors" in on:
        d = averaged(d)
    if "6 inputs" in on:
        x, y = x.mean(axis=0, keepdims=True), y.mean(keepdims=True)
        d = x @ p["w"] + p["b"] - y
    return {"w": x.T @ d, "b": bias(on, "b", d)}


def several_loss(p, x, y):
    return np.square(x @ p["W"] + p["b"] - y).sum(axis=1).mean()


def several_hand(on, p, x, y):
    m, k = y.shape
    d = 2 * (x @ p["W"] + p["b"] - y) * share(on, m, k) * weights(on, m)[:, None]
    dW = x.T @ d
    return {"W": dW.T if "12 transposed" in on else dW, "b": bias(on, "b", d)}


def elements_loss(p, x, y):
    return np.mean(np.square(x @ p["W"] + p["b"] - y))


def elements_hand(on, p, x, y):
    m, k = y.shape
    d = 2 * (x @ p["W"] + p["b"] - y) / (m if "3 examples" in on else m * k)
    d = d * (m if "1" in on else 1) / (m if "2" in on else 1) * (-1 if "5" in on else 1)
    return {"W": x.T @ d, "b": bias(on, "b", d)}


def logistic_loss(p, x, y):
    z = x @ p["w"] + p["b"]
    return (np.log1p(np.exp(z)) - y * z).mean()


def logistic_hand(on, p, x, y, s=None):
    m = len(x)
    f = sigmoid(x @ p["w"] + p["b"])
    d = (f - y) * (share(on, m) if s is None else s) * weights(on, m)
    if "7 output" in on:
        d = d / (f * (1 - f))
    if "9 once more" in on:
        d = d * f * (1 - f)
    if "20" in on:
        d = (f[:, None] - y).sum(axis=1) / m**2
    if "6 errors" in on:
        d = averaged(d)
    return {"w": x.T @ d, "b": bias(on, "b", d)}


def written_out_loss(p, x, y):
    f = 1 / (1 + np.exp(-(x @ p["w"] + p["b"])))
    return -np.mean(y * np.log(f) + (1 - y) * np.log(1 - f))


def summed_loss(p, x, y):
    z = x @ p["w"] + p["b"]
    return (np.log1p(np.exp(z)) - y * z).sum()


def summed_hand(on, p, x, y):
    s = 1 / len(x) if "2" in on else 1 / 4 if "16" in on else -1 if "5" in on else 1
    return logistic_hand(on & {"7 output", "9 once more", "10 first b", "11"}, p, x, y, s)


def weighted_loss(p, x, y, c):
    return (c * np.square(x @ p["w"] + p["b"] - y)).sum() / c.sum()


def weighted_hand(on, p, x, y, c):
    d = 2 * (1 if "22 weights" in on else c) * (x @ p["w"] + p["b"] - y)
    d = d / (1 if "1" in on else len(y) if "3" in on else c.sum()) / (2 if "4" in on else 1)
    return {"w": x.T @ d, "b": d.mean() if "11" in on else d.sum()}


def elastic_loss(p, x, y):
    data = np.square(x @ p["w"] + p["b"] - y).mean()
    return data + 0.05 * np.abs(p["w"]).sum() + 0.02 * np.sum(p["w"] ** 2)


def elastic_hand(on, p, x, y):
    d = 2 * (x @ p["w"] + p["b"] - y) * share(on, len(y))
    first, second = 0.05 * np.sign(p["w"]), 0.04 * p["w"]
    first = 0 * first if on & {"13 forgotten", "13 first"} else first
    second = second / 2 if "13 half" in on else 0 * second if "13 forgotten" in on else second
    parts = len(y) if "13 divided" in on else 1
    return {"w": x.T @ d + (first + second) / parts, "b": d.sum() + (0.04 * p["b"] if "13 bias" in on else 0)}


def column_loss(p, x, y):
    return np.square((np.tanh(x @ p["V"]) @ p["w"])[:, 0] - y).mean()


def column_hand(on, p, x, y):
    m = len(y)
    h = np.tanh(x @ p["V"])
    d = 2 * (h @ p["w"] - y[:, None]) * share(on, m)
    if "20 summed" in on:
        d = 2 * (h @ p["w"] - y).sum(axis=1, keepdims=True) / m**2
    dw = h.T @ (2 * (h @ p["w"] - y) / m**2) if "20 shape" in on else h.T @ d
    if "20 shape" in on:
        d = 2 * (h @ p["w"] - y).sum(axis=1, keepdims=True) / m**2
    dz = d @ p["w"].T * (1 if "7" in on else 1 - h * h)
    return {"V": x.T @ dz, "w": dw}


def _binary(rng, m):
    return rng.normal(size=(m, 3)), rng.permutation(np.arange(m) % 2.0)  # both classes


LINEAR = [
    Model("linear regression", linear_loss, {"w": (3,), "b": ()}, vectors, linear_hand,
          (*FACTORS, "4 doubled", "10 rows b", "10 first b", "11", "19 stale", "20", "6 errors", "6 inputs",
           "22 cost")),
    Model("regression with several outputs", several_loss, {"W": (3, 3), "b": (3,)}, pairs(3), several_hand,
          (*FACTORS, "3 elements", "4 halved", "12 transposed", "10 rows b", "10 first b", "11")),
    Model("mean over examples and outputs", elements_loss, {"W": (3, 4), "b": (4,)}, pairs(4), elements_hand,
          ("1", "2", "3 examples", "5", "10 rows b", "11")),
    Model("logistic regression", logistic_loss, {"w": (3,), "b": ()}, _binary, logistic_hand,
          (*FACTORS, "6 errors", "7 output", "9 once more", "10 rows b", "10 first b", "11", "20")),
    Model("logistic regression, written out", written_out_loss, {"w": (3,), "b": ()}, _binary, logistic_hand,
          ("1", "2", "5", "6 errors", "7 output", "9 once more", "10 first b", "11", "20")),
    Model("logistic regression, summed", summed_loss, {"w": (3,), "b": ()}, _binary, summed_hand,
          ("2", "5", "16", "7 output", "9 once more", "10 first b", "11")),
    Model("weighted examples", weighted_loss, {"w": (3,), "b": ()},
     lambda rng, m: (rng.normal(size=(m, 3)), rng.normal(size=m), rng.random(m) + 0.2), weighted_hand,
     ("1", "3", "4", "11", "22 weights")),
    Model("elastic net", elastic_loss, {"w": (6,), "b": ()},
     lambda rng, m: (rng.normal(size=(m, 6)), rng.normal(size=m)), elastic_hand,
     ("1", "5", "13 forgotten", "13 first", "13 half", "13 divided", "13 bias")),
    Model("a column of predictions", column_loss, {"V": (3, 4), "w": (4, 1)}, vectors, column_hand,
     ("1", "5", "7", "20 summed", "20 shape")),
]  # fmt: skip
