"""What backward() and gradient() promise: accumulation, freeing, zeros and None, hooks, results that are one's own."""

import gc
from itertools import combinations

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.errors import GraphFreedError, ShapeError


def parameter(data, name=None, dtype=None):
    return tg.Tensor(data, requires_grad=True, name=name, dtype=dtype)


def net():
    w, b, x = (
        parameter([[1.0, -2.0], [0.5, 3.0]]),
        parameter([0.1, 0.2]),
        np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]]),
    )
    return w, b, (np.tanh(x @ w + b) ** 2).mean()


# --------------------------------------------------------------------------------------------- backward()


def test_several_backward_calls_add_up():
    w = parameter([1.0, 2.0], dtype=np.float32)
    assert w.grad is None
    (w * 3).sum().backward()
    first = w.grad
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad, [5, 7])
    np.testing.assert_array_equal(first, [3, 3])
    assert w.grad.dtype == np.float32
    w.grad = None
    assert w.grad is None
    (w * 3).sum().backward()
    np.testing.assert_array_equal(w.grad, [3, 3])


def test_losses_of_a_loop_add_up_to_the_loss_of_the_batch():
    w, b, loss = net()
    expected = loss.gradient(w, b)
    x = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]])
    for row in x:
        ((np.tanh(row @ w + b) ** 2).mean() / len(x)).backward()
    np.testing.assert_allclose(w.grad, expected[0], rtol=1e-14)
    np.testing.assert_allclose(b.grad, expected[1], rtol=1e-14)


def test_gradient_argument():
    x = parameter([1.0, 2.0, 3.0])
    for seed in ([1, 10, 100], np.array([1.0, 10.0, 100.0]), tg.Tensor([1.0, 10.0, 100.0], dtype=np.float32)):
        x.grad = None
        (x * x).backward(gradient=seed)
        assert type(x.grad) is np.ndarray
        assert x.grad.dtype == np.float64
        np.testing.assert_array_equal(x.grad, [2, 40, 600])
        np.testing.assert_array_equal((x * x).gradient(x, gradient=seed), [2, 40, 600])
    scalar = parameter(3.0)
    (scalar * scalar).backward(gradient=10)
    np.testing.assert_array_equal(scalar.grad, 60)


def test_a_second_backward_needs_the_graph():
    w, _, loss = net()
    loss.backward(retain_graph=True)
    once = w.grad.copy()
    loss.backward()
    np.testing.assert_array_equal(w.grad, 2 * once)
    with pytest.raises(GraphFreedError, match="retain_graph=True"):
        loss.backward()
    with pytest.raises(GraphFreedError, match="retain_graph=True"):
        loss.gradient(w)
    np.testing.assert_array_equal(w.grad, 2 * once)


def test_the_structure_stays_after_backward():
    _, _, loss = net()
    loss.backward()
    seen, node = [], loss.node
    while node.inputs:
        seen.append(node.op.name)
        assert node.saved is None
        node = node.inputs[0]
    assert seen == ["mean", "square", "tanh", "add", "matmul"]


def test_a_gradient_that_does_not_need_a_freed_branch_is_still_there():
    early, w = parameter(2.0), parameter(3.0)
    trunk = early * early
    head = trunk * w
    (trunk * 1.0).backward()
    np.testing.assert_array_equal(head.gradient(w), 4)
    with pytest.raises(GraphFreedError):
        head.gradient(early)
    with pytest.raises(GraphFreedError):
        head.backward()


def test_a_graph_that_shares_a_freed_part():
    x = parameter(2.0)
    shared = x * x
    one, two = shared * 3, shared * 5
    one.backward(retain_graph=True)
    two.backward()
    np.testing.assert_array_equal(x.grad, 32)
    assert one.gradient(shared) == 3
    with pytest.raises(GraphFreedError, match="multiply"):
        one.backward()


def test_a_leaf_can_be_the_loss():
    x = parameter(3.0)
    x.backward()
    np.testing.assert_array_equal(x.grad, 1)
    np.testing.assert_array_equal(x.gradient(x), 1)


def test_fan_out_of_one_tensor_to_many_uses():
    x = parameter([1.0, 2.0])
    h = x * 1
    total = h * 0
    for k in range(20):
        total = total + h * k
    (total + x * 5 + x).sum().backward()
    np.testing.assert_array_equal(x.grad, [196, 196])


def test_the_same_tensor_on_both_sides():
    x = parameter([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal((x * x).sum().gradient(x), 2 * x.data)
    np.testing.assert_array_equal((x - x).sum().gradient(x), np.zeros((2, 2)))
    np.testing.assert_array_equal((x + x).sum().gradient(x), np.full((2, 2), 2))
    g = (x @ x).sum().gradient(x)
    ones = np.ones((2, 2))
    np.testing.assert_array_equal(g, ones @ x.data.T + x.data.T @ ones)
    np.testing.assert_array_equal(np.concatenate([x, x * 2, x]).sum().gradient(x), np.full((2, 2), 4))


def test_grad_can_be_set_and_checked():
    w = parameter([1.0, 2.0], "w", np.float32)
    w.grad = [1, 2]
    assert w.grad.dtype == np.float32
    with pytest.raises(ShapeError, match=r"'w' \(2,\) float32.*\(3,\)"):
        w.grad = np.zeros(3)
    with pytest.raises(TypeError, match="requires gradients"):
        tg.Tensor([1.0]).grad = [1.0]


# --------------------------------------------------------------------------------------------- gradient()


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_touches_no_grad_and_frees_nothing(create_graph):
    w, b, loss = net()
    for _ in range(2):
        gw, gb = loss.gradient(w, b, create_graph=create_graph)
        assert type(gw) is (tg.Tensor if create_graph else np.ndarray)
        assert w.grad is None
        assert b.grad is None
    loss.backward()
    np.testing.assert_array_equal(w.grad, gw.data if create_graph else gw)
    np.testing.assert_array_equal(b.grad, gb.data if create_graph else gb)


@pytest.mark.parametrize("create_graph", [False, True])
def test_unconnected_inputs_get_zeros(create_graph):
    x, other = parameter([1.0, 2.0]), parameter(np.ones((2, 3), np.float32))
    gx, zeros = (x * x).sum().gradient(x, other, create_graph=create_graph)
    assert type(zeros) is type(gx)
    assert zeros.shape == (2, 3)
    assert zeros.dtype == np.float32
    assert not np.any(zeros.numpy() if create_graph else zeros)
    later = (x * x).sum()
    np.testing.assert_array_equal((x * 2).sum().gradient(later), 0)


def test_gradients_of_intermediate_tensors():
    x = parameter([1.0, 2.0])
    h = x * 3
    loss = (h * h + x).sum()
    gh, gx, gl = loss.gradient(h, x, loss)
    np.testing.assert_array_equal(gh, [6, 12])
    np.testing.assert_array_equal(gx, [19, 37])
    assert gl == 1
    view = x[1:]
    np.testing.assert_array_equal((view * view + h[1:]).sum().gradient(view, h)[1], [0, 1])


def test_create_graph_to_the_third_order():
    x = parameter([1.5, -2.0])
    d1 = (x**4).sum().gradient(x, create_graph=True)
    d2 = d1.sum().gradient(x, create_graph=True)
    d3 = d2.sum().gradient(x)
    np.testing.assert_allclose(d1.numpy(), 4 * x.data**3)
    np.testing.assert_allclose(d2.numpy(), 12 * x.data**2)
    np.testing.assert_allclose(d3, 24 * x.data)


def test_backward_through_a_gradient_adds_to_grad():
    x = parameter(2.0)
    slope = (x * x * x).gradient(x, create_graph=True)
    (slope * slope).backward()
    np.testing.assert_allclose(x.grad, 2 * 12.0 * 12.0)


def test_gradient_wants_tensors_that_require_gradients():
    x, constant = parameter(1.0), tg.Tensor(2.0, name="c")
    loss = x * constant
    with pytest.raises(TypeError, match=r"c \(\) float64"):
        loss.gradient(constant)
    with pytest.raises(TypeError, match="wants the tensors"):
        loss.gradient()
    with pytest.raises(TypeError, match="no_grad"):
        constant.gradient(x)


# ------------------------------------------------------------------------------------ results are one's own


def assert_apart(*arrays):
    for a, b in combinations(arrays, 2):
        assert a is not b
        assert not np.shares_memory(a, b)


LINEAR = [
    lambda a, b: a + b,
    lambda a, b: a.reshape(4).reshape(2, 2) + b.T.T,
    lambda a, b: np.concatenate([a, b]),
    lambda a, b: np.stack([a, b]),
    lambda a, b: a[...] + b.swapaxes(0, 1),
    lambda a, b: np.flip(a) + b.astype(np.float32),
    lambda a, b: np.where(np.eye(2) > 0, a, b) + a,
    lambda a, b: a,
]


@pytest.mark.parametrize("fn", LINEAR)
def test_gradients_alias_neither_each_other_nor_the_seed_nor_the_data(fn):
    a, b = parameter([[1.0, 2.0], [3.0, 4.0]]), parameter([[5.0, 6.0], [7.0, 8.0]])
    y = fn(a, b)
    if y is not a:
        y = y.retain_grad()
    seed = np.ones(y.shape)
    grads = y.gradient(a, b, a, y, gradient=seed)
    assert_apart(*grads, seed, a.data, b.data)
    y.backward(gradient=seed, retain_graph=True)
    assert_apart(a.grad, *([b.grad] if b.grad is not None else []), *([y.grad] if y is not a else []), seed)
    for g in (*grads, a.grad):
        g[...] = 999
    again = fn(a, b)
    np.testing.assert_array_equal(seed, np.ones(y.shape))
    np.testing.assert_array_equal(y.gradient(a, gradient=seed), again.gradient(a, gradient=seed))


@pytest.mark.parametrize("fn", LINEAR)
def test_recorded_gradients_are_tensors_of_their_own(fn):
    a, b = parameter([[1.0, 2.0], [3.0, 4.0]]), parameter([[5.0, 6.0], [7.0, 8.0]])
    y = fn(a, b)
    array = np.ones(y.shape)
    for seed in (array, tg.Tensor(array), parameter(array)):
        ga, gb, gy = y.gradient(a, b, y, gradient=seed, create_graph=True)
        assert len({id(t) for t in (ga, gb, gy, seed, a, b)}) == 6
        ga.named("ga")
        assert getattr(seed, "name", None) is a.name is gb.name is gy.name is None
        assert_apart(*[t.data if t.is_leaf else t.numpy() for t in (ga, gb, gy)], array)


def test_a_gradient_is_not_a_saved_array():
    x, y = parameter([1.0, 2.0]), parameter([3.0, 4.0])
    product = (x * y).sum()
    gx, gy = product.gradient(x, y)
    assert_apart(gx, gy, x.data, y.data)
    gx += 1
    np.testing.assert_array_equal(product.gradient(x), [3, 4])


def test_grad_is_not_changed_by_a_later_backward():
    x = parameter([1.0, 2.0])
    h = (x * 2).retain_grad()
    loss = (h * h).sum()
    loss.backward(retain_graph=True)
    held = x.grad, h.grad
    copies = [g.copy() for g in held]
    loss.backward()
    for g, before in zip(held, copies, strict=True):
        np.testing.assert_array_equal(g, before)
    np.testing.assert_array_equal(x.grad, 2 * copies[0])


# --------------------------------------------------------------------------------------------- detach, retain


def test_detach_cuts():
    x = parameter([2.0, 3.0])
    h = x * x
    np.testing.assert_array_equal((h * h.detach()).sum().gradient(x), 2 * x.data * x.data**2)
    assert not h.detach().requires_grad
    np.testing.assert_array_equal(h.detach().data, h.data)


def test_retain_grad_keeps_delta_and_accumulates():
    x = parameter([1.0, 2.0], dtype=np.float32)
    h = (x * 3).retain_grad()
    assert h.grad is None
    loss = np.square(h).sum()
    loss.backward(retain_graph=True)
    np.testing.assert_array_equal(h.grad, [6, 12])
    assert h.grad.dtype == np.float32
    loss.backward()
    np.testing.assert_array_equal(h.grad, [12, 24])
    np.testing.assert_array_equal(x.grad, [36, 72])
    other = x * 3
    other.sum().backward()
    with pytest.warns(UserWarning, match=r"the result of multiply \(2,\) float32 is computed.*retain_grad.*w.data -="):
        assert other.grad is None
    with pytest.raises(TypeError, match="requires gradients"):
        tg.Tensor(1.0).retain_grad()


# -------------------------------------------------------------------------------------------------- hooks


def test_hooks_run_in_order_and_replace():
    x = parameter([1.0, 2.0], dtype=np.float32)
    seen = []
    h = x * 2
    h.register_hook(lambda g: seen.append(("first", g.copy())))
    h.register_hook(lambda g: g * 10)
    h.register_hook(lambda g: seen.append(("third", g.copy())))
    h.retain_grad()
    (h * 3).sum().backward()
    assert [name for name, _ in seen] == ["first", "third"]
    np.testing.assert_array_equal(seen[0][1], [3, 3])
    np.testing.assert_array_equal(seen[1][1], [30, 30])
    np.testing.assert_array_equal(h.grad, [30, 30])
    np.testing.assert_array_equal(x.grad, [60, 60])


def test_a_hook_sees_the_complete_cotangent_once():
    x = parameter(1.0)
    seen = []
    x.register_hook(lambda g: seen.append(float(g)))
    (x * 2 + x * 3 + x * x).backward()
    assert seen == [7]


def test_hooks_are_removed_one_by_one():
    x = parameter(1.0)

    def double(g):
        return g * 2

    one, two = x.register_hook(double), x.register_hook(double)
    assert (x * 1).gradient(x) == 4
    one()
    one()
    assert (x * 1).gradient(x) == 2
    two()
    assert (x * 1).gradient(x) == 1


@pytest.mark.parametrize(
    "answer", [lambda g: g * np.float64(2), lambda g: tg.Tensor(g) * 2, lambda g: (g * 2).tolist()]
)
def test_what_a_hook_returns_takes_the_dtype(answer):
    x = parameter(np.ones(3, np.float32))
    x.register_hook(answer)
    h = x * 1
    h.register_hook(answer)
    h.sum().backward()
    assert type(x.grad) is np.ndarray
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad, [4, 4, 4])


def test_an_array_from_a_hook_in_a_recorded_gradient():
    x = parameter([1.0, 2.0])
    x.register_hook(lambda g: np.array([5, 6]))
    slope = (x * x).sum().gradient(x, create_graph=True)
    assert type(slope) is tg.Tensor
    assert slope.dtype == np.float64
    np.testing.assert_array_equal(slope.numpy(), [5, 6])


def test_a_hook_of_the_wrong_shape():
    x = parameter([1.0, 2.0], "x")
    x.register_hook(lambda g: g.sum())
    with pytest.raises(ShapeError, match=r"hook on 'x' \(2,\) float64 returned.*shape \(2,\)"):
        (x * x).sum().backward()


def test_a_hook_cannot_change_the_cotangent_of_others():
    a, b = parameter([1.0, 2.0]), parameter([3.0, 4.0])

    def in_place(g):
        g *= 10

    a.register_hook(in_place)
    with pytest.raises(ValueError, match=r"a hook on a leaf \(2,\) float64 writes into the cotangent.*return 2 \* g"):
        (a + b).sum().backward()
    kept = []
    c, d = parameter([1.0, 2.0]), parameter([3.0, 4.0])
    c.register_hook(kept.append)
    (c + d).sum().backward()
    assert not np.shares_memory(kept[0], c.grad)
    assert not np.shares_memory(kept[0], d.grad)


def test_what_a_hook_keeps_is_not_handed_out():
    x, kept = parameter([1.0, 2.0]), np.array([5.0, 6.0])
    x.register_hook(lambda g: kept)
    loss = (x * 2 + x * x + x * 3).sum()
    g = loss.gradient(x)
    loss.backward()
    assert_apart(g, x.grad, kept)
    np.testing.assert_array_equal(x.grad, kept)


def test_hooks_on_a_scalar_and_on_the_loss():
    x = parameter(3.0)
    x.register_hook(lambda g: 2 * float(g))
    loss = x * x
    loss.register_hook(lambda g: g * 10)
    loss.backward()
    np.testing.assert_array_equal(x.grad, 120)
    assert type(x.grad) is np.ndarray


def test_hooks_in_a_recorded_gradient_get_tensors():
    x = parameter([1.0, 2.0])
    h = x * x
    h.register_hook(lambda g: g * h)
    slope = h.sum().gradient(x, create_graph=True)
    np.testing.assert_array_equal(slope.numpy(), 2 * x.data**3)
    # the hook acts once more where the second cotangent passes h, on the way of 2 x h
    np.testing.assert_array_equal(slope.sum().gradient(x), 2 * x.data**2 + 4 * x.data**4)


# --------------------------------------------------------------------------------------- no hidden references


def test_a_graph_dies_with_its_last_tensor():
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(5):
            w, _, loss = net()
            loss.gradient(w, create_graph=True).sum().backward(retain_graph=True)
            loss.backward()
            del w, _, loss
        assert len(gc.get_objects()) - before < 50
    finally:
        gc.enable()


def test_the_mean_of_more_elements_than_float16_can_count():
    x = tg.Tensor(np.ones(70_000, np.float16), requires_grad=True)
    grad = x.mean().gradient(x)
    assert grad.shape == x.shape
    assert grad.dtype == np.float16
    np.testing.assert_array_equal(grad, np.float16(1 / 70_000))
