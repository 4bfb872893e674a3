"""Random programs, derived, printed and run: the engine's numbers, also for other numbers of examples."""

import numpy as np
import pytest

import tinygrad_mb as tg

STEPS = [
    lambda u, v, c: u + v, lambda u, v, c: u * v, lambda u, v, c: u - v, lambda u, v, c: u / (1 + v * v),
    lambda u, v, c: u @ v, lambda u, v, c: np.maximum(u, v), lambda u, v, c: np.where(u > 0, u, v),
    lambda u, v, c: np.concatenate([u, v]), lambda u, v, c: np.tanh(u), lambda u, v, c: c * u, lambda u, v, c: -u,
    lambda u, v, c: u.sum(axis=0), lambda u, v, c: u.mean(axis=-1, keepdims=True), lambda u, v, c: u.T,
    lambda u, v, c: np.square(u), lambda u, v, c: u[..., None], lambda u, v, c: u[0], lambda u, v, c: u + c,
    lambda u, v, c: u[None] * 1.0, lambda u, v, c: u.reshape(-1), lambda u, v, c: tg.nn.softmax(u),
    lambda u, v, c: u.mean(), lambda u, v, c: c - u, lambda u, v, c: np.sin(u) * 0, lambda u, v, c: u.max(axis=0),
    lambda u, v, c: np.broadcast_to(u, (2, *u.shape)).sum(axis=0),
]  # fmt: skip


def random_loss(seed):
    """A sum of means over what some random steps give; steps that do not fit are left out."""
    rng = np.random.default_rng(seed)
    choices = [(rng.choice(STEPS), *rng.integers(0, 1000, 2), round(rng.uniform(-2, 2), 1)) for _ in range(10)]

    def loss(params, x, y):
        values = [x @ params["W"], params["b"], x, params["W"], y, params["c"]]
        for step, i, j, c in choices:
            u, v = values[i % len(values)], values[j % len(values)]
            if not u.ndim:
                continue
            try:
                new = step(u, v, c)
            except (ValueError, IndexError, TypeError):
                continue
            if new.size < 2000:
                values.append(new)
        return sum([np.sin(v).mean() for v in values[6:]], start=0 * params["c"]) + values[-1].mean()

    return loss


@pytest.mark.parametrize("seed", range(40))
def test_a_random_loss(seed):
    rng, loss = np.random.default_rng(seed), random_loss(seed)
    params = {"W": rng.normal(size=(3, 4)), "b": rng.normal(size=4), "c": rng.normal(size=())}
    batches = [(rng.normal(size=(m, 3)), rng.normal(size=m)) for m in (6, 9, 5)]
    text = tg.derive(loss, params, *batches[0]).numpy()
    assert max(map(len, text.splitlines())) <= 100
    namespace = {}
    exec(text, namespace)
    for batch in batches[: 1 if "NB" in text else 3]:
        value, gradients = namespace["gradients"](params, *batch)
        expected, expected_gradients = tg.value_and_grad(loss)(params, *batch)
        np.testing.assert_allclose(value, expected, rtol=1e-10)
        for name, gradient in expected_gradients.items():
            assert np.shape(gradients[name]) == gradient.shape
            np.testing.assert_allclose(gradients[name], gradient, rtol=1e-9, atol=1e-10 * max(1, abs(gradient).max()))
