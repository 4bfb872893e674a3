"""Slopes of functions of one number, found without differentiation, and how far they can be trusted.

A ``Line`` is such a function: a model's output while one entry of its inputs moves, or all of them in one direction.

The complex step, f'(0) = Im f(ih) / h, subtracts nothing, so that h may be as small as one likes and the slope is right
to the last digits; it needs an analytic f that NumPy computes for complex numbers (W. Squire and G. Trapp, "Using
complex variables to estimate derivatives of real functions", SIAM Review 40, 1998).

Central differences at the steps h and h/2 have errors of which the first is four times the second, so that
their combination, near + (near - far) / 3, is much better than both (L. F. Richardson, 1911).  By how much the two
disagree bounds its error.  No single h suits all functions: ``levels`` begins with a middling one, and goes on to finer
ones as long as it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Line = Callable[[Any], Any]

EPS = float(np.finfo(float).eps)
FIRST_STEP = 2.0**-13  # powers of two: added to most numbers they are exact
FINER = 1 / 8
MOST_LEVELS = 8
TINY = 2.0**-100  # the complex step
CIRCLE = 2.0**-10  # the radius of the circle on which a function shows whether it is analytic
_TRUSTED = 3  # levels that agree, on a slope or on there being a kink, settle it


class Level(NamedTuple):
    """What central differences with one step say.

    value    the slope
    error    a bound for the error of ``value``
    rounded  whether most of that is rounding, so that a finer step would make it larger
    origin   where that bound comes from
    bent     whether the slopes on both sides disagree, and do not come nearer to each other with the step
    low      the smaller one of the two slopes, and ``high`` the larger one; infinite where the value itself jumps
    """

    value: float
    error: float
    rounded: bool
    origin: str
    bent: bool
    low: float
    high: float


class Verdict(NamedTuple):
    """How a claimed slope compares: ``kind`` is "right", "wrong", "kink", "undecided", "not finite" or "no derivative".

    A kink is where the slopes on both sides differ; there, any value from the one to the other is right.  What is not
    finite is wrong, unless there is no derivative: the slope grows without bound, as that of a square root does at 0.
    """

    kind: str
    reference: float
    tolerance: float
    origin: str


def complex_slope(line: Line, scale: float = 1.0) -> float:
    """The slope at 0 by the complex step; on a function that compares numbers, that for numbers greater than 0."""
    step = TINY * scale
    return float(line(1j * step).imag) / step


def noise_of(line: Line, at_zero: float) -> tuple[float, float]:
    """By how much the values of a function are rough, as rounding makes them, and how large they are.

    The first is the size of the third differences of values at equal distances, of which a smooth function has none
    (J. Moré and S. Wild, "Estimating computational noise", SIAM Journal on Scientific Computing 33, 2011); it is their
    median, so that a kink among the points does no harm.
    """
    largest = max([abs(x) for x in (at_zero, line(FIRST_STEP), line(-FIRST_STEP)) if math.isfinite(x)])
    noise = math.inf
    for step in 2.0**-20, 2.0**-23:  # a noise does not shrink with the step
        third = np.abs(np.diff([at_zero, *[float(line(k * step)) for k in range(1, 12)]], 3))
        third = third[np.isfinite(third)]
        noise = min(noise, float(np.median(third)) / (0.67 * math.sqrt(20)) if third.size else 0.0)
        if noise < 100 * EPS * largest:
            break
    return max(noise, EPS * largest), largest


def levels(line: Line, at_zero: float, noise: float, unit: float, scale: float) -> Iterator[Level]:
    """The slope at 0 by central differences with finer and finer steps, as long as they tell anything.

    noise  of the values of ``line``
    unit   what counts as a large slope
    scale  the size of the number that moves, or 1 if that is larger
    """
    for k in range(MOST_LEVELS):
        h = FIRST_STEP * scale * FINER**k
        rounding = 6 * noise / h
        if rounding > 0.01 * unit:
            return
        ahead, behind, half_ahead, half_behind = [float(line(t)) for t in (h, -h, h / 2, -h / 2)]
        if not np.isfinite([ahead, behind, half_ahead, half_behind]).all():
            continue
        far, near = (ahead - behind) / (2 * h), (half_ahead - half_behind) / h
        value = near + (near - far) / 3
        disagreement = abs(near - far)
        rounding += EPS * scale / h * abs(value)
        right, left = 2 * (half_ahead - at_zero) / h, 2 * (at_zero - half_behind) / h
        bend, bend_far = abs(right - left), abs((ahead - at_zero) / h - (at_zero - behind) / h)
        jumps = abs(near) * h > 100 * noise and abs(near) > max(unit, 1.5 * abs(far))
        bent = jumps or bend > max(0.75 * bend_far, 4 * rounding + 1e-5 * unit)
        origin = (
            f"the two step sizes {h:.0e} and {h / 2:.0e} of the central difference disagree by {disagreement:.0e}"
            if disagreement > rounding
            else f"rounding in the function's values, {noise:.0e}, over the step of {h:.0e}"
        )
        low, high = (-math.inf, math.inf) if jumps else (min(left, right), max(left, right))
        yield Level(value, disagreement + rounding, rounding > disagreement, origin, bent, low, high)


def beside(line: Line, at_zero: float, scale: float) -> tuple[bool, str]:
    """Whether the slope at 0 is infinite, and what a function does on both sides of 0, as a clause.

    The slopes over shorter and shorter distances come to rest where there is a derivative, so that from one to the next
    they change less and less; where they go on to grow, there is none.
    """
    steps = [FIRST_STEP * scale * FINER**k for k in range(MOST_LEVELS - 1)]
    bounded = []
    for sign in 1, -1:
        slopes = [(float(line(sign * h)) - at_zero) / (sign * h) for h in steps]
        if not np.isfinite(slopes).all():
            continue
        growth = np.diff(np.abs(slopes))
        if growth.min() > 1e-6 * abs(slopes[-1]) and growth[-1] > 0.8 * growth[0]:
            return True, (
                f"there is no derivative here, since the slope grows without bound towards this point: it is "
                f"{slopes[0]:.3g} over a distance of {steps[0]:.0e}, {slopes[-1]:.3g} over {steps[-1]:.0e}"
            )
        bounded.append(slopes[-1])
    if not bounded:
        return False, "the function's values beside it are not finite"
    if len(bounded) == 1:
        return False, f"the function has a slope of {bounded[0]:.3g} on one side, and no finite values on the other"
    return False, f"the slopes on both sides are {bounded[1]:.3g} and {bounded[0]:.3g}"


def is_analytic(line: Line, scale: float, doubt: float) -> bool:
    """Whether no part of a slope as large as ``doubt`` comes from what is not analytic.

    On a circle around 0 in the complex plane, the values of an analytic function have no part that turns the other way
    round (J. Lyness and C. Moler, "Numerical differentiation of analytic functions", 1967).
    """
    radius, turns = CIRCLE * scale, np.exp(0.25j * math.pi * np.arange(8))
    values = np.array([complex(line(complex(radius * turn))) for turn in turns])
    return bool(abs((values * turns).mean()) / radius < 0.1 * doubt)


def judge(
    claimed: float, line: Line, at_zero: float, noise: float, unit: float, scale: float = 1.0, rtol: float = 1e-9
) -> Verdict:
    """Compare a slope with central differences.

    It is right as soon as one step, whose error is small, agrees with it.  It is wrong if three such steps agree on
    another slope, or if none agrees with it: single steps may be too large, and cross a kink nearby or miss what is
    narrow.
    """
    seen: list[Level] = []
    against: list[Level] = []
    for level in levels(line, at_zero, noise, unit, scale):
        seen.append(level)
        tolerance = level.error + rtol * abs(level.value) + 1e-12 * unit
        constant = level.value == level.low == level.high == 0  # along the line, to the last bit
        tight = constant or level.error <= max(1e-5 * abs(level.value), 1e-7 * unit * level.rounded)
        known = any(abs(a.value - level.value) <= a.error + level.error for a in against if a.error < level.error)
        if not level.bent and tight and not known and abs(claimed - level.value) <= tolerance:
            return Verdict("right", level.value, tolerance, level.origin)
        if level.bent or not tight or (against and abs(level.value - against[-1].value) > 2 * tolerance):
            against.clear()
        else:
            against.append(level)
        if len(against) == _TRUSTED:
            break
    if seen and all(level.bent for level in seen[-_TRUSTED:]):
        low, high, slack = seen[-1].low, seen[-1].high, seen[-1].error if math.isfinite(seen[-1].low) else 0.0
        slack = min(slack, 1e-4 * (high - low))
        nearest = min(max(claimed, low), high)
        origin = f"the slopes on both sides of the kink are {low:.6g} and {high:.6g}"
        return Verdict("kink" if low - slack <= claimed <= high + slack else "wrong", nearest, slack, origin)
    smooth = [level for level in seen if not level.bent]
    if not smooth:
        infinite, why = beside(line, at_zero, scale)
        if infinite and not seen:
            return Verdict("no derivative", math.nan, math.inf, why)
        return Verdict("undecided", math.nan, math.inf, "the differences do not settle" if seen else why)
    best = min(smooth, key=lambda level: level.error)
    tolerance = best.error + rtol * abs(best.value) + 1e-12 * unit
    if abs(claimed - best.value) > tolerance:
        return Verdict("wrong", best.value, tolerance, best.origin)
    decided = best.error <= 5e-4 * abs(best.value) + 1e-7 * unit
    return Verdict("right" if decided else "undecided", best.value, tolerance, best.origin)
