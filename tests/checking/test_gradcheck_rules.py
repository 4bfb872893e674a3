"""gradcheck finds wrong rules and accuses no right one, on all rules of the table."""

import pytest
from problems import PROBLEMS, TABLE

import tinygrad_mb as tg


def identifiers(problems):
    return [f"{k}-{p}" for k, p in enumerate(problems)]


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
