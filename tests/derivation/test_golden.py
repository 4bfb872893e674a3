"""Derivations as they are printed; each is kept as a file, and run with nothing but NumPy.

``python tests/derivation/test_golden.py`` prints them anew.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from models import MODELS, M

import tinygrad_mb as tg

GOLDEN = Path(__file__).parent / "golden"


def derivation(model):
    return tg.derive(model.loss, model.params, *model.batch(M))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_function_is_the_one_kept(model):
    assert derivation(model).numpy() == (GOLDEN / f"{model.name}.py").read_text()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_it_gives_the_engines_numbers_for_any_number_of_examples(model):
    namespace = {}
    exec((GOLDEN / f"{model.name}.py").read_text(), namespace)
    for m in (M, 1, 2, 13):
        loss, gradients = namespace["gradients"](model.params, *model.batch(m))
        expected, expected_gradients = tg.value_and_grad(model.loss)(model.params, *model.batch(m))
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
        assert list(gradients) == list(expected_gradients)
        for name, gradient in gradients.items():
            assert np.shape(gradient) == model.params[name].shape
            assert gradient.dtype == np.float64
            np.testing.assert_allclose(gradient, expected_gradients[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_no_line_is_long_and_nothing_is_noise(model):
    text = (GOLDEN / f"{model.name}.py").read_text()
    assert max(map(len, text.splitlines())) <= 100
    assert "broadcast_to" not in text
    assert "tinygrad" not in text
    assert "NB" not in text


def test_they_run_where_there_is_only_numpy():
    program = "import sys\nfor path in sys.argv[1:]: exec(open(path).read())\nprint('tinygrad_mb' in sys.modules)"
    files = [str(GOLDEN / f"{model.name}.py") for model in MODELS]
    run = subprocess.run([sys.executable, "-c", program, *files], capture_output=True, text=True, check=True, cwd="/")
    assert run.stdout == "False\n"


if __name__ == "__main__":
    for each in MODELS:
        (GOLDEN / f"{each.name}.py").write_text(derivation(each).numpy())
