"""Problems about reductions, running sums and statistics."""

import math

import numpy as np

from tinygrad_mb.vjps import reductions

from .posing import CENTRAL, LOOSE, apart, choice, positive, problem, real

AXES = (None, 0, -1, (0, 2), (-1, 0), ())
for function in np.sum, np.mean, np.prod, np.max, np.min, np.std, np.var, np.ptp, np.amax, np.amin, np.linalg.norm:
    step = "complex" if function in (np.sum, np.prod) else "central"
    exact = function in (np.sum, np.max, np.min, np.amax, np.amin)
    for axis in AXES[:3] if function in (np.linalg.norm,) else AXES:
        if axis == () and function in (np.std, np.var, np.ptp):
            continue
        for keepdims in False, True:
            problem(
                function,
                apart(2, 3, 2),
                step=step,
                exact=exact,
                note=f" axis={axis} keepdims={keepdims}",
                run=lambda x, f=function, a=axis, k=keepdims: f(x, axis=a, keepdims=k),
            )
    problem(function, apart(3), step=step, exact=exact)
problem(np.sum, real())
problem(np.mean, real(), **CENTRAL)
problem(np.prod, real(), **CENTRAL)
for function in np.sum, np.prod:
    problem(function, real(0, 3), run=lambda x, f=function: f(x, 0), note=" empty")
    problem(function, real(2, 3), run=lambda x, f=function: f(x, 0, None, None, True), note=" by position")
for function in np.sum, np.mean, np.prod:
    problem(function, real(2, 3), run=lambda x, f=function: f(x, 1, where=choice), **LOOSE, note=" where")
problem(np.max, apart(2, 3), run=lambda x: np.max(x, 1, where=x > 0, initial=-0.5), **CENTRAL, note=" where")
problem(np.min, apart(2, 3), run=lambda x: np.min(x, initial=0.5), **CENTRAL, note=" initial")
problem(np.sum, apart(2, 3), run=lambda x: np.sum(x, keepdims=True, initial=0.5), exact=False, note=" initial")
problem(np.var, apart(4), run=lambda x: np.var(x, ddof=1), **LOOSE, note=" ddof")
problem(np.var, apart(4), run=lambda x: np.var(x, correction=1), **LOOSE, note=" correction")
problem(np.std, apart(4, 2), run=lambda x: np.std(x, 0, ddof=1), **LOOSE, note=" ddof")
for zeros in [0.0, 1.0, 2.0, -3.0], [0.0, 1.0, 0.0, -3.0], [0.0, 0.0, 0.0, 2.0]:
    problem(np.prod, np.array(zeros), note=f" {zeros.count(0.0)} zeros")
    problem(np.cumprod, np.array(zeros), note=f" {zeros.count(0.0)} zeros")
problem(np.max, np.array([1.0, 2.0, 2.0]), **CENTRAL, second=False, note=" ties")
problem(np.min, np.array([[1.0, 2.0], [1.0, 3.0]]), run=lambda x: np.min(x, 0), **CENTRAL, second=False, note=" ties")
problem(reductions.prod, real(2, 3), run=lambda x: reductions.prod(x, 1))
problem(reductions.cumsum, real(2, 3), run=lambda x: reductions.cumsum(x, 1))
problem(reductions.cumprod, real(2, 3), run=lambda x: reductions.cumprod(x, 0))
problem(reductions.norm, real(2, 3), run=lambda x: reductions.norm(x, 1))
for function in np.cumsum, np.cumprod:
    for axis in None, 0, -1:
        problem(function, real(2, 3), run=lambda x, f=function, a=axis: f(x, a), note=f" axis={axis}")
    problem(function, real(0), note=" empty")
    problem(function, real(1), note=" single")
    problem(function, real(), note=" 0d")
problem(np.cumprod, real(7))
for axis in 0, -1:  # which NumPy lets numbers without axes have
    for function in (
        np.sum, np.prod, np.max, np.min, np.ptp, np.cumsum, np.cumprod, np.nansum, np.nanprod, np.nanmax, np.nanmin,
        np.nanmean, np.squeeze,
    ):  # fmt: skip
        problem(function, real(), run=lambda x, f=function, a=axis: f(x, axis=a), **CENTRAL, note=f" 0d axis={axis}")
    problem(np.take, real(), run=lambda x, a=axis: np.take(x, 0, a), note=f" 0d axis={axis}")
    problem(np.repeat, real(), run=lambda x, a=axis: np.repeat(x, 2, a), note=f" 0d axis={axis}")
for name in "cumulative_sum", "cumulative_prod":
    if hasattr(np, name):
        function = getattr(np, name)
        problem(function, real(4))
        problem(function, real(), note=" 0d")
        problem(function, real(2, 3), run=lambda x, f=function: f(x, axis=1, include_initial=True))
problem(np.diff, real(4))
problem(np.diff, real(4, 3), run=lambda x: np.diff(x, 2, 0))
problem(np.diff, real(2, 3), real(2, 2), run=lambda x, y: np.diff(x, prepend=0.5, append=y))
problem(np.ediff1d, real(2, 3))
problem(np.ediff1d, real(3), real(2), run=lambda x, e: np.ediff1d(x, to_begin=e, to_end=1.0), **CENTRAL)
problem(np.trapezoid, real(4))
problem(np.trapezoid, real(3, 4), real(3), run=lambda y, x: np.trapezoid(y, x, axis=0), exact=False)
problem(np.trapezoid, real(3, 4), real(3, 4), run=lambda y, x: np.trapezoid(y, x), exact=False)
problem(np.trapezoid, real(2, 4), run=lambda y: np.trapezoid(y, dx=0.5, axis=-1), exact=False)
problem(np.gradient, real(5), run=lambda f: np.gradient(f, 0.5), exact=False)
problem(np.gradient, real(3, 4), run=lambda f: np.gradient(f)[1], exact=False)
problem(np.gradient, real(3, 4), run=lambda f: np.gradient(f, 2.0, axis=0), exact=False)

gaps = np.array([[1.0, math.nan, 3.0], [0.5, 2.0, -1.0]])
for function in np.nansum, np.nanprod, np.nanmax, np.nanmin, np.nanmean, np.nanvar, np.nanstd:
    for axis in None, 1:
        problem(
            function,
            apart(2, 3),
            **LOOSE,
            note=f" axis={axis}",
            run=lambda x, f=function, a=axis: f(np.where(np.isnan(gaps), math.nan, x), axis=a),
        )
for function in np.nancumsum, np.nancumprod:
    problem(function, apart(2, 3), **CENTRAL, run=lambda x, f=function: f(np.where(np.isnan(gaps), math.nan, x), 1))

for axis, keepdims in (None, False), (0, True), (1, False), ((0, 1), True):
    note = f" axis={axis}"
    problem(
        np.median, apart(2, 4, 3), run=lambda x, a=axis, k=keepdims: np.median(x, a, keepdims=k), **LOOSE, note=note
    )
    problem(
        np.quantile,
        apart(2, 4, 3),
        run=lambda x, a=axis, k=keepdims: np.quantile(x, [0.1, 0.6], a, keepdims=k),
        **LOOSE,
        narrow=False,
        note=note,
    )
problem(np.percentile, apart(5), run=lambda x: np.percentile(x, 30), **LOOSE)
problem(np.average, real(2, 3), **CENTRAL)
problem(np.average, real(2, 3), positive(3), run=lambda a, w: np.average(a, 1, w), **LOOSE)
problem(np.average, real(2, 3), positive(2, 3), run=lambda a, w: np.average(a, weights=w, keepdims=True), **LOOSE)
problem(np.cov, real(2, 4), **LOOSE, narrow=False)
problem(np.cov, real(4), **LOOSE, narrow=False)
problem(np.cov, real(4, 2), real(4, 1), run=lambda m, y: np.cov(m, y, rowvar=False, bias=True), **LOOSE, narrow=False)
problem(np.corrcoef, real(3, 5), **LOOSE, narrow=False)
problem(np.bincount, real(4), run=lambda w: np.bincount(np.array([0, 2, 2, 1]), w, 5), **CENTRAL, narrow=False)
problem(np.interp, np.array([-0.5, 0.4, 1.7, 5.0]), np.array([0.0, 1.0, 2.5]), real(3), **LOOSE, narrow=False)
problem(
    np.interp,
    np.array([-0.5, 0.4]),
    real(2),
    run=lambda x, f: np.interp(x, [0.0, 1.0], f, left=2.0),
    **LOOSE,
    narrow=False,
)
