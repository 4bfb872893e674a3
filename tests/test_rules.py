"""Every rule of the table against derivatives that were not made by differentiation, on the one list of problems."""

import functools
import math

import numpy as np
import pytest
from differences import CENTRAL_TOLERANCE, COMPLEX_TOLERANCE, assert_close, by_central_differences, by_complex_step
from problems import PROBLEMS, TABLE

from tinygrad_mb import Tensor, errors
from tinygrad_mb.composites import COMPOSITES
from tinygrad_mb.primitives import PRIMITIVES, defvjp

NARROW = {np.float32: 1e-3, np.float16: 3e-2}  # how far from the float64 gradient, relative to its largest element

every_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=[f"{k}-{p}" for k, p in enumerate(PROBLEMS)])


def tensors(problem, inputs):
    """The inputs, those to differentiate by as tensors."""
    return [Tensor(a, requires_grad=True) if k in problem.wrt else a for k, a in enumerate(inputs)]


def cotangent_for(result):
    return np.random.default_rng(result.size).uniform(0.5, 1.5, result.shape)


def first_gradients(problem, inputs, cotangent):
    """The gradients of <f, cotangent>, as arrays."""
    xs = tensors(problem, inputs)
    out = problem.run(*xs)
    grads = out.gradient(*[xs[k] for k in problem.wrt], gradient=cotangent.astype(out.dtype))
    return grads if isinstance(grads, tuple) else (grads,)


def check_first_order(problem):
    inputs, step = problem.inputs, by_complex_step if problem.step == "complex" else by_central_differences
    cotangent = cotangent_for(np.asarray(problem.run(*inputs)))
    grads = first_gradients(problem, inputs, cotangent)
    for k, grad in zip(problem.wrt, grads, strict=True):
        assert type(grad) is np.ndarray
        assert grad.dtype == inputs[k].dtype
        expected = step(lambda *xs: np.sum(cotangent * problem.run(*xs)), inputs, k)
        tolerance = COMPLEX_TOLERANCE if problem.step == "complex" else CENTRAL_TOLERANCE
        assert_close(grad, expected, tolerance, f"{problem} by argument {k}")


def check_second_order(problem):
    """Differentiate <gradients, random numbers> by the inputs, and by the cotangent."""
    inputs = problem.inputs
    seed = cotangent_for(np.asarray(problem.run(*inputs)))
    weights = [cotangent_for(inputs[k]) for k in problem.wrt]

    def mixture(cotangent, *xs):
        grads = first_gradients(problem, xs, cotangent)
        return sum(np.sum(w * g) for w, g in zip(weights, grads, strict=True))

    xs = tensors(problem, inputs)
    v = Tensor(seed, requires_grad=True)
    grads = problem.run(*xs).gradient(*[xs[k] for k in problem.wrt], gradient=v, create_graph=True)
    grads = grads if isinstance(grads, tuple) else (grads,)
    mixed = Tensor(0.0, requires_grad=True)
    for w, g in zip(weights, grads, strict=True):
        assert isinstance(g, Tensor)
        mixed = mixed + (g * w).sum()
    second = mixed.gradient(v, *[xs[k] for k in problem.wrt])
    for k, grad in zip([0, *[k + 1 for k in problem.wrt]], second, strict=True):
        expected = by_central_differences(mixture, [seed, *inputs], k)
        assert grad.dtype == np.float64
        assert_close(grad, expected, CENTRAL_TOLERANCE, f"{problem}, second derivative, argument {k - 1}")


@every_problem
def test_tensors_give_numpys_numbers(problem):
    plain = np.asarray(problem.run(*problem.inputs))
    for given in (tensors(problem, problem.inputs), [Tensor(a) for a in problem.inputs]):
        result = problem.run(*given)
        assert result.shape == plain.shape
        assert result.dtype == plain.dtype
        if problem.exact:
            np.testing.assert_array_equal(result.numpy(), plain)
        else:
            np.testing.assert_allclose(result.numpy(), plain, rtol=1e-13, atol=1e-13)


@every_problem
def test_first_derivative(problem):
    check_first_order(problem)


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.second], ids=str)
def test_second_derivative(problem):
    check_second_order(problem)


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.narrow], ids=str)
@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_dtypes_stay(problem, dtype):
    """Forward as NumPy, and every single rule: none widens what it is given."""
    inputs = [a.astype(dtype) if a.dtype == np.float64 else a for a in problem.inputs]
    plain = np.asarray(problem.run(*inputs))
    xs = tensors(problem, inputs)
    out = problem.run(*xs)
    assert out.dtype == plain.dtype
    if plain.dtype != dtype:
        return
    wide = [a.astype(np.float64) if a.dtype == dtype else a for a in inputs]
    cotangent = cotangent_for(plain)
    expected = first_gradients(problem, wide, cotangent)
    for grad, right in zip(first_gradients(problem, inputs, cotangent), expected, strict=True):
        assert grad.dtype == dtype
        assert_close(grad, right, NARROW[dtype], f"{problem} in {np.dtype(dtype)}")
    nodes = [out.node] if out.node.op else []
    while nodes:
        node = nodes.pop()
        for _, pull, name, _ in node.plan.rules:
            c = pull(np.ones(node.shape, node.dtype), node, node.saved)
            assert c.dtype == node.dtype or c.dtype == dtype, f"the rule of {node.op.name} for {name} widens {dtype}"
        nodes += [parent for parent in node.inputs if getattr(parent, "op", None) is not None and parent.plan]


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if len(p.wrt) > 1], ids=str)
def test_each_gradient_has_its_arguments_dtype(problem):
    inputs = list(problem.inputs)
    inputs[problem.wrt[0]] = inputs[problem.wrt[0]].astype(np.float32)
    cotangent = cotangent_for(np.asarray(problem.run(*inputs)))
    for k, grad in zip(problem.wrt, first_gradients(problem, inputs, cotangent), strict=True):
        assert grad.dtype == inputs[k].dtype
        assert grad.shape == inputs[k].shape


# ------------------------------------------------------------------------------------------------ completeness


@pytest.mark.parametrize("key", [*TABLE, *COMPOSITES], ids=lambda key: key.__name__)
def test_every_function_has_a_problem(key):
    assert any(problem.on is key for problem in PROBLEMS)


@pytest.mark.parametrize("op", TABLE.values(), ids=lambda op: op.name)
def test_every_rule_is_reached_by_a_problem(op):
    reached = set()
    for problem in PROBLEMS:
        if problem.on is not op.key:
            continue
        out = problem.run(*tensors(problem, problem.inputs))
        if out.node.op is op:
            reached |= {0 if op.variadic else k for k, *_ in out.node.plan.rules}
    assert reached == op.rules.keys()


# ------------------------------------------------------------------------------------ what differences cannot say

AT_SPECIAL_POINTS = {
    "max of three equal": (lambda x: np.max(x), [2.0, 2.0, 2.0], [1 / 3, 1 / 3, 1 / 3]),
    "min along an axis": (lambda x: np.min(x, 0).sum(), [[1.0, 5.0], [1.0, 2.0]], [[0.5, 0.0], [0.5, 1.0]]),
    "relu": (lambda x: np.maximum(x, 0).sum(), [-1.0, 0.0, 2.0], [0.0, 0.5, 1.0]),
    "abs": (lambda x: np.abs(x).sum(), [0.0, -0.0], [0.0, 0.0]),
    "norm": (lambda x: np.linalg.norm(x), [0.0, 0.0], [0.0, 0.0]),
    "norm 3": (lambda x: np.linalg.norm(x, 3), [0.0, 0.0], [0.0, 0.0]),
    "norm inf": (lambda x: np.linalg.norm(x, math.inf), [0.0, 0.0], [0.0, 0.0]),
    "norm -inf": (lambda x: np.linalg.norm(x, -math.inf), [0.0, 2.0], [0.0, 0.0]),
    "frobenius": (lambda x: np.linalg.norm(x, "fro"), [[0.0, 0.0]], [[0.0, 0.0]]),
    "std of equal elements": (lambda x: np.std(x), [3.0, 3.0], [0.0, 0.0]),
    "nanstd of equal elements": (lambda x: np.nanstd(x), [3.0, math.nan, 3.0], [0.0, 0.0, 0.0]),
    "0 ** 0": (lambda x: (x**0).sum(), [0.0, 2.0], [0.0, 0.0]),
    "0 ** 1": (lambda x: (x**1).sum(), [0.0], [1.0]),
    "power of 0": (lambda y: (0.0**y).sum(), [0.0, 2.0], [0.0, 0.0]),
    "hypot": (lambda x: np.hypot(x, x).sum(), [0.0], [0.0]),
    "arctan2": (lambda x: np.arctan2(x, x).sum(), [0.0], [0.0]),
    "logaddexp of masks": (lambda x: np.logaddexp(x, -math.inf).sum(), [-math.inf, 1.0], [0.0, 1.0]),
    "logsumexp of masks": (lambda x: np.logaddexp.reduce(x), [-math.inf, -math.inf], [0.0, 0.0]),
    "product with zeros": (lambda x: np.prod(x), [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]),
    "clip at its ends": (lambda x: np.clip(x, 0, 1).sum(), [0.0, 0.5, 1.0, 2.0], [0.5, 1.0, 0.5, 0.0]),
    "fmax beside nan": (lambda x: np.fmax(x, [math.nan, 5.0]).sum(), [1.0, 2.0], [1.0, 0.0]),
    "where on a pole": (lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1)), 0).sum(), [0.0, 4.0], [0.0, 0.25]),
    "sinc": (lambda x: np.sinc(x).sum(), [0.0], [0.0]),
    "nan_to_num": (lambda x: np.nan_to_num(x).sum(), [math.nan, math.inf, 1.0], [0.0, 0.0, 1.0]),
}


@pytest.mark.parametrize(("function", "at", "expected"), AT_SPECIAL_POINTS.values(), ids=AT_SPECIAL_POINTS)
def test_points_where_derivatives_are_a_convention(function, at, expected):
    x = Tensor(at, requires_grad=True)
    gradient = function(x).gradient(x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-15)
    assert gradient.dtype == np.float64


# ------------------------------------------------------------------------------------ the checks can fail


@pytest.fixture
def sine():
    """The sine's primitive, whose rule a test may spoil."""
    op = PRIMITIVES[np.sin]
    rule = op.rules[0].fn
    yield lambda spoilt: defvjp(np.sin, x=spoilt)
    defvjp(np.sin, x=rule)


@pytest.fixture
def sine_problem():
    return next(p for p in PROBLEMS if p.on is np.sin)


def check_all(problems):
    for problem in problems:
        check_first_order(problem)


@pytest.mark.parametrize(
    ("op", "position"),
    [(op, k) for op in TABLE.values() for k in op.rules],
    ids=lambda value: getattr(value, "name", None),
)
def test_any_rule_0_1_percent_off_is_found(op, position):
    rule = op.rules[position]

    @functools.wraps(rule.fn)
    def wrong(*args):
        return 1.001 * rule.fn(*args)

    defvjp(op.key, **{rule.name: wrong})
    try:
        with pytest.raises(AssertionError, match="off by"):
            check_all(problem for problem in PROBLEMS if problem.on is op.key)
    finally:
        defvjp(op.key, **{rule.name: rule.fn})


def test_a_rule_wrong_only_in_its_derivative_is_found_at_second_order(sine, sine_problem):
    def wrong(g, x):
        right = g * np.cos(x)
        part = 0.001 * right
        return right + part - (part.detach() if isinstance(part, Tensor) else part)

    sine(wrong)
    check_first_order(sine_problem)
    with pytest.raises(AssertionError, match="second derivative"):
        check_second_order(sine_problem)


def test_a_rule_that_loses_the_graph_is_found_at_second_order(sine, sine_problem):
    sine(lambda g, x: g * np.cos(x.numpy() if isinstance(x, Tensor) else x))
    check_first_order(sine_problem)
    with pytest.raises(AssertionError, match="second derivative"):
        check_second_order(sine_problem)


@pytest.mark.parametrize("wrong", [lambda g, x: g[0], lambda g, x: g.reshape(-1), lambda g, x: None, lambda g, x: 1.0])
def test_a_rule_of_wrong_shape_is_an_error(sine, sine_problem, wrong):
    sine(wrong)
    with pytest.raises(errors.ShapeError, match="the derivative rule of sin for 'x' returned"):
        check_first_order(sine_problem)
