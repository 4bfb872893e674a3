"""Pages of formulas: kept ones, and what is printed is what was computed.

``python tests/derivation/test_formulas.py`` prints the kept pages anew.
"""

# ruff: noqa: RUF001

import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "carriers"))
import batch_models
from evaluator import Recorder, assert_told_apart, evaluate
from models import MODELS, M
from test_traced import DIFFERENTIATED, posed

import tinygrad_mb as tg
from tinygrad_mb import nn
from tinygrad_mb.derivation.derive import derive
from tinygrad_mb.derivation.expressions import Expr
from tinygrad_mb.derivation.formulas import Formulas
from tinygrad_mb.derivation.passes import simplify
from tinygrad_mb.pytrees import Nest

GOLDEN = Path(__file__).parent / "golden"
NAMES = [model.name for model in MODELS]


def derivation(model, m=M):
    return derive(model.loss, model.params, *model.batch(m))


def different(found, expected):
    """By how much, where numbers near one and larger are measured by their size."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    assert found.shape == expected.shape
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        gaps = np.where(same, 0, np.abs(found - expected))
    return gaps.max(initial=0) / max(1, np.abs(expected).max(initial=0, where=np.isfinite(expected)))


def assert_true(formulas, gradients):
    """Every form of every line, computed from the lines before it alone, is the number that the program found."""
    program = formulas.program
    values = {v.index: v.value for v in program.inputs}
    for left, forms, _, _ in formulas.lines:
        for form in forms:
            found = evaluate(form, values)
            expected = values.get(left.index, left.value)
            assert expected is None or different(found, expected) < 1e-10, (left, form)
            values[left.index] = found
    assert_told_apart(formulas, values)
    leaves = Nest(gradients)
    assert list(program.outputs) == leaves.paths
    for v, gradient in zip(program.outputs.values(), leaves.leaves, strict=True):
        assert different(values[v.index], gradient) < 1e-10, v


def gradients_of(loss, params, batch):
    return tg.grad(lambda params, *batch: loss(params, *batch).sum())(params, *batch)


# ------------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_the_pages_are_the_ones_kept(model):
    found = derivation(model)
    assert found.latex() + "\n" == (GOLDEN / f"{model.name}.tex").read_text()
    assert found.text() + "\n" == (GOLDEN / f"{model.name}.txt").read_text()


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_no_number_of_a_run_is_left_over_in_a_page(model):
    assert derivation(model, 11).text() == derivation(model).text()


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_each_formula_gives_the_numbers_of_the_program(model, inline):
    for m in (M, 2):
        formulas = Formulas(simplify(derivation(model, m).program), inline)
        assert_true(formulas, gradients_of(model.loss, model.params, model.batch(m)))


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("model", [m for m in batch_models.MODELS if m.name != "one_hot_targets"], ids=lambda m: m.name)
def test_each_formula_of_all_kinds_of_models_gives_the_numbers_of_the_program(model, inline):
    formulas = Formulas(simplify(derive(model.losses, model.params, *model.batch).program), inline)
    assert_true(formulas, gradients_of(model.losses, model.params, model.batch))
    assert formulas.latex()
    assert formulas.text()


@pytest.mark.parametrize("problem", [p for p in DIFFERENTIATED if not str(p).startswith(("nan", "frexp"))], ids=str)
def test_every_function_has_a_formula(problem):
    """NB: those of functions that leave NaNs out have products with 0 in them, and NaN times 0 is not 0."""
    loss, params, data = posed(problem)
    found = derive(loss, params, *data)
    for inline in (True, False):
        formulas = Formulas(simplify(found.program), inline)
        with np.errstate(all="ignore"):
            assert_true(formulas, tg.grad(loss)(params, *data))
        assert formulas.latex()
        assert formulas.text()


def test_a_formula_that_is_wrong_is_found_out():
    model = MODELS[NAMES.index("softmax_net")]
    for changed in range(3):
        formulas = Formulas(simplify(derivation(model).program))
        gradients = gradients_of(model.loss, model.params, model.batch(M))
        assert_true(formulas, gradients)
        at = next(k for k, line in enumerate(formulas.lines) if line.left.name == ("dz3", "h2", "dW1")[changed])
        form = formulas.lines[at].forms[-1]
        wrong = Expr("multiply", (form,), 1 + 1e-8, form.shape)
        formulas.lines[at] = formulas.lines[at]._replace(forms=(wrong,))
        with pytest.raises(AssertionError):
            assert_true(formulas, gradients)


# -------------------------------------------------------------------------------------- as a person would

X, Y, LABELS = np.random.default_rng(0).normal(size=(5, 3)), np.arange(5) / 3, np.array([0, 3, 1, 0, 1])
CASES = []


def case(*lines, labels=False, **shapes):
    """Enter a loss with lines that its page has; gaps for the alignment do not count."""

    def enter(loss):
        rng = np.random.default_rng(len(CASES))
        params = {name: rng.normal(0, 0.6, shape) for name, shape in shapes.items()}
        CASES.append(pytest.param(loss, params, (X, LABELS if labels else Y), lines, id=loss.__name__))
        return loss

    return enter


@case("∂L/∂w = (1/m) xᵀ (s − y) = (1/m) Σᵢ xᵢᵀ (sᵢ − yᵢ)", w=(3,))
def logistic_by_hand(p, x, y):
    s = nn.sigmoid(x @ p["w"])
    return -(y * np.log(s) + (1 - y) * np.log(1 - s)).mean()


@case("p = σ(z)", "∂L/∂w = (2/m) xᵀ ((p − y) ⊙ p ⊙ (1 − p)) = (2/m) Σᵢ xᵢᵀ ((pᵢ − yᵢ) pᵢ (1 − pᵢ))", w=(3,))
def logistic_in_pieces(params, x, y):
    p = 1 / (1 + np.exp(-(x @ params["w"])))
    return np.square(p - y).mean()


@case("L = (1/m) Σᵢ (log(1 + exp(zᵢ)) − yᵢ zᵢ)", "δz = (1/m) (σ(z) − y)", w=(3,), b=())
def logistic_from_logits(p, x, y):
    z = x @ p["w"] + p["b"]
    return (np.logaddexp(z, 0) - y * z).mean()


@case("L = (1/m) Σᵢ (logsumexpⱼ(zᵢ) − z[i, yᵢ])", labels=True, W=(3, 4))
def softmax_in_pieces(p, x, y):
    z = x @ p["W"]
    return (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean()


@case("p = softmax(z)", "L = −(1/m) Σᵢ log p[i, yᵢ]", labels=True, W=(3, 4))
def softmax_with_a_shift(params, x, y):
    z = x @ params["W"]
    p = np.exp(z - z.max(axis=1, keepdims=True)) / np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(y)), y]).mean()


@case("∂L/∂W = (1/m) xᵀ (exp(logp) − onehot(y)) = (1/m) Σᵢ xᵢᵀ (exp(logpᵢ) − onehot(yᵢ))", labels=True, W=(3, 4))
def softmax_by_its_logarithm(p, x, y):
    return -nn.log_softmax(x @ p["W"])[np.arange(len(y)), y].mean()


@case("L = (1/m) Σᵢ |zᵢ − yᵢ| + 0.3 ‖w‖", "∂L/∂w = (0.3 / ‖w‖) w + xᵀ δz = (0.3 / ‖w‖) w + Σᵢ xᵢᵀ δzᵢ", w=(3,), b=())
def norms(p, x, y):
    return np.abs(x @ p["w"] + p["b"] - y).mean() + 0.3 * np.linalg.norm(p["w"])


@case("L = (1/m) Σᵢ (zᵢ − yᵢ)² + (1/2) ‖w‖²", w=(3,))
def ridge(p, x, y):
    return np.square(x @ p["w"] - y).mean() + 0.5 * (p["w"] ** 2).sum()


@case("h = max(0, z)", "δz = (2/m) (h − y) ⊙ [z > 0]", w=(3,), b=())
def maximum_with_zero(p, x, y):
    z = x @ p["w"] + p["b"]
    return np.square(nn.relu(z) - y).mean()


@case("L = (1 / (m − 1)) Σᵢ u1ᵢ²", w=(3,))
def unbiased_variance(p, x, y):
    return np.var(x @ p["w"], ddof=1)


@case("∂L/∂a = ∂L/∂c = Σᵢ δzᵢ", w=(3,), a=(), c=())
def two_parameters_with_one_gradient(p, x, y):
    z = x @ p["w"] + p["a"] + p["c"]
    return np.square(z - y).mean()


@case("∂ℒ/∂L = (2/m) xᵀ (z − y) = (2/m) Σᵢ xᵢᵀ (zᵢ − yᵢ)", L=(3,))
def a_parameter_called_as_the_loss(p, x, y):
    return np.square(x @ p["L"] - y).mean()


@pytest.mark.parametrize(("loss", "params", "batch", "lines"), CASES)
def test_it_is_written_as_a_person_would(loss, params, batch, lines):
    found = derive(loss, params, *batch)
    page = [" ".join(line.split()) for line in found.text().splitlines()]
    for line in lines:
        assert line in page, found.text()
    assert_true(Formulas(simplify(found.program)), gradients_of(loss, params, batch))


def test_indices_stand_where_they_belong():
    """The rows of a product have an index at its left factor; the right one is whole."""

    def loss(p, x, y):
        q, k = x @ p["Q"], x @ p["K"]
        a = nn.softmax(q @ k.swapaxes(1, 2))
        return np.square(a.mean(axis=1).sum(axis=1) * y + (a @ x).sum(axis=(1, 2)) - y).mean()

    x, params = np.sin(np.arange(60.0)).reshape(5, 4, 3), {"Q": np.ones((3, 2)), "K": np.eye(3)[:, :2]}
    found = derive(loss, params, x, Y)
    page = [" ".join(line.split()) for line in found.text().splitlines()]
    assert "∂L/∂Q = Σᵢ Σⱼ xᵢⱼᵀ δz1ᵢⱼ kᵢ" in page
    assert "∂L/∂K = Σᵢ Σⱼ xᵢⱼᵀ δz1ᵀ[i, j] qᵢ" in page
    assert_true(Formulas(simplify(found.program)), gradients_of(loss, params, (x, Y)))


def distances_of_numbers(p, x, y):
    z = x @ p["w"]
    d = z[:, None] - z[None, :]
    return np.square(d).mean()


def distances_of_rows(p, x, y):
    h = x @ p["W"]
    return np.square(h[:, None, :] - h[None, :, :]).sum(axis=-1).mean()


def distances_of_weights(p, x, y):
    return np.square(p["w"][:, None] - p["w"][None, :]).sum() + (x @ p["w"]).mean()


def rows_by_their_sums(p, x, y):
    h = np.tanh(x @ p["W"])
    s = h.sum(axis=1)
    n = h / s[:, None]
    return np.square(n @ p["w"] - y).mean()


def rolled(p, x, y):
    z = x @ p["w"]
    return (np.roll(z, 1) * z - np.roll(z, 2) * y).mean()


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        (distances_of_numbers, "d = z[:, new] − z[new, :]"), (distances_of_rows, "h[:, new, :] − h[new, :, :]"),
        (distances_of_weights, "‖w[:, new] − w[new, :]‖²"), (rows_by_their_sums, "n = h / s[:, new]"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inline", [True, False])
def test_axes_that_are_added_are_shown(loss, text, inline):
    params = {"w": np.array([0.3, -0.5, 0.8]), "W": np.sin(np.arange(9.0).reshape(3, 3))}
    found = derive(loss, params, X, Y)
    assert text in " ".join(found.text().split())
    assert r"{\cdot,\text{new}" in found.latex()
    assert_true(Formulas(simplify(found.program), inline), gradients_of(loss, params, (X, Y)))


def test_one_text_with_two_meanings_is_found_out():
    """Axes that are not shown, and calls without their options."""
    params = {"w": np.array([0.3, -0.5, 0.8])}
    for loss, name in ((distances_of_numbers, "new_axes"), (rolled, "said")):
        formulas = Formulas(simplify(derive(loss, params, X, Y).program))
        assert_true(formulas, gradients_of(loss, params, (X, Y)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Recorder, name, lambda self, *args: "z", raising=False)
            patch.setattr(Recorder, "indexed", lambda self, text, indices: text, raising=False)
            with pytest.raises(AssertionError, match="has two meanings in"):
                assert_true(formulas, gradients_of(loss, params, (X, Y)))


TABLE = np.array([0.5, 2.0, 1.5])


def weighted_by_a_table(p, x, y):
    classes = (y > 0) * 1
    return (TABLE[classes] * np.square(x @ p["w"] - y)).mean()


def weighted_by_another_table(p, x, y):
    weights = np.array([0.5, 2.0])
    return (weights[(y > 0) * 1] * np.square(x @ p["w"] - y)).mean()


def with_roots(p, x, y):
    return (np.square(x @ p["w"] - y) / np.sqrt(3)).sum() / 30 + (p["w"] * math.sqrt(2 / math.pi)).sum() / 7


def with_one_column(p, x, y):
    return np.square(x @ p["w"][:, None] - y[:, None]).mean()


def turned_inside(p, x, y):
    z = x.reshape(5, 3, 1).transpose(1, 0, 2)[0] * p["w"] + x.reshape(5, 3, 1).transpose(1, 0, 2)[2, :, 0][:, None]
    return np.tanh(z).sum()


@pytest.mark.parametrize(
    ("loss", "texts", "latex"),
    [
        (weighted_by_a_table, ["TABLE["], r"\mathrm{TABLE}_"), (weighted_by_another_table, ["weights["], "weights"),
        (with_roots, ["(1 / (30 √3)) ", "(√2 / (7 √π)) Σ"], r"\frac{\sqrt{2}}{7 \sqrt{\pi}}"),
        (with_one_column, ["L = (1/m) Σᵢ (zᵢ − yᵢ)²"], r"\sum_{i=1}^{m} (z_i - y_i)^2"),
        (turned_inside, ["[:, 0", "[:, 2"], r"_{\cdot,0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inline", [True, False])
def test_names_numbers_and_places_are_written_as_a_person_would(loss, texts, latex, inline):
    params = {"w": np.array([0.3, -0.5, 0.8])}
    found = derive(loss, params, X, Y)
    page = " ".join(found.text().split())
    for text in texts:
        assert text in page
    assert latex in found.latex()
    assert "const" not in page
    assert "transpose" not in page
    assert_true(Formulas(simplify(found.program), inline), gradients_of(loss, params, (X, Y)))


def test_a_value_that_is_computed_twice_has_one_delta():
    def loss(p, x, y):
        h = x @ p["W"]
        mu, var = h.mean(axis=1, keepdims=True), h.var(axis=1, keepdims=True)
        n = (h - mu) / np.sqrt(var + 1e-5)
        return np.square((n * p["gain"] + p["bias"]) @ p["w"] - y).mean()

    params = {"W": np.ones((3, 4)) + np.arange(4), "gain": np.ones(4), "bias": np.ones(4), "w": np.arange(4.0)}
    page = derive(loss, params, X, Y).text()
    assert page.count("\n  δu1 ") == 1
    assert "u1 = h − mu" in " ".join(page.split())


LONG_X, LONG_Y, CLASSES = np.sin(np.arange(21.0)).reshape(7, 3), np.cos(np.arange(7.0)), np.array([0, 3, 1, 0, 1, 2, 3])


def pairs(p, x, y):
    z = x @ p["W"]
    return np.exp(z @ z.T).mean()


def pairs_with_a_name(p, x, y):
    z = x @ p["W"]
    s = z @ z.T
    return (np.exp(s) * np.sin(s)).mean()


def kernels(p, x, y):
    z = x @ p["W"]
    return np.square(np.exp(-np.square(z[:, None, :] - z[None, :, :]).sum(axis=-1)) @ y - y).mean()


def less_the_last(p, x, y):
    return np.mean((x @ p["W"] @ p["v"] - y)[:-1] ** 2)


def differences(p, x, y):
    return np.mean(np.diff(x @ p["W"] @ p["v"] - y) ** 2)


def spread(p, x, y):
    return np.std((x @ p["W"])[1:, 0])


def spread_of_a_table(p, x, y):
    z = x @ p["W"]
    return np.std(np.sin(z @ z.T))


def hinge(p, x, y):
    s = x @ p["V"]
    margins = np.maximum(0, s - s[np.arange(len(x)), y][:, None] + 1)
    return (margins.sum(axis=1) - 1).mean()


def own_columns(p, x, y):
    z = x @ p["W"]
    return -np.log(np.diagonal(nn.softmax(z @ z.T))).mean()


def one_state_each(p, x, y):
    h1 = np.tanh(x @ p["V"])
    hs = np.stack([h1, h1 * h1, h1 + 1, h1 - 2], axis=1)
    return np.square(hs[np.arange(len(x)), y]).mean()


def less_themselves(p, x, y):
    z = x @ p["W"]
    return np.square(z @ z.T - np.eye(len(x))).mean()


def gates(p, x, y):
    z, c = x @ p["V"], np.zeros((len(x), 2))
    c = nn.sigmoid(z[:, :2]) * c + np.tanh(z[:, 2:])
    return np.square(c.sum(axis=1) - y).mean()


def examples_in_columns(p, x, y):
    e = np.exp(p["V"].T @ x.T)
    s = e / e.sum(axis=0)
    return -np.log(s[y, np.arange(len(y))]).mean() + (e * e).sum(axis=0).mean()


def one_place_each(p, x, y):
    h = np.tanh(np.stack([x, 2 * x], axis=1) @ p["W"])
    return np.square(h[np.arange(len(x)), y % 2]).mean()


def left_out(p, x, y):
    return np.sum(x @ p["V"], where=np.array([True, False, True, True])) / 11


@pytest.mark.parametrize(
    ("loss", "texts"),
    [
        (pairs, ["L = (1/m²) Σᵢ Σⱼ u1ᵢⱼ", "= (1/m²) Σᵢ xᵢᵀ (u1ᵢ z + u1ᵀ[i] z)"]),
        (pairs_with_a_name, ["L = (1/m²) Σᵢ Σⱼ u1ᵢⱼ u2ᵢⱼ", "= Σᵢ xᵢᵀ (δsᵢ z + δsᵀ[i] z)"]),
        (kernels, ["Σᵢ ((z1ᵢ − yᵢ) yᵀ)"]), (less_the_last, ["L = (1 / (m − 1)) ‖"]),
        (differences, ["L = (1 / (m − 1)) ‖"]), (spread, ["(1 / (m − 1)) "]),
        (spread_of_a_table, ["L = √((1/m²) Σᵢ Σⱼ (u1ᵢⱼ − (1/m²) Σₖ Σₗ u1ₖₗ)²)"]), (hinge, ["u1ᵢ = 1 + sᵢ − s[i, yᵢ]"]),
        (own_columns, ["Σᵢ log probabilitiesᵢᵢ", "probabilities[arange(m), arange(m)]"]),
        (one_state_each, ["u1ᵢ = hs[i, yᵢ]"]),
        (less_themselves, ["eye(m)"]), (gates, ["xᵀ (", "at [:, 2:], else 0)", "Σᵢ xᵢᵀ ("]),
        (examples_in_columns, ["Σⱼ e", "= s[yᵢ, i]"]),
        (one_place_each, ["u2ᵢ = h[i, remainder(y, 2)[i]]", "else 0)[i, j] ⊙"]), (left_out, ["Σᵢ Σⱼ [1, 0, 1, 1]"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("inline", [True, False])
def test_rows_and_counts_stand_where_they_belong(loss, texts, inline):
    """Tables of all pairs have m on both axes; and a page has no number of the run that was written down."""
    params = {"W": np.cos(np.arange(6.0)).reshape(3, 2), "v": np.array([0.4, -0.7]), "V": np.sin(np.ones((3, 4)))}
    batch = LONG_X, CLASSES if loss in (hinge, one_state_each, one_place_each, examples_in_columns) else LONG_Y
    found = derive(loss, params, *batch)
    page = " ".join(found.text().split())
    for text in texts:
        assert text in page, found.text()
    for wrong in ("7", "const", "[:, y]", "u1ᵢᵀ", "zᵢᵀ", "yᵢᵀ", "NB", "(0 at", "+ 0)", "Σᵢ e", "at [i, "):
        assert wrong not in page, found.text()
    assert "7" not in found.latex().replace("0.7", "")
    assert_true(Formulas(simplify(found.program), inline), gradients_of(loss, params, batch))
    assert not any(re.search(r"\b7\b", step.formula) for step in found.steps)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_each_delta_has_a_line_for_what_it_is_the_delta_of(model):
    forward, backward = (part.splitlines()[1:] for part in derivation(model).text().split("\n\n")[:2])
    lefts = {line.split(" = ")[0].strip().removesuffix("ᵢ") for line in forward}
    deltas = {line.split(" = ")[0].strip().removesuffix("ᵢ") for line in backward if line.startswith("  δ")}
    assert {delta[1:] for delta in deltas} <= lefts


def test_two_softmaxes_have_two_names():
    def loss(p, x, y):
        nameless = [x @ p["W"]]
        nameless.append(np.exp(np.sin(nameless[0])) / np.exp(np.sin(nameless[0])).sum(axis=1, keepdims=True))
        return np.log(np.exp(nameless[0] + nameless[1]).sum(axis=1)).mean()

    params = {"W": np.sin(np.arange(9.0)).reshape(3, 3)}
    formulas = Formulas(simplify(derive(loss, params, X, Y).program))
    assert_true(formulas, gradients_of(loss, params, (X, Y)))
    assert [line.left.name for line in formulas.lines].count("y_hat") == 1
    assert sum(form.op == "softmax" for line in formulas.lines for form in line.forms) == 2


def test_a_notebook_shows_the_page():
    found = derivation(MODELS[0])
    assert found._repr_latex_() == f"$\\displaystyle {found.latex()}$"


def test_what_holds_for_one_run_only_is_said():
    table = np.arange(100.0).reshape(10, 10)

    def loss(p, x, y):
        return np.square(x @ p["w"] - y * table[len(y), 1]).mean()

    found = derive(loss, {"w": np.ones(3)}, X, Y)
    assert found.text().endswith("NB: the number 51 holds for 5 examples only")
    assert r"\text{NB: the number 51 holds for 5 examples only}" in found.latex()


@pytest.mark.parametrize("grows", [False, True])
def test_long_chains_without_names_have_lines_of_a_readable_length(grows):
    def loss(p, x, y):
        x = x * p["w"]
        for _ in range(80):
            x = x * (np.sin(x) + x) if grows else np.sin(x)
        return (x.sum(axis=1) - y).mean()

    batch, params = (X / 10, Y), {"w": np.ones(3) / 10}
    found = derive(loss, params, *batch)
    assert max(map(len, found.text().splitlines())) < 250
    assert_true(Formulas(simplify(found.program)), gradients_of(loss, params, batch))


if __name__ == "__main__":
    for each in MODELS:
        (GOLDEN / f"{each.name}.tex").write_text(derivation(each).latex() + "\n")
        (GOLDEN / f"{each.name}.txt").write_text(derivation(each).text() + "\n")
