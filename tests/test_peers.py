"""Silent errors seen in other engines, one test each: here it is an error, or the number is right.

The engine in which each was seen stands in the test's docstring; the comments give its wrong number.
"""

import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.errors import BroadcastWarning, ChangedArrayError, ShapeError


def parameter(data, name=None, dtype=None):
    return tg.Tensor(data, requires_grad=True, name=name, dtype=dtype)


# ---------------------------------------------------------------------------------- changed arrays, accumulation


def test_a_buffer_changed_after_its_use():
    """HIPS autograd, Chainer, tinygrad, and PyTorch through from_numpy: a gradient of 1 became 100."""
    buffer, w = np.array([1.0]), parameter([1.0])
    loss = (w * buffer).sum()
    buffer[0] = 100
    with pytest.raises(ChangedArrayError, match="multiply"):
        loss.backward()


def test_a_batch_buffer_that_is_filled_again():
    """The same, as it happens: a loader reuses one array for every batch."""
    buffer, w = np.zeros((4, 2)), parameter([1.0, 1.0])
    losses = []
    for batch in range(2):
        buffer[:] = batch + 1
        losses.append(np.square(buffer @ w).mean())
    with pytest.raises(ChangedArrayError):
        losses[0].backward()
    losses[1].backward()
    np.testing.assert_array_equal(w.grad, [16, 16])


def test_losses_of_a_loop_accumulate():
    """MyGrad and needle: the last example's gradient alone took part in what followed, [32, 50] for [40, 70]."""
    w = parameter([1.0, 2.0])
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 3.0])
    batch = np.square(x @ w - y).sum().gradient(w)
    for row, target in zip(x, y, strict=True):
        np.square(row @ w - target).backward()
    np.testing.assert_array_equal(w.grad, batch)
    np.testing.assert_array_equal(w.grad, [2 * 4 * 1 + 2 * 8 * 3, 2 * 4 * 2 + 2 * 8 * 4])


def test_several_backward_calls_through_a_shared_intermediate_do_not_count_twice():
    """micrograd: intermediates keep old gradients, so that the second call adds them again, 28 for 20."""
    x = parameter(2.0)
    h = (x * x).retain_grad()
    one, two = h * 2, h * 3
    one.backward(retain_graph=True)
    two.backward()
    np.testing.assert_array_equal(x.grad, 20)  # (2 + 3) d(x²)/dx
    np.testing.assert_array_equal(h.grad, 5)


def test_a_loss_that_is_no_number():
    """MyGrad and needle: silently the gradient of the sum."""
    losses = parameter([1.0, 2.0]) ** 2
    with pytest.raises(ShapeError, match=r"\.sum\(\) or \.mean\(\)"):
        losses.backward()
    with pytest.raises(ShapeError, match=r"\.sum\(\) or \.mean\(\)"):
        losses.gradient(losses)


def test_a_column_of_predictions_against_a_row_of_targets():
    """All but PyTorch: silently the loss of all m x m pairs."""
    pred, y = parameter(np.zeros((3, 1)), "pred"), np.array([1.0, 2.0, 3.0])
    with pytest.raises(BroadcastWarning, match=r"pred \(3, 1\) float64 and right \(3,\) float64"):
        np.square(pred - y).mean()
    with pytest.raises(ShapeError, match=r"pred \(3, 1\) float64"):
        tg.nn.squared_error(pred, y)


# ------------------------------------------------------------------------------------------ single functions


def test_a_product_with_zeros():
    """HIPS autograd: nan."""
    x = parameter([0.0, 2.0, 3.0])
    np.testing.assert_array_equal(np.prod(x).gradient(x), [6, 0, 0])
    x = parameter([[0.0, 0.0, 3.0], [1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(np.prod(x, axis=1).sum().gradient(x), [[0, 0, 0], [6, 3, 2]])
    np.testing.assert_array_equal(np.cumprod(parameter([0.0, 2.0])).numpy(), [0, 0])


def test_a_sum_with_a_mask():
    """HIPS autograd: the gradient ignores ``where=``."""
    x, mask = parameter([1.0, 2.0, 3.0]), np.array([True, False, True])
    np.testing.assert_array_equal(np.sum(x, where=mask).gradient(x), [1, 0, 1])
    np.testing.assert_array_equal(np.add.reduce(x, where=mask).gradient(x), [1, 0, 1])
    np.testing.assert_array_equal(np.mean(x, where=mask).gradient(x), [0.5, 0, 0.5])


@pytest.mark.parametrize("order", [np.inf, -np.inf])
def test_the_norm_of_infinite_order(order):
    """HIPS autograd: nan."""
    x = parameter([1.0, -4.0, 3.0])
    winner = [0, -1, 0] if order > 0 else [1, 0, 0]
    np.testing.assert_array_equal(np.linalg.norm(x, order).gradient(x), winner)
    zero = parameter([0.0, 0.0])
    assert np.isfinite(np.linalg.norm(zero, order).gradient(zero)).all()


SINGLE = {
    "sum": np.sum,
    "mean": np.mean,
    "var": np.var,
    "std": np.std,
    "prod": np.prod,
    "max": np.max,
    "cumsum": np.cumsum,
    "power": lambda x: x**2.5,
    "divide": lambda x: 1 / x,
    "tanh": np.tanh,
    "log2": np.log2,
    "exp2": np.exp2,
    "sqrt": np.sqrt,
    "arctan2": lambda x: np.arctan2(x, 2.0),
    "maximum": lambda x: np.maximum(x, 0.5),
    "where": lambda x: np.where(x > 1, x, 0.0),
    "clip": lambda x: np.clip(x, 0.5, 1.5),
    "sort": np.sort,
    "norm": np.linalg.norm,
    "linspace of scales": lambda x: x * [1, 2, 3],
    "concatenate": lambda x: np.concatenate([x, x]),
    "matmul": lambda x: x.reshape(3, 1) @ x.reshape(1, 3),
    "einsum": lambda x: np.einsum("i,j->ij", x, x),
    "logaddexp": lambda x: np.logaddexp(x, 0.0),
    "sinc": np.sinc,
    "pad": lambda x: np.pad(x, 1),
    "diff": np.diff,
    "indexing": lambda x: x[[0, 0, 1]],
}


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_single_precision_stays(name, dtype):
    """HIPS autograd: a float64 gradient for float32 data, in 8 functions of 14."""
    if name == "norm" and dtype == np.float16:
        dtype = np.float32
    x = parameter([0.7, 1.3, 2.1], dtype=dtype)
    y = SINGLE[name](x)
    g = y.sum().gradient(x)
    assert g.dtype == dtype
    assert g.shape == x.shape
    recorded = y.sum().gradient(x, create_graph=True)
    assert recorded.dtype == dtype
    if recorded.requires_grad:
        assert recorded.sum().gradient(x).dtype == dtype
    if name != "linspace of scales":  # an integer array is int64, which promotes
        assert y.dtype == dtype


def test_copies_and_conversions_are_differentiable():
    """MyGrad: the gradient of ``copy()`` and of ``astype()`` is 0."""
    x = parameter([1.0, 2.0])
    for y in (x.copy(), np.copy(x), x.astype(np.float32), x.astype(float), +x, x[...], x.reshape(2), x.ravel()):
        np.testing.assert_array_equal((y * [3.0, 5.0]).sum().gradient(x), [3, 5])


def test_numpy_functions_give_tensors_and_never_arrays_of_objects():
    """tinygrad: ``np.sin(t)`` is an array of objects."""
    x = parameter([1.0, 2.0])
    y = np.sin(x)
    assert type(y) is tg.Tensor
    np.testing.assert_allclose(y.sum().gradient(x), np.cos(x.data))
    for outside in (
        lambda: np.frompyfunc(lambda v: v, 1, 1)(x),
        lambda: np.vectorize(abs)(x),
        lambda: np.array([x, x]),
    ):
        with pytest.raises(TypeError):
            outside()
    for ufunc in {f for f in vars(np).values() if isinstance(f, np.ufunc) and f.nin == 1} - {np.arccosh}:
        try:
            result = ufunc(x / 3)
        except TypeError:
            continue
        for part in result if isinstance(result, tuple) else (result,):
            assert part.dtype != object


# ---------------------------------------------------------------------------------------------------- threads


def test_nested_gradients_in_threads():
    """HIPS autograd: one stack of traces for all threads, 9.0 for 24.0."""
    barrier = threading.Barrier(4)

    def second_derivative(k):
        results = []
        for _ in range(30):
            barrier.wait()
            x = parameter(float(k))
            slope = (x**4).gradient(x, create_graph=True)
            results.append(float((slope * x).gradient(x)))
        return results

    with ThreadPoolExecutor(4) as pool:
        for k, results in enumerate(pool.map(second_derivative, range(4))):
            assert results == [16.0 * k**3] * 30


def test_not_recording_in_one_thread_does_not_stop_the_others():
    """MyGrad: ``no_autodiff`` is global, and 134 of 600 gradients in other threads were lost."""
    stop = threading.Event()

    def silent():
        x = parameter(1.0)
        while not stop.is_set():
            with tg.no_grad():
                x * x

    thread = threading.Thread(target=silent)
    thread.start()
    try:
        for k in range(600):
            x = parameter(float(k))
            np.testing.assert_array_equal((x * x).gradient(x), 2 * k)
    finally:
        stop.set()
        thread.join()


def test_threads_that_add_to_one_gradient():
    """Any engine that reads, adds and writes without a lock loses some of these."""
    w = parameter(np.zeros(3))
    barrier = threading.Barrier(8)

    def work(k):
        barrier.wait()
        for _ in range(200):
            (w * 1.0).sum().backward()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
    finally:
        sys.setswitchinterval(interval)
    np.testing.assert_array_equal(w.grad, [1600, 1600, 1600])


# ------------------------------------------------------------------------------------------- depth and memory


@pytest.mark.parametrize("create_graph", [False, True])
def test_deep_chains(create_graph):
    """micrograd, minitorch and needle: the recursion limit."""
    x = parameter(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1.0 if not create_graph else y * 1.0
    g = y.gradient(x, create_graph=create_graph)
    assert float(g) == 1
    y.backward()
    np.testing.assert_array_equal(x.grad, 1)
    assert sys.getrecursionlimit() < 20_000


def test_no_cycles():
    """micrograd: 89 MB, needle: 232 MB for each step without the garbage collector."""
    w = parameter(np.zeros((3, 3)))
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            h = np.tanh(np.ones((5, 3)) @ w).retain_grad()
            h.register_hook(lambda g: None)
            loss = np.square(h).mean()
            loss.gradient(w, create_graph=True)
            loss.backward()
        del h, loss
        assert gc.collect() == 0
    finally:
        gc.enable()
