"""A naive twin of the engine: forward mode on single numbers, slow and obviously right.

A ``Dual`` is a number together with its slopes: how fast it changes with each entry of each input, in a dict.  Every
operation carries the slopes along by the formula of a calculus book.  Arrays of duals are NumPy arrays of objects, so
that NumPy itself broadcasts, indexes and adds up.  Nothing here knows of graphs, cotangents, or broadcasting.
A dual's value and slopes may be duals themselves: then the slopes have slopes, which are second derivatives.
"""

import math

import numpy as np


class Dual:
    """A number and its slopes by input entries."""

    def __init__(self, value, slopes=()):
        self.value = value
        self.slopes = dict(slopes)

    def chain(self, value, slope):
        """f(self), where f has this value and this slope here."""
        return Dual(value, {key: slope * s for key, s in self.slopes.items()})

    def __add__(self, other):
        if isinstance(other, np.ndarray):
            return NotImplemented  # NumPy adds element by element, and asks again
        if not isinstance(other, Dual):
            return Dual(self.value + other, self.slopes)
        slopes = dict(self.slopes)
        for key, s in other.slopes.items():
            slopes[key] = slopes[key] + s if key in slopes else s
        return Dual(self.value + other.value, slopes)

    def __mul__(self, other):
        if isinstance(other, np.ndarray):
            return NotImplemented
        if not isinstance(other, Dual):
            return self.chain(self.value * other, other)
        return self.chain(self.value * other.value, other.value) + other.chain(0.0, self.value)

    def __pow__(self, n):
        return self.chain(self.value**n, n * self.value ** (n - 1))

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        return self * other**-1.0

    def __rtruediv__(self, other):
        return self**-1.0 * other

    __radd__ = __add__
    __rmul__ = __mul__

    def exp(self):
        value = exp(self.value)
        return self.chain(value, value)

    def log(self):
        return self.chain(log(self.value), self.value**-1.0)

    def sin(self):
        return self.chain(sin(self.value), cos(self.value))

    def cos(self):
        return self.chain(cos(self.value), -sin(self.value))

    def tanh(self):
        value = tanh(self.value)
        return self.chain(value, 1.0 - value * value)

    def sqrt(self):
        return self**0.5

    def conjugate(self):
        return self


def _of(name):
    return lambda x: getattr(x, name)() if isinstance(x, Dual) else getattr(math, name)(x)


exp, log, sin, cos, tanh = (_of(name) for name in ("exp", "log", "sin", "cos", "tanh"))


def plain(x):
    """The number in a dual, of however many levels."""
    return plain(x.value) if isinstance(x, Dual) else float(x)


def best(candidates, sign):
    """The largest (sign 1) or smallest (sign -1) of some numbers; those that tie share evenly."""
    top = max(sign * plain(c) for c in candidates)
    winners = [c for c in candidates if sign * plain(c) == top]
    return sum(winners[1:], winners[0]) * (1.0 / len(winners))


# ------------------------------------------------------------------------------------------------- arrays


def box(x):
    """An array of objects, also of a single one."""
    if isinstance(x, np.ndarray) and x.dtype == object:
        return x
    out = np.empty(np.shape(x), object)
    out[...] = x
    return out


def each(function, *arrays):
    return box(np.frompyfunc(function, len(arrays), 1)(*arrays))


def constants(array):
    """Duals without slopes."""
    return each(Dual, array)


def inputs(duals, name):
    """The same numbers, each with slope 1 by itself besides the slopes that it has."""
    out = duals.copy()
    for index in np.ndindex(out.shape):
        out[index] = out[index] + Dual(0.0, {(name, index): 1.0})
    return out


def values(array):
    return each(plain, array).astype(float)


def slopes(y, name, shape):
    """The slopes of one dual by the entries of an input, as an array."""
    out = np.zeros(shape, object)
    for index in np.ndindex(*shape):
        out[index] = y.slopes.get((name, index), 0.0)
    return out


def reduce_best(array, axis, sign):
    """``np.max`` or ``np.min`` along one axis."""
    moved = np.moveaxis(array, axis, -1)
    out = np.empty(moved.shape[:-1], object)
    for index in np.ndindex(out.shape):
        out[index] = best(list(moved[index]), sign)
    return out
