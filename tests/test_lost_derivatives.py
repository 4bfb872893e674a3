"""Ways in which a derivative could be lost without a word, and the words."""

import math
import warnings

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.errors import BroadcastWarning, LostGradientWarning, NotDifferentiableError, ShapeError
from tinygrad_mb.primitives import PRIMITIVES


@pytest.fixture
def x():
    return tg.Tensor(2.0, requires_grad=True, name="x")


def over_two_lines(x):
    return math.exp(
        x * 2,
    )


def into_an_array(x):
    array = np.zeros(3)
    array[1] = x


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda x: math.exp(x), r"math\.exp\(x\)"),
        (lambda x: np.float64(x), r"np\.float64\(x\)"),
        (lambda x: np.zeros(2).fill(x), r"np\.zeros\(2\)\.fill\(x\)"),
        (lambda x: tg.grad(math.log)(2.0), r"tg\.grad\(math\.log\)\(2\.0\)"),
        (into_an_array, r"array\[1\] = x"),
        (over_two_lines, r"return math\.exp\("),
    ],
)
def test_numbers_that_c_code_takes_are_told_of(x, call, code):
    with pytest.warns(LostGradientWarning, match=f"`{code}` takes the number of .*np.exp for math.exp") as caught:
        call(x)
    assert caught[0].filename == __file__


def test_numbers_that_are_asked_for_are_not(x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(x) == x.item() == 2.0
        assert f"{x:.1f}" == "%.1f" % x == "2.0"  # noqa: UP031
        assert round(x, 1) == 2.0
        assert math.exp(x.detach()) == math.exp(2)
        assert list(map(float, [x])) == sorted([x], key=float) == [2.0]
        assert divmod(x, 1.5) == (1, 0.5)


def test_a_rule_that_loses_its_graph_is_an_error_at_second_order(x):
    @tg.primitive
    def sine(x):
        return np.sin(x)

    tg.defvjp(sine, x=lambda g, x: np.asarray(np.cos(x.item()) * g.item()))
    assert x.requires_grad
    np.testing.assert_allclose(sine(x).gradient(x), np.cos(2))
    with pytest.raises(NotDifferentiableError, match=r"rule of sine for 'x' was run on tensors.*math"):
        sine(x).gradient(x, create_graph=True)


def test_a_rule_with_more_axes_than_its_operation_is_an_error():
    @tg.primitive
    def weighted(x, w):
        return w * x * x

    tg.defvjp(weighted, x=lambda g, x, w: g[:, None] * 2 * w * x, w=lambda g, x: g * x * x)
    x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    with pytest.raises(ShapeError, match=r"rule of weighted for 'x' returned \(3, 3\) float64.*shape \(3,\)"):
        weighted(x, np.ones(3)).sum().backward()
    assert x.grad is None


def test_an_argument_without_a_rule_is_an_error_or_declared_constant():
    @tg.primitive
    def product(x, y):
        return x * y

    a, b = tg.Tensor(3.0, requires_grad=True), tg.Tensor(4.0, requires_grad=True)
    with pytest.raises(NotDifferentiableError, match=r"product: its argument 'x'.*no derivative rule.*x=None"):
        product(a, 2.0)
    tg.defvjp(product, x=lambda g, y: g * y)
    assert product(a, 2.0).gradient(a) == 2
    with pytest.raises(NotDifferentiableError, match="product: its argument 'y'"):
        product(a, b)
    tg.defvjp(product, y=None)
    assert product(a, b).gradient(a, b) == (4, 0)
    assert not product(2.0, b).requires_grad
    tg.defvjp(product, y=lambda g, x: g * x)
    assert product(a, b).gradient(a, b) == (4, 3)
    tg.defvjp(product, y=None)
    assert product(a, b).gradient(a, b) == (4, 0)


def test_a_primitive_cannot_write_into_its_arrays():
    @tg.primitive
    def clamped(x):
        x[x < 1.5] = 1.5
        return x

    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match="read-only"):
        clamped(w)
    np.testing.assert_array_equal(w.data, [1.0, 2.0])
    w.data[0] = 5.0  # the caller's own array stays writable


@pytest.mark.parametrize("loss", [lambda p, y: y * np.log(p), lambda p, y: p / y, lambda p, y: p + y])
def test_predictions_in_a_column_with_targets_in_a_row_are_told_of(loss):
    p = tg.Tensor([[0.3], [0.6], [0.9]], requires_grad=True, name="p")
    with pytest.warns(BroadcastWarning, match=r"p?.*\(3, 1\) float64.*all 3 x 3 pairs"):
        loss(p, np.ones(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(p, np.ones((3, 1)))
        loss(p, np.ones(3)[None, :])
        loss(tg.Tensor([0.3, 0.6, 0.9], requires_grad=True), np.ones((3, 1)))  # an outer product with parameters


def test_a_step_without_any_gradient_is_an_error():
    w = tg.Tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"SGD.step\(\): none of the 1 parameters has a gradient.*backward"):
        tg.optim.SGD([w], lr=0.1).step()


def test_one_example_is_a_batch_of_losses_without_axes(x):
    loss = tg.nn.squared_error(x, 0.5)
    assert loss.shape == ()
    np.testing.assert_array_equal(loss.gradient(x), 3.0)


def test_an_array_that_a_users_rule_keeps_is_not_written_into():
    kept = np.zeros(2)

    @tg.primitive
    def step(x):
        return np.floor(x)

    tg.defvjp(step, x=lambda g: kept)
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    (step(x) + 2 * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 2])
    np.testing.assert_array_equal(step(x).sum().gradient(x), [0, 0])
    np.testing.assert_array_equal(kept, [0, 0])


def test_options_that_the_caller_changes_are_copied():
    @tg.primitive
    def scaled(x, by=None):
        return x * by["a"]

    tg.defvjp(scaled, x=lambda g, by: g * by["a"])
    x, by = tg.Tensor(1.0, requires_grad=True), {"a": 2.0}
    y = scaled(x, by=by)
    by["a"] = 100.0
    assert y.gradient(x) == 2


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("size", [1e-4, 1.0, 300.0])
def test_squares_stay_in_the_range_of_the_dtype(dtype, size):
    for fn, points in (
        (np.arctan2, (size, 0.5 * size)),
        (np.copysign, (size, -size)),
        (np.arcsinh, (size,)),
        (np.arccosh, (1.5 + size,)),
    ):
        narrow = [tg.Tensor(np.array(p, dtype), requires_grad=True) for p in points]
        wide = [tg.Tensor(t.numpy().astype(float), requires_grad=True) for t in narrow]
        gradients = fn(*narrow).gradient(narrow[0]), fn(*wide).gradient(wide[0])
        assert gradients[0].dtype == dtype
        np.testing.assert_allclose(*gradients, rtol=4 * np.finfo(dtype).eps)


def test_a_primitive_may_be_called_as_one_of_ours():
    @tg.primitive
    def einsum(x):
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"einsum: mine\n  operands: x \(2,\) float64"):
        einsum(tg.Tensor([1.0, 2.0], requires_grad=True))


def test_universal_functions_from_elsewhere_can_be_given_derivatives(x, monkeypatch):
    double = np.frompyfunc(lambda v: 2 * v, 1, 1)
    with pytest.raises(NotDifferentiableError, match=r"not one of NumPy's functions.*defvjp\("):
        double(x)
    with pytest.raises(TypeError, match="not a primitive"):
        tg.defvjp(np.frompyfunc(lambda a, b, c: a, 3, 1), x=lambda g: g)
    expit = pytest.importorskip("scipy.special").expit
    monkeypatch.setitem(PRIMITIVES, expit, None)  # forgotten again after the test
    del PRIMITIVES[expit]
    tg.defvjp(expit, x=lambda g, out: g * out * (1 - out))
    np.testing.assert_allclose(expit(x).gradient(x), tg.nn.sigmoid(x).gradient(x), rtol=1e-15)
    np.testing.assert_allclose(tg.grad(tg.grad(expit))(0.3), tg.grad(tg.grad(tg.nn.sigmoid))(0.3), rtol=1e-14)


def test_what_has_nothing_to_do_with_shapes_gets_no_advice_about_them(x):
    with pytest.raises(TypeError, match="ldexp: ") as caught:
        np.ldexp(x, 1.5)
    assert "Shapes" not in str(caught.value)


def test_an_error_in_a_hook_stays_what_it_is(x):
    def hook(g):
        raise ValueError("mine")

    x.register_hook(hook)
    with pytest.raises(ValueError, match=r"^mine$") as caught:
        (x * x).backward()
    assert caught.value.__cause__ is None
