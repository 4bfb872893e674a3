"""What a person sees in a group of operations: a product in a choice against zero, one-hot rows in a scatter.

Each function here makes the expression of one function of NumPy or of ours, in the form that a person would write.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from .expressions import (
    ONE,
    ZERO,
    Expr,
    add,
    apply,
    broadcast,
    compare,
    is_number,
    multiply,
    negative,
    number,
    only_ones,
    power,
    reduce,
    reshape,
    scalars_first,
    walk,
)  # fmt: skip


def plus(x: Expr, y: Expr) -> Expr:
    """``x + y``; what keeps a denominator from zero, and is zero elsewhere, is left out."""
    for guarded, guard in ((x, y), (y, x)):
        if guard.op == "compare" and guard.data == "==" and guard.args == (guarded, ZERO):
            return guarded
    return add(x, y)


def maximum(x: Expr, y: Expr) -> Expr:
    """The larger of two; against zero it is a function that has a name."""
    for kept, other in ((x, y), (y, x)):
        if is_number(other, 0):
            return apply("relu", kept)
    return apply("max", x, y)


def both(x: Expr, y: Expr) -> Expr:
    """Where both hold."""
    if any(is_number(side, 0) for side in (x, y)):
        return ZERO
    for kept, other in ((x, y), (y, x)):
        if is_number(other, 1):
            return kept
    return multiply(x, y)


def where(condition: Expr, x: Expr, y: Expr) -> Expr:
    """One or the other; a choice against zero is a product with the condition."""
    if is_number(condition):
        return broadcast(y if is_number(condition, 0) else x, np.broadcast_shapes(x.shape, y.shape))
    if condition.op == "variable" and condition.payload.dtype.kind != "b":
        condition = compare("!=", condition, ZERO)
    if condition.op == "apply" and condition.data == "isfinite" and condition.args[0] == x:
        return x
    if condition.op == "compare" and condition.args[0] == y and is_number(x, 0):
        bound = condition.args[1]
        if bound.op == "number" and not is_number(bound):  # 0 in the place of an infinity
            return y
    shape = np.broadcast_shapes(condition.shape, x.shape, y.shape)
    if is_number(y, 0) and _is_condition(condition):
        return broadcast(multiply(x, condition), shape)
    if is_number(x, 0) and _is_condition(condition):
        return broadcast(multiply(y, opposite(condition)), shape)
    return Expr("where", (condition, x, y), None, shape)


def _is_condition(x: Expr) -> bool:
    return x.op in ("compare", "not") or (x.op == "variable" and x.payload.dtype.kind == "b") or (
        x.op in ("reshape", "index") and _is_condition(x.args[0])
    )  # fmt: skip


def opposite(condition: Expr) -> Expr:
    """Where a condition does not hold."""
    if condition.op == "variable" or (condition.op == "compare" and condition.data == "=="):
        return add(ONE, negative(condition))
    if condition.op == "compare":
        signs = {">": "<=", "<": ">=", ">=": "<", "<=": ">", "!=": "=="}
        return compare(signs[condition.data], *condition.args)
    if condition.op == "not":
        return condition.args[0]
    return Expr("not", (condition,), None, condition.shape)


def pick(x: Expr, labels: Expr) -> Expr:
    """From each last row of x the element that ``labels`` names."""
    shape = labels.shape
    if x.op == "add":
        return add(*[pick(term, labels) for term in x.args])
    if x.op == "multiply" and len(x.args) == 1:
        return multiply(number(x.data), pick(x.args[0], labels))
    if x.op == "apply" and len(x.args) == 1:
        return apply(x.data, pick(x.args[0], labels))
    if x.ndim and x.shape[-1] == 1:
        return reshape(x, shape) if only_ones(x.shape, shape) else Expr("pick", (x, labels), None, shape)
    return Expr("pick", (x, labels), None, shape)


def one_hot(labels: Expr, count: int) -> Expr:
    """For each label a row of zeros with a one at it."""
    return Expr("onehot", (labels,), None, (*labels.shape, count))


def total(x: Expr, axes: tuple[int, ...], keepdims: bool) -> Expr:
    """A sum along axes; one-hot rows and softmaxes add up to one."""
    axes = tuple(sorted(k % x.ndim for k in axes))
    shape = reduce("sum", x, axes, keepdims).shape
    scalars, x = scalars_first(x)
    if scalars:
        return broadcast(multiply(*scalars, total(x, axes, keepdims)), shape)
    if (x.op == "onehot" and axes == (x.ndim - 1,)) or (x.op == "softmax" and axes == x.data):
        return broadcast(ONE, shape)
    if x.op == "add":
        parts = [total(broadcast(term, x.shape), axes, keepdims) for term in x.args]
        if not any(part.op == "sum" for term in parts for part in walk(term)):
            return add(*parts)
    if x.op == "multiply" and any(f.op == "softmax" and f.data == axes for f in x.args):
        for k, factor in enumerate(x.args):  # p (g - sum(p g)) adds up to zero
            if factor.op == "add":
                terms = [multiply(*x.args[:k], term, *x.args[k + 1 :]) for term in factor.args]
                found = add(*[total(broadcast(term, x.shape), axes, keepdims) for term in terms])
                if is_number(found.args[0] if found.op == "broadcast" else found, 0):
                    return broadcast(ZERO, shape)
    if x.op == "multiply":
        # what does not vary along the axes stands in front of the sum
        wide = {f: (1,) * (x.ndim - f.ndim) + f.shape for f in x.args}
        fixed = [reshape(f, wide[f]) for f in x.args if all(wide[f][k] == 1 for k in axes)]
        rest = [f for f in x.args if not all(wide[f][k] == 1 for k in axes)]
        if fixed and rest:
            inner = broadcast(multiply(number(x.data), *rest), _filled(x.shape, fixed, rest, axes))
            front = multiply(*fixed)
            if keepdims:
                return multiply(front, total(inner, axes, True))
            squeezed = [n for k, n in enumerate(front.shape) if k not in axes]
            return multiply(reshape(front, squeezed), total(inner, axes, False))
    return reduce("sum", x, axes, keepdims)


def _filled(shape: Any, fixed: list[Expr], rest: list[Expr], axes: tuple[int, ...]) -> Any:
    inner = np.broadcast_shapes(*[f.shape for f in rest], tuple(n if k in axes else 1 for k, n in enumerate(shape)))
    return inner if len(inner) == len(shape) else shape


def mean(x: Expr, axes: tuple[int, ...], keepdims: bool, counts: list[Expr]) -> Expr:
    """The sum along axes over the number of what was added up, which is the product of ``counts``."""
    return multiply(*[power(count, -1) for count in counts], total(x, axes, keepdims))


def norm(x: Expr, axes: tuple[int, ...], keepdims: bool) -> Expr:
    """The square root of the sum of squares."""
    return power(reduce("sum", power(x, 2), axes, keepdims), Fraction(1, 2))


def product_of_rows(x: Expr, y: Expr) -> Expr | None:
    """``x @ y`` where it sums over all places of arrays of rows: reshaped to matrices, transposed and multiplied."""
    (left, x), (right, y) = scalars_first(x), scalars_first(y)
    if x.op != "transpose" or x.data != (1, 0) or x.args[0].op != "reshape" or y.op != "reshape":
        return None
    a, b = x.args[0].args[0], y.args[0]
    if a.ndim == b.ndim > 2 and a.shape[:-1] == b.shape[:-1] and y.ndim == 2 and y.shape[1] == b.shape[-1]:
        return multiply(*left, *right, Expr("examples", (a, b), None, (a.shape[-1], b.shape[-1])))
    return None
