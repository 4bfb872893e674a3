"""Transforms of plain functions: values, structures, orders, and nestings with closures."""

import threading
from collections import namedtuple

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.pytrees import Nest

RNG = np.random.default_rng(7)


def numeric_jacobian(fn, x, step=1e-6):
    columns = []
    for element in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[element] += step
        down[element] -= step
        columns.append((np.asarray(fn(up)) - np.asarray(fn(down))) / (2 * step))
    return np.stack(columns, -1).reshape(np.shape(columns[0]) + x.shape)


def assert_array(value, expected, **tolerance):
    assert type(value) is np.ndarray
    assert value.shape == np.shape(expected)
    assert value.dtype == np.float64
    np.testing.assert_allclose(value, expected, **{"rtol": 1e-12, "atol": 1e-12, **tolerance})


def test_grad_of_nests_keeps_their_structure():
    Point = namedtuple("Point", "x y")

    def f(params, scale):
        (a, b), point = params["pair"], params["point"]
        return scale * (np.sum(a * b) + point.x * point.y**3)

    params = {"pair": [np.array([1.0, 2.0]), np.array([3.0, 4.0])], "point": Point(2.0, 3.0), "none": None}
    value, grads = tg.value_and_grad(f)(params, 2.0)
    assert_array(value, 2 * (11 + 54))
    assert list(grads) == ["pair", "point", "none"]
    assert isinstance(grads["pair"], list)
    assert_array(grads["pair"][0], [6.0, 8.0])
    assert_array(grads["pair"][1], [2.0, 4.0])
    assert isinstance(grads["point"], Point)
    assert_array(grads["point"].x, 54.0)
    assert_array(grads["point"].y, 108.0)
    assert grads["none"] is None


def test_argnums_and_keywords():
    def f(x, y, *, power):
        return (x**power * y).sum()

    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    assert_array(tg.grad(f, argnums=1)(x, y, power=3), x**3)
    gx, gy = tg.grad(f, argnums=(0, -1))(x, y, power=3)
    assert_array(gx, 3 * x**2 * y)
    assert_array(gy, x**3)
    with pytest.raises(ValueError, match="argnums names argument 2, and the function is called with 2"):
        tg.grad(f, argnums=2)(x, y, power=3)


def test_arguments_are_called_as_the_function_calls_them():
    class Line:
        def names(self, x, scale):
            found.append((x.name, scale.name))
            return x * scale

    def count(*many):
        found.append(tuple([x.name for x in many]))
        return many[0] * many[1]

    found = []
    for fn in Line().names, count:
        tg.grad(fn, argnums=(0, 1))(1.0, 2.0)
    assert found == [("x", "scale"), ("argument 0", "argument 1")]


def test_the_same_array_as_two_arguments_has_two_gradients():
    x = np.array([2.0, 3.0])
    gx, gy = tg.grad(lambda a, b: (a * a * b).sum(), (0, 1))(x, x)
    assert_array(gx, 2 * x * x)
    assert_array(gy, x * x)
    t = tg.Tensor(x, requires_grad=True)
    gx, gy = tg.grad(lambda a, b: (a * a * b).sum(), (0, 1))(t, t)
    np.testing.assert_allclose(gx.data, 2 * x * x)
    np.testing.assert_allclose(gy.data, x * x)
    assert_array((gx + gy).sum().gradient(t), 6 * x)


def test_orders_of_sin():
    f, x = np.sin, 0.3
    for expected in (np.cos(x), -np.sin(x), -np.cos(x), np.sin(x), np.cos(x)):
        f = tg.grad(f)
        assert_array(f(x), expected)


def test_closures_in_both_nestings():
    # d/dx (x · d/dy (x·y)) = 2x: the inner gradient depends on the outer variable through a closure only
    assert_array(tg.grad(lambda x: x * tg.grad(lambda y: x * y)(2.0))(3.0), 6.0)
    # perturbation confusion: d/dx (x · d/dy (x + y)) = 1
    assert_array(tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))(1.0), 1.0)
    # three levels, each using all variables outside of it
    f = lambda x: tg.grad(lambda y: x * y * tg.grad(lambda z: x * y * z * z)(3.0))(2.0)  # noqa: E731
    assert_array(f(5.0), 2 * 5.0 * 5 * 2 * 2 * 3)  # d/dy (x y · 6 x y) = 12 x² y
    assert_array(tg.grad(f)(5.0), 24 * 5.0 * 2)


def test_results_are_tensors_exactly_where_something_outside_could_ask():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    inner = tg.grad(lambda y: (w * y * y).sum())(np.array([3.0, 4.0]))
    assert isinstance(inner, tg.Tensor)
    assert_array(inner.sum().gradient(w), [6.0, 8.0])
    assert_array(tg.grad(lambda y: (y * y).sum())(np.array([3.0, 4.0])), [6.0, 8.0])
    assert_array(tg.grad(lambda y: (tg.Tensor([1.0, 2.0]) * y).sum())(np.array([3.0, 4.0])), [1.0, 2.0])
    with tg.no_grad():
        assert_array(tg.grad(lambda y: (w * y * y).sum())(np.array([3.0, 4.0])), [6.0, 16.0])
    assert w.grad is None


def test_vjp_and_jvp_agree_with_the_jacobian():
    W = RNG.normal(size=(3, 4))

    def f(x):
        return np.tanh(x @ W) / (1 + np.square(x).sum())

    x, v, u = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3)), RNG.normal(size=(2, 4))
    J = tg.jacobian(f)(x)
    assert_array(J, numeric_jacobian(f, x), rtol=1e-7, atol=1e-9)
    value, pull = tg.vjp(f, x)
    assert_array(value, f(x))
    (back,) = pull(u)
    assert_array(back, np.einsum("mk,mkij->ij", u, J))
    np.testing.assert_array_equal(pull(u)[0], back)
    value, push = tg.jvp(f, (x,), (v,))
    assert_array(value, f(x))
    assert_array(push, np.einsum("mkij,ij->mk", J, v))


def test_vjp_of_several_arguments_and_outputs():
    def f(params, x, labels):
        return {"a": params["w"] * x, "b": [(params["w"] * x)[labels].sum()]}

    w, x = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    value, pull = tg.vjp(f, {"w": w}, x, np.array([0, 0, 2]))
    assert_array(value["b"][0], 26.0)
    gw, gx, none = pull({"a": np.array([1.0, 0.0, 0.0]), "b": [10.0]})
    assert_array(gw["w"], [4.0 + 80.0, 0.0, 60.0])
    assert_array(gx, [1.0 + 20.0, 0.0, 30.0])
    assert none is None
    with pytest.raises(ValueError, match=r"a cotangent must have the structure \['a', 'b.0'\], not \['a'\]"):
        pull({"a": np.ones(3)})
    with pytest.raises(tg.errors.ShapeError, match=r"cotangent of shape \(2,\) was given for an array of shape \(3,\)"):
        pull({"a": np.ones(2), "b": [1.0]})


def test_jvp_with_constants_and_errors():
    f = lambda x, y: x * y  # noqa: E731
    x, y, v = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([1.0, -1.0])
    assert_array(tg.jvp(f, (x, y), (v,))[1], v * y)
    assert_array(tg.jvp(f, (x, y), (None, v))[1], v * x)
    assert_array(tg.jvp(f, (x, y), (v, v))[1], v * (x + y))
    assert_array(tg.jvp(lambda x, y: y, (x, y), (v,))[1], np.zeros(2))
    with pytest.raises(ValueError, match="2 tangents for 1 arguments"):
        tg.jvp(np.sin, (x,), (v, v))
    with pytest.raises(tg.errors.ShapeError, match=r"tangent of shape \(3,\)"):
        tg.jvp(np.sin, (x,), (np.ones(3),))


def test_hessian_of_nests_and_hvp():
    def loss(p, X, y):
        return np.square(np.tanh(X @ p["W"]) @ p["v"] - y).mean()

    X, y = RNG.normal(size=(5, 3)), RNG.normal(size=5)
    p = {"W": RNG.normal(size=(3, 2)), "v": RNG.normal(size=2)}
    H = tg.hessian(loss)(p, X, y)
    for a in p:
        for b in p:
            expected = numeric_jacobian(lambda z, a=a, b=b: tg.grad(loss)({**p, b: z}, X, y)[a], p[b])
            assert_array(H[a][b], expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(H["W"]["v"], np.moveaxis(H["v"]["W"], 0, -1), rtol=1e-12, atol=1e-14)
    d = {"W": RNG.normal(size=(3, 2)), "v": RNG.normal(size=2)}
    Hd = tg.hvp(loss, p, d, X, y)
    for a in p:
        expected = sum(np.tensordot(H[a][b], d[b], d[b].ndim) for b in p)
        assert_array(Hd[a], expected)


@pytest.mark.parametrize("inner", [tg.grad, tg.jacobian])
@pytest.mark.parametrize("outer", ["grad", "jvp", "vjp", "jacobian", "hvp"])
def test_every_transform_over_every_transform(inner, outer):
    def f(x):
        return inner(lambda z: (np.sin(z) * x * x).sum())(x * 2).sum()  # Σ 2... of closures and arguments

    def g(x):  # the same by hand: Σ cos(2x) x²
        return (np.cos(2 * x) * x * x).sum()

    x, v = np.array([0.3, -0.7]), np.array([1.0, 2.0])
    slope = numeric_jacobian(g, x)
    if outer == "grad":
        assert_array(tg.grad(f)(x), slope, rtol=1e-8)
    elif outer == "jacobian":
        assert_array(tg.jacobian(f)(x), slope, rtol=1e-8)
    elif outer == "jvp":
        assert_array(tg.jvp(f, (x,), (v,))[1], slope @ v, rtol=1e-8)
    elif outer == "vjp":
        assert_array(tg.vjp(f, x)[1](2.0)[0], 2 * slope, rtol=1e-8)
    else:
        assert_array(tg.hvp(f, x, v), numeric_jacobian(tg.grad(g), x) @ v, rtol=1e-6)


def test_jvp_inside_grad_and_grad_inside_jvp():
    x, v = np.array([0.3, -0.7]), np.array([1.0, 2.0])
    f = lambda x: (np.sin(x) * x).sum()  # noqa: E731
    H = tg.hessian(f)(x)
    assert_array(tg.grad(lambda x: tg.jvp(f, (x,), (v,))[1])(x), H @ v)
    assert_array(tg.jvp(tg.grad(f), (x,), (v,))[1], H @ v)
    assert_array(tg.grad(lambda v: tg.jvp(f, (x,), (v,))[1])(v), tg.grad(f)(x))  # a jvp is linear in its tangent
    third = tg.jvp(lambda x: tg.jvp(tg.grad(f), (x,), (v,))[1], (x,), (v,))[1]
    assert_array(third, numeric_jacobian(lambda x: tg.hessian(f)(x) @ v, x) @ v, rtol=1e-7)


def test_constant_functions_have_zero_derivatives():
    x = np.array([1.0, 2.0])
    assert_array(tg.grad(lambda x: 3.0)(x), [0.0, 0.0])
    assert_array(tg.jacobian(lambda x: np.ones(3))(x), np.zeros((3, 2)))
    assert_array(tg.hessian(lambda x: (3 * x).sum())(x), np.zeros((2, 2)))


def test_float32_stays_float32():
    x = np.array([1.0, 2.0], np.float32)
    for result in (
        tg.grad(lambda x: (x * x).sum())(x),
        tg.jacobian(np.sin)(x),
        tg.jvp(np.sin, (x,), (np.ones(2),))[1],
        tg.hvp(lambda x: (x**3).sum(), x, x),
    ):
        assert result.dtype == np.float32


def test_what_is_not_one_number_is_refused():
    with pytest.raises(tg.errors.ShapeError, match=r"<lambda> returned .*\(2,\).*reduce the losses of the examples"):
        tg.grad(lambda x: x * 2)(np.ones(2))
    with pytest.raises(tg.errors.ShapeError, match="returned 2 arrays"):
        tg.grad(lambda x: (x, x))(1.0)
    with pytest.raises(tg.errors.NotDifferentiableError, match=r"'steps' \(\) int64 .*write 1.0 for 1"):
        tg.grad(lambda p: p["steps"] * 2.0)({"steps": 3})


def test_nested_gradients_in_two_threads():
    results = {}
    barrier = threading.Barrier(2)

    def work(k):
        def f(x):
            barrier.wait()
            return tg.grad(lambda y: x * y**3)(2.0)

        results[k] = [float(tg.grad(f)(float(k))) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(k,)) for k in (1, 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {1: [12.0] * 20, 2: [12.0] * 20}


def test_the_value_of_a_vjp_cannot_spoil_it():
    value, pull = tg.vjp(np.tanh, np.array([0.5, 1.0]))
    with pytest.raises(ValueError, match="read-only"):
        value[0] = 3.0
    assert_array(pull(np.ones(2))[0], 1 - np.tanh([0.5, 1.0]) ** 2)


def test_structures_must_agree_by_name_not_by_order():
    x, v = np.array([1.0, 2.0]), np.array([1.0, 0.0])
    loss = lambda p: (p["a"] ** 3).sum() + p["b"] ** 2  # noqa: E731
    with pytest.raises(ValueError, match=r"the vector must have the structure \['a', 'b'\], not \[''\]"):
        tg.hvp(loss, {"a": x, "b": 1.0}, v)
    with pytest.raises(ValueError, match="must have the structure"):
        Nest({"a.b": 1.0, "a": {"b": 2.0}}).match({"a": {"b": 2.0}, "a.b": 1.0, "c": 3.0}, "it")
    product = tg.hvp(loss, {"a": x, "b": 1.0}, {"b": 1.0, "a": v})
    assert_array(product["a"], [6.0, 0.0])
    assert_array(product["b"], 2.0)
    with pytest.raises(ValueError, match="argnums names argument 0 twice"):
        tg.grad(lambda x: x, argnums=(0, 0))(1.0)


@pytest.mark.parametrize(
    ("fn", "shape", "result"),
    [
        (lambda x: x.sum(axis=0), (0, 3), (3,)),
        (lambda x: x * 2, (2, 0), (2, 0)),
        (lambda x: x[5:2], (6,), (0,)),
        (np.prod, (0,), ()),
    ],
)
def test_jacobians_of_empty_arrays_have_their_shapes(fn, shape, result):
    x = np.ones(shape)
    for found in tg.jacobian(fn)(x), tg.vmap(tg.jacobian(fn))(x[None])[0]:
        assert found.shape == result + shape
        assert found.dtype == np.float64
        assert not found.any()
    assert tg.hessian(lambda x: (fn(x) ** 2).sum())(x).shape == shape + shape
