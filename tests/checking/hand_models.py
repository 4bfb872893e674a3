"""Models with their derivations by hand in plain NumPy, and every mistake that a person can make in them.

A derivation is told which mistakes to make: ``on`` holds their names, which begin with the number in the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from checking.more_hand_models import MORE

from tinygrad_mb import nn

NOMINAL, CHUNK = 16, 3  # the size of a full batch, and of micro-batches, that wrong derivations divide by


class Model(NamedTuple):
    """``mistakes`` are those that ``hand(on, params, *batch)`` knows; ``batch(rng, m)`` makes one of m examples."""

    name: str
    loss: Callable[..., Any]
    params: dict[str, tuple[int, ...]]
    batch: Callable[[np.random.Generator, int], tuple[Any, ...]]
    hand: Callable[..., dict[str, Any]]
    mistakes: tuple[str, ...]

    def values(self, rng: np.random.Generator) -> dict[str, Any]:
        return {name: np.array(rng.normal(0, 0.7, shape)) for name, shape in self.params.items()}

    def derivation(self, *on: str) -> Callable[..., dict[str, Any]]:
        if "19 stale" not in on:
            return lambda params, *batch: self.hand(frozenset(on), params, *batch)
        kept: dict[str, Any] = {}

        def adding(params: Any, *batch: Any) -> dict[str, Any]:
            for name, g in self.hand(frozenset(on), params, *batch).items():
                kept[name] = kept.get(name, 0) + g
            return dict(kept)

        return adding


def share(on: frozenset[str], m: int, k: int = 1) -> float:
    """What each example's error counts in a mean, and in the wrong ones."""
    s = 1 / m
    s = 1.0 if "1" in on else s
    s = 1 / m**2 if "2" in on else s
    s = s / k if "3 elements" in on else s
    s = s * 2 if "4 doubled" in on else s
    s = s / 2 if "4 halved" in on else s
    s = -s if "5" in on else s
    s = 1 / NOMINAL if "15 nominal" in on else s
    return s / (CHUNK * -(-m // CHUNK)) * m if "15 last" in on else s


def weights(on: frozenset[str], m: int) -> Any:
    """What each example counts besides, if the means of micro-batches are averaged."""
    w = np.ones(m)
    if "14" in on:
        chunks = [range(i, min(i + CHUNK, m)) for i in range(0, m, CHUNK)]
        for chunk in chunks:
            w[list(chunk)] = m / (len(chunks) * len(chunk))
    return w


FACTORS = ("1", "2", "5", "15 nominal", "15 last", "14")


def bias(on: frozenset[str], name: str, d: Any) -> Any:
    """The gradient of a bias, from the error terms (m, ...) that are added up in it."""
    out = d.sum(axis=0)
    if "11" in on:
        out = out / len(d)
    if f"10 rows {name}" in on:
        return d
    if f"10 first {name}" in on:
        return d[0]
    return out


def averaged(x: Any) -> Any:
    return np.broadcast_to(x.mean(axis=0), x.shape)


# ------------------------------------------------------------------------------------------------ linear models


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
    f = 1 / (1 + np.exp(-(x @ p["w"] + p["b"])))
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


# ------------------------------------------------------------------------------------------------------ networks

ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    # the function, and its derivative as a formula in its result
    "relu": (lambda z: np.maximum(z, 0), lambda h: (h > 0) * 1.0),
    "tanh": (np.tanh, lambda h: 1 - h * h),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda h: h * (1 - h)),
}


def slope(on: frozenset[str], act: str, name: str, z: Any, h: Any, dh: Any) -> Any:
    """The error terms before an activation, from those after it."""
    f, formula = ACTIVATIONS[act]
    if f"7 {name}" in on or "7 all" in on:
        return dh
    if f"8 result {name}" in on:
        return dh * formula(f(h))
    if f"8 argument {name}" in on:
        return dh * formula(z)
    if f"8 error {name}" in on:
        return dh * formula(dh)
    if "6 slopes" in on:
        return dh * averaged(formula(h))
    return dh * formula(h)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


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
         "10 first b1", "10 first b3", "11", "12 order", "12 transposed", "12 shape", "18", "22 W2", "5 in W2"),
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
        part = {"U": x[:, t].T @ dz, "W": hs[t].T @ dz, "b": bias(on, "b", dz)}
        for name, value in part.items():
            g[name] = value if f"19 {name}" in on or "19 all" in on else g[name] + value
        dh = dz @ (p["W"] if "12 order" in on else p["W"].T)
        if "22 W" in on:
            dh = dz
        if "19 truncated" in on:
            break
    if "12 transposed" in on:
        g["W"] = g["W"].T
    return g


# ------------------------------------------------------------------------------------------------- normalisation


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
        return {"W": x.T @ dz, "gain": bias(on, "gain", da * hat), "bias": bias(on, "bias", da), "v": h.T @ d}

    return loss, hand


# --------------------------------------------------------------------------------------------------- the others


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


def masked_loss(p, x, y, mask):
    h = np.tanh(x @ p["W"])  # (m, t, h)
    losses = 0.5 * np.square(h @ p["v"] + p["b"] - y)
    return (losses * mask).sum() / mask.sum()


def masked_hand(on, p, x, y, mask):
    z = x @ p["W"]
    h = np.tanh(z)
    count = mask.size if "3 all" in on else len(y) if "3 examples" in on else 1 if "1" in on else mask.sum()
    d = (h @ p["v"] + p["b"] - y) / count * (-1 if "5" in on else 1)
    d = d if "22 mask" in on else d * mask
    dz = slope(on, "tanh", "h", z, h, d[..., None] * p["v"])
    return {"W": np.einsum("mtd,mth->dh", x, dz), "v": np.einsum("mth,mt->h", h, d), "b": d.sum()}


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


def _vectors(rng, m):
    return rng.normal(size=(m, 3)), rng.normal(size=m)


def _pairs(k):
    return lambda rng, m: (rng.normal(size=(m, 3)), rng.normal(size=(m, k)))


def _binary(rng, m):
    return rng.normal(size=(m, 3)), rng.permutation(np.arange(m) % 2.0)  # both classes


def _tokens(rng, m):
    mask = np.where(rng.random((m, 6)) < 0.7, 1.0, 0.0)
    mask[:, 0] = 1
    return rng.normal(size=(m, 6, 3)), rng.normal(size=(m, 6)), mask


_hidden = {"W1": (3, 4), "b1": (4,), "W2": (4, 2), "b2": (2,)}
_norm = {"W": (3, 4), "gain": (4,), "bias": (4,), "v": (4,)}
_norm_mistakes = ("1", "2", "5", "15 nominal", "6 errors", "7 h", "8 result h", "8 argument h", "10 rows bias",
                  "10 first bias", "17 mean", "17 variance", "17 both", "22 gain", "22 deviation")  # fmt: skip

MODELS = [
    Model("linear regression", linear_loss, {"w": (3,), "b": ()}, _vectors, linear_hand,
          (*FACTORS, "4 doubled", "10 rows b", "10 first b", "11", "19 stale", "20", "6 errors", "6 inputs",
           "22 cost")),
    Model("regression with several outputs", several_loss, {"W": (3, 3), "b": (3,)}, _pairs(3), several_hand,
          (*FACTORS, "3 elements", "4 halved", "12 transposed", "10 rows b", "10 first b", "11")),
    Model("mean over examples and outputs", elements_loss, {"W": (3, 4), "b": (4,)}, _pairs(4), elements_hand,
          ("1", "2", "3 examples", "5", "10 rows b", "11")),
    Model("logistic regression", logistic_loss, {"w": (3,), "b": ()}, _binary, logistic_hand,
          (*FACTORS, "6 errors", "7 output", "9 once more", "10 rows b", "10 first b", "11", "20")),
    Model("logistic regression, written out", written_out_loss, {"w": (3,), "b": ()}, _binary, logistic_hand,
          ("1", "2", "5", "6 errors", "7 output", "9 once more", "10 first b", "11", "20")),
    Model("logistic regression, summed", summed_loss, {"w": (3,), "b": ()}, _binary, summed_hand,
          ("2", "5", "16", "7 output", "9 once more", "10 first b", "11")),
    network("relu"), network("tanh"), network("sigmoid"),
    Model("sigmoid outputs, squared error", outputs_loss, _hidden, _pairs(2), outputs_hand,
          (*FACTORS, "4 doubled", "6 errors", "7 f", "7 h", "7 all", "8 result f", "8 argument f", "8 argument h",
           "10 rows b2", "11", "22 cost")),
    Model("recurrence with shared weights", recurrent_loss, {"U": (3, 4), "W": (4, 4), "b": (4,), "v": (4,)},
          lambda rng, m: (rng.normal(size=(m, 6, 3)), rng.normal(size=m)), recurrent_hand,
          (*FACTORS, "6 errors", "7 h", "8 result h", "8 argument h", "11", "12 order", "12 transposed", "19 stale",
           "19 U", "19 W", "19 b", "19 all", "19 truncated", "22 W")),
    Model("layer norm", *normalised(1)[:1], _norm, _vectors, normalised(1)[1], _norm_mistakes),
    Model("batch norm", *normalised(0)[:1], _norm, _vectors, normalised(0)[1], _norm_mistakes),
    Model("convolution", convolution_loss, {"K": (4, 2, 2, 2), "b": (4,), "v": (4,)},
          lambda rng, m: (rng.normal(size=(m, 2, 4, 5)), rng.normal(size=m)), convolution_hand,
          ("1", "2", "5", "15 nominal", "6 errors", "7 h", "10 rows b", "10 first b", "11", "21", "22 pool")),
    Model("sum over places", pooled_loss, {"W": (3, 6), "v": (6,)},
          lambda rng, m: (rng.normal(size=(m, 6, 3)), rng.normal(size=m)), pooled_hand,
          ("1", "5", "7 h", "8 argument h", "21 axis", "21 tiled")),
    Model("regularised", regularised_loss, _hidden, _pairs(2), regularised_hand,
          (*FACTORS, "6 errors", "7 h", "8 argument h", "10 first b1", "11", "13 forgotten", "13 forgotten W2",
           "13 doubled", "13 divided", "13 bias", "18")),
    Model("one hidden layer", hidden_loss, _hidden, _pairs(2), hidden_hand,
          (*FACTORS, "4 doubled", "6 errors", "7 h", "8 argument h", "11", "13 where none is", "18", "19 stale")),
    Model("masked", masked_loss, {"W": (3, 4), "v": (4,), "b": ()}, _tokens, masked_hand,
          ("1", "3 all", "3 examples", "5", "7 h", "8 argument h", "22 mask")),
    Model("residual connection", residual_loss, {"W1": (3, 4), "W2": (4, 4), "v": (4,)}, _vectors, residual_hand,
          ("1", "5", "7 h", "12 order", "19 skip", "19 branch")),
]  # fmt: skip

MODELS += [Model(*model) for model in MORE]

# Two mistakes at once: a missing factor, and something else that is wrong.
MIXTURES = {
    "one hidden layer": (("1", "7 h"), ("5", "8 argument h"), ("4 doubled", "18"), ("1", "5")),
    "softmax, two hidden layers of tanh": (
        ("1", "7 h1"), ("5", "12 transposed"), ("1", "10 first b1"), ("1", "10 rows b2"), ("7 h1", "8 argument h2"),
        ("9 once more", "7 h1"), ("2", "12 shape"), ("2", "6 products"), ("7 h2", "12 order")),
    "recurrence with shared weights": (("1", "19 all"), ("7 h", "12 order"), ("5", "19 W")),
    "regularised": (("1", "13 forgotten"), ("7 h", "13 forgotten"), ("5", "13 bias"), ("1", "13 doubled")),
    "batch norm": (("1", "17 both"), ("5", "17 mean"), ("17 variance", "7 h")),
    "masked": (("1", "7 h"), ("22 mask", "5")),
    "gated recurrence": (("1", "7 gate"), ("5", "19 overwritten")),
    "attention": (("1", "22 scale"), ("5", "9 diagonal")),
    "elastic net": (("5", "13 bias"), ("1", "13 first")),
}  # fmt: skip
