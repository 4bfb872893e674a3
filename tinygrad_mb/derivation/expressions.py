"""Expressions of arrays, and the simplifications that a person makes without thinking.

An ``Expr`` is an operation on expressions, with a shape; equal expressions are equal values.  The constructors here
keep sums and products in one form: numbers gathered in front, equal factors as powers, equal terms added up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

Shape = tuple[int, ...]


class Expr:
    """An operation, its operands, whatever else says what it does, and the shape of its value.

    op       "variable", "number", "size", "constant", "add", "multiply", "power", "matmul", "sum", ...
    args     the operands: expressions
    data     what else the operation needs to know: axes, an exponent, a function's name; a value that can be hashed
    payload  what an expression stands for and is not part of its identity: a variable, an array
    length   how many variables it shows, at most 1000
    depth    how many operations are inside of one another
    """

    __slots__ = ("_hash", "args", "data", "depth", "length", "op", "payload", "shape")

    def __init__(self, op: str, args: tuple[Expr, ...], data: Any, shape: Shape, payload: Any = None) -> None:
        self.op = op
        self.args = args
        self.data = data
        self.shape = shape
        self.payload = payload
        self.length: int = min(1000, sum([a.length for a in args])) if args else int(op in ("variable", "constant"))
        self.depth: int = 1 + max([a.depth for a in args], default=0)
        self._hash = hash((op, args, data, shape))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Expr) or self._hash != other._hash:
            return False
        mine = (self.op, self.data, self.shape, self.args)
        return mine == (other.op, other.data, other.shape, other.args)

    def __repr__(self) -> str:
        inside = ", ".join([*map(repr, self.args), *([] if self.data is None else [repr(self.data)])])
        return f"{self.op}({inside})"

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)


# What is known of functions that have names: rules for the factors of a product, with their exponents, and for 1 / x.
PRODUCTS: list[Callable[[dict[Expr, Fraction]], None]] = []
RECIPROCALS: list[Callable[[Expr], Expr | None]] = []


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything inside of it, each once."""
    seen = {expr}
    todo = [expr]
    while todo:
        found = todo.pop()
        yield found
        for arg in found.args:
            if arg not in seen:
                seen.add(arg)
                todo.append(arg)


# ------------------------------------------------------------------------------------------------ leaves


def variable(of: Any) -> Expr:
    """A variable of a program."""
    return Expr("variable", (), of.index, tuple(of.shape), of)


def rational(value: float) -> Fraction:
    """A number as a person means it: 0.1 is a tenth, and 0.3333333333333333 a third."""
    if isinstance(value, (int, Fraction)):
        return Fraction(value)
    near = Fraction(value).limit_denominator(10_000)
    return near if float(near) == value else Fraction(repr(float(value)))


def number(value: Any) -> Expr:
    """A number."""
    return Expr("number", (), rational(value) if math.isfinite(value) else float(value), ())


def size(name: str, count: int) -> Expr:
    """The length of an axis that has a name, such as m, the number of examples."""
    return Expr("size", (), (name, count), ())


def constant(array: Any) -> Expr:
    """An array that is part of the program; one whose elements are all the same is that number."""
    array = np.asarray(array)
    if array.size and array.dtype.kind in "fiub" and (array == array.flat[0]).all():
        return broadcast(number(array.flat[0].item()), array.shape)
    return Expr("constant", (), (array.dtype.str, array.tobytes()), array.shape, array)


def is_places(x: Expr) -> bool:
    """Whether it is the constant 0, 1, 2, ..., which as an index means each place along an axis."""
    return (
        x.op == "constant"
        and x.ndim == 1
        and x.payload.dtype.kind == "i"
        and x.payload.tolist() == [*range(x.shape[0])]
    )


ZERO, ONE = number(0), number(1)


def is_number(expr: Expr, value: float | None = None) -> bool:
    """Whether an expression is a finite number, or is this one."""
    return expr.op == "number" and isinstance(expr.data, Fraction) and (value is None or expr.data == value)


def is_scalar(expr: Expr) -> bool:
    """Whether the value has one element, wherever it is broadcast to."""
    return math.prod(expr.shape) == 1


# ------------------------------------------------------------------------------------------- elementwise


def joint_shape(args: Iterable[Expr]) -> Shape:
    """The shape that expressions broadcast to."""
    return np.broadcast_shapes(*[arg.shape for arg in args])


def broadcast(x: Expr, shape: Shape) -> Expr:
    """The same numbers, repeated to fill a shape."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    if x.op == "broadcast":
        return broadcast(x.args[0], shape)
    if x.shape and only_ones(x.shape, shape):
        return reshape(x, shape)
    if x.op == "multiply" and x.shape:
        scalars, arrays = scalars_first(x)
        if scalars:
            return multiply(*scalars, broadcast(arrays, shape))
        for k, factor in enumerate(x.args):
            if joint_shape([factor, *x.args[:k], *x.args[k + 1 :]]) == shape:
                return x
    return Expr("broadcast", (x,), None, shape)


def _without_broadcasts(args: list[Expr], shape: Shape) -> list[Expr]:
    """The operands with each broadcast taken away that the others do as well, and all those of single numbers."""
    out = [arg.args[0] if arg.op == "broadcast" and not arg.args[0].shape else arg for arg in args]
    for k, arg in enumerate(args):
        if arg.op == "broadcast" and joint_shape([arg.args[0], *out[:k], *out[k + 1 :]]) == shape:
            out[k] = arg.args[0]
    return out


def split(term: Expr) -> tuple[Fraction, tuple[Expr, ...]]:
    """A term as its number and its other factors."""
    if term.op == "multiply":
        return term.data, term.args
    if is_number(term):
        return term.data, ()
    return Fraction(1), (term,)


def add(*terms: Expr) -> Expr:
    """The sum of arrays that broadcast; equal terms are added up, and factors that all terms share gathered."""
    shape = joint_shape(terms)
    flat = [part for term in terms for part in (term.args if term.op == "add" else (term,))]
    flat = [part for arg in _without_broadcasts(flat, shape) for part in (arg.args if arg.op == "add" else (arg,))]
    gathered: dict[tuple[Expr, ...], Fraction] = {}
    for term in _sums_joined(flat):
        coefficient, factors = split(term)
        gathered[factors] = gathered.get(factors, Fraction(0)) + coefficient
    kept = [product(coefficient, factors) for factors, coefficient in gathered.items() if coefficient]
    if not kept:
        return broadcast(ZERO, shape)
    if len(kept) == 1:
        return broadcast(kept[0], shape)
    shared = [factor for factor in split(kept[0])[1] if all(factor in split(term)[1] for term in kept[1:])]
    if shared and joint_shape(kept) == shape:
        rest = [product(c, tuple(f for f in fs if f not in shared)) for c, fs in map(split, kept)]
        return broadcast(multiply(*shared, add(*rest)), shape)
    if (inner := joint_shape(kept)) != shape:
        return broadcast(Expr("add", tuple(kept), None, inner), shape)
    return Expr("add", tuple(kept), None, shape)


def _sums_joined(terms: list[Expr]) -> list[Expr]:
    """Terms, with those that are sums along the same axes made one."""
    out: list[Expr] = []
    joined: dict[Any, int] = {}
    for term in terms:
        coefficient, factors = split(term)
        summed = factors[0] if len(factors) == 1 and factors[0].op in ("sum", "examples") else None
        inner = None if summed is None else summed.args[0].shape if summed.op == "sum" else summed.args[0].shape[:-1]
        key = None if summed is None else (coefficient, summed.op, summed.data, summed.shape, inner)
        if summed is None or key not in joined:
            if key is not None:
                joined[key] = len(out)
            out.append(term)
            continue
        before = split(out[joined[key]])[1][0]
        if summed.op == "examples":
            both = Expr("examples", (*before.args, *summed.args), None, summed.shape)
        else:
            both = reduce("sum", add(before.args[0], summed.args[0]), *summed.data)
        out[joined[key]] = multiply(number(coefficient), both)
    return out


def product(coefficient: Fraction, factors: tuple[Expr, ...]) -> Expr:
    """A number times factors that are in order already."""
    if not factors:
        return Expr("number", (), coefficient, ())
    if coefficient == 1 and len(factors) == 1:
        return factors[0]
    if coefficient == -1 and len(factors) == 1 and factors[0].op == "add":
        return add(*[product(-c, fs) for c, fs in map(split, factors[0].args)])
    return Expr("multiply", factors, coefficient, joint_shape(factors))


def multiply(*args: Expr) -> Expr:
    """The product of arrays, element by element, with numbers gathered and equal factors as powers."""
    shape = joint_shape(args)
    flat = [part for arg in args for part in _factors(arg)]
    flat = _without_broadcasts(flat, shape)
    flat = [part for arg in flat for part in _factors(arg)]  # a broadcast may have hidden a product
    coefficient, exponents = Fraction(1), dict[Expr, Fraction]()
    for factor in flat:
        if is_number(factor):
            coefficient *= factor.data
        else:
            base, exponent = (factor.args[0], factor.data) if factor.op == "power" else (factor, Fraction(1))
            exponents[base] = exponents.get(base, Fraction(0)) + exponent
    if coefficient == 0:
        return broadcast(ZERO, shape)
    for gathered in PRODUCTS:
        gathered(exponents)
    factors = tuple(sorted([power(base, n) for base, n in exponents.items() if n], key=lambda f: not is_scalar(f)))
    for factor in factors:
        below = _denominators(factor)
        if below and below <= set(factors):  # a / (1 - s) + b / s, times s (1 - s)
            rest = [f for f in factors if f != factor and f not in below]
            cleared = expanded(add(*[multiply(term, *below) for term in factor.args]))
            return broadcast(multiply(number(coefficient), *rest, cleared), shape)
    return broadcast(product(coefficient, factors), shape)


def _denominators(x: Expr) -> set[Expr]:
    """What the terms of a sum are divided by."""
    if x.op != "add":
        return set()
    return {f.args[0] for term in x.args for f in split(term)[1] if f.op == "power" and f.data == -1}


def expanded(x: Expr) -> Expr:
    """A sum with its products multiplied out, if that is shorter."""
    terms: list[Expr] = []
    for term in x.args if x.op == "add" else (x,):
        coefficient, factors = split(term)
        parts = [number(coefficient)]
        for factor in factors:
            parts = [multiply(p, q) for p in parts for q in (factor.args if factor.op == "add" else (factor,))]
        terms += parts
    found = add(*terms)
    return found if len(list(walk(found))) < len(list(walk(x))) else x


def _factors(arg: Expr) -> tuple[Expr, ...]:
    if arg.op == "multiply":
        return (Expr("number", (), arg.data, ()), *arg.args)
    return (arg,)


def power(base: Expr, exponent: Fraction | int) -> Expr:
    """A power with a number as exponent."""
    exponent = Fraction(exponent)
    if exponent == 1:
        return base
    if exponent == 0:
        return broadcast(ONE, base.shape)
    if is_number(base) and exponent.denominator == 1 and base.data:
        return number(base.data**exponent)
    if base.op == "power" and (base.data.denominator > 1 or base.data % 2):
        return power(base.args[0], base.data * exponent)
    if base.op == "broadcast":
        return broadcast(power(base.args[0], exponent), base.shape)
    if exponent == -1:
        for reciprocal in RECIPROCALS:
            if (found := reciprocal(base)) is not None:
                return found
    if base.op == "multiply" and exponent == -1:
        inverse = [number(1 / base.data), *[power(factor, -1) for factor in base.args]]
        return multiply(*inverse)
    return Expr("power", (base,), exponent, base.shape)


def negative(x: Expr) -> Expr:
    """The same with the other sign."""
    return multiply(number(-1), x)


def divide(x: Expr, y: Expr) -> Expr:
    """A quotient, element by element."""
    return multiply(x, power(y, -1))


def apply(name: str, *args: Expr) -> Expr:
    """A function of that name, element by element."""
    return Expr("apply", args, name, joint_shape(args))


def compare(sign: str, x: Expr, y: Expr) -> Expr:
    """1 where a relation holds, 0 elsewhere: ``sign`` is ``<``, ``>``, ``<=``, ``>=``, ``==`` or ``!=``."""
    return Expr("compare", (x, y), sign, joint_shape((x, y)))


# -------------------------------------------------------------------------------- products, sums, shapes


def scalars_first(x: Expr) -> tuple[list[Expr], Expr]:
    """A product as its factors that are single numbers, and the rest."""
    if x.op == "broadcast" and not x.args[0].shape and not is_number(x.args[0], 1):
        return [x.args[0]], broadcast(ONE, x.shape)
    if x.op != "multiply":
        return [], x
    scalars = [factor for factor in x.args if not factor.shape]
    if x.data != 1:
        scalars.insert(0, Expr("number", (), x.data, ()))
    arrays = tuple(factor for factor in x.args if factor.shape)
    return scalars, product(Fraction(1), arrays) if arrays else ONE


def matmul(x: Expr, y: Expr) -> Expr:
    """The product of matrices, or of stacks of them, with numbers in front."""
    (left, x), (right, y) = scalars_first(x), scalars_first(y)
    a, b = x.shape, y.shape
    stack = np.broadcast_shapes(a[:-2], b[:-2])
    shape = (*stack, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))
    if x.op == y.op == "reshape" and a[1:] == (1,) == b[:1] and x.args[0].ndim == 1 == y.args[0].ndim:
        return multiply(*left, *right, outer(x.args[0], y.args[0]))  # a column times a row
    return multiply(*left, *right, Expr("matmul", (x, y), None, shape))


def outer(x: Expr, y: Expr) -> Expr:
    """The outer product of two vectors."""
    (left, x), (right, y) = scalars_first(x), scalars_first(y)
    return multiply(*left, *right, Expr("outer", (x, y), None, (*x.shape, *y.shape)))


def transpose(x: Expr, axes: Iterable[int]) -> Expr:
    """The array with its axes in another order."""
    order = tuple(k % x.ndim for k in axes)
    if order == tuple(range(x.ndim)):
        return x
    scalars, x = scalars_first(x)
    if scalars:
        return multiply(*scalars, transpose(x, order))
    if x.op == "transpose":
        return transpose(x.args[0], [x.data[k] for k in order])
    if x.op == "reshape" and x.args[0].ndim == 1 and only_ones(x.shape, x.args[0].shape):
        return reshape(x, [x.shape[k] for k in order])
    if x.op == "broadcast" and not x.args[0].shape:
        return broadcast(x.args[0], tuple(x.shape[k] for k in order))
    flipped = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    if x.op == "matmul" and order == flipped and all(arg.ndim == x.ndim for arg in x.args):
        a, b = x.args
        return matmul(transpose(b, order), transpose(a, order))
    return Expr("transpose", (x,), order, tuple(x.shape[k] for k in order))


def reshape(x: Expr, shape: Iterable[int]) -> Expr:
    """The same elements in another shape."""
    shape = tuple(shape)
    if -1 in shape:
        known = math.prod([n for n in shape if n != -1])
        shape = tuple(math.prod(x.shape) // known if n == -1 else n for n in shape)
    if x.shape == shape:
        return x
    if x.op == "reshape":
        return reshape(x.args[0], shape)
    if x.op == "broadcast" and not x.args[0].shape:
        return broadcast(x.args[0], shape)
    if not x.shape and math.prod(shape) == 1:
        return broadcast(x, shape)
    scalars, x = scalars_first(x)
    if scalars:
        return broadcast(multiply(*scalars, reshape(x, shape)), shape)
    if (
        x.op in ("sum", "max", "min", "logsumexp")
        and x.data[1]
        and shape == _reduced(x.args[0].shape, x.data[0], False)
    ):
        return reduce(x.op, x.args[0], x.data[0], False)
    if (
        x.op in ("sum", "max", "min", "logsumexp")
        and not x.data[1]
        and shape == _reduced(x.args[0].shape, x.data[0], True)
    ):
        return reduce(x.op, x.args[0], x.data[0], True)
    if x.op == "power":
        return power(reshape(x.args[0], shape), x.data)
    if x.op == "multiply" and only_ones(x.shape, shape) and _can_widen(x):
        places = [k for k, n in enumerate(shape) if n != 1]
        wide = [tuple(f.shape[places.index(k)] if k in places else 1 for k in range(len(shape))) for f in x.args]
        return multiply(number(x.data), *[reshape(f, n) for f, n in zip(x.args, wide, strict=True)])
    return Expr("reshape", (x,), None, shape)


def _can_widen(x: Expr) -> bool:
    """Whether it is clear which axes of each factor those of the product are."""
    return 1 not in x.shape and all(factor.ndim == x.ndim for factor in x.args)


def only_ones(x: Shape, y: Shape) -> bool:
    """Whether two shapes differ by axes of length one alone."""
    return [n for n in x if n != 1] == [n for n in y if n != 1]


def _reduced(shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Shape:
    if keepdims:
        return tuple(1 if k in axes else n for k, n in enumerate(shape))
    return tuple(n for k, n in enumerate(shape) if k not in axes)


def reduce(op: str, x: Expr, axes: tuple[int, ...], keepdims: bool = False) -> Expr:
    """A reduction ("sum", "max", "min", "logsumexp") along axes, with numbers in front of sums."""
    axes = tuple(sorted(k % x.ndim for k in axes))
    if not axes:
        return x
    shape = _reduced(x.shape, axes, keepdims)
    if op == "sum":
        scalars, x = scalars_first(x)
        if scalars:
            return broadcast(multiply(*scalars, reduce(op, x, axes, keepdims)), shape)
        if is_number(x.args[0] if x.op == "broadcast" else x, 1):
            return broadcast(number(math.prod([x.shape[k] for k in axes])), shape)
        if x.op == "sum" and x.data[1] == keepdims:
            left = [k for k in range(x.args[0].ndim) if keepdims or k not in x.data[0]]
            return reduce(
                "sum", x.args[0], (*x.data[0], *[left[k] for k in axes if left[k] not in x.data[0]]), keepdims
            )
    return Expr(op, (x,), (axes, keepdims), shape)


def rebuilt(x: Expr, known: dict[Expr, Expr]) -> Expr:
    """The expression with others in the place of some parts, and simplified again where that helps."""
    found = known.get(x)
    if found is not None:
        return found
    args = tuple([rebuilt(arg, known) for arg in x.args])
    if args == x.args:
        return x
    if x.op == "add":
        return add(*args)
    if x.op == "multiply":
        return broadcast(multiply(Expr("number", (), x.data, ()), *args), x.shape)
    if x.op == "power":
        return power(args[0], x.data)
    return Expr(x.op, args, x.data, x.shape, x.payload)
