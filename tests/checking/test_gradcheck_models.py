"""Random functions and deep models are right, and a small factor in them is found."""

import numpy as np
import pytest
from checking.cubes import ROWS, cube
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_mb as tg
from tinygrad_mb.primitives import PRIMITIVES, defvjp

STEPS = {
    "tanh": np.tanh, "exp": lambda x: np.exp(x / 4), "abs": np.abs, "relu": tg.nn.relu, "square": lambda x: x * x / 4,
    "softmax": tg.nn.softmax, "sum": lambda x: x + x.sum(axis=0), "sort": np.sort, "max": lambda x: x - x.max(),
    "matmul": lambda x: x @ ROWS[:3], "sigmoid": tg.nn.sigmoid, "norm": lambda x: x / (1 + np.linalg.norm(x)),
}  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5), st.integers(0, 1000), st.booleans())
def test_random_functions_are_right_and_a_factor_in_them_is_found(names, seed, grid):
    x = np.random.default_rng(seed).normal(size=(2, 3))
    x = np.round(x) if grid else x  # zeros and ties

    def chain(x):
        for name in names:
            x = STEPS[name](x)
        return x

    report = tg.gradcheck(chain, x, order=1 if grid else 2)
    assert report.ok, f"{names} at {x}\n{report}"
    defvjp(cube, x=lambda g, x: 3.003 * g * x * x)
    spoilt = tg.gradcheck(lambda x: chain(cube(x)), np.random.default_rng(seed).uniform(0.5, 1.5, (2, 3)))
    if max(abs(e.reference) for e in spoilt.outcomes[0].found) > 1e-6:
        assert not spoilt.ok


def deep(act):
    def loss(params, x):
        for W in params["W"]:
            x = act(x @ W)
        return np.square(x - x.mean(axis=0)).sum(axis=1)

    return loss


@pytest.mark.parametrize("act", [tg.nn.relu, np.abs, np.tanh, tg.nn.gelu], ids=lambda act: act.__name__)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_deep_models_are_right_at_every_scale_and_a_factor_of_1_0001_in_them_is_found(spoil, act, scale):
    rng = np.random.default_rng(7)
    params = {"W": [rng.normal(size=(4, 4)) * s for s in (1 / scale if scale > 1 else 1, 0.5, 0.5)]}
    x = scale * rng.normal(size=(5, 4))
    report = tg.gradcheck(deep(act), params, x, order=2)
    assert report.ok, str(report)
    spoil(PRIMITIVES[np.matmul], 1, lambda right: lambda *args: 1.0001 * right(*args))
    assert "rule of matmul for y" in str(tg.gradcheck(deep(act), params, x))
