"""Derivatives of NumPy's elementwise functions.

Where a function has no derivative, one convention holds throughout: arguments that tie share the gradient
evenly (``maximum``), and a kink counts as flat (``abs`` at 0).
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import math
import operator

import numpy as np

from ..primitives import PRIMITIVES, defvjp


def _half_if_equal(g, x, y):
    """The part of ``g`` for ``x`` where x wins against y: all of it, none, or half where they tie."""
    return g * (x > y) + 0.5 * g * (x == y)


def _or_one(x):
    """A denominator that is not zero, for fractions whose numerator is zero, too."""
    return x + (x == 0)


def _over_square(x, r):
    """``x / r**2`` without a square that could leave the range of the dtype; 0 where r is."""
    r = _or_one(r)
    return x / r / r


def _log_or_zero(x):
    """The logarithm, 0 at 0; of a Python number it is one, so that it widens no dtype."""
    log = np.log(_or_one(x))
    return float(log) if type(x) in (int, float) else log


def _bounded(x):
    """A logarithm of a sum of exponentials, 0 where the sum is."""
    return np.where(x == -math.inf, 0, x)


# fmt: off
# arithmetic
defvjp(np.add,        x=lambda g: g,                      y=lambda g: g)
defvjp(np.subtract,   x=lambda g: g,                      y=lambda g: -g)
defvjp(np.multiply,   x=lambda g, y: g * y,               y=lambda g, x: g * x)
defvjp(np.divide,     x=lambda g, y: g / y,               y=lambda g, out, y: -g * out / y)
defvjp(np.negative,   x=lambda g: -g)
defvjp(np.positive,   x=lambda g: g)
defvjp(np.conjugate,  x=lambda g: g)
defvjp(np.reciprocal, x=lambda g, out: -g * out * out)
defvjp(np.remainder,  x=lambda g: g,                      y=lambda g, x, y: -g * np.floor_divide(x, y))
defvjp(np.fmod,       x=lambda g: g,                      y=lambda g, x, y: -g * np.trunc(x / y))

# powers and roots: x ** 0 is flat, also at x = 0, and 0 ** y is flat in y
for power in np.power, np.float_power:
    defvjp(power, x=lambda g, x, y: g * y * (x + ((x == 0) & (y == 0))) ** (y - 1),
                  y=lambda g, out, x: g * out * _log_or_zero(x))
defvjp(np.square,     x=lambda g, x: 2 * g * x)
defvjp(np.sqrt,       x=lambda g, out: 0.5 * g / out)
defvjp(np.cbrt,       x=lambda g, out: g / (3 * out * out))
defvjp(np.hypot,      x=lambda g, out, x: g * x / _or_one(out), y=lambda g, out, y: g * y / _or_one(out))

# exponentials and logarithms
defvjp(np.exp,        x=lambda g, out: g * out)
defvjp(np.exp2,       x=lambda g, out: g * out * math.log(2))
defvjp(np.expm1,      x=lambda g, out: g * (out + 1))
defvjp(np.log,        x=lambda g, x: g / x)
defvjp(np.log2,       x=lambda g, x: g / (x * math.log(2)))
defvjp(np.log10,      x=lambda g, x: g / (x * math.log(10)))
defvjp(np.log1p,      x=lambda g, x: g / (x + 1))
defvjp(np.logaddexp,  x=lambda g, out, x: g * np.exp(x - _bounded(out)),
                      y=lambda g, out, y: g * np.exp(y - _bounded(out)))
defvjp(np.logaddexp2, x=lambda g, out, x: g * np.exp2(x - _bounded(out)),
                      y=lambda g, out, y: g * np.exp2(y - _bounded(out)))

# trigonometric and hyperbolic functions, and their inverses
defvjp(np.sin,        x=lambda g, x: g * np.cos(x))
defvjp(np.cos,        x=lambda g, x: -g * np.sin(x))
defvjp(np.tan,        x=lambda g, out: g * (1 + out * out))
defvjp(np.arcsin,     x=lambda g, x: g / np.sqrt((1 - x) * (1 + x)))
defvjp(np.arccos,     x=lambda g, x: -g / np.sqrt((1 - x) * (1 + x)))
defvjp(np.arctan,     x=lambda g, x: g / (1 + x * x))
defvjp(np.arctan2,    x=lambda g, x, y: g * _over_square(y, np.hypot(x, y)),
                      y=lambda g, x, y: -g * _over_square(x, np.hypot(x, y)))
defvjp(np.sinh,       x=lambda g, x: g * np.cosh(x))
defvjp(np.cosh,       x=lambda g, x: g * np.sinh(x))
defvjp(np.tanh,       x=lambda g, out: g * (1 - out * out))
defvjp(np.arcsinh,    x=lambda g, x: g / np.hypot(x, 1))
defvjp(np.arccosh,    x=lambda g, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
defvjp(np.arctanh,    x=lambda g, x: g / ((1 - x) * (1 + x)))
for to_radians in np.deg2rad, np.radians:
    defvjp(to_radians, x=lambda g: g * (math.pi / 180))
for to_degrees in np.rad2deg, np.degrees:
    defvjp(to_degrees, x=lambda g: g * (180 / math.pi))

# sizes and signs
defvjp(np.absolute,   x=lambda g, x: g * np.sign(x))
defvjp(np.fabs,       x=lambda g, x: g * np.sign(x))
defvjp(np.heaviside,  x=None, y=lambda g, x: g * (x == 0))
defvjp(np.copysign,   x=lambda g, out, x: g * np.sign(x) * np.sign(out), y=None)
defvjp(np.ldexp,      x=lambda g, y: np.ldexp(g, y), y=None)
defvjp(np.maximum,    x=lambda g, x, y: _half_if_equal(g, x, y), y=lambda g, x, y: _half_if_equal(g, y, x))
defvjp(np.minimum,    x=lambda g, x, y: _half_if_equal(g, y, x), y=lambda g, x, y: _half_if_equal(g, x, y))
defvjp(np.fmax,       x=lambda g, x, y: np.where(np.isnan(y), g, _half_if_equal(g, x, y)),
                      y=lambda g, x, y: np.where(np.isnan(x), g, _half_if_equal(g, y, x)))
defvjp(np.fmin,       x=lambda g, x, y: np.where(np.isnan(y), g, _half_if_equal(g, y, x)),
                      y=lambda g, x, y: np.where(np.isnan(x), g, _half_if_equal(g, x, y)))

# Python's operators compute the same and are faster on NumPy scalars, by an order of magnitude.
for ufunc, fast in (
    (np.add, operator.add), (np.subtract, operator.sub), (np.multiply, operator.mul), (np.divide, operator.truediv),
    (np.negative, operator.neg), (np.power, operator.pow), (np.remainder, operator.mod),
):
    PRIMITIVES[ufunc].fn = fast
# fmt: on
