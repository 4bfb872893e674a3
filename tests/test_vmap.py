"""vmap: which axes, which nests, gradients inside and outside, random numbers, and what it refuses."""

import gc
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_mb as tg
from tinygrad_mb import Tensor, errors

rng = np.random.default_rng(0)
X, y = rng.normal(size=(5, 3)), rng.normal(size=5)
PARAMS = {"W": rng.normal(size=(3, 4)), "layers": [rng.normal(size=4), (rng.normal(size=4),)]}


def loss(params, x, y):
    b, (v,) = params["layers"]
    return np.square(np.tanh(x @ params["W"] + b) @ v - y)


def by_loop(fn, *batch):
    return [fn(*rows) for rows in zip(*batch, strict=True)]


def assert_same(actual, expected, kind=np.ndarray):
    assert type(actual) is kind
    assert actual.shape == np.shape(expected)
    assert actual.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(actual.numpy() if kind is Tensor else actual, expected, rtol=1e-12, atol=1e-13)


# ------------------------------------------------------------------------------------------ axes and nests


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_axes_in_and_out(data):
    m, ndims = data.draw(st.integers(0, 3)), data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    arrays, in_axes = [], []
    for k, n in enumerate(ndims):
        shape = [2, 3, 1][:n]
        axis = data.draw(st.none() if k and n == 3 else st.integers(-n - 1, n))
        if axis is not None:
            shape.insert(axis % (n + 1), m)
        arrays.append(np.random.default_rng(k).normal(size=shape))
        in_axes.append(axis)
    out_axis = data.draw(st.integers(-2, 1))

    def fn(*arrays):
        return {"a": sum([a.sum() * np.arange(3.0) for a in arrays]), "b": (np.ones(2), arrays[0])}

    actual = tg.vmap(fn, tuple(in_axes), {"a": out_axis, "b": (0, -1)})(*arrays)
    first = arrays[0]
    moved = [a if k is None else np.moveaxis(a, k, 0) for a, k in zip(arrays, in_axes, strict=True)]
    rows = [fn(*[a if k is None else a[i] for a, k in zip(moved, in_axes, strict=True)]) for i in range(m)]
    expected = np.stack([r["a"] for r in rows]) if m else np.zeros((0, 3))
    assert_same(actual["a"], np.moveaxis(expected, 0, out_axis))
    assert_same(actual["b"][0], np.ones((m, 2)))
    assert_same(actual["b"][1], np.moveaxis(first, in_axes[0], -1))
    assert not any(np.may_share_memory(actual["b"][1], a) for a in arrays) or first.size == 0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.booleans())
def test_nested_axes(m, n, outer, inner, swapped):
    """Two hidden axes of one array, in any order, with gradients through both."""
    shape = [2]
    shape.insert(min(inner, 1), n)
    shape.insert(outer, m)
    a, w = np.random.default_rng(0).normal(size=shape), np.array([0.5, -1.0])

    def score(x, w):
        return np.sin(x @ w) * x[0]

    once = tg.vmap(score, (min(inner, 1), None), out_axes=0)
    both = tg.vmap(once, (outer, None), out_axes=int(swapped))
    flat = np.moveaxis(np.moveaxis(a, outer, 0), 1 + min(inner, 1), 1)
    expected = np.sin(flat @ w) * flat[..., 0]
    assert_same(both(a, w), expected.T if swapped else expected)
    gradient = tg.grad(lambda w: both(a, w).sum())(w)
    right = (np.cos(flat @ w)[..., None] * flat * flat[..., :1]).sum(axis=(0, 1))
    assert_same(gradient, right)


def test_nests_of_parameters():
    stacked = {"W": np.stack([PARAMS["W"]] * 5), "layers": [PARAMS["layers"][0], (np.ones((4, 5)),)]}
    axes = {"W": 0, "layers": [None, (-1,)]}
    actual = tg.vmap(loss, (axes, 0, 0))(stacked, X, y)
    one = {"W": PARAMS["W"], "layers": [PARAMS["layers"][0], (np.ones(4),)]}
    assert_same(actual, by_loop(lambda x, y: loss(one, x, y), X, y))
    grads = tg.vmap(tg.grad(loss), (axes, 0, 0))(stacked, X, y)
    assert grads["W"].shape == (5, 3, 4)
    assert [g.shape for g in (grads["layers"][0], grads["layers"][1][0])] == [(5, 4), (5, 4)]


def test_keyword_arguments_have_their_examples_first():
    assert_same(tg.vmap(lambda x, scale: x * scale)(X, scale=y), X * y[:, None])


def test_one_example_and_none():
    for m in (0, 1):
        assert_same(
            tg.vmap(loss, (None, 0, 0))(PARAMS, X[:m], y[:m]), [loss(PARAMS, X[0], y[0])] * m if m else np.zeros(0)
        )
        grads = tg.vmap(tg.grad(loss), (None, 0, 0))(PARAMS, X[:m], y[:m])
        assert_same(grads["W"], np.stack([tg.grad(loss)(PARAMS, X[0], y[0])["W"]] * m) if m else np.zeros((0, 3, 4)))


def test_functions_without_code_and_decorated_ones():
    assert_same(tg.vmap(np.add)(X, y), X + y[:, None])
    assert_same(tg.vmap(tg.nn.softmax)(X), tg.nn.softmax(X))
    assert tg.vmap(loss).__name__ == "loss"


def test_results_that_need_no_example_are_repeated():
    out = tg.vmap(lambda x: (1, np.arange(2), x, True), out_axes=(0, 1, None, 0))
    with pytest.raises(ValueError, match=r"out_axes has None for the result 2, which is not the same for all"):
        out(y)
    one, two, three, four = tg.vmap(lambda x: (1, np.arange(2), 3, True), out_axes=(0, 1, None, 0))(y)
    assert_same(one, np.ones(5, int))
    assert_same(two, np.stack([np.arange(2)] * 5, 1))
    assert three == 3
    assert_same(four, np.ones(5, bool))
    two[0, 0] = 7  # it is the caller's


# ------------------------------------------------------------------------------------ gradients, in and out


def test_tensors_in_tensors_out_and_gradients_through_them():
    x = Tensor(X, requires_grad=True)
    out = tg.vmap(lambda x: np.sin(x).sum())(x)
    assert_same(out, np.sin(X).sum(1), Tensor)
    assert_same(out.sum().gradient(x), np.cos(X))
    constant = tg.vmap(lambda x: x * 2)(Tensor(X))
    assert_same(constant, 2 * X, Tensor)
    assert not constant.requires_grad


def test_a_tensor_from_outside_gets_the_sum_and_one_from_inside_its_own():
    W = Tensor(PARAMS["W"], requires_grad=True)
    seen = []

    def fn(x):
        inside = Tensor(x, requires_grad=True)
        out = np.tanh(inside @ W).sum()
        out.backward()
        seen.append(inside.grad)
        return inside.grad, out

    slopes, out = tg.vmap(fn)(X)
    expected = (1 - np.tanh(X @ W.data) ** 2) @ W.data.T
    assert_same(slopes, expected)
    assert_same(W.grad, X.T @ (1 - np.tanh(X @ W.data) ** 2))
    assert seen[0].shape == (3,)
    assert "5 examples hidden" in repr(seen[0])
    assert out.shape == (5,)


def test_backward_twice_adds_up_also_hidden_gradients():
    def fn(x):
        t = Tensor(x, requires_grad=True)
        for _ in range(2):
            np.square(t).sum().backward()
        (t.sum() * 3).backward()
        return t.grad

    assert_same(tg.vmap(fn)(X), 4 * X + 3)


def test_a_recorded_walk_through_a_finished_vmap():
    w = Tensor(PARAMS["layers"][0][:3], requires_grad=True)
    out = tg.vmap(lambda x: np.sin(x @ w))(X).sum()
    slope = out.gradient(w, create_graph=True)
    assert_same(slope, X.T @ np.cos(X @ w.data), Tensor)
    assert_same((slope * slope).sum().gradient(w), -2 * (X.T * np.sin(X @ w.data)) @ X @ slope.numpy())


def test_hessians_inside_and_outside():
    def f(w, x):
        return np.sin(x @ w) ** 2

    w = np.array([0.3, -0.2, 0.9])
    each = np.stack([tg.hessian(f)(w, x) for x in X])
    assert_same(tg.vmap(tg.hessian(f), (None, 0))(w, X), each)
    assert_same(tg.hessian(lambda w: tg.vmap(f, (None, 0))(w, X).sum())(w), each.sum(0))
    columns = tg.vmap(lambda e: tg.hvp(lambda w: tg.vmap(f, (None, 0))(w, X).sum(), w, e))(np.eye(3))
    assert_same(columns, each.sum(0))
    jacobians = tg.vmap(tg.jacobian(lambda x, w: np.outer(x, w) @ x), (0, None))(X, w)
    assert_same(jacobians, np.stack([tg.jacobian(lambda x: np.outer(x, w) @ x)(x) for x in X]))
    slopes = tg.vmap(lambda x: tg.jvp(f, (w, x), (w, None))[1])(X)
    assert_same(slopes, by_loop(lambda x: tg.jvp(f, (w, x), (w, None))[1], X))
    pulled = tg.vmap(lambda x: tg.vjp(lambda x: f(w, x), x)[1](np.ones(()))[0])(X)
    assert_same(pulled, np.stack([tg.grad(f, 1)(w, x) for x in X]))


def test_a_penalty_on_the_gradients_of_each_example():
    """The gradient of a vmap of gradients, at first and second order, against a loop."""

    def penalty(w):
        slopes = tg.vmap(tg.grad(lambda x: np.sin(x @ w) ** 2))(X)
        return (slopes * slopes).sum()

    def looped(w):
        total = 0.0
        for x in X:
            slope = tg.grad(lambda x: np.sin(x @ w) ** 2)(x)
            total = total + (slope * slope).sum()
        return total

    w = np.array([0.3, -0.2, 0.9])
    assert_same(tg.grad(penalty)(w), tg.grad(looped)(w))
    np.testing.assert_allclose(tg.hessian(penalty)(w), tg.hessian(looped)(w), rtol=1e-10)


def test_modules_shared_and_one_for_each():
    model = tg.nn.Sequential(tg.nn.Linear(3, 4, rng=0), np.tanh, tg.nn.Linear(4, 2, rng=1))
    labels = np.array([0, 1, 1, 0, 1])

    def loss(model, x, label):
        return tg.nn.cross_entropy(model(x), label)

    grads = tg.vmap(tg.grad(loss), (None, 0, 0))(model, X, labels)
    whole = tg.grad(lambda model: tg.nn.cross_entropy(model(X), labels).sum())(model)
    assert grads.keys() == whole.keys()
    for path, g in grads.items():
        assert_same(g.sum(0), whole[path].numpy(), Tensor)
    stacked = {path: np.stack([p.data, 2 * p.data]) for path, p in model.named_parameters().items()}
    many = tg.nn.Sequential(tg.nn.Linear(3, 4, rng=0), np.tanh, tg.nn.Linear(4, 2, rng=1))
    for path in many.named_parameters():
        part, name = (many.layers[int(path[7])], path[9:])
        setattr(part, name, Tensor(stacked[path], requires_grad=True))
    ensemble = tg.vmap(tg.grad(lambda m: tg.nn.cross_entropy(m(X), labels).sum()))(many)
    for path, g in ensemble.items():
        assert g.shape == (2, *whole[path].shape)
        np.testing.assert_allclose(g.numpy()[0], whole[path].numpy(), rtol=1e-12)


def test_layers_losses_and_images():
    images = rng.normal(size=(4, 1, 2, 6, 5))
    W, b = rng.normal(size=(3, 2, 3, 2)), rng.normal(size=3)

    def net(W, b, image):
        return tg.nn.max_pool2d(np.tanh(tg.nn.conv2d(image, W, b, stride=(1, 2), padding=1)), 2).sum()

    expected = [tg.grad(net, (0, 1))(W, b, image) for image in images]
    for actual, right in zip(
        tg.vmap(tg.grad(net, (0, 1)), (None, None, 0))(W, b, images), zip(*expected, strict=True), strict=True
    ):
        assert_same(actual, np.stack(right))
    table, words = rng.normal(size=(6, 2)), rng.integers(0, 6, (4, 3))
    embedded = tg.vmap(tg.grad(lambda t, w: np.square(tg.nn.embedding(t, w)).sum()), (None, 0))(table, words)
    assert_same(embedded, np.stack([tg.grad(lambda t, w=w: np.square(t[w]).sum())(table) for w in words]))
    targets = rng.uniform(size=(5, 3))
    losses = tg.vmap(lambda x, t: tg.nn.binary_cross_entropy(x[None], t[None])[0])(X, targets)
    assert_same(losses, tg.nn.binary_cross_entropy(X, targets))
    with pytest.raises(
        ValueError, match=r"labels must be integers from 0 to 2, and in labels \(\) int64 labels\[1\] = 3"
    ):
        tg.vmap(tg.nn.cross_entropy)(X[:2], np.array([0, 3]))


def test_indices_of_each_examples_own_on_arrays_and_tensors():
    table, at = Tensor(X, requires_grad=True), np.array([4, 0, 0])
    out = tg.vmap(lambda i: np.square(table[i]) + tg.nn.embedding(X, i))(at)
    assert_same(out, X[at] ** 2 + X[at], Tensor)
    expected = np.zeros_like(X)
    np.add.at(expected, at, 2 * X[at])
    assert_same(out.sum().gradient(table), expected)
    assert_same(
        tg.vmap(lambda x, i: x.at[i].set(7.0))(X, np.arange(5) % 3),
        np.where(np.arange(3) == (np.arange(5) % 3)[:, None], 7.0, X),
    )
    assert_same(
        tg.vmap(lambda x, i: x.at[i].add(x[0]))(X[:2], np.array([[1, 1], [0, 2]])),
        X[:2] + X[:2, :1] * [[0, 2, 0], [1, 0, 1]],
    )


OWN = {
    ":, i": lambda i, j: (slice(None), i), "..., i": lambda i, j: (..., i), "i, j": lambda i, j: (i, j),
    "i, :, j": lambda i, j: (i, slice(None), j), ":, i, j": lambda i, j: (slice(None), i, j), "i": lambda i, j: i,
    "(i,)": lambda i, j: (i,), "1, :, i": lambda i, j: (1, slice(None), i), ":, 1, i": lambda i, j: (slice(None), 1, i),
    "None, i": lambda i, j: (None, i), "..., i, :": lambda i, j: (..., i, slice(None)),
    "i, ..., 1": lambda i, j: (i, ..., 1),
    "i, [0, 1]": lambda i, j: (i, np.array([0, 1])),
    ":, [[0], [1]], i": lambda i, j: (slice(None), np.array([[0], [1]]), i),
    "1:, i, None": lambda i, j: (slice(1, None), i, None), "mask, i": lambda i, j: (np.array([True, False, True]), i),
    "i, ..., j": lambda i, j: (i, ..., j), "i, None, j": lambda i, j: (i, None, j),
}  # fmt: skip


@pytest.mark.parametrize("shape", [(), (2,), (2, 2)], ids=str)
@pytest.mark.parametrize("index", OWN.values(), ids=OWN)
def test_indices_of_each_examples_own_at_any_place(index, shape):
    """Also of plain arrays, also assigned to, and with gradients by what is indexed and by what is assigned."""
    random = np.random.default_rng(4)
    i, j = random.integers(-2, 2, (2, 3, *shape))
    x = random.normal(size=(3, 3, 3, 3))

    def get(x, i, j):
        return np.sin(x[index(i, j)])

    def put(x, v, i, j):
        return (Tensor(x) if isinstance(x, np.ndarray) else x).at[index(i, j)].set(v)

    def add(x, v, i, j):
        return (Tensor(x) if isinstance(x, np.ndarray) else x).at[index(i, j)].add(v)

    def plain(t):
        return t.numpy() if isinstance(t, Tensor) else t

    for axis in 0, None:  # the array is each example's own, or the same for all
        table = Tensor(x if axis == 0 else x[0], requires_grad=True)
        rows = list(x) if axis == 0 else [x[0]] * 3
        out = tg.vmap(get, (axis, 0, 0))(table, i, j)
        assert_same(out, np.stack([get(*r) for r in zip(rows, i, j, strict=True)]), Tensor)
        slope = out.sum().gradient(table)
        each = np.stack([tg.grad(lambda *a: get(*a).sum())(*r) for r in zip(rows, i, j, strict=True)])
        assert_same(slope, each if axis == 0 else each.sum(0))
        v = random.normal(size=np.shape(out)) if axis == 0 else random.normal(size=np.shape(out)[1:])
        values = list(v) if axis == 0 else [v] * 3
        for write in put, add:
            with np.errstate(all="ignore"):
                new = tg.vmap(write, (axis, axis, 0, 0))(table, Tensor(v, requires_grad=True), i, j)
            assert_same(plain(new), np.stack([plain(write(*r)) for r in zip(rows, values, i, j, strict=True)]))

            def total(x, v, i, j, write=write):
                new = write(x, v, i, j)
                return (new * np.sin(np.arange(27.0)).reshape(3, 3, 3)).sum()

            found = tg.vmap(tg.grad(total, (0, 1)), (axis, axis, 0, 0))(table.data, v, i, j)
            expected = [tg.grad(total, (0, 1))(*r) for r in zip(rows, values, i, j, strict=True)]
            for actual, right in zip(found, zip(*expected, strict=True), strict=True):
                assert_same(actual, np.stack(right))


def test_a_finished_vmap_leaves_no_cycles():
    w = Tensor(np.ones(3), requires_grad=True)

    def run():
        tg.vmap(lambda x: np.sin(x @ w))(X).sum().backward()
        tg.hessian(lambda v: tg.vmap(tg.grad(lambda x: np.sin(x @ v)))(X).sum())(w.data)

    run()
    gc.collect()
    gc.disable()
    try:
        run()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_arrays_that_change_between_forward_and_backward_are_noticed():
    data, w = X.copy(), Tensor(np.ones(3), requires_grad=True)
    out = tg.vmap(lambda x: np.sin(x * w).sum())(data).sum()
    data[0, 0] += 1
    with pytest.raises(errors.ChangedArrayError):
        out.backward()


def test_anomalies_are_found_inside():
    w = Tensor(np.ones(3), requires_grad=True)
    with (
        tg.detect_anomaly(),
        np.errstate(all="ignore"),
        pytest.raises(FloatingPointError, match="1 value that is not finite"),
    ):
        tg.vmap(lambda x: np.log(x * w))(np.array([[1.0, 0.0, 2.0]]))


def test_results_are_the_callers_own():
    X = np.ones((3, 2))
    slopes = tg.vmap(tg.grad(lambda a, b: np.sin(a + b).sum(), (0, 1)))(X, X)
    assert not np.may_share_memory(*slopes)
    first, second = tg.vmap(lambda x: (x, x))(X)
    assert not np.may_share_memory(first, second)
    assert not np.may_share_memory(first, X)
    w = Tensor(np.ones(2), requires_grad=True)
    loss, values = tg.vmap(lambda x: (lambda h: (np.exp(h).sum(), np.exp(h).data))(x * w))(X)
    values[:] = 0
    loss.sum().backward()
    jacobians = tg.jacobian(lambda a, b: (a + b, np.ones(2)), (0, 1))(X[0], X[1])
    arrays = [j for block in jacobians for j in block]
    assert all(a.flags.writeable for a in arrays)
    assert not any(np.may_share_memory(a, b) for k, a in enumerate(arrays) for b in arrays[:k])


@pytest.mark.parametrize(
    "scalar", [2, 2.0, True, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), [2.0, 1.0, 3.0]]
)
def test_operators_in_both_orders(scalar):
    def fn(x):
        return [
            x + scalar, scalar + x, x * scalar, scalar * x, scalar - x, scalar / x, scalar**x, scalar < x, scalar == x,
            scalar // x, scalar % x, divmod(scalar, x)[0], scalar != x, scalar >= x, abs(-x), +x, x.T @ x,
        ]  # fmt: skip

    positive = np.abs(X) + 1
    for actual, expected in zip(tg.vmap(fn)(positive), zip(*by_loop(fn, positive), strict=True), strict=True):
        assert_same(actual, np.stack([np.asarray(e) for e in expected]))
    flags = X > 0
    logic = tg.vmap(lambda a: [a & True, True | a, a ^ a, ~a])(flags)
    for actual, expected in zip(logic, [flags, flags | True, flags ^ flags, ~flags], strict=True):
        assert_same(actual, expected)


def test_methods_of_arrays():
    def fn(x):
        return [
            x.sum(0), x.mean(), x.max(), x.min(1), x.argmax(), x.argmin(axis=0), x.any(), x.all(axis=1), x.prod(),
            x.var(ddof=1), x.std(), x.cumsum(), x.cumprod(0), x.clip(-0.5, 0.5), x.take([1, 0], 1), x.repeat(2, 0),
            x.dot(x.T), x.ravel(), x.flatten(), x[None].squeeze(0), x.copy(), x.mT, x.swapaxes(0, 1),
            x.transpose(1, 0), x.reshape(-1), x.astype(np.float32), *x, x.size, x.ndim, len(x),
        ]  # fmt: skip

    arrays = rng.normal(size=(4, 2, 3))
    for actual, expected in zip(tg.vmap(fn)(arrays), zip(*by_loop(fn, arrays), strict=True), strict=True):
        assert_same(actual, np.stack([np.asarray(e) for e in expected]))


def test_a_graph_with_hidden_axes_can_be_drawn():
    w = Tensor(np.ones(3), requires_grad=True, name="w")
    source = tg.draw(tg.vmap(lambda x: x @ w)(X).sum()).source
    assert "m=5 × scalar" in source  # noqa: RUF001
    assert "Σ m=5" in source
    assert source.count("->") == 4


# ------------------------------------------------------------------------------------------ random numbers


def noisy(x, rng):
    return x + rng.normal(size=2)


def test_generators_among_the_arguments():
    same = tg.vmap(noisy, randomness="same")(np.zeros(4), np.random.default_rng(1))
    assert_same(same, np.stack([np.random.default_rng(1).normal(size=2)] * 4))
    different = tg.vmap(noisy, randomness="different")(np.zeros(4), np.random.default_rng(1))
    assert_same(different, np.random.default_rng(1).normal(size=(4, 2)))
    with pytest.raises(RuntimeError, match=r"rng.normal\(\) inside vmap: Say vmap\(..., randomness='different'\)"):
        tg.vmap(noisy)(np.zeros(4), np.random.default_rng(1))


@pytest.mark.parametrize("draw", [
    lambda r, x: r.random(), lambda r, x: r.random((2, 1)), lambda r, x: r.standard_normal(3), lambda r, x: r.normal(x),
    lambda r, x: r.integers(0, 9, size=2), lambda r, x: r.integers(9), lambda r, x: r.choice(7, 3, replace=False),
    lambda r, x: r.permutation(4), lambda r, x: r.multivariate_normal(np.zeros(2), np.eye(2)),
    lambda r, x: r.uniform(0, 1, (2,)), lambda r, x: r.permutation(x),
])  # fmt: skip
def test_every_example_draws_for_itself(draw):
    found = tg.vmap(lambda x, r: draw(r, x), (0, None), randomness="different")(X, np.random.default_rng(5))
    assert found.shape[0] == 5
    assert found.shape[1:] == np.shape(draw(np.random.default_rng(0), X[0]))
    assert len(np.unique(found.reshape(5, -1), axis=0)) > 1


def test_generators_in_nested_vmaps():
    def inner(x, r):
        return tg.vmap(noisy, (0, None), randomness="different")(x, r)

    found = tg.vmap(inner, (0, None), randomness="same")(np.zeros((3, 4)), np.random.default_rng(2))
    assert found.shape == (3, 4, 2)
    np.testing.assert_array_equal(found[0], found[1])
    assert len(np.unique(found[0])) == 8
    found = tg.vmap(inner, (0, None), randomness="different")(np.zeros((3, 4)), np.random.default_rng(2))
    assert len(np.unique(found)) == 24


hidden_away = np.random.default_rng(3)


class Noise:
    def __init__(self):
        self.settings = {"rng": np.random.default_rng(4)}

    def __call__(self, x):
        return x + self.settings["rng"].normal()


@pytest.mark.parametrize("fn", [
    lambda x: x + np.random.normal(), lambda x: x + hidden_away.normal(), Noise(), Noise().__call__,
    tg.grad(lambda x: x * hidden_away.normal()), (lambda r: lambda x: x + r.rand())(np.random.RandomState(0)),
])  # fmt: skip
def test_numbers_drawn_behind_the_back_are_an_error(fn):
    for randomness in "error", "different":
        with pytest.raises(RuntimeError, match="was used inside, and gave all examples the same numbers"):
            tg.vmap(fn, randomness=randomness)(y)
    assert tg.vmap(fn, randomness="same")(y).shape == y.shape


def test_draws_from_np_random_that_leave_its_place_as_it_was():
    def found(draw):
        with pytest.raises(RuntimeError, match=r"vmap: np.random was used inside"):
            tg.vmap(lambda x: x + draw())(y)

    found(lambda: np.random.random(312).sum())  # all 624 words
    np.random.normal()  # makes two numbers, and keeps one
    found(lambda: np.random.normal())
    found(lambda: np.random.normal())
    try:
        np.random.set_bit_generator(np.random.PCG64(0))
        found(lambda: np.random.normal())
        found(lambda: np.random.normal())
    finally:
        np.random.set_bit_generator(np.random.MT19937(0))


def test_the_search_for_generators_ends_and_begins_near():
    class Counted(list):
        looked_at = 0

        def __iter__(self):
            for part in super().__iter__():
                Counted.looked_at += 1
                yield part

    data = [Counted([0.0] * 1000) for _ in range(50)]
    generator = np.random.default_rng(0)
    with pytest.raises(RuntimeError, match="a generator that the function has from elsewhere was used inside"):
        tg.vmap(lambda x: x + data[0][0] * generator.normal())(y)
    assert 5_000 < Counted.looked_at <= 10_000


def test_dropout_takes_any_generator():
    ones = np.ones((6, 20))
    generator = np.random.default_rng(0)
    found = tg.vmap(lambda x: tg.nn.dropout(x, 0.5, generator), randomness="different")(ones)
    assert_same(found, tg.nn.dropout(ones, 0.5, np.random.default_rng(0)))
    found = tg.vmap(lambda x, r: tg.nn.dropout(x, 0.5, r), randomness="same")(ones, generator)
    assert (found == found[0]).all()
    assert set(np.unique(found)) == {0.0, 2.0}
    with pytest.raises(RuntimeError, match="inside vmap"):
        tg.vmap(lambda x: tg.nn.dropout(x, 0.5, generator))(ones)


def test_dropout_of_tensors():
    x = Tensor(np.ones((50, 40)), requires_grad=True, dtype=np.float32)
    out = tg.nn.dropout(x, 0.25, np.random.default_rng(0))
    assert out.dtype == np.float32
    assert abs(out.mean().item() - 1) < 0.05
    gradient = out.sum().gradient(x)
    assert gradient.dtype == np.float32
    np.testing.assert_array_equal(gradient, out.numpy())
    assert tg.nn.dropout(x, 0, np.random.default_rng(0)) is x
    for rate in 1, -0.1, np.nan:
        with pytest.raises(ValueError, match="0 <= rate < 1"):
            tg.nn.dropout(x, rate, np.random.default_rng(0))
    with pytest.raises(TypeError, match="rng must be a generator"):
        tg.nn.dropout(x, 0.5, 0)


# ------------------------------------------------------------------------------------------ what is refused


class Scaled:
    def times(self, x, factor):
        return x * factor


MISTAKES = {
    "sizes": (lambda: tg.vmap(loss, (None, 0, 0))(PARAMS, X, y[:3]), errors.ShapeError,
              "the axes of examples must be of one size, and x has 5, y has 3"),
    "sizes in nests": (lambda: tg.vmap(loss, ({"W": 0, "layers": None}, 0, 0))(PARAMS, X, y), errors.ShapeError,
                       "params.W has 3, x has 5, y has 5"),
    "nothing mapped": (lambda: tg.vmap(loss, None)(PARAMS, X, y), ValueError, "no argument has an axis of examples"),
    "a number": (lambda: tg.vmap(lambda x, scale: x * scale)(X, 2.0), errors.ShapeError,
                 "scale () float64 has no axis 0 of examples: if all examples share it, in_axes must have None"),
    "sizes of a method": (lambda: tg.vmap(Scaled().times)(X, y[:3]), errors.ShapeError, "x has 5, factor has 3"),
    "in_axes": (lambda: tg.vmap(loss, (None, 0))(PARAMS, X, y), ValueError,
                "in_axes has (None, 0) for the arguments, a tuple of 3"),
    "in_axes of a nest": (lambda: tg.vmap(loss, ({"W": 0}, 0, 0))(PARAMS, X, y), ValueError,
                          "in_axes has {'W': 0} for the arguments[0], a dict of 2"),
    "out_axes": (lambda: tg.vmap(lambda x: x, out_axes=2)(X), errors.ShapeError, "out_axes has 2 for the result"),
    "randomness": (lambda: tg.vmap(loss, randomness="none"), ValueError, "one of 'error', 'different', 'same'"),
    "a branch": (lambda: tg.vmap(lambda x: x if x > 0 else -x)(y), TypeError, "the truth value of an array () bool"),
    "float": (lambda: tg.vmap(lambda x: float(x))(y), TypeError, "float() of an array () float64 with a hidden"),
    "item": (lambda: tg.vmap(lambda x: x.item())(y), TypeError, ".item() of"),
    "formatting": (lambda: tg.vmap(lambda x: f"{x} {x:.2f}")(y), TypeError, "formatting of"),
    "numpy": (lambda: tg.vmap(lambda x: x.numpy())(y), TypeError, ".numpy() of"),
    "range": (lambda: tg.vmap(lambda n: range(n))(np.arange(3)), TypeError, "the integer of"),
    "slice": (lambda: tg.vmap(lambda n: X[:n])(np.arange(3)), TypeError, "the integer of"),
    "in": (lambda: tg.vmap(lambda x: 1.0 in x)(X), TypeError, "`in` of"),
    "an array": (lambda: tg.vmap(lambda x: np.array([x, x]))(y), TypeError, "cannot become a plain array"),
    "a plain array's index": (lambda: tg.vmap(lambda i: X[i])(np.arange(3)), TypeError, "tg.nn.embedding(a, i)"),
    "take": (lambda: tg.vmap(lambda i: np.take(X, i, axis=1))(np.arange(3)), TypeError,
             "tg.nn.embedding(a, i) for a[i] and np.take(a, i, axis=0), tg.Tensor(a)[:, i] for a[:, i] and np.take(a"),
    "assignment": (lambda: tg.vmap(lambda x: x.__setitem__(0, 1.0))(X), TypeError, "x = x.at[index].set(value)"),
    "assignment into an array": (lambda: tg.vmap(lambda x: np.ones(3).__setitem__(0, x))(y), ValueError, "element"),
    "in place": (lambda: tg.vmap(lambda x: np.ones(3).__iadd__(x))(X), TypeError, "Write `a = a + x` for `a += x`"),
    "out": (lambda: tg.vmap(lambda x: np.sin(x, out=np.ones(3)))(X), TypeError, "out= is not supported where"),
    "ufunc.at": (lambda: tg.vmap(lambda x: np.add.at(x, 0, 1))(X), TypeError, "x.at[index].add(values)"),
    "put": (lambda: tg.vmap(lambda x: np.put(x, 0, 1))(X), TypeError, "numpy.put writes"),
    "a mask": (lambda: tg.vmap(lambda x: x[x > 0])(X), IndexError, "how many elements a mask chooses"),
    "unique": (lambda: tg.vmap(np.unique)(np.array([[1, 1], [1, 2]])), errors.ShapeError,
               "the examples 0 and 1 give arrays of the shapes (1,) and (2,)"),
    "nonzero": (lambda: tg.vmap(np.nonzero)(np.array([[1, 1], [0, 2]])), errors.ShapeError, "examples 0 and 1"),
    "text": (lambda: tg.vmap(lambda x: "text")(X), errors.NotDifferentiableError, "dtype <U4"),
    "shapes": (lambda: tg.vmap(lambda x: x.reshape(2, 2))(X), ValueError, "cannot reshape"),
    "an axis": (lambda: tg.vmap(lambda x: x.sum(axis=-2))(X), np.exceptions.AxisError, "of dimension 1"),
    "transposed": (lambda: tg.vmap(lambda x: x.transpose(0, 1))(X), ValueError, "axis 1 is out of bounds"),
    "iteration": (lambda: tg.vmap(lambda x: list(x))(y), TypeError, "iteration over an array without axes"),
}  # fmt: skip


@pytest.mark.parametrize(("run", "kind", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(run, kind, message):
    with pytest.raises(kind, match=re.escape(message)):
        run()


def test_what_the_message_about_indices_advises():
    i = np.array([2, 0])
    assert_same(tg.vmap(lambda i: tg.nn.embedding(X, i))(i), X[i])
    assert_same(tg.vmap(lambda i: tg.Tensor(X)[:, i])(i), X[:, i].T, Tensor)


def test_deleting_at_each_examples_own_place():
    i = np.array([2, 0])
    assert_same(tg.vmap(lambda i: np.delete(X, i, axis=1))(i), np.stack([np.delete(X, k, axis=1) for k in i]))
    assert_same(tg.vmap(lambda x, i: np.delete(x, i))(X[:2], i), np.stack([np.delete(X[k], i[k]) for k in (0, 1)]))


def test_errors_about_hidden_axes_travel_between_processes():
    with pytest.raises(errors.HiddenAxisError, match=re.escape(errors.WHERE_HIDDEN)) as caught:
        tg.vmap(float)(y)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is errors.HiddenAxisError
    assert str(copy) == str(caught.value)
    assert_same(copy.carrier._data, y)


def test_the_loop_says_which_example_failed():
    with pytest.raises(np.linalg.LinAlgError) as caught:
        tg.vmap(np.linalg.inv)(np.array([[[1.0]], [[0.0]]]))
    assert caught.value.__notes__ == ["(for example 1 of the 2 that are hidden inside vmap or per_example_grads)"]


def test_a_hidden_axis_shows_in_the_text_of_arrays():
    texts = []

    def fn(x):
        t = Tensor(x, requires_grad=True, name="t")
        texts.extend([repr(x), repr(t)])
        return x

    tg.vmap(fn)(X)
    assert re.fullmatch(r"<Batched \(3,\) float64, 5 examples hidden at level \d+>", texts[0])
    assert re.fullmatch(r"Tensor\(<Batched .*>, name='t', requires_grad=True\)", texts[1])


# ------------------------------------------------------------------------------------ walks made outside


def test_a_pull_back_from_outside_is_mapped_like_any_function():
    x, w = np.cos(np.arange(12.0)).reshape(4, 3), np.array([1.0, -0.5, 0.3])
    _, pull = tg.vjp(lambda w: np.tanh(x @ w), w)
    expected = tg.jacobian(lambda w: np.tanh(x @ w))(w)
    np.testing.assert_allclose(tg.vmap(pull)(np.eye(4))[0], expected, rtol=1e-14)
    np.testing.assert_allclose(np.stack([pull(e)[0] for e in np.eye(4)]), expected, rtol=1e-14)
    t = tg.Tensor(w, requires_grad=True)
    out = np.tanh(x @ t)
    np.testing.assert_allclose(tg.vmap(lambda g: out.gradient(t, gradient=g))(np.eye(4)), expected, rtol=1e-14)
    twice = tg.vmap(tg.vmap(lambda g: out.gradient(t, gradient=g)))(np.stack([np.eye(4), 2 * np.eye(4)]))
    np.testing.assert_allclose(twice, np.stack([expected, 2 * expected]), rtol=1e-14)


def test_a_graph_that_a_vmap_is_part_of_still_sums_over_its_examples():
    x = np.cos(np.arange(12.0)).reshape(4, 3)
    t = tg.Tensor([1.0, -0.5, 0.3], requires_grad=True)
    losses = tg.vmap(lambda row: np.tanh(row @ t))(x)
    expected = np.tanh(x @ t).sum().gradient(t)
    np.testing.assert_allclose(losses.sum().gradient(t), expected, rtol=1e-14)
    each = tg.vmap(lambda g: losses.gradient(t, gradient=g))(np.eye(4))
    np.testing.assert_allclose(each.sum(axis=0), expected, rtol=1e-14)
    assert np.abs(each[0] - each[1]).max() > 0.01
