"""LaTeX that an engine compiles, and names of all sorts in it.

The engine is KaTeX, as the package ``markdown-katex`` brings it along.
"""

# ruff: noqa: RUF001

import subprocess
from pathlib import Path

import numpy as np
import pytest
from batch_models import MODELS

from tinygrad_mb.derivation.derive import derive
from tinygrad_mb.derivation.notation import GREEK, latex_name

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.tex"))
X, Y = np.arange(15.0).reshape(5, 3) / 10, np.arange(5.0)


def katex():
    """The command that starts KaTeX; None where it is not installed, or not made for this machine."""
    try:
        from markdown_katex import wrapper

        return [*map(str, wrapper.get_bin_cmd()), "--display-mode"]
    except (ImportError, NotImplementedError):
        return None


with_katex = pytest.mark.skipif(katex() is None, reason="KaTeX is not installed: it is in the extra `test`")


def compiles(latex):
    """KaTeX's opinion: None, or what is wrong."""
    run = subprocess.run(katex(), input=latex, capture_output=True, text=True)
    return None if run.returncode == 0 and "katex-error" not in run.stdout else run.stderr or run.stdout


def one_below_the_other(pages):
    """Several formulas in one, since the engine takes a second to start."""
    return "\\begin{gathered}\n" + " \\\\\n".join(pages) + "\n\\end{gathered}"


@with_katex
@pytest.mark.parametrize("wrong", [r"\frac{a}{b", r"\nothing x", r"x \right)"])
def test_what_is_not_latex_does_not_compile(wrong):
    assert compiles(one_below_the_other(["x_1", wrong])) is not None


HOSTILE = [
    *GREEK, *GREEK.values(), "W1", "b_h", "W_xh", "h1_prev", "y_hat", "yhat", "x_bar", "theta_12", "gain", "data_loss",
    "per_sequence_mean", "_", "__", "_x", "x_", "a__b", "h_", "ℓ", "é", "größe", "名前", "lam", "ell", "W1_2", "A1B2",
    "a$b", "50%", "{", "}", "\\", "\\frac", "^", "~", "&", "#", "a b", "layers.0.W", "a..b", ".", "x'", '"', "<b>", "1",
]  # fmt: skip


@with_katex
def test_every_name_compiles():
    rows = [rf"{latex_name(name)} + {latex_name(name, 'i')} + {latex_name(name, 'i', 'j')}^2" for name in HOSTILE]
    assert compiles(one_below_the_other(rows)) is None


@with_katex
def test_every_kind_of_formula_compiles():
    pages = [path.read_text() for path in GOLDEN]
    assert len(pages) >= 10
    pages += [derive(m.losses, m.params, *m.batch).latex() for m in MODELS if m.name != "one_hot_targets"]
    assert len(pages) > 40
    assert compiles(one_below_the_other(pages)) is None


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("W1", "W_1"), ("W_1", "W_1"), ("b_h", "b_h"), ("W_xh", "W_{xh}"), ("W12", "W_{12}"), ("alpha", r"\alpha"),
        ("α", r"\alpha"), ("theta1", r"\theta_1"), ("lam", r"\lambda"), ("y_hat", r"\hat y"), ("yhat", r"\hat y"),
        ("gain", r"\mathrm{gain}"), ("h1_prev", r"h_{1,\mathrm{prev}}"), ("data_loss", r"\text{data\_loss}"),
        ("a$b", r"\text{a\$b}"), ("50%", r"\text{50\%}"), ("a_b{", r"\text{a\_b\{}"), ("losses1", r"\mathrm{losses}_1"),
        ("W_h_x", "W_{h,x}"),
    ],
)  # fmt: skip
def test_names(name, latex):
    assert latex_name(name) == latex


def test_indices():
    assert latex_name("x", "i") == "x_i"
    assert latex_name("h1", "i") == "h_{1,i}"
    assert latex_name("h1", "i", "j") == "h_{1,ij}"
    assert latex_name("y_hat", "i", "y_i") == r"\hat y_{i,y_i}"


def test_names_that_look_the_same_are_told_apart():
    def loss(p, x, y):
        return np.square(x @ p["W1"] + p["W_1"] - y).mean()

    page = derive(loss, {"W1": np.ones(3), "W_1": np.ones(())}, X, Y).latex()
    assert "W_1" in page
    assert r"\text{W\_1}" in page


def test_a_cotangent_is_a_delta_with_its_value_below():
    def loss(p, x, y):
        return np.square(np.tanh(x @ p["W1"] + p["b1"]) @ p["w2"] - y).mean()

    page = derive(loss, {"W1": np.ones((3, 4)), "b1": np.ones(4), "w2": np.ones(4)}, X, Y).latex()
    assert r"\delta_{z_1} &= \left(\delta_{z_2} w_2^{\top}\right) \odot (1 - h^2)" in page
    total = r"x^{\top} \delta_{z_1} = \sum_{i=1}^{m} x_i^{\top} \delta_{z_1,i}"
    assert rf"\frac{{\partial L}}{{\partial W_1}} &= {total}" in page
