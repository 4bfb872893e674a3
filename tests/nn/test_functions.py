"""Activations and other functions of nn and special: their values, at the edges too, and composed derivatives.

The rules of the primitives among them are checked with all others, in test_rules.py.
"""

import math

import numpy as np
import pytest
from differences import CENTRAL_TOLERANCE, assert_close, by_central_differences

import tinygrad_mb as tg
from tinygrad_mb import nn, special

ACTIVATIONS = [nn.relu, nn.sigmoid, nn.softplus, nn.gelu, nn.softmax, nn.log_softmax]
random = np.random.default_rng(0)


def test_erf_is_right_to_the_last_digits():
    x = np.concatenate([np.linspace(-7, 7, 20001), np.logspace(-300, 0, 1000), [0.46875, np.nextafter(0.46875, 1)]])
    right = np.array([math.erf(v) for v in x])
    assert np.all(np.abs(special.erf(x) - right) <= 4 * np.spacing(np.abs(right)))
    narrow = x.astype(np.float32)
    right = np.array([math.erf(v) for v in narrow.astype(float)]).astype(np.float32)
    assert special.erf(narrow).dtype == np.float32
    assert np.all(np.abs(special.erf(narrow) - right) <= 5 * np.spacing(np.abs(right)))


def test_erf_of_large_arrays_is_that_of_their_parts():
    x = random.normal(size=(300, 400)).astype(np.float32)
    np.testing.assert_array_equal(special.erf(x), np.array([special.erf(row) for row in x]))
    np.testing.assert_array_equal(special.erf(x.T), special.erf(x).T)


def test_erf_at_the_ends():
    np.testing.assert_array_equal(special.erf(np.array([-np.inf, -1e308, 0.0, np.inf])), [-1, -1, 0, 1])
    assert np.signbit(special.erf(np.array(-0.0)))
    assert np.isnan(special.erf(np.array(np.nan)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", ACTIVATIONS)
def test_large_arguments_give_finite_values_and_gradients_without_warnings(function, dtype):
    x = tg.Tensor([-1000.0, -90.0, -1.0, 0.0, 1.0, 90.0, 1000.0], requires_grad=True, dtype=dtype)
    y = function(x)
    gradient = y.gradient(x, gradient=np.arange(7.0))
    assert y.dtype == gradient.dtype == dtype
    assert np.isfinite(y.numpy()).all()
    assert np.isfinite(gradient).all()


def test_small_probabilities_keep_their_digits():
    x = np.array([-40.0, -700.0])
    np.testing.assert_allclose(nn.sigmoid(x), np.exp(x), rtol=1e-15)
    np.testing.assert_allclose(nn.softplus(x), np.exp(x), rtol=1e-15)
    np.testing.assert_allclose(nn.log_softmax(np.array([0.0, 800.0])), [-800, 0])


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_arrays_give_arrays_and_tensors_the_same_numbers(function):
    for x in random.normal(size=(3, 4)), random.normal(size=(3, 4)).T, np.arange(6).reshape(2, 3):
        plain, tensor = function(x), function(tg.Tensor(x))
        assert type(plain) is np.ndarray
        assert isinstance(tensor, tg.Tensor)
        np.testing.assert_array_equal(plain, tensor.numpy())


def test_softmax_along_axes():
    x = random.normal(size=(2, 3, 4))
    for axis in 0, 1, -1, (0, 2):
        e = np.exp(x)
        np.testing.assert_allclose(nn.softmax(x, axis), e / e.sum(axis=axis, keepdims=True), rtol=1e-14)
        np.testing.assert_allclose(nn.log_softmax(x, axis), np.log(nn.softmax(x, axis)), rtol=1e-13)
    np.testing.assert_allclose(special.logsumexp(x, (0, 2)), np.log(np.exp(x).sum(axis=(0, 2))), rtol=1e-14)


def test_softmax_gives_masked_places_nothing():
    x = tg.Tensor([0.0, -np.inf, 0.0], requires_grad=True)
    y = nn.softmax(x)
    np.testing.assert_array_equal(y.numpy(), [0.5, 0, 0.5])
    np.testing.assert_array_equal(y[0].gradient(x), [0.25, 0, -0.25])


def test_gelu():
    x = random.normal(size=(3, 4))
    np.testing.assert_allclose(nn.gelu(x), [[v * (1 + math.erf(v / 2**0.5)) / 2 for v in row] for row in x], rtol=1e-14)
    t = tg.Tensor(x, requires_grad=True)
    first = nn.gelu(t).sum().gradient(t, create_graph=True)
    assert_close(first.data, by_central_differences(lambda a: nn.gelu(a).sum(), [x], 0), CENTRAL_TOLERANCE, "gelu")
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(first.sum().gradient(t), density * (2 - x * x), rtol=1e-13)
    narrow = tg.Tensor(x, requires_grad=True, dtype=np.float32)
    assert nn.gelu(narrow).sum().gradient(narrow).dtype == np.float32


def test_linear_is_its_composition():
    for x in random.normal(size=(5, 3)), random.normal(size=(2, 5, 3)), random.normal(size=3), np.zeros((0, 3)):
        arrays = x, random.normal(size=(3, 4)), random.normal(size=4)
        fused, composed = ([tg.Tensor(a, requires_grad=True) for a in arrays] for _ in range(2))
        y, z = nn.linear(*fused), composed[0] @ composed[1] + composed[2]
        np.testing.assert_array_equal(y.numpy(), z.numpy())
        for a, b in zip(np.sin(y).sum().gradient(*fused), np.sin(z).sum().gradient(*composed), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_linear_promotes_as_numpy_does():
    x, W, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32), np.ones(4)
    assert nn.linear(x, W, b).dtype == np.float64
    assert nn.linear(x, W, b.astype(np.float32)).dtype == np.float32


RANKS = r"expected x \(\.\.\., d\), weights \(d, h\) and b \(h,\)"


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((5, 3), (4, 3), (3,)), r"expected x\.shape\[-1\] == weights\.shape\[0\], got 3 and 4"),
        (((5, 3), (3, 4), (3,)), r"expected b\.shape\[0\] == weights\.shape\[1\], got 3 and 4"),
        (((5, 3), (3, 4), (1, 4)), RANKS),
        (((5, 3), (2, 3, 4), (4,)), RANKS),
        (((), (3, 4), (4,)), RANKS),
        (((5, 3), (3,), ()), RANKS),
    ],
)
def test_linear_refuses_other_shapes(shapes, message):
    x, W, b = (np.ones(shape) for shape in shapes)
    with pytest.raises(tg.errors.ShapeError, match=r"linear: the shapes do not fit\n.*\n  " + message) as error:
        nn.linear(x, tg.Tensor(W, requires_grad=True, name="weights"), b)
    assert f"weights {W.shape} float64" in str(error.value)


def test_embedding():
    table = random.normal(size=(5, 3))
    indices = np.array([[0, 4], [4, 4]])
    W = tg.Tensor(table, requires_grad=True)
    rows = nn.embedding(W, indices)
    np.testing.assert_array_equal(rows.numpy(), table[indices])
    np.testing.assert_array_equal(rows.sum().gradient(W), np.array([[1], [0], [0], [0], [3]]) * np.ones(3))
    assert nn.embedding(W, tg.Tensor(indices)).shape == (2, 2, 3)
    assert nn.embedding(table, []).shape == (0, 3)


@pytest.mark.parametrize(("indices", "error", "message"), [
    ([0, 5], ValueError, r"embedding: .* integers from 0 to 4, and in indices \(2,\) int64 indices\[1\] = 5"),
    ([[0, 1], [-1, 2]], ValueError, r"indices\[1, 0\] = -1"),
    ([0.0, 1.0], TypeError, r"indices.astype\(int\)"),
    ([0.0, np.nan], TypeError, r"indices\[1\] = nan"),
    ([True, False], TypeError, r"not of an integer dtype"),
])  # fmt: skip
def test_embedding_refuses_other_indices(indices, error, message):
    with pytest.raises(error, match=message):
        nn.embedding(tg.Tensor(np.ones((5, 3)), requires_grad=True), np.array(indices))
