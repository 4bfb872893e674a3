"""What gradcheck says, in words."""

import numpy as np
import pytest
from checking.cubes import ROWS, cube

import tinygrad_mb as tg
from tinygrad_mb.primitives import defvjp


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
