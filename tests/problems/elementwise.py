"""Problems about functions that work element by element."""

import numpy as np

from tinygrad_mb.vjps import shapes

from .posing import CENTRAL, LOOSE, above_one, apart, inner, positive, problem, real

for ufunc, domain in {
    np.negative: real, np.positive: real, np.reciprocal: positive, np.square: real,
    np.sqrt: positive, np.exp: real, np.exp2: real, np.expm1: real, np.log: positive, np.log2: positive,
    np.log10: positive, np.log1p: positive, np.sin: real, np.cos: real, np.tan: inner, np.arcsin: inner,
    np.arccos: inner, np.arctan: real, np.sinh: real, np.cosh: real, np.tanh: real, np.arcsinh: real,
    np.arccosh: above_one, np.arctanh: inner,
}.items():  # fmt: skip
    problem(ufunc, domain(2, 3))
    problem(ufunc, domain())
for ufunc, domain in {
    np.conjugate: real, np.cbrt: positive, np.deg2rad: real, np.radians: real, np.rad2deg: real, np.degrees: real,
    np.absolute: apart, np.fabs: apart,
}.items():  # fmt: skip
    problem(ufunc, domain(2, 3), **CENTRAL)
    problem(ufunc, domain(), **CENTRAL)
problem(np.exp, real(0, 3), note=" empty")
for kink in np.absolute, np.fabs:
    problem(kink, np.zeros(2), **CENTRAL, second=False, note=" at 0")

for ufunc in np.add, np.subtract, np.multiply, np.divide:
    for shape, other in ((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2,)), ((), ()), ((2, 1, 3), (4, 1)):
        problem(ufunc, real(*shape), positive(*other))
    problem(ufunc, positive(0, 3), positive(3), note=" empty")
    problem(ufunc, positive(3), run=lambda x, f=ufunc: f(2.0, x), note=" constant first")
    problem(ufunc, positive(3), run=lambda x, f=ufunc: f(x, 2), note=" constant second")
for power in np.power, np.float_power:
    narrow = power is np.power
    problem(power, positive(2, 3), real(3), narrow=narrow)
    problem(power, positive(), real(2), narrow=narrow)
    problem(power, np.array([-1.5, 2.0, 0.0]), run=lambda x, f=power: f(x, 3), **CENTRAL, narrow=narrow)
    problem(power, np.array([-1.5, 2.0, 0.0]), run=lambda x, f=power: f(x, 1), **CENTRAL, narrow=narrow)
    problem(power, np.array([-1.5, 2.0, 0.0]), run=lambda x, f=power: f(x, 0), **CENTRAL, narrow=narrow)
    problem(power, np.array([-1.5, 2.0]), run=lambda x, f=power: f(x, -2), **CENTRAL, narrow=narrow)
    problem(power, np.array([1.5, 2.0]), np.array([0.0, 1.0]), narrow=narrow, note=" exponents 0 and 1")
    problem(power, real(3), run=lambda y, f=power: f(2.0, y), narrow=narrow)
for ufunc in np.hypot, np.arctan2, np.logaddexp, np.logaddexp2, np.maximum, np.minimum, np.fmax, np.fmin, np.copysign:
    for shape, other in ((2, 3), (2, 3)), ((2, 3), (3,)), ((), (2,)), ((), ()):
        problem(ufunc, apart(*shape), apart(*other) + 0.11, **CENTRAL)
    problem(ufunc, apart(3), run=lambda x, f=ufunc: f(x, 0.77), **CENTRAL, note=" constant second")
    if ufunc is not np.copysign:
        problem(ufunc, apart(3), run=lambda x, f=ufunc: f(0.77, x), **CENTRAL, note=" constant first")
for ufunc in np.remainder, np.fmod:
    problem(ufunc, np.array([[2.3, -1.7, 0.4], [5.1, -0.6, 1.2]]), np.array([0.7, 1.9, -1.1]), **CENTRAL)
    problem(ufunc, np.array(-5.5), np.array([-1.3, 2.1]), **CENTRAL)
    problem(ufunc, np.array(5.5), np.array(2.1), **CENTRAL)
problem(np.hypot, np.array([0.0, 3.0]), np.array([0.5, 0.0]), **CENTRAL)
for ufunc in np.maximum, np.minimum, np.fmax, np.fmin:
    problem(ufunc, np.array([1.0, 2.0]), np.array([1.0, 3.0]), **CENTRAL, second=False, note=" ties")
problem(np.heaviside, np.array([-1.0, 0.0, 2.0]), real(3), wrt=(1,), **CENTRAL)
problem(np.ldexp, real(3), np.array([1, -2, 0]), **CENTRAL)
problem(np.modf, np.array([0.7, -3.3, 11.1]), run=lambda x: np.modf(x)[0], **CENTRAL)
problem(np.frexp, np.array([0.7, -3.3, 11.1]), run=lambda x: np.frexp(x)[0], **CENTRAL)
problem(np.divmod, apart(4), np.array([0.7, -1.1, 2.3, 0.9]), run=lambda x, y: np.divmod(x, y)[1], **LOOSE)
problem(np.nan_to_num, np.array([1.0, -2.0]), **CENTRAL)
problem(np.sinc, np.array([-1.3, 0.01, 0.4, 2.0]), **LOOSE)
problem(np.sinc, np.array([0.0]), **LOOSE, narrow=False, note=" at 0")
problem(np.copy, real(2, 3))
problem(np.real, real(2, 3), **CENTRAL)
problem(np.real_if_close, real(2, 3), **CENTRAL)
problem(np.astype, real(2, 3), run=lambda x: np.astype(x, np.float64), **CENTRAL, narrow=False)
problem(shapes.astype, real(2, 3), run=lambda x: shapes.astype(x, np.float64), **CENTRAL, narrow=False)
problem(np.polyval, real(4), real(2, 3))
problem(np.vander, real(3), run=lambda x: np.vander(x, 4), **LOOSE)
problem(np.vander, positive(3), run=lambda x: np.vander(x, 3, True), exact=False)
problem(np.linspace, real(), real(2), run=lambda a, b: np.linspace(a, b, 4), **LOOSE)
problem(np.linspace, real(2), run=lambda a: np.linspace(a, 1.0, 3, endpoint=False, axis=1), **LOOSE)
problem(np.logspace, real(), real(), run=lambda a, b: np.logspace(a, b, 4), **LOOSE)
problem(np.geomspace, positive(2), positive(2), run=lambda a, b: np.geomspace(a, b, 4), **LOOSE)
problem(np.full_like, real(2, 3), real(3), run=lambda a, f: np.full_like(a, f), **CENTRAL)
