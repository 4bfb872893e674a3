"""From a program's calls to expressions: what each NumPy function is in mathematics."""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ..graph import Node
from ..vjps import convolution, indexing, reductions, special
from ..vjps import shapes as shape_functions
from . import convolutions, exponentials
from . import recognition as known
from .expressions import (
    ONE,
    ZERO,
    Expr,
    add,
    apply,
    broadcast,
    compare,
    constant,
    is_number,
    matmul,
    multiply,
    negative,
    number,
    only_ones,
    outer,
    power,
    reduce,
    reshape,
    scalars_first,
    size,
    transpose,
    variable,
)  # fmt: skip
from .program import Call, Program, Variable, variables_in
from .sizes import form_of

Read = Callable[..., Expr]
HALF = Fraction(1, 2)


class Reader:
    """Reads the calls of a program, one after the other.

    meanings  what each variable was found to be
    standing  what stands for each variable where it is used: its symbol, or what it is
    """

    def __init__(self, program: Program) -> None:
        self.meanings: dict[Variable, Expr] = {}
        self.standing: dict[Variable, Expr] = {v: variable(v) for v in program.inputs}
        self.made_by: dict[Variable, Node] = {}
        for node, value in program.values.items():
            if node.op is not None and node.op.key in _BY_PRIMITIVE:
                self.made_by.setdefault(value, node)
        self.values = program.values

    def read(self, call: Call) -> Expr:
        """What a call computes, in terms of what its operands stand for; remembered as that of its variable."""
        node = self.made_by.get(call.out)
        found = self._of_node(node) if node is not None else None
        if found is None:
            found = self._of_call(call)
        if found.shape != tuple(call.out.shape):
            found = broadcast(found, tuple(call.out.shape))
        found.shape = tuple(call.out.shape)  # whose sizes know whether they follow the number of examples
        self.meanings[call.out] = self.standing[call.out] = found
        return found

    def _of_node(self, node: Node) -> Expr | None:
        assert node.op is not None
        operands = []
        for source in node.inputs:
            if isinstance(source, Node):
                value = self.values.get(source)
                if value is None or value not in self.standing:
                    return None
                operands.append(self.standing[value])
            else:
                operands.append(self.expression(source))
        if node.op.variadic:
            return None
        try:
            return _BY_PRIMITIVE[node.op.key](self, *operands, *node.params)
        except _Unread:
            return None

    def _of_call(self, call: Call) -> Expr:
        function, kwargs = _BY_FUNCTION.get(call.function), dict(call.kwargs)
        if function is not None:
            try:
                return function(self, *call.args, **kwargs)
            except _Unread:
                pass
        return self.opaque(call)

    def expression(self, arg: Any) -> Expr:
        """A variable, a number or a constant array as an expression."""
        if isinstance(arg, Expr):
            return arg
        if isinstance(arg, Variable):
            return self.standing[arg]
        if isinstance(arg, np.ndarray):
            return constant(arg) if arg.ndim else number(arg.item())
        if isinstance(arg, (bool, int, float, np.number, np.bool_)):
            return self.counted(arg)
        raise _Unread

    def indices(self, arg: Any) -> Expr:
        """Integers that are used as an index, which stay integers."""
        if isinstance(arg, np.ndarray):
            return Expr("constant", (), (arg.dtype.str, arg.tobytes()), arg.shape, arg)
        return self.expression(arg)

    def counted(self, value: Any) -> Expr:
        """A number; one that came from the number of examples is written m."""
        form = form_of(value)
        if form is not None:
            count = add(size("m", form.m), number(form.offset))
            return multiply(number(form.factor), power(count, Fraction(form.exponent)))
        return number(value.item() if isinstance(value, np.generic) else value)

    def counts(self, x: Expr, axes: tuple[int, ...]) -> list[Expr]:
        """The lengths of axes, m for that of the examples."""
        return [self.counted(x.shape[k]) for k in axes]

    def opaque(self, call: Call) -> Expr:
        """A call that has no other form than its own."""
        args = tuple(self.standing[v] for v in variables_in((call.args, call.kwargs)))
        said = repr((call.function, call.args, call.kwargs))
        return Expr("call", args, (_name_of(call.function), hash(said)), tuple(call.out.shape), call)


class _Unread(Exception):  # noqa: N818
    """A call in a form that has no reading of its own."""


def _name_of(function: Any) -> str:
    return getattr(function, "__name__", "function")


# ------------------------------------------------------------------------------- functions of the calls


def _axes(axis: Any, x: Expr) -> tuple[int, ...]:
    if axis is None or not x.ndim:
        return tuple(range(x.ndim))
    return tuple(sorted(k % x.ndim for k in (axis if isinstance(axis, (tuple, list)) else (axis,))))


def _elementwise(function: Callable[..., Expr]) -> Read:
    return lambda r, *args: function(*[r.expression(arg) for arg in args])


def _function(name: str) -> Read:
    return lambda r, *args: apply(name, *[r.expression(arg) for arg in args])


def _comparison(sign: str) -> Read:
    def read(r: Reader, x: Any, y: Any) -> Expr:
        x, y = r.expression(x), r.expression(y)
        for meaning in [r.meanings[x.payload]] if x.op == "variable" and x.payload in r.meanings else []:
            if sign == ">" and is_number(y, 0) and meaning.op == "apply" and meaning.data == "relu":
                x = meaning.args[0]
        if sign == ">" and is_number(y, 0) and x.op == "apply" and x.data == "relu":
            x = x.args[0]
        return compare(sign, x, y)

    return read


def _power(r: Reader, x: Any, y: Any) -> Expr:
    x, y = r.expression(x), r.expression(y)
    if is_number(y):
        return power(x, y.data)
    return apply("power", x, y)


def _reduction(op: str) -> Read:
    def read(r: Reader, x: Any, axis: Any = None, keepdims: bool = False, **options: Any) -> Expr:
        if any(value is not None and value is not np._NoValue for value in options.values()):
            raise _Unread
        x = r.expression(x)
        return known.total(x, _axes(axis, x), keepdims) if op == "sum" else reduce(op, x, _axes(axis, x), keepdims)

    return read


def _mean(r: Reader, x: Any, axis: Any = None, keepdims: bool = False) -> Expr:
    x = r.expression(x)
    axes = _axes(axis, x)
    return known.mean(x, axes, keepdims, r.counts(x, axes))


def _std(r: Reader, x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Expr:
    if ddof:
        raise _Unread
    x = r.expression(x)
    axes = _axes(axis, x)
    centred = add(x, negative(_mean(r, x, axis, True)))
    return power(known.mean(power(centred, 2), axes, keepdims, r.counts(x, axes)), HALF)


def _transpose(r: Reader, x: Any, axes: Any = None) -> Expr:
    x = r.expression(x)
    return transpose(x, range(x.ndim)[::-1] if axes is None else axes)


def _swapaxes(r: Reader, x: Any, axis1: int, axis2: int) -> Expr:
    x = r.expression(x)
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


def _reshape(r: Reader, x: Any, shape: Any) -> Expr:
    x, shape = r.expression(x), tuple(int(n) for n in _tuple(shape))
    scalars, x = scalars_first(x)
    return broadcast(multiply(*scalars, convolutions.by_kernels(x, shape) or reshape(x, shape)), shape)


def _astype(r: Reader, x: Any, dtype: Any) -> Expr:
    if np.dtype(dtype).kind != "f":
        raise _Unread  # a fraction may be lost
    return r.expression(x)


def _matmul(r: Reader, x: Any, y: Any) -> Expr:
    x, y = r.expression(x), r.expression(y)
    return known.product_of_rows(x, y) or matmul(x, y)


def _product(r: Reader, x: Any, y: Any) -> Expr:
    """A product element by element; a column times a row is an outer product."""
    x, y = r.expression(x), r.expression(y)
    shape = np.broadcast_shapes(x.shape, y.shape)
    if len(shape) == 2:
        for column, row in ((x, y), (y, x)):
            if column.shape == (shape[0], 1) and row.shape in ((shape[1],), (1, shape[1])) and 1 not in shape:
                scaled = outer(reshape(column, shape[:1]), reshape(row, shape[1:]))
                if column.op != "broadcast" and row.op != "broadcast" and scaled.op != "broadcast":
                    return scaled
    return multiply(x, y)


def _index(r: Reader, x: Any, index: Any) -> Expr:
    x = r.expression(x)
    parts = index if isinstance(index, tuple) else (index,)
    if Ellipsis in [part for part in parts if part is Ellipsis]:
        at = next(k for k, part in enumerate(parts) if part is Ellipsis)
        used = sum(part is not None for part in parts) - 1
        parts = (*parts[:at], *[slice(None)] * (x.ndim - used), *parts[at + 1 :])
    if all(
        part is None or part == slice(None) for part in parts if not isinstance(part, (Variable, np.ndarray))
    ) and not any(isinstance(part, (Variable, np.ndarray)) for part in parts):
        sizes = iter(x.shape)
        shape = [1 if part is None else next(sizes) for part in parts]
        return reshape(x, [*shape, *sizes])
    if _only_ones_taken(parts, x.shape):
        return reshape(
            x, [n for n, part in zip(x.shape, parts, strict=False) if part == slice(None)] + [*x.shape[len(parts) :]]
        )
    arrays = [part for part in parts if isinstance(part, (Variable, np.ndarray))]
    if any(part.dtype.kind not in "iu" for part in arrays):
        raise _Unread
    if len(arrays) == len(parts) == x.ndim == len(parts[-1].shape) + 1 and _is_places(parts, x.shape):
        return known.pick(x, r.indices(parts[-1]))
    if len(arrays) == 1 == len(parts) and x.ndim:
        return _rows(x, r.indices(parts[0]))
    return _part_of(r, x, parts)


def _part_of(r: Reader, x: Expr, parts: tuple[Any, ...]) -> Expr:
    if x.op == "transpose" and all(type(part) in (int, slice) for part in parts):
        order, at = x.data, (*parts, *[slice(None)] * (x.ndim - len(parts)))
        kept = [axis for axis, part in zip(order, at, strict=True) if type(part) is slice]
        inside = _part_of(r, x.args[0], tuple(part for _, part in sorted(zip(order, at, strict=True), key=_first)))
        return transpose(inside, [sorted(kept).index(axis) for axis in kept])
    trial = tuple(np.zeros([int(n) for n in p.shape], np.intp) if _is_array(p) else p for p in parts)
    try:
        shape = np.broadcast_to(0, x.shape)[trial].shape
    except IndexError:  # of a tuple of arrays
        raise _Unread from None
    return Expr("index", (x, *_arrays(r, parts)), _template(parts), shape, _slices(parts))


def _first(pair: tuple[int, Any]) -> int:
    return pair[0]


def _is_array(part: Any) -> bool:
    return isinstance(part, (Variable, np.ndarray))


def _arrays(r: Reader, parts: tuple[Any, ...]) -> list[Expr]:
    return [r.indices(part) for part in parts if _is_array(part)]


def _template(parts: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple("·" if _is_array(part) else repr(part) for part in parts)


def _slices(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if _is_array(part) else part for part in parts)


def _only_ones_taken(parts: tuple[Any, ...], shape: Any) -> bool:
    """Whether an index takes away axes of length one, and nothing else."""
    return len(parts) <= len(shape) and all(
        isinstance(part, (int, slice)) and (part == slice(None) or (not isinstance(part, slice) and n == 1))
        for part, n in zip(parts, shape, strict=False)
    )


def _is_places(parts: tuple[Any, ...], shape: tuple[int, ...]) -> bool:
    """Whether an index takes one element out of each last row: ``(arange(n), labels)``."""
    for k, part in enumerate(parts[:-1]):
        array = part.value if isinstance(part, Variable) else part
        if not isinstance(array, np.ndarray) or array.size != shape[k] or not only_ones(array.shape, (shape[k],)):
            return False
        if not np.array_equal(array.reshape(-1), np.arange(shape[k])):
            return False
    return len(parts) > 1


def _take(r: Reader, x: Any, rows: Any, axis: Any = None, **options: Any) -> Expr:
    if axis != 0:
        raise _Unread
    return _rows(r.expression(x), r.indices(rows))


def _rows(x: Expr, rows: Expr) -> Expr:
    """The rows of x that integers name; those of the identity are one-hot."""
    if x.op == "constant" and x.ndim == 2 and np.array_equal(x.payload, np.eye(x.shape[0], x.shape[1])):
        return known.one_hot(rows, x.shape[1])
    return Expr("gather", (x, rows), None, (*rows.shape, *x.shape[1:]))


def _scatter(r: Reader, v: Any, index: Any, shape: Any) -> Expr:
    v = r.expression(v)
    parts, shape = index if isinstance(index, tuple) else (index,), tuple(shape)
    if is_number(v.args[0] if v.op == "broadcast" else v, 0):
        return broadcast(ZERO, shape)
    taken = tuple(part for part in parts if part is not None)
    if _only_ones_taken(taken, shape):
        return reshape(v, shape)
    arrays = [part for part in parts if _is_array(part)]
    if any(part.dtype.kind not in "iu" for part in arrays):
        raise _Unread
    if len(arrays) == len(parts) == len(shape) == len(parts[-1].shape) + 1 and _is_places(parts, shape):
        return multiply(reshape(v, (*v.shape, 1)), known.one_hot(r.indices(parts[-1]), shape[-1]))
    if len(arrays) == 1 == len(parts):
        return Expr("scatter", (v, r.indices(parts[0])), None, shape)
    return Expr("place", (v, *_arrays(r, parts)), _template(parts), shape, _slices(parts))


def _cross_entropy(r: Reader, logits: Any, labels: Any) -> Expr:
    return negative(known.pick(apply("log", exponentials.softmax(r.expression(logits), (-1,))), r.expression(labels)))


def _softmax_minus_one_hot(r: Reader, logits: Any, labels: Any) -> Expr:
    logits = r.expression(logits)
    return add(exponentials.softmax(logits, (-1,)), negative(known.one_hot(r.expression(labels), logits.shape[-1])))


def _squared_error(r: Reader, prediction: Any, target: Any) -> Expr:
    error = add(r.expression(prediction), negative(r.expression(target)))
    return known.total(power(error, 2), tuple(range(1, error.ndim)), False) if error.ndim > 1 else power(error, 2)


def _linear(r: Reader, x: Any, w: Any, b: Any) -> Expr:
    return add(matmul(r.expression(x), r.expression(w)), r.expression(b))


def _tensordot(r: Reader, x: Any, y: Any, axes: Any = 2) -> Expr:
    x, y = r.expression(x), r.expression(y)
    if isinstance(axes, int):
        axes = (tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes)))
    left, right = (tuple(k % z.ndim for k in ks) for ks, z in zip(map(_tuple, axes), (x, y), strict=True))
    kept = [*[n for k, n in enumerate(x.shape) if k not in left], *[n for k, n in enumerate(y.shape) if k not in right]]
    (a, x), (b, y) = scalars_first(x), scalars_first(y)
    return multiply(*a, *b, Expr("contraction", (x, y), (left, right), tuple(kept)))


def _tuple(axes: Any) -> tuple[int, ...]:
    return tuple(axes) if isinstance(axes, (tuple, list)) else (axes,)


def _images(function: Callable[..., Expr]) -> Read:
    """A function of arrays and of options that are no arrays."""
    return lambda r, *args: function(*[r.expression(arg) if isinstance(arg, (Variable, Expr)) else arg for arg in args])


_BY_FUNCTION: dict[Any, Read] = {
    np.add: _elementwise(known.plus), np.multiply: _product, np.divide: _elementwise(exponentials.quotient),
    np.subtract: _elementwise(lambda x, y: add(x, negative(y))), np.negative: _elementwise(negative),
    np.positive: _elementwise(lambda x: x), np.conjugate: _elementwise(lambda x: x), np.power: _power,
    np.float_power: _power, np.reciprocal: _elementwise(lambda x: exponentials.quotient(ONE, x)),
    np.square: _elementwise(lambda x: power(x, 2)), np.sqrt: _elementwise(lambda x: power(x, HALF)),
    np.exp: _elementwise(exponentials.exp), np.log: _elementwise(exponentials.log),
    np.log1p: _elementwise(exponentials.log1p),
    np.expm1: _elementwise(lambda x: add(exponentials.exp(x), number(-1))),
    np.logaddexp: _elementwise(exponentials.logaddexp),
    np.maximum: _elementwise(known.maximum), np.minimum: _function("min"),
    np.absolute: _function("abs"), np.fabs: _function("abs"), np.sign: _function("sign"),
    **{f: _function(f.__name__) for f in (
        np.tanh, np.sinh, np.cosh, np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan, np.isfinite, np.floor,
    )},
    np.greater: _comparison(">"), np.less: _comparison("<"), np.greater_equal: _comparison(">="),
    np.less_equal: _comparison("<="), np.equal: _comparison("=="), np.not_equal: _comparison("!="),
    np.bitwise_and: _elementwise(known.both), np.logical_and: _elementwise(known.both),
    np.invert: _elementwise(known.opposite), np.logical_not: _elementwise(known.opposite),
    np.where: _elementwise(known.where), indexing.where: _elementwise(known.where),
    np.sum: _reduction("sum"), np.max: _reduction("max"), np.min: _reduction("min"), np.mean: _mean, np.std: _std,
    np.transpose: _transpose, np.swapaxes: _swapaxes, np.reshape: _reshape, np.matmul: _matmul,
    np.broadcast_to: lambda r, x, shape: broadcast(r.expression(x), tuple(shape)),
    np.full: lambda r, shape, value, dtype=None: broadcast(r.expression(value), tuple(map(int, shape))),
    np.ones: lambda r, shape, dtype=None: broadcast(ONE, tuple(map(int, shape))),
    np.zeros: lambda r, shape, dtype=None: broadcast(ZERO, tuple(map(int, shape))),
    np.arange: lambda r, n, dtype=None: constant(np.arange(int(n))),
    np.eye: lambda r, n, m=None, dtype=None: constant(np.eye(int(n), int(n if m is None else m))),
    np.copy: lambda r, x: r.expression(x), np.zeros_like: lambda r, x: broadcast(ZERO, r.expression(x).shape),
    shape_functions.astype: _astype,
    np.tensordot: _tensordot, convolution.patches: _images(convolutions.patches),
    convolution.unpatch: _images(convolutions.unpatch), operator.getitem: _index, np.take: _take,
    indexing.scatter_add: _scatter,
    special.softmax_minus_one_hot: _softmax_minus_one_hot, special.cross_entropy: _cross_entropy,
}  # fmt: skip

# Primitives that are made of several calls, and are one thing in mathematics.
_BY_PRIMITIVE: dict[Any, Read] = {
    special.relu: lambda r, x: apply("relu", x), special.sigmoid: lambda r, x: apply("sigmoid", x),
    special.softplus: lambda r, x: apply("softplus", x), special.erf: lambda r, x: apply("erf", x),
    special.normal_cdf: lambda r, x: apply("normal_cdf", x),
    special.softmax: lambda r, x, axis: exponentials.softmax(x, (axis,)),
    special.log_softmax: lambda r, x, axis: apply("log", exponentials.softmax(x, (axis,))),
    special.logsumexp: lambda r, a, axis, keepdims: reduce("logsumexp", a, _axes(axis, a), keepdims),
    special.cross_entropy: _cross_entropy, special.squared_error: _squared_error, special.linear: _linear,
    special.binary_cross_entropy: lambda r, x, t: add(apply("softplus", x), negative(multiply(t, x))),
    reductions.norm: lambda r, a, axis, keepdims: known.norm(a, _axes(axis, a), keepdims),
    np.mean: _mean, np.std: _std, convolution.conv2d: _images(convolutions.convolve),
    convolution.max_pool2d: _images(convolutions.pool),
}  # fmt: skip
