"""The complex step where it can be had, differences elsewhere; points that have no derivative, or several."""

import math
import warnings

import numpy as np
import pytest
from checking.cubes import ROWS, cube
from problems import PROBLEMS

import tinygrad_mb as tg
from tinygrad_mb.checking.differences import beside, complex_slope, judge, noise_of
from tinygrad_mb.primitives import PRIMITIVES, defvjp


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


def test_steps_become_finer_where_they_must():
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


@pytest.mark.parametrize(
    ("function", "at"),
    [
        (np.sqrt, 0.0),
        (lambda x: x**0.5, 0.0),
        (lambda x: np.sqrt(np.abs(x)), 0.0),
        (np.cbrt, 0.0),
        (np.arcsin, 1.0),
        (lambda x: x * np.log(x + (x == 0)), 0.0),
    ],
)
def test_points_without_derivative_are_named_and_their_neighbours_decided(function, at):
    report = tg.gradcheck(function, np.array([at, 0.3, 1e-3]))
    assert [(e.index, e.kind) for e in report.wrong] == [((0,), "no derivative")]
    assert "1 entry has no derivative, of all 3 entries checked" in str(report)
    assert "there is no derivative here, since the slope grows without bound towards this point" in str(report)


@pytest.mark.parametrize("function", [np.abs, np.tanh, lambda x: x - np.abs(x) ** 1.5, lambda x: np.abs(x) ** 1.01])
def test_slopes_that_come_to_rest_are_not_called_infinite(function):
    assert not beside(function, 0.0, 1.0)[0]


# ------------------------------------------------------------------------------------------------ second order


def test_second_derivatives_are_compared_with_the_complex_step_of_the_gradient():
    analytic = [p for p in PROBLEMS if p.second and p.step == "complex"]
    reports = [tg.gradcheck(p.run, *p.inputs, argnums=p.wrt, order=2) for p in analytic]
    fallen = [str(p) for p, report in zip(analytic, reports, strict=True) if report.outcomes[1].reason]
    # The rule of arcsinh calls hypot, which is of real numbers only; three zeros leave a product no second derivative.
    assert fallen == ["arcsinh[2x3]", "arcsinh[0d]", "prod[4] 3 zeros"]


def test_small_errors_of_second_derivatives_are_seen():
    def rule(g, x):
        part = 1e-8 * x * x
        return g * (3 * x * x + part - (tg.stop_gradient(part) if isinstance(part, tg.Tensor) else part))

    defvjp(cube, x=rule)
    report = tg.gradcheck(cube, ROWS, order=2)
    assert [outcome.method for outcome in report.outcomes] == 2 * ["complex step"]
    assert report.outcomes[0].ok
    assert not report.outcomes[1].ok


@pytest.mark.parametrize(
    "rule",
    [
        lambda g, x: np.asarray(3 * g * x * x) if not isinstance(x, tg.Tensor) else 3 * g * x * x,
        lambda g, x: 3 * g * x * x + 0 * math.exp(min(0, 0 if isinstance(x, tg.Tensor) else x.sum())),
    ],
)
def test_rules_for_real_numbers_alone_are_checked_by_differences(rule):
    defvjp(cube, x=rule)
    report = tg.gradcheck(cube, ROWS, order=2)
    assert report.ok, str(report)
    assert [outcome.method for outcome in report.outcomes] == ["complex step", "central differences"]
    assert "with complex inputs it raises TypeError" in report.outcomes[1].reason


def test_transforms_inside_of_a_function_are_checked_to_second_order():
    def model(x):
        return tg.vmap(lambda row: np.tanh(row @ ROWS.T).sum() * row[0])(x) + tg.grad(lambda x: (x**3).sum())(x)[:, 0]

    report = tg.gradcheck(model, ROWS, order=2)
    assert report.ok, str(report)
