"""What models with their derivations by hand have in common, and the mistakes that are made in all of them.

A derivation is told which mistakes to make: ``on`` holds their names, which begin with the number in the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

NOMINAL, CHUNK = 16, 3  # the size of a full batch, and of micro-batches, that wrong derivations divide by
FACTORS = ("1", "2", "5", "15 nominal", "15 last", "14")


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


def over_all(x: Any, d: Any) -> Any:
    """The gradient of weights that are used at every place: x (m, t, d), error terms (m, t, h)."""
    return np.einsum("mtd,mth->dh", x, d)


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    # the function, and its derivative as a formula in its result
    "relu": (lambda z: np.maximum(z, 0), lambda h: (h > 0) * 1.0),
    "tanh": (np.tanh, lambda h: 1 - h * h),
    "sigmoid": (sigmoid, lambda h: h * (1 - h)),
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
    if f"23 {name}" in on:
        return dh * ACTIVATIONS["sigmoid" if act == "tanh" else "tanh"][1](h)
    if "6 slopes" in on:
        return dh * averaged(formula(h))
    return dh * formula(h)


def vectors(rng: np.random.Generator, m: int) -> tuple[Any, Any]:
    return rng.normal(size=(m, 3)), rng.normal(size=m)


def pairs(k):
    return lambda rng, m: (rng.normal(size=(m, 3)), rng.normal(size=(m, k)))


def series(t):
    return lambda rng, m: (rng.normal(size=(m, t, 3)), rng.normal(size=m))
