"""Models of series, images and words with their derivations by hand."""

from __future__ import annotations

import numpy as np
from checking.making import (
    FACTORS,
    Model,
    averaged,
    bias,
    over_all,
    series,
    share,
    sigmoid,
    slope,
    softmax,
    weights,
)

from tinygrad_mb import nn


def recurrent_loss(p, x, y):
    h = np.zeros((len(y), 4))
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ p["U"] + h @ p["W"] + p["b"])
    return 0.5 * np.square(h @ p["v"] - y).mean()


def recurrent_hand(on, p, x, y):
    m, steps = len(y), x.shape[1]
    zs, hs = [], [np.zeros((m, 4))]
    for t in range(steps):
        zs.append(x[:, t] @ p["U"] + hs[t] @ p["W"] + p["b"])
        hs.append(np.tanh(zs[t]))
    d = (hs[-1] @ p["v"] - y) * share(on, m) * weights(on, m)
    if "6 errors" in on:
        d = averaged(d)
    g = {"v": hs[-1].T @ d, "U": 0 * p["U"], "W": 0 * p["W"], "b": 0 * p["b"]}
    dh = d[:, None] * p["v"]
    for t in reversed(range(steps)):
        dz = slope(on, "tanh", "h", zs[t], hs[t + 1], dh)
        part = {"U": x[:, t].T @ dz, "W": hs[t + 1 if "27" in on else t].T @ dz, "b": bias(on, "b", dz)}
        for name, value in part.items():
            g[name] = value if f"19 {name}" in on or "19 all" in on else g[name] + value
        dh = dz @ (p["W"] if "12 order" in on else p["W"].T)
        if "22 W" in on:
            dh = dz
        if "26 truncated" in on or ("26 three" in on and t == steps - 3):
            break
    if "12 transposed" in on:
        g["W"] = g["W"].T
    return g


def convolution_loss(p, x, y):
    z = nn.conv2d(x, p["K"], p["b"])
    h = nn.relu(z)
    pooled = h.mean(axis=(2, 3))
    return 0.5 * np.square(pooled @ p["v"] - y).mean()


def convolution_hand(on, p, x, y):
    m = len(x)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(2, 3))  # (m, c, oh, ow, 2, 2)
    z = np.einsum("mcijkl,ockl->moij", windows, p["K"]) + p["b"][:, None, None]
    h = np.maximum(z, 0)
    places = z.shape[2] * z.shape[3]
    d = (h.mean(axis=(2, 3)) @ p["v"] - y) * share(on, m)
    if "6 errors" in on:
        d = averaged(d)
    dpooled = d[:, None] * p["v"]
    dh = np.broadcast_to(dpooled[:, :, None, None], z.shape) / (1 if "22 pool" in on else places)
    if "21" in on:
        dh = np.resize(dpooled, z.shape) / places
    dz = dh if "7 h" in on else dh * (z > 0)
    db = dz.sum(axis=(2, 3))
    return {"K": np.einsum("moij,mcijkl->ockl", dz, windows), "b": bias(on, "b", db), "v": h.mean(axis=(2, 3)).T @ d}


def pooled_loss(p, x, y):
    h = np.tanh(x @ p["W"])  # (m, t, h), with as many places as units
    return 0.5 * np.square(h.sum(axis=1) @ p["v"] - y).mean()


def pooled_hand(on, p, x, y):
    h = np.tanh(x @ p["W"])
    d = (h.sum(axis=1) @ p["v"] - y) * share(on, len(y))
    ds = d[:, None] * p["v"]
    dh = ds[:, :, None] if "21 axis" in on else np.resize(ds, h.shape) if "21 tiled" in on else ds[:, None, :]
    dz = slope(on, "tanh", "h", x @ p["W"], h, np.broadcast_to(dh, h.shape))
    return {"W": np.einsum("mtd,mth->dh", x, dz), "v": h.sum(axis=1).T @ d}


def masked_loss(p, x, y, mask):
    h = np.tanh(x @ p["W"])  # (m, t, h)
    losses = 0.5 * np.square(h @ p["v"] + p["b"] - y)
    return (losses * mask).sum() / mask.sum()


def masked_hand(on, p, x, y, mask):
    z = x @ p["W"]
    h = np.tanh(z)
    count = mask.size if "3 all" in on else len(y) if "3 examples" in on else 1 if "1" in on else mask.sum()
    d = (h @ p["v"] + p["b"] - y) / count * (-1 if "5" in on else 1)
    d = d if "24 mask" in on else d * mask
    d = d * mask.sum() / mask.sum(axis=1, keepdims=True) / len(y) if "3 rows" in on else d
    dz = slope(on, "tanh", "h", z, h, d[..., None] * p["v"])
    return {"W": np.einsum("mtd,mth->dh", x, dz), "v": np.einsum("mth,mt->h", h, d), "b": d.sum()}


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
    d = (pooled @ p["w"] - y) * share(on, m)
    dh = np.repeat((d[:, None] * p["w"])[:, None, :], t, axis=1) / (1 if "22 mean" in on else t)
    da = dh @ v.swapaxes(1, 2)
    ds = a * (da - (da * a).sum(axis=2, keepdims=True))
    ds = a * (1 - a) * da if "9 diagonal" in on else da if "9 missing" in on else ds
    if on & {"9 axis", "9 sums"}:
        wrong = softmax(scores.swapaxes(1, 2).reshape(-1, t)).reshape(m, t, t).swapaxes(1, 2) if "9 axis" in on else a
        ds = wrong * (da - (da * wrong).sum(axis=1, keepdims=True))
    ds = ds if "22 scale" in on else ds / 2
    dk = (ds if "12" in on else ds.swapaxes(1, 2)) @ q
    dq, dk = (dk, ds @ k) if "12 exchanged" in on else (ds @ k, dk)
    return {"Q": over_all(x, dq), "K": over_all(x, dk), "V": over_all(x, a.swapaxes(1, 2) @ dh), "w": pooled.T @ d}


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
    d = (1 if "4" in on else 2) * (h @ p["v"] - y) * share(on, m)
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


def words_loss(p, tokens, y):
    return 0.5 * np.square(np.tanh(p["E"][tokens].mean(axis=1)) @ p["w"] - y)


def words_hand(on, p, tokens, y):
    m, t = tokens.shape
    h = np.tanh(p["E"][tokens].mean(axis=1))
    d = (h @ p["w"] - y) * share(on, m)
    da = d[:, None] * p["w"] * (1 if "7" in on else 1 - h * h)
    each = np.repeat(da[:, None, :], t, axis=1) / (1 if "22 mean" in on else t)
    dE = np.zeros(p["E"].shape)
    if "19 assigned" in on:
        dE[tokens] = each
    else:
        np.add.at(dE, tokens, each)
    return {"E": dE, "w": h.T @ d}


def _tokens(rng, m):
    mask = np.where(rng.random((m, 6)) < 0.7, 1.0, 0.0)
    mask[:, 0], mask[0, 1:4], mask[1, 1:4] = 1, 0, 1
    return rng.normal(size=(m, 6, 3)), rng.normal(size=(m, 6)), mask


SEQUENCES = [
    Model("recurrence with shared weights", recurrent_loss, {"U": (3, 4), "W": (4, 4), "b": (4,), "v": (4,)},
          lambda rng, m: (rng.normal(size=(m, 6, 3)), rng.normal(size=m)), recurrent_hand,
          (*FACTORS, "6 errors", "7 h", "8 result h", "8 argument h", "11", "12 order", "12 transposed", "19 stale",
           "19 U", "19 W", "19 b", "19 all", "26 truncated", "26 three", "23 h", "22 W", "27")),
    Model("convolution", convolution_loss, {"K": (4, 2, 2, 2), "b": (4,), "v": (4,)},
          lambda rng, m: (rng.normal(size=(m, 2, 4, 5)), rng.normal(size=m)), convolution_hand,
          ("1", "2", "5", "15 nominal", "6 errors", "7 h", "10 rows b", "10 first b", "11", "21", "22 pool")),
    Model("sum over places", pooled_loss, {"W": (3, 6), "v": (6,)},
          lambda rng, m: (rng.normal(size=(m, 6, 3)), rng.normal(size=m)), pooled_hand,
          ("1", "5", "7 h", "8 argument h", "21 axis", "21 tiled")),
    Model("masked", masked_loss, {"W": (3, 4), "v": (4,), "b": ()}, _tokens, masked_hand,
          ("1", "3 all", "3 examples", "3 rows", "5", "7 h", "8 argument h", "24 mask")),
    Model("attention", attention_loss, {"Q": (3, 4), "K": (3, 4), "V": (3, 4), "w": (4,)}, series(5), attention_hand,
     ("1", "5", "9 diagonal", "9 missing", "9 axis", "9 sums", "12", "12 exchanged", "22 mean", "22 scale")),
    Model("gated recurrence", gated_loss, {"Uz": (3, 4), "Wz": (4, 4), "Uc": (3, 4), "Wc": (4, 4), "v": (4,)},
          series(4), gated_hand, ("1", "5", "4", "5 in a gate", "7 gate", "7 candidate", "19 overwritten", "19 gate",
                                  "19 candidate", "19 skip", "22 gate")),
    Model("bag of words", words_loss, {"E": (7, 4), "w": (4,)},
     lambda rng, m: (rng.integers(0, 7, (m, 5)), rng.normal(size=m)), words_hand,
     ("1", "5", "7", "19 assigned", "22 mean")),
]  # fmt: skip
