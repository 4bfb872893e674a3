"""Derivatives of matrix products and of Einstein sums."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import string

import numpy as np

from ..autodiff import Hidden
from ..custom import plain_arrays, plain_primitive
from ..errors import einsum_hint, matmul_hint
from ..primitives import PRIMITIVES, defvjp
from .helpers import expand, product


def matmul_vjp_x(g, y, x_shape):
    """The derivative of ``x @ y`` by x, for every number of axes."""
    if g.ndim == 2 and y.ndim == 2:
        return product(g, y.T)
    if len(y.shape) == 1:
        return g * y if len(x_shape) == 1 else g[..., None] * y
    if len(x_shape) == 1:
        return (y @ g[..., None])[..., 0]
    return g @ y.swapaxes(-1, -2)


@plain_arrays
def sum_of_outer(x, g):
    """The sum over t of the outer products of the rows of x (t, d) and g (t, h)."""
    return x.T @ g


def _both_hide(x, g):
    return isinstance(x, Hidden) and isinstance(g, Hidden)


def _transposed_product(x, g):
    """``x.T @ g``; where examples are hidden it may stay open: summed over them, it is one product of tall matrices."""
    if type(x) is np.ndarray is type(g):
        return x.T.dot(g)
    return sum_of_outer(x, g) if _both_hide(x, g) else x.T @ g


def matmul_vjp_y(g, x, y_shape):
    """The derivative of ``x @ y`` by y, for every number of axes."""
    if g.ndim == 2 and x.ndim == 2:
        return _transposed_product(x, g)
    if len(x.shape) == 1:
        if len(g.shape) == 1 and len(y_shape) == 2 and _both_hide(x, g):
            return _transposed_product(x[None], g[None])
        return g * x if len(y_shape) == 1 else x[:, None] * g[..., None, :]
    if len(y_shape) == 1:
        return (x.swapaxes(-1, -2) @ g[..., None])[..., 0]
    if len(y_shape) == 2:  # one product of tall matrices, not a sum of many small ones
        return _transposed_product(x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1]))
    return x.swapaxes(-1, -2) @ g


@plain_primitive(variadic=True)
def einsum(operands, subscripts=""):
    """``np.einsum`` with its subscripts spelled out: no ellipsis, and the result after an arrow."""
    numbers = sum([getattr(x, "size", 1) for x in operands])
    large = numbers > 1024  # finding an order, or a BLAS product, takes a while itself
    return np.einsum(subscripts, *operands, optimize=large or len(operands) > 2)


def _einsum_vjp(g, i, operands, operands_shapes, subscripts):
    """Exchange the result and the i-th operand; axes that only this operand has are stretched again."""
    terms, result = subscripts.split("->")
    labels = terms.split(",")
    mine, shape = labels[i], operands_shapes[i]
    free = iter([c for c in string.ascii_letters if c not in subscripts])
    factors = [(result, g)] + [(s, x) for k, (s, x) in enumerate(zip(labels, operands, strict=True)) if k != i]
    target = ""
    for label, n in zip(mine, shape, strict=True):
        if label in target:  # a diagonal: its elements go back to the diagonal
            other = next(free)
            factors.append((label + other, np.eye(n, dtype=g.dtype)))
            label = other
        target += label
    known = set("".join([s for s, _ in factors]))
    found = einsum([x for _, x in factors], ",".join([s for s, _ in factors]) + "->" + "".join(
        [label for label in target if label in known]))  # fmt: skip
    sizes = iter(found.shape)
    full = tuple([next(sizes) if label in known else 1 for label in target])
    wide = tuple([m if n == 1 else n for n, m in zip(full, shape, strict=True)])
    return expand(found.reshape(full), wide) if wide != found.shape else found


# fmt: off
defvjp(np.matmul, x=matmul_vjp_x, y=matmul_vjp_y)
defvjp(einsum,    operands=_einsum_vjp)
# fmt: on

PRIMITIVES[np.matmul].fn = product
PRIMITIVES[np.matmul].hint = matmul_hint
PRIMITIVES[einsum].hint = einsum_hint
