"""What gradcheck says of the cause of a wrong gradient is true in every entry."""

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb import nn


def squared(rule):
    square = tg.primitive(lambda x: x * x)
    tg.defvjp(square, x=rule)
    return lambda w: square(w).sum()


@pytest.mark.parametrize(
    ("rule", "w"),
    [
        (lambda g, x: 2 * g * x + g, [1.0, 2.0, 3.0]),
        (lambda g, x: 2 * g * x * np.where(x > 0, 0.5, 1.0), [1.0, 2.0, -3.0]),
        (lambda g, x: 2 * g * x * (1 + 1e-8), [1.0, 2.0, -3.0]),
        (lambda g, x: 2 * g * x * (1 + 1e-8 * x), [1.0, 2.0, -3.0]),
    ],
)
def test_a_rule_without_one_factor_has_none_named(rule, w):
    report = tg.gradcheck(squared(rule), np.array(w))
    assert not report.ok
    assert "Look at the derivative rule of <lambda> for x: along a random direction it gives " in str(report)
    assert "what it gives is" not in str(report)
    assert " 1 times" not in str(report)


def test_a_rule_with_one_factor_has_it_named():
    report = tg.gradcheck(squared(lambda g, x: -g * x), np.array([1.0, 2.0, -3.0]))
    assert "what it gives is -0.5 times what it should be" in str(report)
    assert "All of these are -0.5 times what they should be." in str(report)


def test_kinks_that_meet_are_blamed_and_no_conversion():
    report = tg.gradcheck(lambda w: (nn.relu(w) - nn.relu(-w)).sum(), np.array([0.0, 1.0]))
    assert not report.ok
    assert "there is a kink: relu, used at" in str(report)
    assert "float()" not in str(report)
    converted = tg.gradcheck(lambda w: (w * tg.stop_gradient(w)).sum(), np.array([0.5, 1.0]))
    assert "float()" in str(converted)
