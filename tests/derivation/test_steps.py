"""The steps: each with its rule, its formula, its shapes, and its numbers for one example."""

# ruff: noqa: RUF001

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from models import MODELS, M

import tinygrad_mb as tg
from tinygrad_mb import nn
from tinygrad_mb.derivation.derive import derive
from tinygrad_mb.derivation.notation import shape_text

NET = next(model for model in MODELS if model.name == "softmax_net")


@pytest.fixture(scope="module")
def steps():
    return {step.name: step for step in derive(NET.loss, NET.params, *NET.batch(M)).steps}


def test_forward_comes_first_and_everything_is_there(steps):
    directions = [step.direction for step in steps.values()]
    assert directions == sorted(directions, reverse=True)
    assert {"z1", "h1", "z2", "h2", "z3", "ℓ", "L", "δz3", "δh2", "δz2", "δh1", "δz1"} <= steps.keys()
    assert {f"∂L/∂{name}" for name in NET.params} <= steps.keys()


@pytest.mark.parametrize(
    ("name", "formula", "rule", "shape"),
    [
        ("h2", "h2 = tanh(z2)", "tanh", "(m, 5)"), ("h1", "h1 = max(0, z1)", "relu", "(m, 4)"),
        ("δz2", "δz2 = δh2 ⊙ (1 − h2²)", "tanh: δ ⊙ (1 − h2²)", "(m, 5)"),
        ("δh2", "δh2 = δz3 W3ᵀ", "matmul: δ W3ᵀ", "(m, 5)"), ("∂L/∂b3", "∂L/∂b3 = Σᵢ δz3ᵢ", "add: δ", "(3,)"),
        ("∂L/∂W3", "∂L/∂W3 = h2ᵀ δz3 = Σᵢ h2ᵢᵀ δz3ᵢ", "matmul: h2ᵀ δ", "(5, 3)"),
        ("L", "L = (1/m) Σᵢ ℓᵢ", "mean", "scalar"),
    ],
)  # fmt: skip
def test_what_a_step_says(steps, name, formula, rule, shape):
    step = steps[name]
    assert step.formula == formula
    assert step.rule == rule
    assert shape_text(step.shapes[name]) == shape
    assert repr(step) == f"{formula}    {shape}    {rule}"
    assert step.direction == ("backward" if "δ" in name or "∂" in name else "forward")


def test_rules_and_lines_have_the_same_letters_for_the_same_axes():
    def loss(w, x):
        return np.square(nn.softmax(x * w)).sum(axis=1).mean()

    found = {step.name: step for step in derive(loss, np.ones(3), np.arange(12.0).reshape(4, 3) % 5).steps}
    (step,) = [step for step in found.values() if step.rule.startswith("softmax: ")]
    assert step.rule == "softmax: p ⊙ (δ − Σⱼ δ ⊙ p)"
    assert "Σⱼ" in step.formula


def test_latex_of_a_step(steps):
    assert steps["δz2"].latex == r"\delta_{z_2} = \delta_{h_2} \odot (1 - h_2^2)"


def test_the_numbers_are_those_of_the_engine(steps):
    x, y = NET.batch(M)
    p = {name: tg.Tensor(value, requires_grad=True) for name, value in NET.params.items()}
    z1 = (x @ p["W1"] + p["b1"]).retain_grad()
    h1 = tg.nn.relu(z1)
    h2 = np.tanh(h1 @ p["W2"] + p["b2"]).retain_grad()
    tg.nn.cross_entropy(h2 @ p["W3"] + p["b3"], y).mean().backward()
    np.testing.assert_allclose(steps["z1"].values()["z1"], z1.data, rtol=1e-12)
    np.testing.assert_allclose(steps["δz1"].values()["δz1"], z1.grad, rtol=1e-12)
    for example in (0, 3, -1):
        found = steps["δz2"].values(example)
        assert list(found) == ["δz2", "h2", "δh2"]
        np.testing.assert_allclose(found["δh2"], h2.grad[example], rtol=1e-12)
        np.testing.assert_allclose(found["δz2"], h2.grad[example] * (1 - h2.numpy()[example] ** 2), rtol=1e-12)
        found = steps["∂L/∂W1"].values(example)
        np.testing.assert_allclose(found["x"], x[example])
        np.testing.assert_allclose(found["∂L/∂W1"], p["W1"].grad, rtol=1e-12)


def test_an_example_that_is_not_there(steps):
    with pytest.raises(IndexError, match="example 7 of a batch of 7 examples"):
        steps["z1"].values(7)


def test_numbers_are_the_callers_own(steps):
    steps["z1"].values()["z1"][:] = 0
    assert steps["z1"].values()["z1"].any()
    steps["z1"].values(0)["z1"][:] = 0
    assert steps["z1"].values(0)["z1"].any()


def test_all_of_them_as_a_table():
    table = repr(derive(NET.loss, NET.params, *NET.batch(M)).steps)
    lines = table.splitlines()
    assert lines[0] == "Forward"
    assert "Backward" in lines
    rows = [line for line in lines if " = " in line]
    assert len({line.index(" = ") for line in rows}) == 1


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_step_has_a_rule_a_shape_and_numbers(model):
    for step in derive(model.loss, model.params, *model.batch(M)).steps:
        assert step.rule
        assert "·" not in step.rule.split(": ")[0]
        assert step.shapes.keys() == step.arrays.keys()
        for name, numbers in step.values().items():
            assert numbers.shape == tuple(map(int, step.shapes[name]))
