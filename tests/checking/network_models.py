"""Networks with their derivations by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from checking.making import (
    ACTIVATIONS,
    FACTORS,
    Model,
    averaged,
    bias,
    pairs,
    share,
    sigmoid,
    slope,
    softmax,
    vectors,
    weights,
)

from tinygrad_mb import nn


def network(act: str) -> Model:
    f = ACTIVATIONS[act][0]

    def loss(p, x, labels):
        z1 = (x @ p["W1"] + p["b1"]).named("z1")
        h1 = (nn.relu(z1) if act == "relu" else f(z1)).named("h1")
        z2 = (h1 @ p["W2"] + p["b2"]).named("z2")
        h2 = (nn.relu(z2) if act == "relu" else f(z2)).named("h2")
        z3 = (h2 @ p["W3"] + p["b3"]).named("z3")
        return nn.cross_entropy(z3, labels).mean()

    def hand(on, p, x, labels):
        m = len(x)
        z1 = x @ p["W1"] + p["b1"]
        h1 = f(z1)
        z2 = h1 @ p["W2"] + p["b2"]
        h2 = f(z2)
        s, y = softmax(h2 @ p["W3"] + p["b3"]), np.eye(4)[labels]
        c = share(on, m) * weights(on, m)[:, None]
        d3 = (s - y) * c
        if "9 diagonal" in on:
            d3 = s * (1 - s) * c
        if "9 diagonal of the cost" in on:
            d3 = -y / s * s * (1 - s) * c
        if "9 axis" in on:
            d3 = (softmax((h2 @ p["W3"] + p["b3"]).T).T - y) * c
        if "9 once more" in on:
            d3 = d3 * s * (1 - s)
        if "9 twice" in on:
            d3 = s * (d3 - (d3 * s).sum(axis=1, keepdims=True))
        if on & {"6 errors", "6 all", "6 last"}:
            d3 = averaged(d3)
        a0, a1, a2 = x, h1, h2
        if "6 all" in on:
            a0, a1, a2 = averaged(x), averaged(h1), averaged(h2)
        if "6 last" in on:
            a0, a1, a2 = (np.broadcast_to(a[-1], a.shape) for a in (x, h1, h2))
        h1, h2 = a1, a2
        W3 = p["W3"] - 0.1 * (h2.T @ d3) if "18" in on else p["W3"]
        dh2 = d3 @ W3.T
        d2 = slope(on, act, "h2", z2, h2, dh2)
        W2 = p["W2"] - 0.1 * (h1.T @ d2) if "18" in on else p["W2"]
        dh1 = d2 @ (W2 if "12 order" in on else W2.T)
        if "22 W2" in on:
            dh1 = d2
        if "6 at h1" in on:
            dh1 = averaged(dh1)
        d1 = slope(on, act, "h1", z1, h1, dh1)
        g = {"W3": h2.T @ d3, "W2": h1.T @ d2, "W1": a0.T @ d1}
        if "6 products" in on:
            g = {"W3": averaged(h2).T @ d3, "W2": averaged(h1).T @ d2, "W1": averaged(x).T @ d1}
        if "25 h1" in on:
            g["W2"] = z1.T @ d2
        if "25 all" in on:
            g["W2"], g["W3"] = z1.T @ d2, z2.T @ d3
        if "12 transposed" in on:
            g["W2"] = g["W2"].T
        if "12 shape" in on:
            g["W1"] = g["W1"].T
        if "5 in W2" in on:
            g["W2"] = -g["W2"]
        return {**g, "b3": bias(on, "b3", d3), "b2": bias(on, "b2", d2), "b1": bias(on, "b1", d1)}

    found = ["8 error h2"]
    if act != "relu":
        found += ["8 result h1", "8 result h2", "8 argument h1", "8 argument h2"]
    return Model(
        f"softmax, two hidden layers of {act}", loss,
        {"W1": (3, 6), "b1": (6,), "W2": (6, 6), "b2": (6,), "W3": (6, 4), "b3": (4,)},
        lambda rng, m: (rng.normal(size=(m, 3)), rng.integers(0, 4, m)), hand,
        (*FACTORS, "6 errors", "6 all", "6 last", "6 products", "6 slopes", "6 at h1", "7 h1", "7 h2", "7 all",
         *found, "9 diagonal", "9 diagonal of the cost", "9 once more", "9 twice", "10 rows b1", "10 rows b2",
         "10 first b1", "10 first b3", "11", "12 order", "12 transposed", "12 shape", "18", "22 W2", "5 in W2",
         "9 axis", "23 h1", "23 h2", "25 h1", "25 all"),
    )  # fmt: skip


def outputs_loss(p, x, y):
    h = np.tanh(x @ p["W1"] + p["b1"])
    f = 1 / (1 + np.exp(-(h @ p["W2"] + p["b2"])))
    return 0.5 * np.square(f - y).sum(axis=1).mean()


def outputs_hand(on, p, x, y):
    m, k = y.shape
    z1 = x @ p["W1"] + p["b1"]
    h = np.tanh(z1)
    z2 = h @ p["W2"] + p["b2"]
    f = 1 / (1 + np.exp(-z2))
    df = (f - y) * share(on, m, k) * weights(on, m)[:, None]
    if "22 cost" in on:
        df = np.full((m, k), 1 / m)
    d2 = slope(on, "sigmoid", "f", z2, f, df)
    if "6 errors" in on:
        d2 = averaged(d2)
    d1 = slope(on, "tanh", "h", z1, h, d2 @ p["W2"].T)
    return {"W1": x.T @ d1, "b1": bias(on, "b1", d1), "W2": h.T @ d2, "b2": bias(on, "b2", d2)}


def hidden_loss(p, x, y):
    h = np.tanh(x @ p["W1"] + p["b1"]).named("h")
    return 0.5 * np.square(h @ p["W2"] + p["b2"] - y).sum(axis=1).mean()


def hidden_hand(on, p, x, y):
    m, k = y.shape
    z = x @ p["W1"] + p["b1"]
    h = np.tanh(z)
    d2 = (h @ p["W2"] + p["b2"] - y) * share(on, m, k) * weights(on, m)[:, None]
    if "6 errors" in on:
        d2 = averaged(d2)
    dh = d2 @ (p["W2"] - 0.05 * (h.T @ d2) if "18" in on else p["W2"]).T
    d1 = slope(on, "tanh", "h", z, h, dh)
    g = {"W1": x.T @ d1, "b1": bias(on, "b1", d1), "W2": h.T @ d2, "b2": bias(on, "b2", d2)}
    if "13 where none is" in on:
        g["W1"], g["W2"] = g["W1"] + 0.2 * p["W1"], g["W2"] + 0.2 * p["W2"]
    return g


LAMBDA = 0.3


def regularised_loss(p, x, y):
    h = np.tanh(x @ p["W1"] + p["b1"])
    data = 0.5 * np.square(h @ p["W2"] + p["b2"] - y).sum(axis=1).mean()
    return data + 0.5 * LAMBDA * (np.square(p["W1"]).sum() + np.square(p["W2"]).sum())


def regularised_hand(on, p, x, y):
    g = hidden_hand(on, p, x, y)
    strength = LAMBDA / len(x) if "13 divided" in on else 2 * LAMBDA if "13 doubled" in on else LAMBDA
    for name in ("W1", "W2"):
        if "13 forgotten" not in on and f"13 forgotten {name}" not in on:
            g[name] = g[name] + strength * p[name]
    for name in ("b1", "b2"):
        if "13 bias" in on:
            g[name] = g[name] + strength * p[name]
    return g


def residual_loss(p, x, y):
    z = x @ p["W1"]
    h = z + np.tanh(z @ p["W2"])
    return 0.5 * np.square(h @ p["v"] - y).mean()


def residual_hand(on, p, x, y):
    m = len(x)
    z = x @ p["W1"]
    a = z @ p["W2"]
    h = z + np.tanh(a)
    d = (h @ p["v"] - y) * share(on, m)
    dh = d[:, None] * p["v"]
    da = slope(on, "tanh", "h", a, np.tanh(a), dh)
    through = da @ (p["W2"] if "12 order" in on else p["W2"].T)
    dz = dh if "19 skip" in on else through if "19 branch" in on else dh + through
    return {"W1": x.T @ dz, "W2": z.T @ da, "v": h.T @ d}


def normalised(axis: int) -> tuple[Callable[..., Any], Callable[..., dict[str, Any]]]:
    def loss(p, x, y):
        z = x @ p["W"]
        hat = (z - z.mean(axis=axis, keepdims=True)) / np.sqrt(z.var(axis=axis, keepdims=True) + 1e-3)
        h = np.tanh((hat * p["gain"] + p["bias"]).named("a"))
        return 0.5 * np.square(h @ p["v"] - y)

    def hand(on, p, x, y):
        m = len(x)
        z = x @ p["W"]
        sigma = np.sqrt(z.var(axis=axis, keepdims=True) + 1e-3)
        hat = (z - z.mean(axis=axis, keepdims=True)) / sigma
        a = hat * p["gain"] + p["bias"]
        h = np.tanh(a)
        d = (h @ p["v"] - y) * share(on, m)
        if "6 errors" in on:
            d = averaged(d)
        da = slope(on, "tanh", "h", a, h, d[:, None] * p["v"])
        dhat = da if "22 gain" in on else da * p["gain"]
        dz = dhat
        if not on & {"17 mean", "17 both"}:
            dz = dz - dhat.mean(axis=axis, keepdims=True)
        if not on & {"17 variance", "17 both"}:
            dz = dz - hat * (dhat * hat).mean(axis=axis, keepdims=True)
        dz = dz if "22 deviation" in on else dz / sigma
        return {
            "W": x.T @ dz,
            "gain": bias(on, "gain", da * hat * (sigma if "22 of gain" in on else 1)),
            "bias": bias(on, "bias", da),
            "v": h.T @ d,
        }

    return loss, hand


def rows_loss(p, x, labels):
    h = np.maximum(0, x @ p["W1"].T + p["b1"])
    z = h @ p["W2"].T + p["b2"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    s = e / e.sum(axis=1, keepdims=True)
    return -np.log(s[np.arange(len(labels)), labels]).mean()


def rows_hand(on, p, x, labels):
    m = len(labels)
    z1 = x @ p["W1"].T + p["b1"]
    h = np.maximum(0, z1)
    z = h @ p["W2"].T + p["b2"]
    e = np.exp(z - z.max(axis=1, keepdims=True))
    s = e / e.sum(axis=1, keepdims=True)
    d = s.copy()
    if "22 target" not in on:
        d[np.arange(m), labels] -= 1
    d *= share(on, m)
    d = d * s * (1 - s) if "9 once more" in on else d
    d = s * (d - (d * s).sum(axis=1, keepdims=True)) if "9 twice" in on else d
    d = np.tile(d.mean(axis=0), (m, 1)) if "6 errors" in on else d
    d1 = d @ p["W2"]
    if "8 error" in on:
        d1[d1 <= 0] = 0
    elif "7" not in on:
        d1[z1 <= 0] = 0
    g = {"W1": d1.T @ x, "b1": d1.sum(axis=0), "W2": d.T @ h, "b2": d.sum(axis=0)}
    if "12" in on:
        g["W1"] = g["W1"].T
    if "11" in on:
        g["b1"], g["b2"] = g["b1"] / m, g["b2"] / m
    return g


def autoencoder_loss(p, x):
    h = sigmoid(x @ p["W"] + p["b"])
    return np.mean(np.square(h @ p["W"].T + p["c"] - x))


def autoencoder_hand(on, p, x):
    m, n = x.shape
    z = x @ p["W"] + p["b"]
    h = sigmoid(z)
    d = 2 * (h @ p["W"].T + p["c"] - x) / (1 if "1" in on else m if "3" in on else m * n)
    d = d / 2 if "4" in on else d
    dh = d @ p["W"]
    dz = dh if "7" in on else dh * z * (1 - z) if "8" in on else dh * h * (1 - h)
    decoder, encoder = d.T @ h, x.T @ dz
    W = encoder if "19 encoder" in on else decoder if "19 decoder" in on else encoder + decoder
    return {"W": W, "b": dz.sum(axis=0), "c": d.sum(axis=0)}


_hidden = {"W1": (3, 4), "b1": (4,), "W2": (4, 2), "b2": (2,)}
_norm = {"W": (3, 4), "gain": (4,), "bias": (4,), "v": (4,)}
_norm_mistakes = ("1", "2", "5", "15 nominal", "6 errors", "7 h", "8 result h", "8 argument h", "10 rows bias",
                  "10 first bias", "17 mean", "17 variance", "17 both", "22 gain", "22 of gain",
                  "22 deviation")  # fmt: skip

NETWORKS = [
    network("relu"),
    network("tanh"),
    network("sigmoid"),
    Model("sigmoid outputs, squared error", outputs_loss, _hidden, pairs(2), outputs_hand,
          (*FACTORS, "4 doubled", "6 errors", "7 f", "7 h", "7 all", "8 result f", "8 argument f", "8 argument h",
           "10 rows b2", "11", "22 cost")),
    Model("layer norm", *normalised(1)[:1], _norm, vectors, normalised(1)[1], _norm_mistakes),
    Model("batch norm", *normalised(0)[:1], _norm, vectors, normalised(0)[1], _norm_mistakes),
    Model("regularised", regularised_loss, _hidden, pairs(2), regularised_hand,
          (*FACTORS, "6 errors", "7 h", "8 argument h", "10 first b1", "11", "13 forgotten", "13 forgotten W2",
           "13 doubled", "13 divided", "13 bias", "18")),
    Model("one hidden layer", hidden_loss, _hidden, pairs(2), hidden_hand,
          (*FACTORS, "4 doubled", "6 errors", "7 h", "8 argument h", "11", "13 where none is", "18", "19 stale")),
    Model("residual connection", residual_loss, {"W1": (3, 4), "W2": (4, 4), "v": (4,)}, vectors, residual_hand,
          ("1", "5", "7 h", "12 order", "19 skip", "19 branch")),
    Model("units in rows, softmax written out", rows_loss, {"W1": (6, 3), "b1": (6,), "W2": (4, 6), "b2": (4,)},
     lambda rng, m: (rng.normal(size=(m, 3)), rng.integers(0, 4, m)), rows_hand,
     ("1", "5", "6 errors", "7", "8 error", "9 once more", "9 twice", "11", "12", "22 target")),
    Model("autoencoder with tied weights", autoencoder_loss, {"W": (6, 4), "b": (4,), "c": (6,)},
     lambda rng, m: (rng.normal(size=(m, 6)),), autoencoder_hand,
     ("1", "3", "4", "7", "8", "19 encoder", "19 decoder")),
]  # fmt: skip
