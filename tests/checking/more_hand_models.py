"""More models with their derivations by hand: what is shared, picked, gated and weighted."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_mb import nn


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def lead(on: frozenset[str], m: int) -> float:
    """What each example's error counts, in the mean and in wrong ones."""
    return (1.0 if "1" in on else 1 / m) * (-1 if "5" in on else 1)


def over_all(x: Any, d: Any) -> Any:
    """The gradient of weights that are used at every place: x (m, t, d), error terms (m, t, h)."""
    return np.einsum("mtd,mth->dh", x, d)


# ------------------------------------------------------------------------------- units in rows, softmax written out


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
    d *= lead(on, m)
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


# -------------------------------------------------------------------------------------------- one matrix, used twice


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


# --------------------------------------------------------------------------------------------------------- attention


def attention_loss(p, x, y):
    q, k, v = x @ p["Q"], x @ p["K"], x @ p["V"]
    a = nn.softmax(q @ k.swapaxes(1, 2) / np.sqrt(4.0))
    return 0.5 * np.square((a @ v).mean(axis=1) @ p["w"] - y).mean()


def attention_hand(on, p, x, y):
    m, t, _ = x.shape
    q, k, v = x @ p["Q"], x @ p["K"], x @ p["V"]
    scores = q @ k.swapaxes(1, 2) / 2
    e = np.exp(scores - scores.max(axis=2, keepdims=True))
    a = e / e.sum(axis=2, keepdims=True)
    pooled = (a @ v).mean(axis=1)
    d = (pooled @ p["w"] - y) * lead(on, m)
    dh = np.repeat((d[:, None] * p["w"])[:, None, :], t, axis=1) / (1 if "22 mean" in on else t)
    da = dh @ v.swapaxes(1, 2)
    ds = a * (da - (da * a).sum(axis=2, keepdims=True))
    ds = a * (1 - a) * da if "9 diagonal" in on else da if "9 missing" in on else ds
    ds = ds if "22 scale" in on else ds / 2
    dk = (ds if "12" in on else ds.swapaxes(1, 2)) @ q
    return {"Q": over_all(x, ds @ k), "K": over_all(x, dk), "V": over_all(x, a.swapaxes(1, 2) @ dh), "w": pooled.T @ d}


# ----------------------------------------------------------------------------------------------------- a recurrence


def gated_loss(p, x, y):
    h = np.zeros((len(y), 4))
    for t in range(x.shape[1]):
        z = sigmoid(x[:, t] @ p["Uz"] + h @ p["Wz"])
        c = np.tanh(x[:, t] @ p["Uc"] + h @ p["Wc"])
        h = z * h + (1 - z) * c
    return np.square(h @ p["v"] - y).mean()


def gated_hand(on, p, x, y):
    m, steps = len(y), x.shape[1]
    h, kept = np.zeros((m, 4)), []
    for t in range(steps):
        z = sigmoid(x[:, t] @ p["Uz"] + h @ p["Wz"])
        c = np.tanh(x[:, t] @ p["Uc"] + h @ p["Wc"])
        kept.append((h, z, c))
        h = z * h + (1 - z) * c
    d = (1 if "4" in on else 2) * (h @ p["v"] - y) * lead(on, m)
    g = {name: np.zeros(w.shape) for name, w in p.items()}
    g["v"] = h.T @ d
    dh = d[:, None] * p["v"]
    for t in reversed(range(steps)):
        h, z, c = kept[t]
        dz = dh * (h + c if "5 in a gate" in on else h - c)
        dc = dh if "22 gate" in on else dh * (1 - z)
        az = dz if "7 gate" in on else dz * z * (1 - z)
        ac = dc if "7 candidate" in on else dc * (1 - c * c)
        parts = {"Uz": x[:, t].T @ az, "Wz": h.T @ az, "Uc": x[:, t].T @ ac, "Wc": h.T @ ac}
        for name, part in parts.items():
            g[name] = part if "19 overwritten" in on else g[name] + part
        ways = {"gate": az @ p["Wz"].T, "candidate": ac @ p["Wc"].T, "skip": dh * z}
        dh = sum(way for name, way in ways.items() if f"19 {name}" not in on)
    return g


# ------------------------------------------------------------------------------------- picked, weighted, regularised


def words_loss(p, tokens, y):
    return 0.5 * np.square(np.tanh(p["E"][tokens].mean(axis=1)) @ p["w"] - y)


def words_hand(on, p, tokens, y):
    m, t = tokens.shape
    h = np.tanh(p["E"][tokens].mean(axis=1))
    d = (h @ p["w"] - y) * lead(on, m)
    da = d[:, None] * p["w"] * (1 if "7" in on else 1 - h * h)
    each = np.repeat(da[:, None, :], t, axis=1) / (1 if "22 mean" in on else t)
    dE = np.zeros(p["E"].shape)
    if "19 assigned" in on:
        dE[tokens] = each
    else:
        np.add.at(dE, tokens, each)
    return {"E": dE, "w": h.T @ d}


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
    d = 2 * (x @ p["w"] + p["b"] - y) * lead(on, len(y))
    first, second = 0.05 * np.sign(p["w"]), 0.04 * p["w"]
    first = 0 * first if on & {"13 forgotten", "13 first"} else first
    second = second / 2 if "13 half" in on else 0 * second if "13 forgotten" in on else second
    share = len(y) if "13 divided" in on else 1
    return {"w": x.T @ d + (first + second) / share, "b": d.sum() + (0.04 * p["b"] if "13 bias" in on else 0)}


def column_loss(p, x, y):
    return np.square((np.tanh(x @ p["V"]) @ p["w"])[:, 0] - y).mean()


def column_hand(on, p, x, y):
    m = len(y)
    h = np.tanh(x @ p["V"])
    d = 2 * (h @ p["w"] - y[:, None]) * lead(on, m)
    if "20 summed" in on:
        d = 2 * (h @ p["w"] - y).sum(axis=1, keepdims=True) / m**2
    dw = h.T @ (2 * (h @ p["w"] - y) / m**2) if "20 shape" in on else h.T @ d
    if "20 shape" in on:
        d = 2 * (h @ p["w"] - y).sum(axis=1, keepdims=True) / m**2
    dz = d @ p["w"].T * (1 if "7" in on else 1 - h * h)
    return {"V": x.T @ dz, "w": dw}


_vectors = lambda rng, m: (rng.normal(size=(m, 3)), rng.normal(size=m))  # noqa: E731
_series = lambda t: lambda rng, m: (rng.normal(size=(m, t, 3)), rng.normal(size=m))  # noqa: E731

MORE: list[tuple[Any, ...]] = [
    ("units in rows, softmax written out", rows_loss, {"W1": (6, 3), "b1": (6,), "W2": (4, 6), "b2": (4,)},
     lambda rng, m: (rng.normal(size=(m, 3)), rng.integers(0, 4, m)), rows_hand,
     ("1", "5", "6 errors", "7", "8 error", "9 once more", "9 twice", "11", "12", "22 target")),
    ("autoencoder with tied weights", autoencoder_loss, {"W": (6, 4), "b": (4,), "c": (6,)},
     lambda rng, m: (rng.normal(size=(m, 6)),), autoencoder_hand,
     ("1", "3", "4", "7", "8", "19 encoder", "19 decoder")),
    ("attention", attention_loss, {"Q": (3, 4), "K": (3, 4), "V": (3, 4), "w": (4,)}, _series(5), attention_hand,
     ("1", "5", "9 diagonal", "9 missing", "12", "22 mean", "22 scale")),
    ("gated recurrence", gated_loss, {"Uz": (3, 4), "Wz": (4, 4), "Uc": (3, 4), "Wc": (4, 4), "v": (4,)}, _series(4),
     gated_hand, ("1", "5", "4", "5 in a gate", "7 gate", "7 candidate", "19 overwritten", "19 gate", "19 candidate",
                  "19 skip", "22 gate")),
    ("bag of words", words_loss, {"E": (7, 4), "w": (4,)},
     lambda rng, m: (rng.integers(0, 7, (m, 5)), rng.normal(size=m)), words_hand,
     ("1", "5", "7", "19 assigned", "22 mean")),
    ("weighted examples", weighted_loss, {"w": (3,), "b": ()},
     lambda rng, m: (rng.normal(size=(m, 3)), rng.normal(size=m), rng.random(m) + 0.2), weighted_hand,
     ("1", "3", "4", "11", "22 weights")),
    ("elastic net", elastic_loss, {"w": (6,), "b": ()},
     lambda rng, m: (rng.normal(size=(m, 6)), rng.normal(size=m)), elastic_hand,
     ("1", "5", "13 forgotten", "13 first", "13 half", "13 divided", "13 bias")),
    ("a column of predictions", column_loss, {"V": (3, 4), "w": (4, 1)}, _vectors, column_hand,
     ("1", "5", "7", "20 summed", "20 shape")),
]  # fmt: skip
