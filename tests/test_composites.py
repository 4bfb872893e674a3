"""Composites beside NumPy's own functions: many arguments, and the same errors."""

import itertools
import math

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb import Tensor, errors

rng = np.random.default_rng(7)
A = rng.normal(size=(2, 3, 4))
M = rng.normal(size=(4, 4))
V = rng.normal(size=5)


def agree(call, *arrays):
    """The call on tensors gives what it gives on arrays: values, shapes, dtypes."""
    expected = call(*arrays)
    result = call(*[Tensor(a, requires_grad=True) for a in arrays])
    if not isinstance(expected, (tuple, list)):
        expected, result = [expected], [result]
    assert len(result) == len(expected)
    assert result[0].requires_grad
    for r, e in zip(result, expected, strict=True):
        assert r.dtype == e.dtype
        np.testing.assert_allclose(r.numpy() if isinstance(r, Tensor) else r, e, rtol=1e-13, atol=1e-13, strict=True)


def test_every_way_to_move_axes():
    for source, destination in itertools.product(itertools.permutations((0, 1, -1), 2), repeat=2):
        agree(lambda x, s=source, d=destination: np.moveaxis(x, s, d), A)
    for axis, start in itertools.product(range(-3, 3), range(-3, 4)):
        agree(lambda x, a=axis, s=start: np.rollaxis(x, a, s), A)
    for k, axes in itertools.product(range(-4, 5), itertools.permutations((0, 1, -1), 2)):
        agree(lambda x, k=k, a=axes: np.rot90(x, k, a), A)


def test_every_diagonal():
    for offset, (axis1, axis2) in itertools.product(range(-5, 6), itertools.permutations(range(3), 2)):
        agree(lambda x, o=offset, a=axis1, b=axis2: np.diagonal(x, o, a, b), A)
        agree(lambda x, o=offset, a=axis1, b=axis2: np.trace(x, o, a, b), A)
    for k in range(-5, 6):
        agree(lambda x, k=k: np.tril(x, k), A)
        agree(lambda x, k=k: np.triu(x, k), A)
        agree(lambda x, k=k: np.diag(x, k), V)
        agree(lambda x, k=k: np.diag(x, k), A[0])


def test_every_quantile():
    for q, axis, keepdims in itertools.product(
        (0, 0.25, 1, np.array(0.3), [0.1, 0.9], np.array([[0.0, 0.5], [1.0, 0.2]])),
        (None, 0, -1, (0, 2), (1, 0)),
        (False, True),
    ):
        agree(lambda x, q=q, a=axis, k=keepdims: np.quantile(x, q, a, keepdims=k), A)
        agree(lambda x, q=q, a=axis, k=keepdims: np.percentile(x, np.multiply(q, 100), a, keepdims=k), A)
    for n in range(1, 6):
        agree(np.median, V[:n])


def test_quantiles_of_nan_are_nan():
    agree(lambda x: np.median(x, 1), np.where(np.eye(4, dtype=bool)[:2], math.nan, M[:2]))


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap", "constant"])
def test_every_padding(mode):
    for widths in 0, 2, 7, (1, 2), ((0, 0), (3, 1), (0, 9)), {1: (1, 2)}, {-1: 3}:
        if isinstance(widths, dict) and not hasattr(np, "matvec"):
            continue  # NumPy 2.2 and later
        agree(lambda x, w=widths: np.pad(x, w, mode), A)


def test_every_split():
    for n, axis in itertools.product(range(1, 6), range(-3, 3)):
        agree(lambda x, n=n, a=axis: np.array_split(x, n, a), A)
    for bounds in [], [1], [2, 2], [3, 1], [1, 9, 12], [-1]:
        agree(lambda x, b=bounds: np.array_split(x, b, 2), A)
        agree(lambda x, b=bounds: np.split(x, b), V)


def test_every_repeat_and_tile():
    for repeats, axis in itertools.product((0, 1, 3), (None, 0, 1, -1)):
        agree(lambda x, r=repeats, a=axis: np.repeat(x, r, a), A)
    agree(lambda x: np.repeat(x, [2, 0, 1], 1), A)
    agree(lambda x: np.repeat(x, [2]), A)
    agree(lambda x: np.repeat(x, 2), np.array(3.0))
    for reps in 0, 2, (1, 2), (2, 1, 1, 3), ():
        agree(lambda x, r=reps: np.tile(x, r), A)
    agree(lambda x: np.tile(x, (2, 2)), np.array(3.0))


def test_every_way_to_squeeze_and_widen():
    x = A[:, None, :1]
    for axis in None, 1, -2, (1, 2), ():
        agree(lambda x, a=axis: np.squeeze(x, a), x)
    for axis in 0, -1, (0, 1), (1, -1), (0, 3, -1):
        agree(lambda x, a=axis: np.expand_dims(x, a), A)


def test_every_tensordot():
    for n in range(4):
        agree(lambda x, y, n=n: np.tensordot(x, y, n), A, A.transpose(*range(3 - n, 3), *range(3 - n)))
    for axes in (1, 1), ([0, 2], [0, 2]), ([2, -3], [-1, 0]), ([], []), ((0,), 0):
        agree(lambda x, y, a=axes: np.tensordot(x, y, a), A, A)


def test_every_convolution():
    for n, m, mode in itertools.product(range(1, 6), range(1, 6), ("full", "same", "valid")):
        x, y = rng.normal(size=n), rng.normal(size=m)
        agree(lambda x, y, mode=mode: np.convolve(x, y, mode), x, y)
        agree(lambda x, y, mode=mode: np.correlate(x, y, mode), x, y)


def test_every_norm():
    for order, axis, keepdims in itertools.product(
        (None, 1, 2, 2.5, math.inf, -math.inf), (0, -1, (1,)), (False, True)
    ):
        agree(lambda x, o=order, a=axis, k=keepdims: np.linalg.norm(x, o, a, k), A)
    for order, axis, keepdims in itertools.product(
        (None, "fro", 1, -1, math.inf, -math.inf), itertools.permutations(range(3), 2), (False, True)
    ):
        agree(lambda x, o=order, a=axis, k=keepdims: np.linalg.norm(x, o, a, k), A)
    for keepdims in False, True:
        agree(lambda x, k=keepdims: np.linalg.norm(x, keepdims=k), A)
    agree(lambda x: np.linalg.vector_norm(x, axis=(0, 2), ord=3, keepdims=True), A)
    agree(lambda x: np.linalg.matrix_norm(x, ord=1), A)


def test_products_of_every_rank():
    shapes = (3,), (2, 3), (3, 3), (2, 3, 3)
    for left, right in itertools.product(shapes, shapes):
        x, y = rng.normal(size=left), rng.normal(size=right)
        for function in np.dot, np.inner, np.outer, np.kron, np.matmul, lambda x, y: np.einsum("...i,...i", x, y):
            try:
                function(x, y)
            except ValueError:
                with pytest.raises(ValueError, match=r"."):
                    function(Tensor(x, requires_grad=True), Tensor(y, requires_grad=True))
            else:
                agree(function, x, y)


def test_sorting_and_choosing():
    for axis in None, 0, 1, -1:
        agree(lambda x, a=axis: np.sort(x, a), A)
        agree(lambda x, a=axis: np.partition(x, [0, 1], a), A)
        agree(lambda x, a=axis: np.take(x, [[0, 1], [-1, 0]], a), A)
        agree(lambda x, a=axis: np.compress([True, False], x, a), A)
        agree(lambda x, a=axis: np.delete(x, [0, -1], a), A)
    agree(lambda x: np.sort(x, stable=True), V)
    agree(lambda x, y: np.select([x > 0, y > 0], [x, y], 3), V, V[::-1])
    agree(lambda x: np.choose([[0, 1, 5]], [x, x[0] * 2], mode="clip"), A[0, :, :3])
    agree(lambda x: np.append(x, 3.0), V)
    agree(lambda x: np.linspace(x, 2, 5, retstep=True), V)
    agree(lambda x: np.linspace(1, x, 1), V)
    agree(lambda x: np.average(x, 0, returned=True), A)
    agree(lambda x: np.average(x, 1, [1.0, 2.0, 4.0], returned=True), A)


def test_narrow_results_where_numpy_narrows():
    half = V.astype(np.float32)
    for call in (
        lambda x: np.quantile(x, 0.3), lambda x: np.quantile(x, [0.3]), lambda x: np.linspace(x, 2.0, 3), np.cov,
        lambda x: np.linspace(x, np.float64(2), 3), lambda x: np.var(x, ddof=1), lambda x: np.trapezoid(x, dx=0.5),
        lambda x: np.clip(x, -1, 1), lambda x: np.interp(x, [0.0, 1.0], [2.0, 3.0]),
        lambda x: np.bincount([0, 1, 1, 0, 3], x),
        lambda x: np.nan_to_num(x), lambda x: np.vander(x, 2), lambda x: np.geomspace(abs(x), 2.0, 3),
    ):  # fmt: skip
        expected, result = call(half), call(Tensor(half, requires_grad=True))
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.squeeze(x, 0),
        lambda x: np.split(x, 3, 2),
        lambda x: np.moveaxis(x, [0, 0], [1, 2]),
        lambda x: np.moveaxis(x, [0, 1], [1]),
        lambda x: np.expand_dims(x, (0, 0)),
        lambda x: np.cumsum(x, 3),
        lambda x: np.take(x, [7], 0),
        lambda x: np.take(x, 0, 5),
        lambda x: np.take_along_axis(x, np.array([0]), 0),
        lambda x: np.diff(x, axis=4),
        lambda x: np.diff(x, -1),
        lambda x: np.diag(x),
        lambda x: np.sum(x, axis=3),
        lambda x: np.prod(x, axis=-4),
        lambda x: np.var(x, axis=(0, 0)),
        lambda x: np.median(x, axis=3),
        lambda x: np.quantile(x, 1.5),
        lambda x: np.linalg.norm(x, 1),
        lambda x: np.tensordot(x, x, 1),
        lambda x: np.tensordot(x, x, ([0], [1])),
        lambda x: np.einsum("ij->i", x),
        lambda x: np.einsum("ijk,ij", x),
        lambda x: np.einsum("ijk->l", x),
        lambda x: np.einsum("...k->k", x),
        lambda x: np.cross(x, x),
        lambda x: np.repeat(x, [1, 2, 3], 0),
        lambda x: np.choose([0, 3, 0, 0], [x[0, 0], x[0, 1]]),
        lambda x: np.broadcast_arrays(x, np.ones(3)),
        lambda x: np.concatenate([x, x[0]]),
        lambda x: np.stack([x, x[:1]]),
        lambda x: np.hsplit(x[0, 0, 0], 1),
        lambda x: np.convolve(x[0, 0], []),
        lambda x: np.max(x[:0]),
        lambda x: np.swapaxes(x, 0, 3),
        lambda x: np.rot90(x[0, 0]),
        lambda x: np.flip(x, 5),
        lambda x: np.linalg.matrix_power(x, 2),
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 5),
        lambda x: np.trace(x[0, 0]),
        lambda x: np.average(x, weights=[1.0, 2.0]),
        lambda x: np.bincount([-1, 0], x[0, 0, :2]),
        lambda x: np.meshgrid(x[0, 0], indexing="yx"),
    ],
)
def test_errors_are_numpys(call):
    numpys, ours = error_of(call, A), error_of(call, Tensor(A, requires_grad=True))
    assert isinstance(ours, (ValueError, TypeError, IndexError))
    assert isinstance(ours, type(numpys)) or {type(ours), type(numpys)} <= {TypeError, ValueError, errors.ShapeError}


@pytest.mark.parametrize("axis", [0, -1, 1, (0,), (-1,), (0, -1)])
@pytest.mark.parametrize(
    "function",
    [
        np.sum, np.prod, np.max, np.min, np.ptp, np.mean, np.std, np.var, np.median, np.average, np.sort,
        np.linalg.norm, np.flip, np.cumsum, np.any, np.argmax, np.squeeze, np.nanmean,
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_a_number_has_the_axes_that_numpy_lets_it_have(function, axis):
    def call(x):
        return function(x, axis=axis)

    numpys = error_of(call, np.array(0.7))
    one, several = Tensor(0.7, requires_grad=True), np.array([0.7, -1.0])
    for ours in error_of(call, one), error_of(tg.vmap(call), several), error_of(tg.vmap(call), Tensor(several)):
        assert type(ours) is type(numpys)
    if numpys is None:
        assert np.shape(call(one)) == call(np.array(0.7)).shape == np.shape(tg.vmap(call)(several))[1:]


def error_of(call, x):
    try:
        call(x)
    except Exception as error:
        return error
    return None
