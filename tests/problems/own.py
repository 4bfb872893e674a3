"""Problems about functions of our own."""

import math

import numpy as np

from tinygrad_mb import Tensor
from tinygrad_mb.autodiff import record
from tinygrad_mb.vjps import convolution, special

from .posing import CENTRAL, TABLE, apart, between, problem, real

for function, domain in {special.relu: apart, special.sigmoid: real, special.softplus: apart, special.erf: apart,
                         special.normal_cdf: apart}.items():  # fmt: skip
    problem(function, domain(2, 3), **CENTRAL)
    problem(function, domain(), **CENTRAL)
for axis in None, 0, (0, 1):
    problem(special.logsumexp, real(2, 3), run=lambda x, a=axis: special.logsumexp(x, a), **CENTRAL, note=f" {axis}")
problem(special.logsumexp, real(2, 3), run=lambda x: special.logsumexp(x, 1, True), **CENTRAL, note=" keepdims")
for axis in 0, -1:
    problem(special.softmax, real(2, 3), run=lambda x, a=axis: special.softmax(x, a), **CENTRAL, note=f" {axis}")
    problem(
        special.log_softmax,
        real(2, 3),
        run=lambda x, a=axis: special.log_softmax(x, a),
        **CENTRAL,
        note=f" {axis}",
    )
for shape in (3,), (3, 2), (3, 1), (2, 1, 3), (0, 2):
    problem(special.squared_error, real(*shape), real(*shape))
problem(special.cross_entropy, real(2, 3), np.array([2, 0]), **CENTRAL)
problem(special.cross_entropy, real(2, 2, 3), np.array([[2, 0], [1, 1]]), **CENTRAL)
problem(special.softmax_minus_one_hot, real(2, 3), np.array([2, 0]), **CENTRAL)
problem(special.binary_cross_entropy, apart(2, 3), between(0, 1)(2, 3), **CENTRAL)
problem(special.linear, real(2, 3), real(3, 4), real(4))
problem(special.linear, real(2, 2, 3), real(3, 1), real(1))
for size, stride, padding in ((2, 2), (1, 1), (0, 0)), ((3, 2), (2, 1), (1, 1)), ((2, 3), (2, 2), (0, 1)):
    note = f" {size} {stride} {padding}"
    problem(
        convolution.patches,
        real(1, 2, 4, 3),
        run=lambda x, a=(size, stride, padding): convolution.patches(x, *a),
        note=note,
    )
    oh, ow = (convolution.windows(n, *a) for n, *a in zip((4, 3), size, stride, padding, strict=True))
    problem(
        convolution.unpatch,
        real(1, 2, math.prod(size), oh * ow),
        note=note,
        run=lambda p, a=(size, stride, padding): convolution.unpatch(p, (1, 2, 4, 3), *a),
    )
    problem(
        convolution.conv2d,
        real(2, 1, 4, 3),
        real(2, 1, *size),
        run=lambda x, W, a=(stride, padding): convolution.conv2d(x, W, *a),
        exact=False,
        note=note,
    )
    problem(
        convolution.max_pool2d,
        apart(1, 2, 4, 3),
        run=lambda x, a=(size, stride, padding): convolution.max_pool2d(x, *a),
        **CENTRAL,
        note=note,
    )
problem(convolution.conv2d, real(1, 1, 2, 3), real(3, 1, 2, 2), note=" many kernels")
argument = next(key for key in TABLE if TABLE[key].name == "argument")
problem(argument, real(2), run=lambda x: record(TABLE[argument], (x,), Tensor) if isinstance(x, Tensor) else x)
