"""Derivatives without differentiation: the complex step and central differences.

The complex step, f'(x) = Im f(x + ih) / h, subtracts nothing, so h may be 1e-30 and the result is right to the last
digits; it needs an analytic f that NumPy computes for complex numbers (W. Squire and G. Trapp, "Using complex variables
to estimate derivatives of real functions", SIAM Review 40, 1998).  The five-point central difference works for every
smooth f: with h = 1e-3 its own error, h**4/30 times the fifth derivative, and rounding, 1e-16/h, are both near 1e-12
for numbers of size one.
"""

import numpy as np

COMPLEX_TOLERANCE = 1e-11
CENTRAL_TOLERANCE = 1e-7


def by_complex_step(f, arrays, k, h=1e-30):
    """The gradient of the number ``f(*arrays)`` for the k-th array."""

    def derivative(index):
        moved = [np.array(a) for a in arrays]
        moved[k] = moved[k].astype(complex)
        moved[k][index] += 1j * h
        return np.imag(f(*moved)) / h

    return _at_every_element(derivative, arrays[k])


def by_central_differences(f, arrays, k, h=1e-3):
    """The gradient of the number ``f(*arrays)`` for the k-th array."""

    def derivative(index):
        def value(distance):
            moved = [np.array(a) for a in arrays]
            moved[k][index] += distance
            return f(*moved)

        return (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h)

    return _at_every_element(derivative, arrays[k])


def _at_every_element(derivative, array):
    gradient = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        gradient[index] = derivative(index)
    return gradient


def assert_close(actual, expected, tolerance, what):
    """Equal to within ``tolerance`` times the size of the largest element expected, or times one if that is smaller."""
    assert actual.shape == expected.shape, what
    if not actual.size:
        return
    scale = max(1.0, np.abs(expected).max())
    error = np.abs(np.asarray(actual, float) - expected).max() / scale
    assert error <= tolerance, f"{what}: off by {error:.3g} (relative), {actual} for {expected}"
