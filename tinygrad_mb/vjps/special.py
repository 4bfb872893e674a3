"""Functions that NumPy lacks and models need, with their derivatives."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import math
from typing import Any

import numpy as np

from ..custom import plain_primitive, primitive
from ..errors import linear_hint
from ..primitives import PRIMITIVES, defvjp
from .helpers import product, restore_axes, total
from .products import matmul_vjp_y


def _less_largest(x, axis):
    """``x`` less its largest values along ``axis``: its exponentials cannot overflow."""
    if type(x) is np.ndarray:
        return x - np.maximum.reduce(x, axis, None, None, True)  # type: ignore[call-overload]  # positions are faster
    return x - x.max(axis=axis, keepdims=True)


def _polynomial(coefficients, x):
    """The polynomial with these coefficients, highest power first, by Horner's rule."""
    out = coefficients[0] * x
    for c in coefficients[1:-1]:
        out += c
        out *= x
    return out + coefficients[-1]


def _softmax(x, axis):
    out = np.exp(_less_largest(x, axis))
    out /= total(out, axis, True)
    return out


def _softmax_vjp(g, out, axis):
    return out * (g - total(g * out, axis, True))


def _places(labels):
    """The index of one element in each last row of an array, ``labels`` telling which."""
    n = labels.ndim
    if n == 1:
        return np.arange(len(labels)), labels
    return (*[np.arange(size).reshape((-1,) + (1,) * (n - k - 1)) for k, size in enumerate(labels.shape)], labels)


# ------------------------------------------------------------------------------------- element by element


@primitive
def relu(x: Any) -> Any:
    """``max(x, 0)`` element by element; its derivative at 0 is 0.

    >>> import numpy as np, tinygrad_mb as tg
    >>> x = tg.Tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> tg.nn.relu(x).sum().gradient(x)
    array([0., 0., 1.])
    """
    return np.maximum(x, 0)


@primitive
def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))`` element by element, right for arguments of any size.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.nn.sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    with np.errstate(over="ignore"):  # an infinite exponential gives 0, as it should
        return 1 / (1 + np.exp(-x))


@primitive
def softplus(x: Any) -> Any:
    """``log(1 + exp(x))`` element by element, right for arguments of any size.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.nn.softplus(np.array([-1000.0, 0.0, 10.0])).round(4)
    array([ 0.    ,  0.6931, 10.    ])
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-abs(x)))


# W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23 (1969),
# 631-637: erf(x) = x P(x^2) / Q(x^2) up to _BORDER, and erfc(x) = exp(-x^2) R(x) / S(x) from there on.  Cody uses the
# latter up to 4; it keeps erf, which is 1 to within 1e-16 from 5.9 on, right to the last digit beyond.
_BORDER = 0.46875
_BLOCK = 1 << 15  # elements at a time, so that the many intermediate results stay in the processor's cache
_P = (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2,
      3.20937758913846947e3)  # fmt: skip
_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_R = (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1,
      2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
      1.23033935479799725e3)  # fmt: skip
_S = (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
      3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3)  # fmt: skip


@primitive
def erf(x: Any) -> Any:
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x, to the dtype's full precision.

    The source is W. J. Cody, "Rational Chebyshev approximations for the error function" (1969).

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.special.erf(np.array([0.0, 0.5, 1.0, np.inf])).round(6)
    array([0.      , 0.5205  , 0.842701, 1.      ])
    """
    if type(x) is np.ndarray and x.size > _BLOCK and x.dtype.kind == "f":
        flat = x.reshape(-1)
        return np.concatenate([_erf(flat[k : k + _BLOCK]) for k in range(0, x.size, _BLOCK)]).reshape(x.shape)
    return _erf(x)


def _erf(x):
    size = abs(x)
    small = np.minimum(size, _BORDER)
    square = small * small
    near = small * _polynomial(_P, square) / _polynomial(_Q, square)
    large = np.minimum(np.maximum(size, _BORDER), 6)
    far = 1 - np.exp(-large * large) * _polynomial(_R, large) / _polynomial(_S, large)
    return np.copysign(near * (size <= _BORDER) + far * (size > _BORDER), x)


@primitive
def normal_cdf(x: Any) -> Any:
    """The probability that a standard normal variable is at most ``x``, element by element.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.special.normal_cdf(np.array([-1.96, 0.0, 1.96])).round(3)
    array([0.025, 0.5  , 0.975])
    """
    out = 0.5 * erf(x * math.sqrt(0.5))
    out += 0.5
    return out


# ------------------------------------------------------------------------------------------- along an axis


@primitive
def logsumexp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """``log(sum(exp(a)))`` without overflow, over all elements or along axes.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.special.logsumexp(np.array([1000.0, 1000.0])).round(4)
    np.float64(1000.6931)
    """
    top = a.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):  # where all are -inf the sum is 0, and its logarithm -inf, as it should be
        out = np.log(total(np.exp(a - top), axis, True)) + top
    return out if keepdims else out.reshape(total(a, axis, False).shape)


@primitive
def softmax(x: Any, axis: Any = -1) -> Any:
    """Positive numbers that add up to one along ``axis``: ``exp(x) / sum(exp(x))``, without overflow.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.nn.softmax(np.array([[0.0, 0.0], [0.0, 1000.0]]))
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    return _softmax(x, axis)


@primitive
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """The logarithm of ``softmax``, also where softmax itself is too small for a float.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.nn.log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    shifted = _less_largest(x, axis)
    return shifted - np.log(total(np.exp(shifted), axis, True))


# --------------------------------------------------------------------------------------- losses and layers


@plain_primitive
def cross_entropy(logits: Any, labels: Any) -> Any:
    """-log softmax(logits) at the labels, for integer labels in the range of the last axis."""
    shifted = _less_largest(logits, -1)
    return np.log(total(np.exp(shifted), -1, False)) - shifted[_places(labels)]


@plain_primitive
def softmax_minus_one_hot(logits: Any, labels: Any) -> Any:
    """The softmax of the last axis, less one at the labels: the gradient of the cross-entropy."""
    out = _softmax(logits, -1)
    out[_places(labels)] -= 1
    return out


@primitive
def binary_cross_entropy(logits: Any, targets: Any) -> Any:
    """-t log(p) - (1 - t) log(1 - p) with p = sigmoid(logits), element by element.

    The terms that could cancel, max(x, 0) - x t, cancel exactly for t = 0 and t = 1.
    """
    return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-abs(logits)))


@primitive
def linear(x: Any, W: Any, b: Any) -> Any:
    """``x @ W + b`` for any number of leading axes: x (..., d), W (d, h), b (h,), result (..., h).

    Raises ``ShapeError`` for other shapes.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.nn.linear(np.ones((5, 2)), np.ones((2, 3)), np.zeros(3)).shape
    (5, 3)
    """
    if W.ndim != 2 or b.shape != W.shape[1:]:
        raise ValueError("expected x (..., d), W (d, h) and b (h,)")
    out = product(x, W)
    return np.add(out, b, out) if type(out) is np.ndarray is type(b) and out.dtype is b.dtype else out + b


@primitive
def squared_error(prediction: Any, target: Any) -> Any:
    """The sum over each example of (prediction - target)^2."""
    error = prediction - target
    error = error * error
    if error.ndim <= 1:
        return error
    return error.reshape(len(error), -1).sum(axis=1) if error.size != len(error) else error.reshape(-1)


def _per_example(g, x):
    """A cotangent of one loss per example, in a shape that broadcasts against the examples ``x``."""
    return g.reshape(g.shape + (1,) * (x.ndim - 1))


# fmt: off
defvjp(relu,       x=lambda g, out: g * (out > 0))
defvjp(sigmoid,    x=lambda g, out: g * out * (1 - out))
defvjp(softplus,   x=lambda g, x: g * sigmoid(x))
defvjp(erf,        x=lambda g, x: g * np.exp(-x * x) * (2 / math.sqrt(math.pi)))
defvjp(normal_cdf, x=lambda g, x: g * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))

defvjp(logsumexp,   a=lambda g, a, out, axis, keepdims:
                      restore_axes(g, a.shape, axis, keepdims)
                      * np.exp(a - restore_axes(np.where(np.isfinite(out), out, 0), a.shape, axis, keepdims)))
defvjp(softmax,     x=lambda g, out, axis: _softmax_vjp(g, out, axis))
defvjp(log_softmax, x=lambda g, out, axis: g - np.exp(out) * total(g, axis, True))

defvjp(squared_error, prediction=lambda g, prediction, target: _per_example(2 * g, prediction) * (prediction - target),
                      target=lambda g, prediction, target: _per_example(2 * g, prediction) * (target - prediction))
defvjp(cross_entropy,         logits=lambda g, logits, labels: g[..., None] * softmax_minus_one_hot(logits, labels),
                              labels=None)
defvjp(softmax_minus_one_hot, logits=lambda g, logits: _softmax_vjp(g, softmax(logits), -1), labels=None)
defvjp(binary_cross_entropy,  logits=lambda g, logits, targets: g * (sigmoid(logits) - targets),
                              targets=lambda g, logits: -g * logits)
defvjp(linear,                x=lambda g, W: product(g, W.T),
                              W=lambda g, x, W_shape: matmul_vjp_y(g, x, W_shape),
                              b=lambda g: g)
# fmt: on

PRIMITIVES[linear].hint = linear_hint
