"""Mini-batches: every example once, in order or not, copied or not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_mb as tg
from tinygrad_mb.minibatch import batches


@given(m=st.integers(0, 30), size=st.integers(1, 35), shuffle=st.booleans(), seed=st.integers(0, 9))
def test_each_example_comes_once_and_with_its_own_target(m, size, shuffle, seed):
    X, Y = np.arange(2 * m).reshape(m, 2), np.arange(m)
    parts = list(batches(X, Y, size=size, shuffle=shuffle, rng=seed))
    assert len(parts) == len(batches(X, Y, size=size)) == -(-m // size)
    assert all(len(x) == len(y) == size for x, y in parts[:-1])
    for x, y in parts:
        np.testing.assert_array_equal(x, X[y])
    seen = np.concatenate([y for _, y in parts]) if parts else np.zeros(0)
    np.testing.assert_array_equal(np.sort(seen) if shuffle else seen, Y)


def test_a_single_array_comes_bare():
    (first, second) = batches([1.0, 2.0, 3.0], size=2, shuffle=False)
    np.testing.assert_array_equal(first, [1, 2])
    np.testing.assert_array_equal(second, [3])


def test_without_shuffling_the_parts_are_views():
    X = np.zeros((5, 2))
    for x, _ in batches(X, np.zeros(5), size=2, shuffle=False):
        assert np.shares_memory(x, X)


def test_each_epoch_has_a_new_order_that_the_seed_decides():
    X = np.arange(50)
    data = batches(X, size=50, rng=1)
    (first,), (second,) = data, data
    assert not np.array_equal(first, second)
    again = batches(X, size=50, rng=np.random.default_rng(1))
    (third,), (fourth,) = again, again
    np.testing.assert_array_equal(first, third)
    np.testing.assert_array_equal(second, fourth)
    (other,) = batches(X, size=50)
    assert not np.array_equal(first, other)


def test_tensors_are_cut_as_tensors():
    X = tg.Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    total = sum((x.sum() * k for k, x in enumerate(batches(X, size=2, shuffle=False), 1)), tg.Tensor(0.0))
    np.testing.assert_array_equal(total.gradient(X), [[1, 1], [1, 1], [2, 2]])


@pytest.mark.parametrize(("arrays", "size", "error", "message"), [
    ((), 2, ValueError, "no arrays"),
    ((np.zeros(3), np.zeros((4, 1))), 2, tg.errors.ShapeError,
     r"along axis 0: array 0 \(3,\) float64, array 1 \(4, 1\) float64"),
    ((np.zeros(()),), 2, tg.errors.ShapeError, "without axes has no examples"),
    ((np.zeros(3),), 0, ValueError, "size must be 1 or more, not 0"),
    ((np.zeros(3),), 1.5, TypeError, "size must be an integer, not 1.5"),
])  # fmt: skip
def test_what_cannot_be_cut_is_refused(arrays, size, error, message):
    with pytest.raises(error, match=message):
        batches(*arrays, size=size)


def test_repr():
    assert repr(batches(np.zeros((5, 2)), size=2)) == "<3 batches of up to 2 of 5 examples>"
