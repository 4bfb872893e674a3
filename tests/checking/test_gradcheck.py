"""gradcheck finds what is wrong, says it in words, and accuses nobody else."""

import functools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import PROBLEMS, TABLE

import tinygrad_mb as tg
from tinygrad_mb.checking.differences import complex_slope, judge, noise_of
from tinygrad_mb.primitives import PRIMITIVES, defvjp

ROWS = np.random.default_rng(3).normal(size=(5, 3))


def identifiers(problems):
    return [f"{k}-{p}" for k, p in enumerate(problems)]


# ------------------------------------------------------------------------------------- all rules of the table


@pytest.mark.parametrize("problem", PROBLEMS, ids=identifiers(PROBLEMS))
def test_right_rules_are_not_accused(problem):
    report = tg.gradcheck(problem.run, *problem.inputs, argnums=problem.wrt, order=2 if problem.second else 1)
    assert report.ok, str(report)
    assert "\n" not in str(report)


def test_the_complex_step_is_taken_where_the_list_of_problems_says_that_it_works():
    fallen = [
        str(p) for p in PROBLEMS
        if p.step == "complex" and p.inputs[0].size and tg.gradcheck(p.run, *p.inputs, argnums=p.wrt).reason
    ]  # fmt: skip
    assert fallen == ["prod[4] 2 zeros", "prod[4] 3 zeros"]  # where the function and its gradient are zero


@pytest.fixture
def spoil():
    """Replaces rules until the test is over."""
    before = []

    def replace(op, position, make):
        rule = op.rules[position]
        before.append((op, rule))
        defvjp(op.key, **{rule.name: functools.wraps(rule.fn)(make(rule.fn))})

    yield replace
    for op, rule in before:
        defvjp(op.key, **{rule.name: rule.fn})


RULES = [(op, k) for op in TABLE.values() for k in op.rules]
each_rule = pytest.mark.parametrize(("op", "position"), RULES, ids=[f"{op.name}-{op.rules[k].name}" for op, k in RULES])


def found_wrong(op, order):
    for problem in PROBLEMS:
        if problem.on is op.key and (order == 1 or problem.second):
            report = tg.gradcheck(problem.run, *problem.inputs, argnums=problem.wrt, order=order)
            if not report.ok:
                return report
    return None


@each_rule
def test_a_rule_0_1_percent_off_is_found_and_named(spoil, op, position):
    spoil(op, position, lambda right: lambda *args: 1.001 * right(*args))
    report = found_wrong(op, 1)
    assert report is not None
    assert {e.kind for e in report.wrong} == {"wrong"}
    assert (
        f"Look at the derivative rule of {op.name} for {op.rules[position].name}: what it gives is 1.001 times"
        in str(report)
    )


def wrong_in_its_derivative(right):
    """A rule that gives the right numbers, and whose own derivative is 0.1 % off."""

    def rule(*args):
        out = right(*args)
        part = 0.001 * out
        return out + part - (tg.stop_gradient(part) if isinstance(part, tg.Tensor) else part)

    return rule


@each_rule
def test_a_rule_whose_derivative_is_0_1_percent_off_is_found_at_second_order(spoil, op, position):
    if not any(p.on is op.key and p.second for p in PROBLEMS):
        pytest.skip("has no second derivative")
    spoil(op, position, wrong_in_its_derivative)
    assert found_wrong(op, 1) is None
    report = found_wrong(op, 2)
    assert report is not None
    assert len(report.outcomes) == 2
    assert report.outcomes[0].ok
    assert "of the second derivative" in str(report)


# ------------------------------------------------------------------------------------------- what it says


@tg.primitive
def cube(x):
    return x * x * x


@pytest.fixture
def right_cube():
    defvjp(cube, x=lambda g, x: 3 * g * x * x)


def test_a_passing_report_is_one_line():
    report = tg.gradcheck(np.tanh, ROWS)
    assert str(report) == repr(report) == "gradcheck of tanh: all 15 entries right (complex step)."
    assert report
    assert report.evaluations <= 15 + 30
    report.assert_ok()


def test_a_failing_report_names_the_worst_entry_and_the_rule():
    defvjp(cube, x=lambda g, x: 2 * g * x * x)

    def loss(params):
        return (cube(params["W"]) * np.arange(4.0).reshape(2, 2) + params["b"]).sum()

    report = tg.gradcheck(loss, {"W": np.array([[1.0, 2.0], [3.0, 0.5]]), "b": np.ones(2)})
    assert not report.ok
    assert (report.worst.input, report.worst.index, report.worst.kind) == ("W", (1, 0), "wrong")
    assert report.worst.value == pytest.approx(36)
    assert report.worst.reference == pytest.approx(54)
    assert report.worst.error == pytest.approx(18)
    assert report.worst.relative == pytest.approx(1 / 3)
    text = str(report)
    for part in (
        "gradcheck of loss: 3 entries are wrong, of all 6 entries checked (complex step).",
        "Worst: W[1, 0] is 36, and should be 54: off by 18, 33.3 % of it.",
        "Tolerance 5.4e-08: 1e-09 of the value, and rounding.",
        "W      (2, 2)  4         3",
        "b      (2,)    2         -",
        "All of these are 0.666667 times what they should be.",
        "Look at the derivative rule of cube for x: what it gives is 0.666667 times what it should be, used at",
    ):
        assert part in text
    with pytest.raises(AssertionError, match=r"W\[1, 0\] is 36, and should be 54"):
        report.assert_ok()
    with pytest.raises(AssertionError, match=r"W\[1, 0\] is 36, and should be 54"):
        tg.assert_gradients(loss, {"W": np.array([[1.0, 2.0], [3.0, 0.5]]), "b": np.ones(2)})


def test_gradients_by_hand_are_asserted_in_one_line():
    def loss(params, x):
        return np.square(x @ params["w"]).mean()

    params = {"w": np.array([1.0, -2.0, 0.5])}
    right = 2 * ROWS.T @ (ROWS @ params["w"]) / 5
    tg.assert_gradients(loss, params, ROWS, hand={"w": right})
    with pytest.raises(AssertionError, match="w"):
        tg.assert_gradients(loss, params, ROWS, hand={"w": 5 * right})
    with pytest.raises(TypeError, match=r"it returned None\. Does the function end with `return`"):
        tg.assert_gradients(loss, params, ROWS, hand=None)


def test_in_a_notebook_everything_is_escaped():
    def loss(params):
        return tg.stop_gradient(np.exp(params["<b>W"])).sum() + params["c"].sum()

    html = tg.gradcheck(loss, {"<b>W": np.ones(2), "c": np.ones(2)})._repr_html_()
    assert "&lt;b&gt;W[0] is 0" in html
    assert "<b>" not in html
    assert "<table>" in html


def test_derivatives_that_got_lost_are_called_lost():
    text = str(tg.gradcheck(lambda x: tg.stop_gradient(np.exp(x)), ROWS))
    assert "All of these are 0, as if nothing depended on them" in text
    assert "Each operation's own rule is right here" in text


def test_a_rule_that_is_not_differentiable_itself_is_found_at_second_order():
    defvjp(cube, x=lambda g, x: 3 * g * tg.stop_gradient(x * x) if isinstance(x, tg.Tensor) else 3 * g * x * x)
    report = tg.gradcheck(cube, np.array([1.0, 2.0]), order=2)
    assert "look for a rule that is not differentiable itself" in str(report)


def test_the_sum_of_several_outputs_is_said_to_be_one():
    defvjp(cube, x=lambda g, x: 2 * g * x * x)
    assert "sum of all outputs, with random weights" in str(tg.gradcheck(cube, ROWS))
    report = tg.gradcheck(lambda x: cube(x).sum(), ROWS)
    assert not report.ok
    assert not any("weights" in str(part) for part in report.details if "used at" not in str(part))


# ----------------------------------------------------------------------------------------------- the method


def test_functions_without_complex_numbers_fall_back_and_say_why():
    report = tg.gradcheck(lambda x: np.arctan2(x, 2.0), ROWS)
    assert (report.ok, report.method) == (True, "central differences")
    assert "with complex inputs it raises TypeError" in report.reason
    assert "(central differences)" in str(report)


@pytest.mark.parametrize(
    "function",
    [
        np.abs,
        np.var,
        lambda x: np.linalg.norm(x) * x,
        lambda x: np.real(x) * x,
        lambda x: x * np.conjugate(x),
        lambda x: np.exp(x) + 0.01 * np.abs(x),
    ],
)
def test_functions_that_are_not_analytic_fall_back(function):
    report = tg.gradcheck(function, ROWS)
    assert (report.ok, report.method) == (True, "central differences")
    assert "disagrees" in report.reason


def test_casts_to_real_numbers_fall_back_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = tg.gradcheck(lambda x: x.astype(float) ** 2, ROWS)
    assert (report.ok, report.method) == (True, "central differences")


def test_the_complex_step_sees_what_differences_cannot():
    defvjp(cube, x=lambda g, x: (3 + 3e-8) * g * x * x)
    assert not tg.gradcheck(cube, ROWS)
    assert tg.gradcheck(cube, ROWS, rtol=1e-6)
    defvjp(cube, x=lambda g, x: 3 * g * x * x)
    report = tg.gradcheck(lambda x: cube(x) + 1e-8 * np.abs(x), ROWS)
    assert (report.ok, report.method) == (True, "central differences")


def test_the_tolerance_of_a_central_difference_says_where_it_comes_from():
    defvjp(cube, x=lambda g, x: 3.003 * g * x * x)
    text = str(tg.gradcheck(lambda x: np.abs(cube(1e3 * x)), ROWS))
    assert "disagree by" in text or "rounding in the function's values" in text


def test_steps_become_finer_where_they_must(right_cube):
    for function, at in (
        (lambda x: np.log(np.abs(x)), np.array([1e-8, 3.0, 1e8])),
        (lambda x: np.abs(np.sin(300 * x)), np.array([0.1, 1.0])),
        (lambda x: tg.nn.softplus(1e5 * x), np.array([1e-7, 0.0, -1.0])),
        (lambda x: np.maximum(x, 1 + 1e-6) * x, np.array([1.0, 2.0])),
        (lambda x: np.abs(x) ** 1.5, np.array([1e-6, 2.0])),
    ):
        report = tg.gradcheck(function, at)
        assert report.ok, str(report)
        assert not report.kinks


# -------------------------------------------------------------------------------------------------- kinks


@pytest.mark.parametrize(
    ("function", "at", "kinks"),
    [
        (np.abs, [0.0, -1.0, 2.0], {0}),
        (tg.nn.relu, [0.0, -1.0, 2.0, 0.0], {0, 3}),
        (lambda x: np.maximum(x, 0), [0.0, 1.0], {0}),
        (lambda x: np.maximum(x, 0) * np.exp(x), [0.0, 1.0], {0}),
        (np.max, [3.0, 3.0, 1.0], {0, 1}),
        (lambda x: np.clip(x, 0, 1), [0.0, 0.5, 1.0], {0, 2}),
        (np.linalg.norm, [0.0, 0.0], {0, 1}),
        (lambda x: x * (x > 0.5), [0.5, 1.0], {0}),
    ],
)
def test_kinks_are_counted_as_kinks(function, at, kinks):
    report = tg.gradcheck(function, np.array(at))
    assert report.ok, str(report)
    assert {e.index[0] for e in report.kinks} == kinks
    assert f"{len(kinks)} of them at kinks" in str(report)


def test_a_kink_excuses_only_its_own_entry(spoil):
    spoil(PRIMITIVES[np.abs], 0, lambda right: lambda *args: 1.001 * right(*args))
    report = tg.gradcheck(np.abs, np.array([0.0, -1.0, 0.0]))
    assert [e.index for e in report.wrong] == [(1,)]
    assert len(report.kinks) == 2
    assert "2 entries at kinks are not counted as wrong." in str(report)


def test_outside_of_both_slopes_a_kink_is_wrong(spoil):
    spoil(PRIMITIVES[np.abs], 0, lambda right: lambda g, x: g * np.where(x == 0, 1.5, np.sign(x)))
    report = tg.gradcheck(lambda x: np.abs(x).sum(), np.array([0.0, 1.0]))
    assert [e.index for e in report.wrong] == [(0,)]
    assert "the slopes on both sides of the kink are -1 and 1" in str(report)


def test_kinks_of_second_derivatives_are_counted():
    report = tg.gradcheck(lambda x: np.abs(x) * x, np.array([0.0, 1.0]), order=2)
    assert report.ok, str(report)
    assert len(report.outcomes[1].of_kind("kink")) >= 1


# ----------------------------------------------------------------------------------------------- the inputs


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
    report = tg.gradcheck(lambda x: np.sqrt(x).sum(), np.array([0.0, 4.0]))
    assert report.wrong[0].kind == "not finite"
    assert "x[0] is inf." in str(report)


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


# --------------------------------------------------------------------------------------------- large inputs

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


# ------------------------------------------------------------------------------------------- random functions

STEPS = {
    "tanh": np.tanh, "exp": lambda x: np.exp(x / 4), "abs": np.abs, "relu": tg.nn.relu, "square": lambda x: x * x / 4,
    "softmax": tg.nn.softmax, "sum": lambda x: x + x.sum(axis=0), "sort": np.sort, "max": lambda x: x - x.max(),
    "matmul": lambda x: x @ ROWS[:3], "sigmoid": tg.nn.sigmoid, "norm": lambda x: x / (1 + np.linalg.norm(x)),
}  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5), st.integers(0, 1000), st.booleans())
def test_random_functions_are_right_and_a_factor_in_them_is_found(names, seed, grid):
    x = np.random.default_rng(seed).normal(size=(2, 3))
    x = np.round(x) if grid else x  # zeros and ties

    def chain(x):
        for name in names:
            x = STEPS[name](x)
        return x

    report = tg.gradcheck(chain, x, order=1 if grid else 2)
    assert report.ok, f"{names} at {x}\n{report}"
    defvjp(cube, x=lambda g, x: 3.003 * g * x * x)
    spoilt = tg.gradcheck(lambda x: chain(cube(x)), np.random.default_rng(seed).uniform(0.5, 1.5, (2, 3)))
    if max(abs(e.reference) for e in spoilt.outcomes[0].found) > 1e-6:
        assert not spoilt.ok


def deep(act):
    def loss(params, x):
        for W in params["W"]:
            x = act(x @ W)
        return np.square(x - x.mean(axis=0)).sum(axis=1)

    return loss


@pytest.mark.parametrize("act", [tg.nn.relu, np.abs, np.tanh, tg.nn.gelu], ids=lambda act: act.__name__)
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_deep_models_are_right_at_every_scale_and_a_factor_of_1_0001_in_them_is_found(spoil, act, scale):
    rng = np.random.default_rng(7)
    params = {"W": [rng.normal(size=(4, 4)) * s for s in (1 / scale if scale > 1 else 1, 0.5, 0.5)]}
    x = scale * rng.normal(size=(5, 4))
    report = tg.gradcheck(deep(act), params, x, order=2)
    assert report.ok, str(report)
    spoil(PRIMITIVES[np.matmul], 1, lambda right: lambda *args: 1.0001 * right(*args))
    assert "rule of matmul for y" in str(tg.gradcheck(deep(act), params, x))


# ----------------------------------------------------------------------------------------------- one slope


def test_slopes_of_one_number():
    def line(t):
        return np.exp(0.5 + t)

    assert complex_slope(line) == pytest.approx(np.exp(0.5), rel=1e-15)
    noise, size = noise_of(line, line(0.0))
    assert noise < 1e-14
    assert size == pytest.approx(np.exp(0.5), rel=1e-3)
    rough = np.random.default_rng(0)
    assert 1e-9 < noise_of(lambda t: line(t) + 1e-8 * rough.normal(), line(0.0))[0] < 1e-7
    for claim, kind in (np.exp(0.5), "right"), (1.0001 * np.exp(0.5), "wrong"):
        verdict = judge(claim, line, line(0.0), 1e-16, 1.0)
        assert verdict.kind == kind
        assert verdict.reference == pytest.approx(np.exp(0.5), rel=1e-10)
        assert abs(verdict.reference - np.exp(0.5)) < verdict.tolerance
