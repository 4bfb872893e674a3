"""What gradcheck takes and refuses, and what it costs on large inputs."""

import numpy as np
import pytest
from checking.cubes import ROWS, cube

import tinygrad_mb as tg
from tinygrad_mb.primitives import defvjp


def test_every_kind_of_nest_is_taken():
    class Net(tg.nn.Module):
        def __init__(self):
            self.layer = tg.nn.Linear(3, 4, rng=0)
            self.others = [tg.Tensor(np.ones(4), requires_grad=True)]

        def forward(self, x):
            return np.tanh(self.layer(x)) * self.others[0]

    report = tg.gradcheck(lambda model, x: {"out": [model(x), 2 * x]}, Net(), ROWS, order=2)
    assert report.ok, str(report)
    assert report.outcomes[0].subject.paths == ["layer.W", "layer.b", "others.0", "x"]


def test_functions_that_need_tensors_get_tensors():
    assert tg.gradcheck(lambda x: x.at[0].add(x[1] ** 2).sum(), np.array([1.0, 2.0]), order=2)


def test_what_a_function_raises_is_its_own():
    with pytest.raises(AttributeError, match=r"'numpy\.ndarray' object has no attribute 'nothing'"):
        tg.gradcheck(lambda x: x.nothing, ROWS)


def test_float32_is_lifted_and_said_to_be():
    report = tg.gradcheck(lambda x, y: np.tanh(x * y), ROWS.astype(np.float32), ROWS)
    assert report.ok
    assert "lifted: x from float32" in str(report)


def test_functions_that_narrow_their_numbers_are_refused():
    with pytest.raises(TypeError, match="returns float32 for inputs of float64"):
        tg.gradcheck(lambda x: x.astype(np.float32) ** 2, ROWS)
    report = tg.gradcheck(lambda x: np.tanh(x.astype(np.float32)).astype(np.float64), ROWS)
    assert not report.ok
    assert {e.kind for e in report.wrong} == {"undecided"}
    assert "does it compute in float32 somewhere" in str(report)


def test_functions_that_draw_random_numbers_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two different values for the same inputs"):
        tg.gradcheck(lambda x: x * rng.random(3), ROWS)
    assert tg.gradcheck(lambda x: x * np.random.default_rng(0).random(3), ROWS)


def test_functions_that_change_their_inputs_are_refused():
    def doubled(x):
        x *= 2
        return x

    x = ROWS.copy()
    with pytest.raises(ValueError, match="changes its input x"):
        tg.gradcheck(doubled, x)
    np.testing.assert_array_equal(x, ROWS)


def test_functions_that_treat_tensors_otherwise_are_refused():
    with pytest.raises(ValueError, match="other numbers for Tensors than for arrays"):
        tg.gradcheck(lambda x: 2 * x if isinstance(x, tg.Tensor) else 3 * x, ROWS)


def test_numbers_that_are_not_finite_are_named():
    text = str(tg.gradcheck(np.log, np.array([1.0, -1.0])))
    assert "not finite" in text
    assert "The output[1] is nan." in text
    assert "The input x[1] is inf" in str(tg.gradcheck(np.sin, np.array([1.0, np.inf])))
    report = tg.gradcheck(lambda x: np.sqrt((x * x).sum()), np.zeros(2))
    assert {e.kind for e in report.wrong} == {"not finite"}
    assert "x[0] is nan: the slopes on both sides are -1 and 1." in str(report)
    text = str(tg.gradcheck(lambda x: np.sqrt(x) ** 3, np.array([0.0, 1.0])))
    assert "x[0] is nan: the function has a slope of 2" in text
    assert "on one side, and no finite values on the other." in text


def test_what_has_no_gradient_is_skipped_and_listed():
    labels = np.array([0, 2, 1, 1, 0])
    fixed = tg.Tensor(ROWS)
    report = tg.gradcheck(lambda x, y, c: tg.nn.cross_entropy(x, y) + c.sum(), ROWS, labels, fixed)
    assert report.ok
    assert "constant: y (int64) and c (requires no gradient)" in str(report)
    assert report.outcomes[0].subject.paths == ["x"]
    with pytest.raises(TypeError, match="no input of sin is an array of floating-point numbers"):
        tg.gradcheck(np.sin, labels)
    with pytest.raises(TypeError, match="returns no array of floating-point numbers"):
        tg.gradcheck(lambda x: x > 0, ROWS)


def test_arguments_are_chosen_by_number():
    report = tg.gradcheck(lambda x, y: x * tg.stop_gradient(y), ROWS, 2 * ROWS, argnums=0)
    assert report.ok
    assert not tg.gradcheck(lambda x, y: x * tg.stop_gradient(y), ROWS, 2 * ROWS, argnums=(0, -1))
    for wrong in {"order": 3}, {"entries": 0}, {"entries": "some"}, {"argnums": 2}:
        with pytest.raises(ValueError, match=r"gradcheck: "):
            tg.gradcheck(np.sin, ROWS, **wrong)


def test_empty_arrays_are_fine():
    assert str(tg.gradcheck(np.exp, np.zeros((0, 3)))) == "gradcheck of exp: 0 entries right (complex step)."
    assert tg.gradcheck(lambda x, y: x.sum() + y.sum(), np.zeros((0, 3)), ROWS, order=2)


WIDE = np.random.default_rng(5).normal(size=(100, 100))


def counting(fn):
    calls = []

    def run(x):
        calls.append(isinstance(x, np.ndarray))
        return fn(x)

    return run, calls


@pytest.mark.parametrize(
    ("fn", "needed"),
    [(lambda x: np.tanh(x @ WIDE[0]), 10_000), (lambda x: np.abs(np.tanh(x @ WIDE[0])), 20_000)],
    ids=["complex", "central"],
)
def test_all_of_10_000_entries_cost_no_more_than_three_times_what_they_need(fn, needed):
    run, calls = counting(fn)
    report = tg.gradcheck(run, WIDE, entries="all")
    assert report.ok, str(report)
    assert sum(calls) == report.evaluations <= 3 * needed
    assert str(report).startswith("gradcheck of run: all 10,000 entries right")


def test_of_large_inputs_a_sample_is_checked_and_directions():
    report = tg.gradcheck(lambda x: np.tanh(x @ WIDE[0]), WIDE)
    assert "200 of 10,000 entries and 5 directions right" in str(report)
    assert report.evaluations < 300
    assert tg.gradcheck(np.sin, WIDE, entries=17).outcomes[0].checked == 17


@pytest.mark.parametrize("fn", [lambda x: cube(x) @ WIDE[0], lambda x: np.abs(cube(x) @ WIDE[0])])
def test_one_wrong_entry_of_10_000_is_found_and_named(fn):
    def rule(g, x):
        factor = np.full(x.shape, 3.0)
        factor[37, 41] = 3.3
        return factor * g * x * x

    defvjp(cube, x=rule)
    report = tg.gradcheck(fn, WIDE)
    assert [str(e) for e in report.wrong] == ["x[37, 41]"]
    assert "x[37, 41] is" in str(report)


def test_the_same_seed_gives_the_same_check():
    def sampled(seed):
        return [e.index for e in tg.gradcheck(np.sin, WIDE, seed=seed).outcomes[0].found]

    assert sampled(1) == sampled(1) != sampled(2)
