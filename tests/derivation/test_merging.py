"""Each δ is the derivative of the loss by what it is named after, also where that value is computed twice."""

# ruff: noqa: RUF001

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from models import MODELS, M

import tinygrad_mb as tg

RNG = np.random.default_rng(3)
W, X, OTHER, THIRD = RNG.normal(size=(3, 2)), *RNG.normal(size=(3, 5, 3))
C = RNG.normal(size=(5, 2))


def code(p, x):
    return np.tanh(x @ p["W"])


def triplets(p, a, b, c):
    return (np.square(code(p, a) - code(p, b)).sum(axis=1) - np.square(code(p, a) - code(p, c)).sum(axis=1)).mean()


def used_twice(p, x, c):
    return (np.exp(code(p, x) * c) + np.sin(code(p, x))).mean()


def of_data_made_twice(p, x, c):
    return (np.exp(code(p, 2 * x[:, ::-1])) * c + np.sin(code(p, 2 * x[:, ::-1]))).mean()


def the_same_in_two_ways(p, x, c):
    h = code(p, x)
    return (np.exp(-h) * c + np.sin(0 - h) + (1 * h) ** 3).mean()


AT_CORNERS = ("convolution",)  # the largest of several zeros
CASES = [
    ("triplets", triplets, {"W": W}, (X, OTHER, THIRD)), ("used_twice", used_twice, {"W": W}, (X, C)),
    ("of_data_made_twice", of_data_made_twice, {"W": W}, (X, C)),
    ("the_same_in_two_ways", the_same_in_two_ways, {"W": W}, (X, C)),
    *[(model.name, model.loss, model.params, model.batch(M)) for model in MODELS if model.name not in AT_CORNERS],
]  # fmt: skip


OWN = {triplets: 6, used_twice: 2, of_data_made_twice: 2, the_same_in_two_ways: 2}  # with so many named δ


@pytest.mark.parametrize(("loss", "params", "batch"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_cotangent_is_the_derivative_by_what_it_is_named_after(loss, params, batch):
    """Found by moving the value in the printed function, between its line and all that comes after it."""
    lines = tg.derive(loss, params, *batch).numpy().splitlines()
    start = next(k for k, line in enumerate(lines) if line.strip() == "# backward")
    end = max(k for k, line in enumerate(lines) if line.startswith("    return"))

    def locals_of(lines):
        namespace = {"np": np}
        exec("\n".join([*lines[:end], "    return locals()"]), namespace)
        return namespace["gradients"](params, *batch)

    found = locals_of(lines)
    taken = [(k, m[1]) for k, line in enumerate(lines[:start]) if (m := re.match(r"    (\w+) = [^(\s]", line))]
    names = [(k, name) for k, name in taken if f"d{name}" in found and name not in params]
    if loss in OWN:
        assert len(names) == OWN[loss]
        assert {name[1:] for name in found if re.fullmatch(r"d[hz]\d*", name)} <= {name for _, name in taken}
    for k, name in names:
        direction = np.random.default_rng(k).normal(size=np.shape(found[name]))
        assert found[f"d{name}"].shape == direction.shape
        losses = []
        for step in (1e-6, -1e-6):
            moved = lines[k].partition("  #")[0].replace(" = ", " = step * direction + (", 1) + ")"
            space = [f"    step, direction = {step}, np.array({direction.tolist()})", moved]
            losses.append(locals_of([*lines[:k], *space, *lines[k + 1 :]])["loss"])
        slope = (losses[0] - losses[1]) / 2e-6
        np.testing.assert_allclose((found[f"d{name}"] * direction).sum(), slope, rtol=1e-5, atol=1e-8)


def test_pages_show_the_whole_delta():
    page = " ".join(tg.derive(triplets, {"W": W}, X, OTHER, THIRD).text().split())
    assert "δh1 =" not in page
    assert "aᵀ (((2/m) (h1 − h2) − δh3) ⊙ (1 − h1²))" in page
