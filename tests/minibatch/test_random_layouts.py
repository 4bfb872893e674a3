"""Random programs that move the axis of examples about: per-example gradients are always the rows of the Jacobian."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_mb as tg
from tinygrad_mb import nn

pytestmark = pytest.mark.filterwarnings("ignore::tinygrad_mb.errors.BroadcastWarning")  # all pairs are meant
STEPS = {}


def step(fn):
    STEPS[fn.__name__] = fn
    return fn


def numbers(*shape):
    return np.cos(np.arange(np.prod(shape, dtype=int)) + 1.0).reshape(shape)


@step
def transpose(z, w, draw):
    return z.transpose(draw(st.permutations(range(z.ndim))))


@step
def merge(z, w, draw):
    k = draw(st.integers(0, max(z.ndim - 2, 0)))
    return z.reshape((*z.shape[:k], -1, *z.shape[k + 2 :])) if z.ndim > 1 else z


@step
def cut(z, w, draw):
    k = draw(st.integers(0, z.ndim - 1))
    n = draw(st.sampled_from([d for d in (1, 2, 3, 4, 6) if z.shape[k] % d == 0]))
    return z.reshape((*z.shape[:k], n, z.shape[k] // n, *z.shape[k + 1 :]))


@step
def reshape_freely(z, w, draw):
    n = draw(st.sampled_from([d for d in range(1, z.size + 1) if z.size % d == 0]))
    return z.reshape(n, -1)


@step
def new_axis(z, w, draw):
    return np.expand_dims(z, draw(st.integers(0, z.ndim)))


@step
def times_constants(z, w, draw):
    return z * numbers(*z.shape[draw(st.integers(0, z.ndim)) :])


@step
def wider(z, w, draw):
    return z[..., None] + numbers(3)


@step
def plus_parameters(z, w, draw):
    return z + w[0, : z.shape[-1]] if z.shape[-1] <= w.shape[1] else z


@step
def product_on_the_right(z, w, draw):
    return z @ w[: z.shape[-1], :4] if z.shape[-1] <= w.shape[0] else z


@step
def product_on_the_left(z, w, draw):
    return w[:3, : z.shape[-2]] @ z if z.ndim > 1 and z.shape[-2] <= w.shape[1] else z


@step
def vector_product(z, w, draw):
    return z @ w[0, : z.shape[-1]] if z.ndim > 1 and z.shape[-1] <= w.shape[1] else z


@step
def contraction(z, w, draw):
    k = draw(st.integers(0, z.ndim - 1))
    return np.tensordot(z, w[: z.shape[k], :3], (k, 0)) if z.ndim > 1 and z.shape[k] <= w.shape[0] else z


@step
def own_products(z, w, draw):
    return np.einsum("...i,...i->...i", z, z * 0.5)


@step
def total(z, w, draw):
    return z.sum(axis=draw(st.integers(0, z.ndim - 1)), keepdims=draw(st.booleans())) if z.ndim > 1 else z


@step
def average(z, w, draw):
    k = draw(st.integers(0, z.ndim - 1))
    return z - z.mean(axis=k, keepdims=True)


@step
def largest(z, w, draw):
    return z.max(axis=draw(st.integers(0, z.ndim - 1))) if z.ndim > 1 else z


@step
def soft(z, w, draw):
    return nn.softmax(z, axis=draw(st.integers(0, z.ndim - 1)))


@step
def running(z, w, draw):
    return np.cumsum(z, axis=draw(st.integers(0, z.ndim - 1))) * 0.3


@step
def turned(z, w, draw):
    return np.roll(np.flip(z, draw(st.integers(0, z.ndim - 1))), 1, draw(st.integers(0, z.ndim - 1)))


@step
def part(z, w, draw):
    k = draw(st.integers(0, z.ndim - 1))
    start, stride = draw(st.integers(0, z.shape[k] - 1)), draw(st.integers(1, 2))
    return z[(slice(None),) * k + (slice(start, None, stride),)]


@step
def half(z, w, draw):
    k = draw(st.integers(0, z.ndim - 1))
    n = z.shape[k] // 2
    return z[(slice(None),) * k + (slice(n, 2 * n),)] if n else z


@step
def one(z, w, draw):
    return z[..., draw(st.integers(0, z.shape[-1] - 1))] if z.ndim > 1 else z


@step
def picked(z, w, draw):
    k = draw(st.integers(0, z.ndim - 1))
    return np.take(z, draw(st.lists(st.integers(0, z.shape[k] - 1), min_size=1, max_size=4)), axis=k)


@step
def picked_in_pairs(z, w, draw):
    if z.ndim < 2:
        return z
    n = z.shape[0]
    return z[np.arange(n), np.arange(n) * 2 % z.shape[1]]


@step
def doubled(z, w, draw):
    k = draw(st.integers(0, z.ndim - 1))
    return np.concatenate([z, np.tanh(z)], axis=k)


@step
def stacked(z, w, draw):
    return np.stack([z, z * 2], axis=draw(st.integers(0, z.ndim)))


@step
def chosen(z, w, draw):
    return np.where(z > 0, np.tanh(z), 0.1 * z)


@step
def padded(z, w, draw):
    widths = [(0, 0)] * z.ndim
    widths[draw(st.integers(0, z.ndim - 1))] = (1, 2)
    return np.pad(z, widths)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_rows_of_the_jacobian(data):
    x = tg.Tensor(np.sin(np.arange(24.0)).reshape(4, 2, 3), requires_grad=True)
    w = tg.Tensor(np.sin(np.arange(72.0) + 0.3).reshape(12, 6), requires_grad=True)
    z = x * w[:2, :3]
    for name in data.draw(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=7)):
        new = STEPS[name](z, w, data.draw)
        z = new if 0 < new.size <= 400 else z
    losses = z.reshape(z.shape[0], -1).sum(axis=1)
    found = tg.per_example_grads(losses, [x, w])
    for i, loss in enumerate(losses):
        for f, expected in zip(found, loss.gradient(x, w), strict=True):
            assert f[i].shape == expected.shape
            np.testing.assert_allclose(f[i], expected, rtol=1e-9, atol=1e-10 * max(1, np.abs(expected).max()))
