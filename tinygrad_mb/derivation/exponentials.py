"""Softmax, sigmoid and the logarithm of sums of exponentials: where they are, however they were written.

The one place that knows them.  Expressions ask it what products and reciprocals of exponentials are; pages and
programs get p - y out of it, since each rule here is exact: a number that is subtracted from all logits, their largest
say, changes no softmax, so no derivative goes that way.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from . import expressions
from .expressions import ONE, Expr, add, apply, divide, is_number, negative, reduce, reshape, split

Exponents = dict[Expr, Fraction]


def softmax(x: Expr, axes: tuple[int, ...]) -> Expr:
    """Exponentials over their sum along axes; what is the same for all of them is left out."""
    axes = tuple(sorted(k % x.ndim for k in axes))
    varying, _ = _shift(x, axes)
    return Expr("softmax", (varying,), axes, x.shape)


def logsumexp(x: Expr, axes: tuple[int, ...], keepdims: bool) -> Expr:
    """The logarithm of the sum of exponentials; what is the same for all of them stands outside."""
    varying, same = _shift(x, axes)
    found = reduce("logsumexp", varying, axes, keepdims)
    for term in same:
        wide = reshape(term, (1,) * (x.ndim - term.ndim) + term.shape)
        kept = [n for k, n in enumerate(wide.shape) if keepdims or k not in axes]
        found = add(found, reshape(wide, kept))
    return found


def _shift(x: Expr, axes: tuple[int, ...]) -> tuple[Expr, list[Expr]]:
    """A sum as what varies along axes, and the terms that do not."""
    if x.op != "add":
        return x, []
    wide = [(1,) * (x.ndim - term.ndim) + term.shape for term in x.args]
    same = [all(shape[k] == 1 for k in axes) for shape in wide]
    varying = [term for term, is_same in zip(x.args, same, strict=True) if not is_same]
    if not varying or not any(same) or np.broadcast_shapes(*[term.shape for term in varying]) != x.shape:
        return x, []
    return add(*varying), [term for term, is_same in zip(x.args, same, strict=True) if is_same]


def exp(x: Expr) -> Expr:
    """The exponential; that of a logarithm is what it was the logarithm of."""
    if _is(x, "log"):
        return x.args[0]
    if is_number(x, 0):
        return ONE
    if x.op == "add" and len(x.args) == 2:
        for z, other in (x.args, x.args[::-1]):
            if other == negative(apply("softplus", z)):
                return apply("sigmoid", z)
    if x.op == "add":
        for k, term in enumerate(x.args):
            coefficient, factors = split(term)
            if coefficient == -1 and len(factors) == 1 and factors[0].op == "logsumexp":
                rest = add(*x.args[:k], *x.args[k + 1 :])
                if factors[0].args[0] == rest:
                    return softmax(rest, factors[0].data[0])
    return apply("exp", x)


def log(x: Expr) -> Expr:
    """The logarithm; that of a sum of exponentials has a name, and needs no shift against overflow."""
    if x.op == "sum" and _is(x.args[0], "exp"):
        return logsumexp(x.args[0].args[0], *x.data)
    if x.op == "add" and len(x.args) == 2 and ONE in x.args:
        return log1p(x.args[1 - x.args.index(ONE)])
    return apply("log", x)


def log1p(x: Expr) -> Expr:
    """log(1 + x)."""
    if _is(x, "exp"):
        return apply("softplus", x.args[0])
    return apply("log", add(ONE, x))


def logaddexp(x: Expr, y: Expr) -> Expr:
    """log(exp(x) + exp(y))."""
    for z, other in ((x, y), (y, x)):
        if is_number(other, 0):
            return apply("softplus", z)
    return apply("log", add(exp(x), exp(y)))


def quotient(x: Expr, y: Expr) -> Expr:
    """``x / y``, unless it is a softmax over all that there is."""
    if y.op == "sum" and y.args[0] == x and _is(x, "exp") and len(y.data[0]) == x.ndim:
        return softmax(x.args[0], y.data[0])
    return divide(x, y)


def _is(x: Expr, name: str) -> bool:
    return x.op == "apply" and x.data == name


# --------------------------------------------------------------------------- what expressions are told


def _gathered(exponents: Exponents) -> None:
    """The factors of a product with softmaxes and sigmoids in the place of exponentials and their sums."""
    for base in [b for b, n in exponents.items() if b.op == "sum" and n <= -1 and b.data[1]]:
        powers, axes = base.args[0], base.data[0]
        if _is(powers, "exp") and exponents.get(powers, 0) >= 1:
            _exchange(exponents, (base, powers), (1, -1), softmax(powers.args[0], axes))
    for base in [b for b in exponents if _is(b, "exp")]:
        logistic = apply("sigmoid", negative(base.args[0]))
        if logistic in exponents:  # exp(-z) / (1 + exp(-z))
            down = split(base.args[0])[0] < 0
            other = add(ONE, negative(logistic)) if down else apply("sigmoid", base.args[0])
            _exchange(exponents, (base, logistic), (-1, -1), other)
    for rows in [b for b in exponents if b.op == "onehot"]:
        for one in [b for b in exponents if b.op == "reshape" and b.args[0].op == "pick"]:
            whole, labels = one.args[0].args
            n = exponents.get(whole, Fraction(0))
            if labels == rows.args[0] and exponents[one] == -n and one.shape == (*labels.shape, 1) and whole.ndim > 1:
                exponents[one] = exponents[whole] = Fraction(0)  # x / x where the row is one, and zero elsewhere


def _exchange(exponents: Exponents, gone: tuple[Expr, ...], changes: tuple[int, ...], new: Expr) -> None:
    for base, change in zip(gone, changes, strict=True):
        exponents[base] += change
    exponents[new] = exponents.get(new, Fraction(0)) + 1


def _reciprocal(base: Expr) -> Expr | None:
    """1 / (1 + exp(x))."""
    if base.op == "add" and len(base.args) == 2 and ONE in base.args:
        (other,) = [term for term in base.args if term != ONE]
        if _is(other, "exp"):
            return apply("sigmoid", negative(other.args[0]))
    return None


expressions.PRODUCTS.append(_gathered)
expressions.RECIPROCALS.append(_reciprocal)


# ---------------------------------------------------------------------------------- in pages and programs


def is_probability(x: Expr) -> bool:
    """Whether a value is a softmax or a sigmoid, or what these are compared with."""
    return x.op in ("softmax", "onehot", "compare") or _is(x, "sigmoid")


def is_part(x: Expr) -> bool:
    """Whether a value is looked into where it is used, since it may be a part of a softmax or a sigmoid."""
    if x.op in ("softmax", "onehot", "max", "logsumexp"):
        return True
    if x.op == "apply":
        return x.data in ("exp", "sigmoid", "softplus") or (x.data == "log" and is_part(x.args[0]))
    if x.op in ("sum", "reshape", "pick", "power", "broadcast"):
        return is_part(x.args[0])
    return x.op in ("add", "multiply") and any(is_part(arg) for arg in x.args) and x.length < 6


def also_known(meaning: Expr, symbol: Expr) -> list[tuple[Expr, Expr]]:
    """What else is known in terms of a symbol: that of p = 1 / (1 + exp(-z)) tells exp(-z) = (1 - p) / p."""
    if _is(meaning, "sigmoid"):
        return [(apply("exp", negative(meaning.args[0])), divide(add(ONE, negative(symbol)), symbol))]
    if _is(meaning, "softplus"):
        z = meaning.args[0]
        return [(apply("exp", add(z, negative(symbol))), apply("sigmoid", z))]
    return []


def parts_of(x: Expr, known: dict[Expr, Expr]) -> tuple[Expr, Expr] | None:
    """The exponentials and their sum that a program has, whose quotient is the softmax x."""
    for powers, symbol in known.items():
        if _is(powers, "exp") and powers.shape == x.shape and softmax(powers.args[0], x.data) == x:
            for keepdims in (True, False):
                total = known.get(reduce("sum", powers, x.data, keepdims))
                if total is not None:
                    wide = tuple(1 if k in x.data else n for k, n in enumerate(x.shape))
                    return symbol, reshape(total, wide)
    return None
