"""Models with masks, and with labels at every step, with their derivations by hand."""

from __future__ import annotations

import numpy as np
from checking.making import Model, bias, over_all, share, slope

KEEP = 0.8


def dropout_loss(p, x, y, kept):
    z = x @ p["W1"] + p["b1"]
    h = np.where(z > 0, z, 0.1 * z) * (kept / KEEP)
    return np.square(h @ p["W2"] + p["b2"] - y).sum(axis=1).mean()


def dropout_hand(on, p, x, y, kept):
    z = x @ p["W1"] + p["b1"]
    a = np.where(z > 0, z, 0.1 * z)
    h = a * kept / KEEP
    d = 2 * (h @ p["W2"] + p["b2"] - y) * share(on, len(y))
    dh = d @ p["W2"].T
    mask = 1 if "24 mask" in on else 1 / KEEP if "24 zeros" in on else kept if "22 scale" in on else kept / KEEP
    da = dh * mask
    dz = da if "7" in on else da * (z > 0) if "23" in on else da * np.where(z > 0, 1, 0.1)
    h = z if "25" in on else h
    return {"W1": x.T @ dz, "b1": bias(on, "b1", dz), "W2": h.T @ d, "b2": bias(on, "b2", d)}


def dropout_batch(rng, m):
    kept = (rng.random((m, 6)) < KEEP) * 1.0
    kept[0, 1] = kept[m - 1, 3] = 0
    return rng.normal(size=(m, 3)), rng.normal(size=(m, 2)), kept


def labels_loss(p, x, y):
    h, losses = np.zeros((len(y), 4)), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ p["U"] + h @ p["W"] + p["b"])
        losses.append(np.square(h @ p["v"] - y[:, t]))
    return np.stack(losses).sum(axis=0).mean()


def labels_hand(on, p, x, y):
    m, steps = y.shape
    zs, hs = [], [np.zeros((m, 4))]
    for t in range(steps):
        zs.append(x[:, t] @ p["U"] + hs[t] @ p["W"] + p["b"])
        hs.append(np.tanh(zs[t]))
    g = {name: 0 * value for name, value in p.items()}
    after = np.zeros((m, 4))
    for t in reversed(range(steps)):
        d = 2 * (hs[t + 1] @ p["v"] - y[:, t]) * share(on, m)
        dz = slope(on, "tanh", "h", zs[t], hs[t + 1], d[:, None] * p["v"] + after)
        g["v"] += hs[t + 1].T @ d
        g["U"] += x[:, t].T @ dz
        g["W"] += (zs[t - 1] if "25" in on and t else hs[t]).T @ dz
        g["b"] += dz.sum(axis=0)
        after = 0 * after if "26 each" in on else dz @ p["W"].T
    return g


def padded_loss(p, x, y, kept):
    h = np.tanh(x @ p["W"])
    pooled = np.where(kept[:, :, None] > 0, h, 0).sum(axis=1) / kept.sum(axis=1, keepdims=True)
    return 0.5 * np.square(pooled @ p["v"] - y).mean()


def padded_hand(on, p, x, y, kept):
    h = np.tanh(x @ p["W"])
    counts = kept.sum(axis=1, keepdims=True)
    pooled = (h * kept[:, :, None]).sum(axis=1) / counts
    d = (pooled @ p["v"] - y) * share(on, len(y))
    divided = kept.shape[1] if "3 length" in on else counts.mean() if "3 mean" in on else counts
    dpooled = d[:, None] * p["v"] / divided
    dh = np.repeat(dpooled[:, None, :], kept.shape[1], axis=1) * (1 if "24" in on else kept[:, :, None])
    return {"W": over_all(x, slope(on, "tanh", "h", x @ p["W"], h, dh)), "v": pooled.T @ d}


def padded_batch(rng, m):
    lengths = 2 + np.arange(m) % 5
    return rng.normal(size=(m, 7, 3)), rng.normal(size=m), 1.0 * (np.arange(7) < lengths[:, None])


MASKED = [
    Model("dropout and leaky relu", dropout_loss, {"W1": (3, 6), "b1": (6,), "W2": (6, 2), "b2": (2,)}, dropout_batch,
          dropout_hand, ("1", "5", "7", "11", "22 scale", "23", "24 mask", "24 zeros", "25")),
    Model("labels at every step", labels_loss, {"U": (3, 4), "W": (4, 4), "b": (4,), "v": (4,)},
          lambda rng, m: (rng.normal(size=(m, 5, 3)), rng.normal(size=(m, 5))), labels_hand,
          ("1", "5", "7 h", "8 argument h", "23 h", "26 each")),
    Model("padded series", padded_loss, {"W": (3, 4), "v": (4,)}, padded_batch, padded_hand,
          ("1", "5", "3 length", "3 mean", "7 h", "23 h", "24")),
]  # fmt: skip
