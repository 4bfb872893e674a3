"""Random programs with vmaps and derivatives inside: all examples in one run, and one after the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_random_programs import REDUCTIONS, SMOOTH_BINARY, SMOOTH_UNARY, VIEWS, fits

import tinygrad_mb as tg

# The pairs of shapes are random, so that the warning of a column less a vector is no news here.
pytestmark = pytest.mark.filterwarnings("ignore::tinygrad_mb.errors.BroadcastWarning")

TRANSFORMED = [
    lambda x: tg.vmap(np.sin)(x) if x.ndim else np.sin(x),
    lambda x: tg.vmap(lambda row: np.tanh(row).sum(), in_axes=-1)(x) if x.ndim else x,
    lambda x: tg.vmap(lambda row: row * x.sum(), out_axes=-1)(x) if x.ndim else x,
    lambda x: tg.vmap(lambda row: tg.vmap(lambda other: np.sin(row - other).sum())(x))(x) if x.ndim else x,
    lambda x: tg.grad(lambda y: (np.sin(y) * x).sum())(x),
    lambda x: tg.vmap(tg.grad(lambda row: np.tanh(row * x.mean()).sum()))(x) if x.ndim else x,
    lambda x: tg.grad(lambda y: tg.vmap(lambda row: np.sin(row).sum() * y.sum())(x).sum())(x) if x.ndim else x,
    lambda x: tg.jacobian(lambda y: np.sin(y) * y[::-1])(x.reshape(-1)[:2]),
    lambda x: tg.vmap(tg.jacobian(lambda row: np.cos(row) * x.sum()))(x.reshape(-1)[:3]),
    lambda x: tg.jvp(np.sin, (x,), (x,))[1],
    lambda x: tg.hvp(lambda y: (np.cos(y) * y).sum(), x, np.sin(x)),
    lambda x: tg.hessian(lambda y: np.sin(y.sum()))(x.reshape(-1)[:2]),
]
CHOICES = [(fn,) for fn in SMOOTH_UNARY + VIEWS + REDUCTIONS + 2 * TRANSFORMED] + [(fn, 2) for fn in SMOOTH_BINARY]
programs = st.lists(st.tuples(st.sampled_from(CHOICES), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=5)
shapes = st.sampled_from([(), (2,), (3,), (2, 3), (1, 2)])
CHECKED = settings(deadline=None, max_examples=120)


def score(program, x, w):
    """One number from an example x and parameters w."""
    pool = [x, w]
    for (fn, *binary), i, j in program:
        a, b = pool[i % len(pool)], pool[j % len(pool)]
        if binary and not fits(a, b):
            continue
        out = np.tanh(fn(a, b) if binary else fn(a))
        if out.size <= 24 and out.ndim <= 3:
            pool.append(out)
    return sum([np.sin(value).sum() * (k + 1) for k, value in enumerate(pool)])


def arrays(seed, *shapes):
    random = np.random.default_rng(seed)
    return [random.uniform(-1, 1, shape) for shape in shapes]


def assert_all_close(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        assert type(a) is np.ndarray
        assert a.shape == e.shape
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, e, rtol=1e-9, atol=1e-9)


@CHECKED
@given(programs, shapes, shapes)
def test_values_and_gradients_are_those_of_a_loop(program, x_shape, w_shape):
    X, w = arrays(1, (3, *x_shape), w_shape)

    def run(x, w):
        return score(program, x, w)

    gradient = tg.grad(run, (0, 1))
    values = np.array([run(x, w) for x in X])
    each = [np.stack(parts) for parts in zip(*[gradient(x, w) for x in X], strict=True)]
    assert_all_close([tg.vmap(run, (0, None))(X, w)], [values])
    assert_all_close(tg.vmap(gradient, (0, None))(X, w), each)
    assert_all_close(
        tg.grad(lambda X, w: tg.vmap(run, (0, None))(X, w).sum(), (0, 1))(X, w), [each[0], each[1].sum(axis=0)]
    )


@CHECKED
@given(programs, shapes, shapes)
def test_two_hidden_axes_and_a_gradient_between_them(program, x_shape, w_shape):
    """Pairs of examples: each operand hides an axis of its own, and the gradient is taken between the two vmaps."""
    X, W = arrays(2, (2, *x_shape), (3, *w_shape))

    def run(x, w):
        return score(program, x, w)

    between = tg.vmap(tg.grad(lambda x, W: tg.vmap(run, (None, 0))(x, W).sum(), (0, 1)), (0, None))(X, W)
    found = [[tg.grad(run, (0, 1))(x, w) for w in W] for x in X]
    expected = [
        np.stack([np.sum([pair[0] for pair in row], axis=0) for row in found]),
        np.stack([np.stack([pair[1] for pair in row]) for row in found]),
    ]
    assert_all_close(between, expected)


@settings(deadline=None, max_examples=60)
@given(programs, shapes, shapes)
def test_second_derivatives_are_those_of_a_loop(program, x_shape, w_shape):
    X, w = arrays(3, (2, *x_shape), w_shape)

    def squares(x, w):
        slopes = tg.grad(lambda x, w: score(program, x, w), (0, 1))(x, w)
        return sum([np.sin(s).sum() for s in slopes])

    twice = tg.grad(squares, (0, 1))
    each = [np.stack(parts) for parts in zip(*[twice(x, w) for x in X], strict=True)]
    assert_all_close(tg.vmap(twice, (0, None))(X, w), each)
    assert_all_close(
        tg.grad(lambda X, w: tg.vmap(squares, (0, None))(X, w).sum(), (0, 1))(X, w), [each[0], each[1].sum(axis=0)]
    )
