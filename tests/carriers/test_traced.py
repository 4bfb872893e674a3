"""Arrays that write down what is computed with them: on every problem of the list, the program is the calculation."""

import numpy as np
import pytest
from problems import PROBLEMS

import tinygrad_mb as tg
from tinygrad_mb.carriers.batched import Batched
from tinygrad_mb.carriers.traced import Traced
from tinygrad_mb.derivation.program import Program
from tinygrad_mb.derivation.tracing import Writer, trace
from tinygrad_mb.errors import NotDifferentiableError, TracedValueError

DIFFERENTIATED = [p for p in PROBLEMS if p.wrt]


def posed(problem):
    """The problem as a loss function of named parameters and data: a weighted sum of its result."""
    shape = np.shape(problem.run(*problem.inputs))
    weights = np.random.default_rng(3).uniform(1, 2, shape)

    def loss(params, *data):
        rest = iter(data)
        args = [params[f"a{k}"] if k in problem.wrt else next(rest) for k in range(len(problem.inputs))]
        return (problem.run(*args) * weights).sum()

    params = {f"a{k}": problem.inputs[k] for k in problem.wrt}
    return loss, params, [a for k, a in enumerate(problem.inputs) if k not in problem.wrt]


def assert_same(actual, expected):
    assert np.shape(actual) == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("problem", DIFFERENTIATED, ids=str)
def test_the_program_forward_and_backward_is_the_calculation(problem):
    loss, params, data = posed(problem)
    value, gradients = tg.value_and_grad(loss)(params, *data)
    program = trace(loss, params, data)
    assert_same(np.asarray(program.loss.value), value)
    known = program.run([*params.values(), *data])
    assert_same(np.asarray(known[program.loss]), value)
    for name, gradient in gradients.items():
        assert_same(np.asarray(program.outputs[name].value), gradient)
        assert_same(np.asarray(known[program.outputs[name]]), gradient)


@pytest.mark.parametrize("problem", DIFFERENTIATED, ids=str)
def test_the_program_as_numpy_gives_the_same_numbers(problem):
    loss, params, data = posed(problem)
    value, gradients = tg.value_and_grad(loss)(params, *data)
    text = tg.derive(loss, params, *data).numpy()
    assert max(map(len, text.splitlines())) <= 100
    namespace = {}
    exec(text, namespace)
    with np.errstate(all="ignore"):
        found, found_gradients = namespace["gradients"](params, *data)
    np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-12)
    for name, gradient in gradients.items():
        assert np.shape(found_gradients[name]) == gradient.shape
        np.testing.assert_allclose(found_gradients[name], gradient, rtol=1e-12, atol=1e-12)


def traced(value, name="x"):
    writer = Writer(Program())
    value = np.asarray(value)
    return Traced(value, writer.variable(value, "data", name), writer)


def calls(x):
    return [call.function for call in x._writer.program.calls]


def test_every_call_is_written_down_with_its_value():
    x = traced([[1.0, 2.0], [3.0, 4.0]])
    y = (np.exp(x) @ x.T).sum(axis=0)[None]
    assert [f.__name__ for f in calls(x)] == ["exp", "transpose", "matmul", "sum", "getitem"]
    np.testing.assert_array_equal(y._data, (np.exp(x._data) @ x._data.T).sum(axis=0)[None])


def test_functions_with_several_results_and_facts_about_shapes():
    x = traced([[1.5, 2.0, 3.0]])
    whole, rest = np.divmod(x, 2)
    assert isinstance(whole, Traced)
    np.testing.assert_array_equal(rest._data, [[1.5, 0.0, 1.0]])
    parts = np.split(x, 3, axis=1)
    assert [p.shape for p in parts] == [(1, 1)] * 3
    before = len(calls(x))
    assert (np.shape(x), np.ndim(x), len(x), x.size, x.dtype) == ((1, 3), 2, 1, 3, float)
    assert len(calls(x)) == before


@pytest.mark.parametrize(
    "ask",
    [
        bool, float, int, complex, round, list(range(3)).__getitem__, np.asarray, lambda x: x.item(),
        lambda x: x.tolist(), lambda x: x.numpy(), lambda x: 1.0 in x, lambda x: f"{x:.3f}",
        lambda x: np.array([1.0, 2.0])[x], lambda x: np.allclose(x, 1),
    ],
)  # fmt: skip
def test_plain_values_are_refused(ask):
    with pytest.raises(TracedValueError, match=r"`x`, a traced array|gives (True|False), a plain value"):
        ask(traced(1.0))


def test_assignments_are_refused():
    x = traced([1.0, 2.0])
    array = np.zeros(2)
    with pytest.raises(TracedValueError, match=r"x\.at"):
        x[0] = 1.0
    with pytest.raises(NotDifferentiableError, match="in place"):
        array += x
    with pytest.raises(NotDifferentiableError, match="at"):
        np.add.at(array, [0], traced([1.0]))
    with pytest.raises(NotDifferentiableError, match="writes into an array"):
        np.copyto(array, x)
    with pytest.raises(NotDifferentiableError, match="out="):
        np.sum(x, axis=0, out=array)
    with pytest.raises((TracedValueError, ValueError)):  # NumPy has words of its own, and ours before them
        array[0] = x[0]
    np.testing.assert_array_equal(array, [0.0, 0.0])
    np.testing.assert_array_equal(x.at[0].set(5.0)._data, [5.0, 2.0])


def test_arrays_of_two_traces_do_not_mix():
    with pytest.raises(TracedValueError, match="an earlier trace"):
        traced([1.0]) + traced([2.0])


def test_it_ranks_below_all_other_arrays():
    x = traced(np.ones((2, 3)))
    for sum_ in (x + tg.Tensor(np.ones(3)), tg.Tensor(np.ones(3)) + x, np.add(x, tg.Tensor(np.ones(3)))):
        assert isinstance(sum_, tg.Tensor)
        assert isinstance(sum_.data, Traced)
    hidden = Batched(traced(np.ones((2, 3))), 1)
    inner = hidden._data
    for sum_ in (hidden + inner[0], inner[0] + hidden, np.concatenate([inner[0], hidden])):
        assert isinstance(sum_, Batched)
        assert isinstance(sum_._data, Traced)


def test_users_primitives_are_written_down_as_what_they_are_made_of_where_that_is_numpy():
    @tg.primitive
    def swish(x):
        return x / (1 + np.exp(-x))

    @tg.primitive
    def first_to_zero(x):
        out = np.array(x)
        out[0] = 0
        return out

    x = traced([1.0, 2.0])
    swish(x)
    assert [f.__name__ for f in calls(x)] == ["negative", "exp", "add", "divide"]
    y = traced([1.0, 2.0])
    np.testing.assert_array_equal(first_to_zero(y)._data, [0.0, 2.0])
    assert calls(y) == [first_to_zero]
