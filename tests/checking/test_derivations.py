"""Hand derivations, checked: right ones pass, wrong ones get their own diagnosis and no other."""

import re

import numpy as np
import pytest
from checking.confusion import PAGE, SIZES, derivations, outcomes, unknown
from checking.hand_models import MODELS

import tinygrad_mb as tg
from tinygrad_mb import nn

RNG = np.random.default_rng(3)
PARAMS = {
    "W1": RNG.normal(size=(3, 4)),
    "b1": RNG.normal(size=4),
    "W2": RNG.normal(size=(4, 2)),
    "b2": RNG.normal(size=2),
}
X, Y = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))


def loss(p, x, y):
    z1 = (x @ p["W1"] + p["b1"]).named("z1")
    h = nn.relu(z1).named("h")
    z2 = (h @ p["W2"] + p["b2"]).named("z2")
    return 0.5 * np.square(z2 - y).sum(axis=1).mean()


def hand(p, x, y):
    m = len(x)
    z1 = x @ p["W1"] + p["b1"]
    h = np.maximum(z1, 0)
    dz2 = (h @ p["W2"] + p["b2"] - y) / m
    dh = dz2 @ p["W2"].T
    dz1 = dh * (z1 > 0)
    parameters = {"W1": x.T @ dz1, "b1": dz1.sum(axis=0), "W2": h.T @ dz2, "b2": dz2.sum(axis=0)}
    return {**parameters, "dz2": dz2, "delta_h": dh, "d_z1": dz1}


def changed(**by):
    """The right derivation with some results replaced by what a function makes of all of them."""

    def other(p, x, y):
        found = hand(p, x, y)
        return {**found, **{name: make(found) for name, make in by.items()}}

    return other


def check(derivation, x=X, y=Y, params=PARAMS, **options):
    return tg.check_derivation(loss, params, derivation, x, y, **options)


def numbers(report):
    return {d.number for d in report.diagnoses}


# ------------------------------------------------------------------------------------------------- the catalogue


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_each_mistake_gets_its_own_diagnosis_and_no_other(model):
    missed = [o for o in outcomes(model, 8) if not o.exact]
    assert missed == []


@pytest.mark.parametrize("model", MODELS[::4], ids=lambda model: model.name)
def test_a_mistake_that_is_in_no_catalogue_is_called_unknown(model):
    assert [o for o in unknown(model, 5) if o.given or o.accepted] == []


def test_the_page_is_about_these_models():
    text = PAGE.read_text()
    for model in MODELS:
        n = len(SIZES) * (len(list(derivations(model))) - 1)
        assert f"| {model.name} | {n} | {n} |" in text


def test_the_page_claims_what_was_asked_for():
    text = PAGE.read_text()
    assert float(re.search(r"\(([\d.]+) %\)", text)[1]) >= 95
    assert re.search(r"\*\*0 of \d+\*\* right derivations are accused", text)
    assert re.search(r"\*\*0 of \d+\*\* wrong ones are accepted", text)
    assert re.search(r"\*\*0 of \d+\*\* derivations with a mistake that is in no\n  catalogue", text)


# ---------------------------------------------------------------------------------------------------- what it says


def test_a_right_derivation_has_a_report_of_one_line():
    report = check(hand)
    assert report.ok
    assert report.diagnoses == []
    assert str(report).startswith("All 7 gradients of the loss are right: the largest relative error is ")
    assert "\n" not in str(report)
    report.assert_ok()


def test_a_missing_mean_is_said_with_its_evidence():
    report = check(lambda p, x, y: {n: len(x) * g for n, g in hand(p, x, y).items() if n in PARAMS})
    assert numbers(report) == {1}
    assert (
        "b2, W2, b1 and W1 are each exactly 5 x the true gradient and the batch has 5 examples (7 with 7): the 1/m of "
        "the mean is missing." in str(report).replace(" x with", " with")
    )
    with pytest.raises(AssertionError, match="1/m of the mean is missing"):
        report.assert_ok()


def test_arrays_alone_leave_several_meanings():
    given = {name: 2 * g for name, g in hand(PARAMS, X[:2], Y[:2]).items() if name in PARAMS}
    report = check(given, X[:2], Y[:2])
    assert "the 1/m of the mean is missing" in str(report)
    assert "there is a 2 too many" in str(report)
    assert "pass hand as a function, and other batch sizes can tell" in str(report)


def test_one_error_in_the_catalogue_is_not_taken_for_another_by_chance():
    wrong = changed(W1=lambda g: g["W1"] ** 3)
    report = check(wrong)
    assert not report.ok
    assert report.diagnoses == []
    assert "Nothing in the catalogue of mistakes explains W1" in str(report)
    assert "leaves the truth at W1, after dz2, b2, delta_h, W2, d_z1 and b1, which are right" in str(report)


@pytest.mark.parametrize("seed", range(20))
def test_noise_gets_no_diagnosis(seed):
    rng = np.random.default_rng(100 + seed)
    noise = {name: rng.normal(size=p.shape) for name, p in PARAMS.items()}
    report = check(lambda p, x, y: {name: hand(p, x, y)[name] + 0.1 * noise[name] for name in PARAMS})
    assert not report.ok
    assert numbers(report) == set()


@pytest.mark.parametrize("regularised", [0.0, 0.1])
@pytest.mark.parametrize("as_function", [True, False])
def test_a_single_number_is_not_explained_by_a_fitted_one(regularised, as_function):
    def loss(p, x, y):
        return np.square(x @ p["w"] + p["b"] - y).mean() + regularised * np.square(p["w"]).sum()

    def wrong(p, x, y):
        d = 2 * (x @ p["w"] + p["b"] - y) / len(y)
        return {"w": x.T @ d + 2 * regularised * p["w"], "b": d.sum() + 0.3}

    p = {"w": np.array([1.0, -2.0, 0.5]), "b": np.array(0.7)}
    report = tg.check_derivation(loss, p, wrong if as_function else wrong(p, X, Y[:, 0]), X, Y[:, 0])
    assert report.first == "b"
    assert numbers(report) == set()


@pytest.mark.parametrize("error", [1e-3, 1e-5])
def test_a_small_error_is_seen(error):
    report = check(changed(b1=lambda g: g["b1"] * (1 + error)))
    assert [v.name for v in report.verdicts if not v.right] == ["b1"]


# ------------------------------------------------------------------------------------------- intermediate results


def test_the_first_wrong_intermediate_result_is_marked():
    def wrong(p, x, y):
        found = hand(p, x, y)
        dz1 = found["delta_h"] * 1.0
        return {**found, "d_z1": dz1, "W1": x.T @ dz1, "b1": dz1.sum(axis=0)}

    report = check(wrong)
    assert report.first == "z1"
    assert [v.name for v in report.verdicts] == ["z2", "b2", "h", "W2", "z1", "b1", "W1"]
    assert numbers(report) == {7}
    assert "wrong <- the first in backward" in str(report)


def test_an_intermediate_result_alone_may_be_wrong():
    report = check(changed(delta_h=lambda g: g["delta_h"] + 1))
    assert report.first == "h"
    assert report.diagnoses == []


def test_error_terms_of_each_examples_own_loss_are_right():
    report = check(lambda p, x, y: {n: g if n in PARAMS else len(x) * g for n, g in hand(p, x, y).items()})
    assert report.ok
    assert [v.note for v in report.verdicts if v.name == "z2"] == ["of each example's own loss"]


# -------------------------------------------------------------------------------------------- what else can be wrong


def test_shapes():
    report = check(changed(b1=lambda g: g["d_z1"], W1=lambda g: g["W1"].T, b2=lambda g: g["b2"][None]))
    text = str(report)
    assert numbers(report) == {10, 12}
    assert "b1 has shape (5, 4), and b1 has shape (4,): it has a row for each of the 5 examples" in text
    assert "W1 has shape (4, 3), and W1 has shape (3, 4): it is transposed" in text
    assert "b2 has shape (1, 2), and b2 has shape (2,): the numbers may be right" in text
    assert "they must be equal" in str(check(changed(b1=lambda g: np.zeros((7, 7)))))
    assert "a column of predictions (m, 1) met a vector" in str(check(changed(W1=lambda g: np.zeros((5, 5)))))
    assert "a sum runs along the wrong axis" in str(check(changed(b1=lambda g: g["d_z1"].sum(axis=1))))


def test_what_is_missing_and_what_belongs_to_nothing():
    report = check(lambda p, x, y: {"W1": hand(p, x, y)["W1"], "dq": np.zeros(2)})
    assert not report.ok
    assert "No gradient by b1, W2 and b2 was handed in." in str(report)
    assert "'dq' is no gradient by a parameter or by a named tensor" in str(report)
    assert "the tensors named in the forward pass are z1, h and z2" in str(report)


def test_numbers_that_are_not_finite():
    report = check(changed(W2=lambda g: np.where(np.arange(2) == 1, np.nan, g["W2"])))
    assert "The gradient by W2 has 4 of 8 entries that are not finite, the first W2[0, 1] = nan." in str(report)
    assert report.first == "W2"


def test_a_derivation_that_changes_its_arguments():
    x = X.copy()

    def changing(p, x, y):
        found = hand(p, x, y)
        p["W2"] -= 0.1 * found["W2"]
        x -= x.mean(axis=0)
        return found

    report = check(changing, x)
    assert "hand changes its arguments in place: W2 and argument 1 of the batch" in str(report)
    np.testing.assert_array_equal(x, X)


def test_a_derivation_that_draws_random_numbers():
    report = check(changed(b2=lambda g: RNG.normal(size=2)))
    assert "gives other numbers for b2: hand draws random numbers" in str(report)


def test_another_slope_at_a_kink_is_no_mistake():
    params, x = {**PARAMS, "b1": np.where(np.arange(4) == 1, 0, PARAMS["b1"])}, X.copy()
    x[2] = 0

    def other(p, x, y):
        z1 = x @ p["W1"] + p["b1"]
        dz1 = hand(p, x, y)["delta_h"] * (z1 >= 0)
        return {**hand(p, x, y), "d_z1": dz1, "W1": x.T @ dz1, "b1": dz1.sum(axis=0)}

    report = check(other, x, params=params)
    assert report.ok
    assert "There is a kink at 1 of 20 arguments" in str(report)


def test_float32_is_lifted_and_float32_results_are_compared_to_their_precision():
    single = {name: p.astype(np.float32) for name, p in PARAMS.items()}
    assert check(hand, X.astype(np.float32), Y.astype(np.float32), single).ok
    rounded = {name: g.astype(np.float32) for name, g in hand(PARAMS, X, Y).items()}
    report = check(rounded)
    assert report.ok
    assert "precision of float32" in str(report)
    assert not check(rounded, rtol=1e-12).ok
    halves = {name: g.astype(np.float16) for name, g in hand(PARAMS, X, Y).items()}
    assert "precision of float16" in str(check(halves))


def test_what_is_right_for_one_batch_only():
    report = check(lambda p, x, y: {n: g * len(x) / 5 for n, g in hand(p, x, y).items()})
    assert not report.ok
    assert numbers(report) == {15}
    assert "right for this batch of 5, and wrong for one of 7 made of its rows" in str(report)


def test_a_derivation_for_one_batch_size_alone_is_checked_on_that():
    mask = np.ones((5, 1))
    assert check(lambda p, x, y: hand(p, x * mask, y)).ok


def test_a_batch_of_one_example_shows_little():
    report = check(hand, X[:1], Y[:1])
    assert report.ok
    assert "1 example" in str(report)


def test_the_loss_that_comes_with_the_gradients():
    report = check(lambda p, x, y: (3.25, hand(p, x, y)))
    assert report.ok
    assert "The loss that hand returns is 3.25" in str(report)
    value = float(loss({n: tg.Tensor(p) for n, p in PARAMS.items()}, X, Y).item())
    assert "\n" not in str(check(lambda p, x, y: (value, hand(p, x, y))))


def test_losses_of_examples_stand_for_their_mean():
    report = tg.check_derivation(
        lambda w, x, y: np.square(x @ w - y), np.ones(3), lambda w, x, y: 2 * x.T @ (x @ w - y) / len(y), X, Y[:, 0]
    )
    assert str(report).startswith("The gradient of the mean loss is right")


def test_nests_and_modules():
    layer = nn.Linear(3, 2, rng=0)
    report = tg.check_derivation(
        lambda model, x, y: nn.squared_error(model(x), y).mean(),
        layer,
        lambda p, x, y: {
            "W": x.T @ (2 * (x @ p["W"] + p["b"] - y)) / len(x), "b": (2 * (x @ p["W"] + p["b"] - y)).mean(axis=0)
        },
        X, Y,
    )  # fmt: skip
    assert report.ok
    nested = [PARAMS["W1"], (PARAMS["b1"],)]
    report = tg.check_derivation(
        lambda p, x: (x @ p[0] + p[1][0]).sum(), nested,
        lambda p, x: [np.broadcast_to(x.sum(axis=0)[:, None], (3, 4)), (np.full(4, len(x)),)], X,
    )  # fmt: skip
    assert report.ok
    assert [v.name for v in report.verdicts] == ["params[1][0]", "params[0]"]


@pytest.mark.parametrize(
    ("derivation", "error", "says"),
    [
        (lambda p, x, y: None, TypeError, "it returned None. Does the function end with `return`"),
        (lambda p, x, y: {}, TypeError, "not one array"),
        (lambda p, x, y: [np.zeros(3)] * 4, ValueError, "return a dict {'W1': ..., 'b1': ..., 'W2': ..., 'b2': ...}"),
        ({"W1": np.zeros((3, 4), complex)}, TypeError, "the gradient by W1 has dtype complex128"),
    ],
)
def test_what_is_no_derivation(derivation, error, says):
    with pytest.raises(error, match=re.escape(says)):
        check(derivation)


def test_a_loss_without_parameters():
    with pytest.raises(TypeError, match="the loss does not depend on params"):
        tg.check_derivation(lambda p, x: 1.0, np.ones(3), np.ones(3), X)


def test_html():
    report = check(lambda p, x, y: {n: -g for n, g in hand(p, x, y).items()})
    assert "<table" in report._repr_html_()
    assert "the sign is wrong" in report._repr_html_()


# --------------------------------------------------------------------------------------------- what surrounds the check


LINE = {"w": np.array([1.0, -2.0, 0.5])}


def line_hand(p, x, y):
    return {"w": 2 * x.T @ (x @ p["w"] - y) / len(y)}


def test_error_terms_may_come_as_a_dict_of_their_own():
    def apart(p, x, y):
        found = hand(p, x, y)
        return {n: found[n] for n in PARAMS}, {"dz2": found["dz2"]}

    value = float(loss({n: tg.Tensor(p) for n, p in PARAMS.items()}, X, Y).item())
    for derivation in (apart, lambda p, x, y: (value, *apart(p, x, y))):
        report = check(derivation)
        assert report.ok
        assert "z2" in [v.name for v in report.verdicts]
        assert "\n" not in str(report)


def test_arguments_in_another_order():
    for args in ((loss, hand, PARAMS, X, Y), (PARAMS, loss, hand, X, Y), (loss, PARAMS, {"W1": hand}, X, Y)):
        with pytest.raises(TypeError, match=r"check_derivation\(loss_fn, params, hand, \*batch\)"):
            tg.check_derivation(*args)


def test_a_loss_that_draws_random_numbers_or_is_no_number():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two different values for the same batch"):
        tg.check_derivation(
            lambda p, x, y: np.square((x * (rng.random(x.shape) < 0.5)) @ p["w"] - y), LINE, line_hand, X, Y[:, 0]
        )
    with pytest.raises(ValueError, match="the loss of this batch is nan"):
        tg.check_derivation(lambda p, x, y: np.square(x @ p["w"] - y), LINE, line_hand, X * np.nan, Y[:, 0])


def test_a_loss_with_vmap_inside():
    def loss(p, x, y):
        return tg.vmap(lambda a, b: np.square((a @ p["w"]).named("z") - b))(x, y).mean()

    assert tg.check_derivation(loss, LINE, line_hand, X, Y[:, 0]).ok
    wrong = tg.check_derivation(loss, LINE, lambda p, x, y: {"w": -line_hand(p, x, y)["w"]}, X, Y[:, 0])
    assert wrong.first == "w"
    assert wrong.diagnoses == []


def test_the_examples_are_as_many_as_most_arrays_are_long():
    def loss(p, scale, x, y):
        return np.square((x / scale) @ p["w"] - y)

    def per_example(p, scale, x, y):
        return {"w": 2 * (x / scale) * ((x / scale) @ p["w"] - y)[:, None]}

    report = tg.check_derivation(loss, LINE, per_example, np.array([1.0, 2.0, 3.0]), X, Y[:, 0])
    assert "it has a row for each of the 5 examples" in str(report)


def through_float(p, x, y):
    return np.mean((x @ p["w"] - y) ** 2) + 0.1 * float(np.sum(p["w"] ** 2))


def through_data(p, x, y):
    return np.mean((x @ p["w"] - y) ** 2) * (1 + np.sum(p["w"].data ** 2))


def through_numpy(p, x, y):
    weights = 1 + np.square((x @ p["w"]).numpy())
    return np.mean(weights * (x @ p["w"] - y) ** 2)


@pytest.mark.parametrize("loss", [through_float, through_data, through_numpy])
def test_a_loss_that_loses_a_derivative_is_not_held_against_the_derivation_nor_agreed_with(loss):
    w = tg.Tensor(LINE["w"], requires_grad=True)
    recorded = loss({"w": w}, X, Y[:, 0]).gradient(w)
    for given in (line_hand(LINE, X, Y[:, 0])["w"] + 0.2 * LINE["w"], recorded):
        report = tg.check_derivation(loss, LINE, {"w": given}, X, Y[:, 0])
        assert not report.ok
        assert report.first is None
        assert report.diagnoses == []
        assert "the recorded gradient of your loss is not its slope" in str(report)
        assert "loss_fn loses a dependence on w: in a random direction of w the loss has the slope" in str(report)


def test_the_parameter_whose_derivative_is_lost_is_named():
    def lossy(p, x, y):
        return loss({**p, "W2": p["W2"] * 0.5 + 0.5 * p["W2"].numpy()}, x, y)

    def half(p, x, y):
        return {**{n: g for n, g in hand(p, x, y).items() if n in PARAMS}, "W2": hand(p, x, y)["W2"] / 2}

    report = tg.check_derivation(lossy, PARAMS, half, X, Y)
    assert not report.ok
    assert "loses a dependence on W2: " in str(report)
    only_there = tg.check_derivation(lossy, {**PARAMS, "W2": np.zeros((4, 2))}, half, X, Y)
    assert "loses a dependence on W2: " in str(only_there)


def test_an_entry_that_is_small_beside_the_others_is_looked_at():
    x = X * [3e6, 2e3, 1e-3]

    def loss(p, x, y):
        return np.square(x @ p["w"] - y).mean()

    def wrong(p, x, y):
        return {"w": line_hand(p, x, y)["w"] * [1, 1, 7]}

    assert tg.check_derivation(loss, LINE, line_hand, x, Y[:, 0]).ok
    for given in (wrong, wrong(LINE, x, Y[:, 0])):
        report = tg.check_derivation(loss, LINE, given, x, Y[:, 0])
        assert [(v.right, v.where) for v in report.verdicts] == [(False, (2,))]
        assert report.diagnoses == []


def test_rounding_near_a_minimum_is_no_mistake():
    def loss(p, x, y):
        return np.square(x @ p["w"] - y).mean()

    best = {"w": np.linalg.lstsq(X, Y[:, 0])[0]}
    exact = X @ LINE["w"]
    for p, y in ((best, Y[:, 0]), (LINE, exact), (LINE, exact + 1e-6)):
        expanded = {"w": 2 * (X.T @ (X @ p["w"]) - X.T @ y) / 5}
        assert tg.check_derivation(loss, p, line_hand, X, y).ok
        assert tg.check_derivation(loss, p, expanded, X, y).ok


def test_a_gradient_that_is_zero_tests_nothing_and_is_compared_elsewhere():
    zero = {**PARAMS, "W2": np.zeros((4, 2))}
    report = check(hand, params=zero)
    assert report.ok
    assert "The true gradient by h, z1, b1 and W1 is 0 here, so nothing was tested: the comparison is at" in str(report)
    report = check(changed(W1=lambda g: -g["W1"]), params=zero)
    assert [v.name for v in report.verdicts if not v.right] == ["W1"]
    assert "the sign is wrong" in str(report)
    report = check({n: g for n, g in hand(zero, X, Y).items() if n in PARAMS}, params=zero)
    assert report.ok
    assert "by b1 and W1 is 0 here, so nothing was tested: give other params" in str(report)


def test_error_terms_are_called_as_the_derivation_calls_them():
    def wrong(p, x, y):
        found = hand(p, x, y)
        return {**found, "d_z1": found["d_z1"] ** 3, "delta_h": -found["delta_h"]}

    report = check(wrong)
    assert report.headline == "2 of 7 gradients of the loss are wrong: delta_h and d_z1."
    assert [v.name for v in report.verdicts if not v.right] == ["h", "z1"]
    assert "h (your delta_h)" in str(report)
    assert "delta_h is exactly the negative of the true gradient" in str(report)
    assert "Nothing in the catalogue of mistakes explains d_z1. The cosine between yours and the true one is" in str(
        report
    )
    assert "The gradient by" not in str(check(changed(d_z1=lambda g: g["d_z1"].T)))
    assert "d_z1 has shape (4, 5), and z1 has shape (5, 4): it is transposed" in str(
        check(changed(d_z1=lambda g: g["d_z1"].T))
    )
