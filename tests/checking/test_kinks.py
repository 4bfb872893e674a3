"""Derivations that take another derivative than the engine at a corner, or where several entries are the largest."""

import numpy as np
import pytest

import tinygrad_mb as tg

X = np.random.default_rng(2).normal(size=(5, 3))
TIED = {"w": np.array([[1.0, 1.0, 0.5], [0.2, 0.0, 0.3], [0.7, 0.1, 0.7]])}
ZERO = {"w": np.array([[1.0, -1.0, 0.5], [0.2, 0.0, -0.3], [0.7, 0.0, 0.7]])}


def loss_of(f):
    return lambda p, x: np.square(x * f(p["w"]).sum(axis=0)).mean()


def hand_of(f, back):
    """The derivation in which ``back(w, g)`` leads from the cotangent of f(w) to that of w."""

    def hand(p, x):
        y = f(p["w"])
        g = 2 * (x * x).sum(axis=0) * y.sum(axis=0) / x.size
        return {"w": back(p["w"], np.broadcast_to(g, y.shape))}

    return hand


def largest(w):
    return np.stack([w.max(axis=1)] * 3, axis=1)


def to_one(step):
    def back(w, g):
        out, total = np.zeros(w.shape), g.sum(axis=1)
        picks = w.argmax(axis=1) if step > 0 else 2 - w[:, ::-1].argmax(axis=1)
        out[np.arange(3), picks] = total
        return out

    return back


def to_all(w, g):
    return (w == w.max(axis=1, keepdims=True)) * g.sum(axis=1, keepdims=True)


def leaky(w):
    return np.where(w > 0, w, 0.1 * w)


def in_order(step):
    def back(w, g):
        out = np.zeros(w.shape)
        order = np.argsort(w, axis=1, kind="stable") if step > 0 else 2 - np.argsort(w[:, ::-1], axis=1, kind="stable")
        np.put_along_axis(out, order, g, axis=1)
        return out

    return back


def clipped(w):
    return np.clip(w, 0.0, 0.7)


@pytest.mark.parametrize(
    ("f", "back", "params"),
    [
        (largest, to_one(1), TIED),
        (largest, to_one(-1), TIED),
        (leaky, lambda w, g: g * np.where(w > 0, 1, 0.1), ZERO),
        (leaky, lambda w, g: g * np.where(w >= 0, 1, 0.1), ZERO),
        (clipped, lambda w, g: g * ((w >= 0) & (w <= 0.7)), ZERO),
        (clipped, lambda w, g: g * ((w > 0) & (w < 0.7)), ZERO),
        (lambda w: np.sort(w, axis=1), in_order(1), TIED),
        (lambda w: np.sort(w, axis=1), in_order(-1), TIED),
    ],
)
def test_any_derivative_at_a_corner_is_right(f, back, params):
    report = tg.check_derivation(loss_of(f), params, hand_of(f, back), X)
    assert report.ok, report
    assert report.diagnoses == []


@pytest.mark.parametrize(
    ("f", "back", "params"),
    [
        (largest, to_all, TIED),
        (leaky, lambda w, g: g * np.where(w == 0, 2, np.where(w > 0, 1, 0.1)), ZERO),
        (leaky, lambda w, g: g, ZERO),
        (lambda w: np.sort(w, axis=1), lambda w, g: g, TIED),
    ],
)
def test_what_is_no_derivative_at_a_corner_is_wrong(f, back, params):
    assert not tg.check_derivation(loss_of(f), params, hand_of(f, back), X).ok


def test_where_there_is_no_derivative_nothing_is_compared():
    with pytest.raises(ValueError, match=r"the gradient by w is inf at w\[1, 1\].*sqrt"):
        tg.check_derivation(loss_of(np.sqrt), {"w": abs(ZERO["w"])}, hand_of(np.sqrt, lambda w, g: g * 0), X)


def test_the_corner_is_told():
    report = tg.check_derivation(loss_of(largest), TIED, hand_of(largest, to_one(-1)), X)
    assert "There is a kink at 2 of 3 arguments" in str(report)
    assert "yours goes to the last, and the engine takes another. That is no mistake." in str(report)


@pytest.mark.parametrize("cut", [lambda z: np.maximum(z, 0), lambda z: np.maximum(0, z)])
def test_the_slope_told_is_that_of_the_argument_that_varies(cut):
    x, y = np.where(np.arange(5)[:, None] < 2, [0.0, 1.0, 1.0], X), np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    report = tg.check_derivation(
        lambda w, x, y: cut(-y * (x @ w)).mean(), np.array([1.0, 0.0, 0.0]),
        lambda w, x, y: -(x.T @ (y * (y * (x @ w) <= 0))) / len(x), x, y,
    )  # fmt: skip
    assert report.ok
    assert "There is a kink at 2 of 5 arguments" in str(report)
    assert "yours is 1, and the engine takes another" in str(report)


def test_where_nothing_but_a_kink_is_seen_nothing_is_called_wrong():
    y = np.array([1.0, -1.0, 1.0, -1.0, 1.0])
    report = tg.check_derivation(lambda w, x, y: np.maximum(0, -y * (x @ w)).mean(), np.zeros(3), -X.T @ y / 5, X, y)
    assert not report.ok
    assert report.first is None
    assert report.headline == "Whether params is right cannot be told at a kink."
    assert "yours is 1, and the engine takes another. But every argument of" in str(report)
    assert "wrong" not in str(report)
    assert "catalogue" not in str(report)
