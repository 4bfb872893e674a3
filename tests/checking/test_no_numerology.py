"""Numbers that look like something: no mistake of the catalogue is named for them."""

import numpy as np
import pytest

import tinygrad_mb as tg

RNG = np.random.default_rng(11)
PARAMS = {
    "W1": RNG.normal(size=(4, 3)),
    "b1": RNG.normal(size=3),
    "W2": RNG.normal(size=(3, 2)),
    "b2": RNG.normal(size=2),
}
X, Y = RNG.normal(size=(7, 4)), RNG.normal(size=(7, 2))


def loss(p, x, y):
    h = np.tanh(x @ p["W1"] + p["b1"])
    return np.square(h @ p["W2"] + p["b2"] - y).sum(axis=1).mean()


def hand(p, x, y):
    h = np.tanh(x @ p["W1"] + p["b1"])
    d = 2 * (h @ p["W2"] + p["b2"] - y) / len(x)
    dz = d @ p["W2"].T * (1 - h * h)
    return {"W1": x.T @ dz, "b1": dz.sum(axis=0), "W2": h.T @ d, "b2": d.sum(axis=0)}


def check(as_function=True, **by):
    def wrong(p, x, y):
        found = hand(p, x, y)
        return {name: by.get(name, lambda g: g)(g) for name, g in found.items()}

    return tg.check_derivation(loss, PARAMS, wrong if as_function else wrong(PARAMS, X, Y), X, Y)


def numbers(report):
    return {d.number for d in report.diagnoses} - {0}


def one_entry(g):
    g = g.copy()
    g[1] *= 1.5
    return g


def zeroed(g):
    return g * (np.arange(g.shape[-1]) != 1)


CONTROLS = {
    "3 W1": {"W1": lambda g: 3 * g},
    "b2 / 3": {"b2": lambda g: g / 3},
    "W1 * 2 / 3": {"W1": lambda g: g * 2 / 3},
    "one entry": {"b1": one_entry},
    "a zeroed column": {"W1": zeroed},
    "clipped": {"W2": lambda g: np.clip(g, -0.3 * abs(g).max(), 0.3 * abs(g).max())},
}


@pytest.mark.parametrize("as_function", [True, False])
@pytest.mark.parametrize("by", CONTROLS.values(), ids=CONTROLS)
def test_a_number_that_nothing_explains_is_unknown(by, as_function):
    report = check(as_function, **by)
    assert not report.ok
    assert numbers(report) == set()


def test_the_factor_is_named_and_its_coincidence_called_chance():
    text = str(check(W1=lambda g: 3 * g))
    assert "W1 is exactly 3 x the true gradient" in text
    assert "no factor that was looked at explains the number 3 (3 is the length of axis 1 of " in text
    assert "which may be chance" in text


def test_a_constant_of_the_loss_that_is_the_factor_is_pointed_at():
    def scaled(w, x, y):
        return np.mean((x @ w / 0.8 - y) ** 2)

    def twice(w, x, y):
        return 2 * x.T @ (x @ w / 0.8 - y) / 0.8 / 0.8 / len(x)

    report = tg.check_derivation(scaled, PARAMS["W1"][:, 0], twice, X, Y[:, 0])
    assert numbers(report) == set()
    assert "explains the number 1.25 (the loss divides by 0.8 at " in str(report)
    assert "is that taken once more, or left out?" in str(report)

    def masked(w, x, y, keep):
        return np.mean(((x * (keep / 0.8)) @ w - y) ** 2)

    def twice_masked(w, x, y, keep):
        z = x * (keep / 0.8)
        return 2 * (z / 0.8).T @ (z @ w - y) / len(x)

    keep = (RNG.random(X.shape) < 0.8) * 1.0
    report = tg.check_derivation(masked, PARAMS["W1"][:, 0], twice_masked, X, Y[:, 0], keep)
    assert numbers(report) == set()
    assert "nothing in the loss" not in str(report)


@pytest.mark.parametrize("error", [1e-5, 1e-6, 2e-7])
@pytest.mark.parametrize("as_function", [True, False])
def test_a_factor_that_is_nearly_one_is_no_factor(error, as_function):
    report = check(as_function, **dict.fromkeys(PARAMS, lambda g: g * (1 + error)))
    assert not report.ok
    assert numbers(report) == set()
    assert "exactly" not in str(report)
    assert f"true to a relative error of {error:.2g}, where 1e-07 is the tolerance" in str(report)


def test_one_wrong_sign_is_not_that_of_the_error():
    report = check(W1=lambda g: -g)
    assert numbers(report) == {5}
    assert "the sign is wrong." in str(report)
    assert "y - f" not in str(report)
    assert "(y - f for f - y)" in str(check(**dict.fromkeys(PARAMS, np.negative)))


def test_what_is_explained_is_said_where_the_rest_is_not():
    report = check(b2=lambda g: 7 * g, W2=lambda g: 7 * g, b1=one_entry, W1=lambda g: g**3)
    report_of_three = check(b2=lambda g: 2 * g, W2=lambda g: 2 * g, b1=one_entry, W1=lambda g: g**3)
    assert numbers(report) == set()  # 7 is the number of examples of one batch alone
    assert numbers(report_of_three) == {4}
    assert "This explains b2 and W2, and stops at b1" in str(report_of_three)
    assert "Nothing in the catalogue of mistakes explains b1 and W1" in str(report_of_three)


# ------------------------------------------------------------------------------------------------------ corners


def rectified(p, x, y):
    return np.square(np.maximum(x @ p["W"], 0) @ p["v"] - y).mean()


def rectified_hand(at_zero):
    def derivation(p, x, y):
        z = x @ p["W"]
        h = np.maximum(z, 0)
        d = 2 * (h @ p["v"] - y) / len(x)
        return {"W": x.T @ (d[:, None] * p["v"] * np.where(z == 0, at_zero, z > 0)), "v": h.T @ d}

    return derivation


def test_where_all_is_at_a_kink_the_batch_cannot_tell():
    params = {"W": np.zeros((4, 3)), "v": PARAMS["b1"]}
    hand = rectified_hand(1.0)
    report = tg.check_derivation(rectified, params, hand(params, X, Y[:, 0]), X, Y[:, 0])
    assert not report.ok
    assert "this batch cannot tell that slope from a derivative that is forgotten" in str(report)
    assert "no mistake" not in str(report)
    elsewhere = tg.check_derivation(rectified, params, hand, X, Y[:, 0])  # a function can be asked at other parameters
    assert elsewhere.ok, elsewhere


def test_a_slope_that_is_not_between_those_of_the_two_sides_is_a_mistake():
    params = {"W": PARAMS["W1"] * (np.arange(3) != 1), "v": PARAMS["b1"]}
    assert not tg.check_derivation(rectified, params, rectified_hand(-1.0), X, Y[:, 0]).ok
    for slope in (0.0, 0.5, 1.0):
        assert tg.check_derivation(rectified, params, rectified_hand(slope), X, Y[:, 0]).ok


# --------------------------------------------------------------------------------------------------------- zeros


def test_a_gradient_of_zeros_is_told_as_that_and_by_no_chance():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, y, w = rng.normal(size=(5, 2)), rng.normal(size=5), rng.normal(size=2)
        report = tg.check_derivation(
            lambda w, x, y: np.mean((np.maximum(0, x @ w) - y) ** 2), w, lambda w, x, y: np.zeros(2), x, y
        )
        if not report.ok:  # with luck the true one is 0 as well
            assert [d.number for d in report.diagnoses] == [0], report
            assert "params is 0 in all entries, and the true gradient is not: was it filled in?" in str(report)


def test_zeros_beside_another_mistake():
    zeros = check(W1=np.zeros_like, b1=np.zeros_like, W2=lambda g: 2 * g, b2=lambda g: 2 * g)
    assert "b1 and W1 are 0 in all entries" in str(zeros)
    assert "b2 and W2 are each exactly 2 x the true gradient" in str(zeros)


# ------------------------------------------------------------------------------------------- of what it is a multiple


def regularised(w, x, y):
    return np.mean((x @ w - y) ** 2) + 0.1 * w @ w


@pytest.mark.parametrize(
    ("times", "says"),
    [(lambda m: -1, "the negative of"), (lambda m: m, "7 x"), (lambda m: 2, "2 x"), (lambda m: 0.5, "1/2 of")],
)
def test_a_factor_of_the_data_alone_is_not_said_of_the_whole_gradient(times, says):
    def wrong(w, x, y):
        return times(len(x)) * 2 * x.T @ (x @ w - y) / len(x) + 0.2 * w

    text = str(tg.check_derivation(regularised, np.array([1.0, -0.5, 0.3, 2.0]), wrong, X, Y[:, 0]))
    assert f"The part of the data in params is exactly {says} the true one" in text
    assert "the true gradient" not in text


def test_a_factor_besides_another_mistake_is_not_said_of_the_true_gradient():
    def tied(p, x, y):
        return np.square(np.tanh(x @ p["W"]) @ p["W"].T - x).sum(axis=1).mean()

    def wrong(p, x, y):  # only the use in the decoder, and the 2 of the square twice
        h = np.tanh(x @ p["W"])
        return {"W": 2 * (2 * (h @ p["W"].T - x) / len(x)).T @ h}

    report = tg.check_derivation(tied, {"W": PARAMS["W1"]}, wrong, X, Y[:, 0])
    assert numbers(report) == {4, 19}
    assert "W has besides the factor 2: " in str(report)
    assert "the true gradient" not in str(report)


def test_a_strength_of_the_regulariser_besides_a_factor():
    def wrong(w, x, y):
        return 2 * x.T @ (x @ w - y) + 0.4 * w

    report = tg.check_derivation(regularised, np.array([1.0, -0.5, 0.3, 2.0]), wrong, X, Y[:, 0])
    assert numbers(report) == {1, 13}
    assert "In params, the regulariser counts twice." in str(report)
    assert "The part of the data in params is exactly 7 x the true one" in str(report)


def test_the_scale_of_weights_is_not_only_that_of_a_mask():
    t = (RNG.random(7) < 0.5) * 1.0

    def weighted(w, x, t):
        z = x @ w
        return np.mean(np.logaddexp(0, z) - 3 * t * z)

    def forgotten(w, x, t):
        return x.T @ (1 / (1 + np.exp(-x @ w)) - t) / len(x)

    report = tg.check_derivation(weighted, PARAMS["W1"][:, 0], forgotten, X, t)
    assert numbers(report) == {22}
    assert "The scale 3 of an array of 0 and 3, a mask or weights, is left out" in str(report)


def test_the_cosine_of_single_numbers_is_not_told():
    def line(b, x):
        return np.mean((x[:, 0] + b) ** 2)

    report = tg.check_derivation(line, np.array(0.5), lambda b, x: np.mean(2 * (x[:, 0] + b)) + 0.1, X)
    assert "explains params." in str(report)
    assert "cosine" not in str(report)
