"""Cotangents in which every example still has places of its own.

On the way back from one loss per example, the cotangent of a batch's activations (m, h) has a row for each example,
and this is the cotangent of that example's loss: nobody else's loss has anything there.  As long as that is so,
the gradients of all losses travel through the rules together, in the one array that the ordinary backward computes.
``Rows`` is this array, with a note of the axis along which the examples stand.  Where a rule adds up along that axis,
at a parameter that all examples share, it hands over to arrays that keep the examples apart.

Derivative rules are linear in the cotangent, and so here are only functions that are: each takes one ``Rows`` (or
several, where they are added), and the rest of its operands are the same for all examples.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import math
import operator
import string
from typing import Any, ClassVar

import numpy as np

from ..autodiff import Hidden
from ..vjps import convolution, indexing, products, shapes
from ..vjps.helpers import axes_of, axis_of
from .batched import Batched
from .factors import Factors, rules_of, scattered
from .hidden import Carrier, Rules


class Rows(Carrier):
    """An array of which each example owns certain places along one axis, and which is zero for it elsewhere.

    The axis has the length before * examples * after; its position (b, i, a), counted in that order, is the i-th
    example's.  With before = after = 1 the i-th row is.
    """

    __slots__ = ("_after", "_axis", "_examples")
    rules: ClassVar[Rules] = {}

    def __init__(self, data: Any, level: int, axis: int, examples: int, after: int = 1) -> None:
        self._data = data
        self._level = level
        self._axis = axis
        self._examples = examples
        self._after = after

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example's array."""
        return self._data.shape

    @property
    def axis(self) -> int:
        """The axis along which the examples have their places."""
        return self._axis

    @property
    def examples(self) -> int:
        """The number of examples."""
        return self._examples

    def dense(self) -> Batched:
        """Each example's own array, with all its zeros."""
        apart = self.apart(self._data, self._axis)
        mine = np.eye(self._examples, dtype=bool)
        place = self._axis + 1
        mine = mine.reshape((self._examples,) + (1,) * place + (self._examples,) + (1,) * (apart.ndim - place - 1))
        return Batched(np.where(mine, apart[None], 0).reshape(self._examples, *self.shape), self._level)

    def like(self, data: Any) -> Any:
        """``data`` of the same examples, whose last axes are this array's: a linear function of it, broadcast."""
        return self.moved(data, self._axis + data.ndim - self._data.ndim)

    def moved(self, data: Any, axis: int) -> Any:
        """``data`` of the same examples along another axis; NotImplemented if it does not have that length."""
        if data.shape[axis] != self.shape[self._axis]:
            return NotImplemented
        return Rows(data, self._level, axis, self._examples, self._after)

    def apart(self, array: Any, axis: int) -> Any:
        """An array with ``axis``, which has this one's examples, cut into three: before, examples, after."""
        before = array.shape[axis] // max(self._examples * self._after, 1)
        return array.reshape((*array.shape[:axis], before, self._examples, self._after, *array.shape[axis + 1 :]))

    def own(self, array: Any, example: int) -> Any:
        """One example's places of an array in which the examples stand as in this one."""
        axis = self._axis
        own = self.apart(array, axis).take(example, axis + 1)
        return own.reshape([n for k, n in enumerate(own.shape) if k not in (axis, axis + 1) or n != 1])

    def is_plain(self) -> bool:
        """Whether the numbers are an ordinary array, and not one of an outer level."""
        return isinstance(self._data, np.ndarray)

    def is_same(self, other: Any) -> bool:
        """Whether another operand is the same for all examples."""
        return not isinstance(other, Hidden) or other._level < self._level

    def fits(self, other: Any) -> bool:
        """Whether another operand has the same examples at the same places."""
        return (
            type(other) is Rows
            and other._level == self._level
            and other._examples == self._examples
            and other._after == self._after
            and other.ndim - other._axis == self.ndim - self._axis
            and other.shape[other._axis] == self.shape[self._axis]
        )


def is_zero(value: Any) -> bool:
    """Whether an operand is the number 0, for which alone such functions are linear."""
    return type(value) in (int, float) and value == 0


rule = rules_of(Rows)


# ------------------------------------------------------------------------------------ element by element


def _of_the_first(function):
    def run(x, *others):
        if type(x) is not Rows or not all(map(x.is_same, others)):
            return NotImplemented
        return x.like(function(x._data, *others))

    rule(function)(run)


for _function in np.negative, np.positive, np.divide, np.ldexp, shapes.astype:
    _of_the_first(_function)


@rule(np.multiply)
def _multiply(x, y):
    if type(x) is not Rows:
        x, y = y, x
    return x.like(x._data * y) if x.is_same(y) else NotImplemented


def _of_both(function):
    def run(x, y):
        if type(x) is not Rows or not x.fits(y):
            return NotImplemented
        return x.like(function(x._data, y._data))

    rule(function)(run)


_of_both(np.add)
_of_both(np.subtract)


@rule(np.where, indexing.where)
def _where(condition, x, y):
    first, second = (x, y) if type(x) is Rows else (y, x)
    if type(first) is not Rows or not first.is_same(condition) or not (is_zero(second) or first.fits(second)):
        return NotImplemented
    return first.like(np.where(condition, *[v._data if isinstance(v, Rows) else v for v in (x, y)]))


# ---------------------------------------------------------------------------------- sums, and axes moved


@rule(np.sum)
def _sum(a, axis=None, *, keepdims=False):
    axes, place = axes_of(axis, a.ndim), a._axis
    if place not in axes:
        out = a._data.sum(axis=axes, keepdims=keepdims)
        return a.moved(out, place if keepdims else place - sum(k < place for k in axes))
    if axes == (0,) and a.shape[0] == a.examples and not keepdims:  # the usual case
        return Batched(a._data, a._level)
    apart = a.apart(a._data, place)
    cut = [k + 2 * (k > place) for k in axes if k != place] + [place, place + 2]
    if math.prod([apart.shape[k] for k in cut]) == 1:
        out = apart.reshape([n for k, n in enumerate(apart.shape) if k not in cut])
    else:
        out = apart.sum(axis=tuple(cut))
    out = np.moveaxis(out, place - sum(k < place for k in axes), 0)
    if keepdims:
        out = out.reshape((a.examples, *[1 if k in axes else n for k, n in enumerate(a.shape)]))
    return Batched(out, a._level)


@rule(np.mean)
def _mean(a, axis=None, *, keepdims=False):
    return a.sum(axis=axis, keepdims=keepdims) * (1 / math.prod([a.shape[k] for k in axes_of(axis, a.ndim)]))


@rule(np.flip)
def _flip(m, axis=None):
    return NotImplemented if m._axis in axes_of(axis, m.ndim) else m.like(np.flip(m._data, axis))


@rule(np.roll)
def _roll(a, shift, axis=None):
    axes = None if axis is None else axes_of(tuple(axis) if np.iterable(axis) else axis, a.ndim)
    return NotImplemented if axes is None or a._axis in axes else a.like(np.roll(a._data, shift, axes))


@rule(np.cumsum)
def _cumsum(a, axis=None):
    return NotImplemented if axis is None or axis % a.ndim == a._axis else a.like(np.cumsum(a._data, axis))


@rule(np.concatenate)
def _concatenate(arrays, axis=0):
    first = next(x for x in arrays if type(x) is Rows)
    fit = all(first.fits(x) if type(x) is Rows else first.is_same(x) and not np.any(x) for x in arrays)
    if not fit or axis is None or axis % first.ndim == first._axis:
        return NotImplemented
    return first.like(np.concatenate([x._data if type(x) is Rows else x for x in arrays], axis))


@rule(np.transpose)
def _transpose(a, axes=None):
    order = range(a.ndim)[::-1] if axes is None else axes_of(axes, a.ndim)
    return a.moved(a._data.transpose(axes), order.index(a._axis))


@rule(np.swapaxes)
def _swapaxes(a, axis1, axis2):
    axis1, axis2 = axis_of(axis1, a.ndim), axis_of(axis2, a.ndim)
    return a.moved(a._data.swapaxes(axis1, axis2), {axis1: axis2, axis2: axis1}.get(a._axis, a._axis))


@rule(np.broadcast_to)
def _broadcast_to(array, shape):
    return array.like(np.broadcast_to(array._data, shape))


@rule(np.reshape)
def _reshape(a, shape):
    out = a._data.reshape(shape)
    inner = a._after * math.prod(a.shape[a._axis + 1 :])  # elements from one example to the next
    after = 1
    for axis in range(out.ndim - 1, -1, -1):
        n = out.shape[axis]
        if after * n >= inner * a.examples:
            after, rest = divmod(inner, after)
            whole = n % max(after * a.examples, 1) if after else 1
            return NotImplemented if rest or whole else Rows(out, a._level, axis, a.examples, after)
        after *= n
    return NotImplemented


# --------------------------------------------------------------------------------------------- indexing


def _pairs(index, ndim):
    """For each part of an index of an array with ``ndim`` axes: (axis of the array, axes of the result, the part).

    None where it is not that simple: where index arrays do not stand side by side.
    """
    parts = [p for part in (index if isinstance(index, tuple) else (index,)) for p in _integers(part)]
    missing = ndim - sum(part is not None and part is not Ellipsis for part in parts)
    cut = next((k for k, part in enumerate(parts) if part is Ellipsis), len(parts))
    parts = parts[:cut] + [slice(None)] * missing + parts[cut + 1 :]
    arrays = [k for k, part in enumerate(parts) if _is_array(part)]
    if arrays:
        arrays = [k for k, part in enumerate(parts) if not isinstance(part, slice) and part is not None]
        if arrays != list(range(arrays[0], arrays[-1] + 1)):
            return None
        shape = np.broadcast_shapes(*[np.shape(parts[k]) for k in arrays])
    pairs: list[tuple[Any, range, Any]] = []
    axis = place = 0
    for k, part in enumerate(parts):
        if k in arrays:
            pairs.append((axis, range(place, place + len(shape)), np.broadcast_to(part, shape)))
            place += len(shape) * (k == arrays[-1])
        else:
            width = not isinstance(part, (int, np.integer))
            pairs.append((None if part is None else axis, range(place, place + width), part))
            place += width
        axis += part is not None
    return pairs


def _integers(part):
    if not isinstance(part, np.ndarray):
        return (part,)
    return part.nonzero() if part.dtype.kind == "b" and part.ndim else (part if part.ndim else part.item(),)


def _is_array(part):
    return isinstance(part, np.ndarray)


def _blocks(part, n, block):
    """Whether a slice of an axis of length ``n`` takes whole blocks of examples, in their order."""
    start, stop, step = part.indices(n)
    return step == 1 and start % max(block, 1) == 0 == (stop - start) % max(block, 1)


@rule(operator.getitem)
def _getitem(x, index):
    if type(x) is not Rows or (pairs := _pairs(index, x.ndim)) is None:
        return NotImplemented
    block = x.examples * x._after
    for axis, places, part in pairs:
        if axis == x._axis:
            if not isinstance(part, slice) or not _blocks(part, x.shape[axis], block):
                return NotImplemented
            return Rows(x._data[index], x._level, places[0], x.examples, x._after)
    return NotImplemented


@rule(indexing.scatter_add)
def _scatter_add(v, index=(), shape=()):
    if type(v) is not Rows or (pairs := _pairs(index, len(shape))) is None:
        return NotImplemented
    block = v.examples * v._after
    mine = [(axis, places, part) for axis, places, part in pairs if v._axis in places and axis is not None]
    for axis, places, part in mine:
        if isinstance(part, slice):
            if shape[axis] % max(block, 1) or not _blocks(part, shape[axis], block):
                return NotImplemented
        else:
            own = np.arange(shape[axis]).reshape((-1,) + (1,) * (places[-1] - v._axis))
            if shape[axis] != v.shape[v._axis] or not np.array_equal(part, np.broadcast_to(own, part.shape)):
                continue
        return Rows(indexing.scatter_add(v._data, index, shape), v._level, axis, v.examples, v._after)
    if not mine or any(isinstance(part, slice) for axis, _, part in pairs[: len(mine)]):
        return NotImplemented
    # The places are the same parameters for all examples: here their contributions would be added up.
    arrays = [part for _, _, part in mine]
    moved = np.moveaxis(v.apart(v._data, v._axis), v._axis + 1, 0)
    arrays = [np.moveaxis(v.apart(part, v._axis), v._axis + 1, 0) for part in arrays]
    if len(arrays) == 1 and v.is_plain():
        return scattered(arrays[0].reshape(v.examples, -1), moved, shape, v._level)
    owner = np.arange(v.examples).reshape((-1,) + (1,) * (arrays[0].ndim - 1))
    return Batched(indexing.scatter_add(moved, (owner, *arrays), (v.examples, *shape)), v._level)


@rule(indexing.put)
def _put(x, v, index=()):
    if type(x) is not Rows or not is_zero(v):
        return NotImplemented
    return x.like(indexing.put(x._data, v, index))


# --------------------------------------------------------------------------------------------- products


@rule(np.matmul)
def _matmul(x, y):
    g, other = (x, y) if type(x) is Rows else (y, x)
    if not g.is_same(other):
        return NotImplemented
    if g._axis == (g.ndim - 1 if g is x else max(g.ndim - 2, 0)):  # contracted
        if (
            x.ndim == 2 == y.ndim
            and g.is_plain()
            and isinstance(other, np.ndarray)
            and g.shape[g._axis] == g.examples * g._after
        ):  # the usual case
            a, b = (v._data if v is g else v for v in (x, y))
            pair = [v.reshape(g.examples, g._after, v.shape[1]) for v in (a.T, b)]
            return Factors([tuple(pair)], (a.shape[0], b.shape[1]), g._level)
        stacks = [v.shape[:-2] for v in (x, y) if v.ndim > 2]
        if len(stacks) == 2 and stacks[0] != stacks[1]:
            return NotImplemented
        rows, columns = "r" * (x.ndim > 1), "c" * (y.ndim > 1)
        stack = string.ascii_uppercase[: max(x.ndim, y.ndim) - 2]
        left, right = stack * (x.ndim > 2) + rows + "k", stack * (y.ndim > 2) + "k" + columns
        return _contract(g, [x, y], [left, right], stack + rows + columns)
    out = np.matmul(*[v._data if v is g else v for v in (x, y)])
    axis = out.ndim - (g.ndim - g._axis)
    if other.ndim == 1 and (g is x or g._axis < g.ndim - 1):
        axis += 1
    return g.moved(out, axis)


@rule(np.tensordot)
def _tensordot(a, b, axes=2):
    left, right = axes if np.iterable(axes) else (range(-axes, 0), range(axes))
    left, right = (tuple(k) if np.iterable(k) else (k,) for k in (left, right))
    left, right = axes_of(left, a.ndim), axes_of(right, b.ndim)
    terms = [list(string.ascii_lowercase[: a.ndim]), list(string.ascii_uppercase[: b.ndim])]
    for k, j in zip(left, right, strict=True):
        terms[1][j] = terms[0][k]
    first, second = map("".join, terms)
    free = "".join([label for label in first + second if (label in first) != (label in second)])
    return _einsum([a, b], f"{first},{second}->{free}")


@rule(products.einsum)
def _einsum(operands, subscripts=""):
    given, result = subscripts.split("->")
    terms = given.split(",")
    (g, *others) = sorted(operands, key=lambda v: type(v) is not Rows)
    mine = next(term for term, v in zip(terms, operands, strict=True) if v is g)
    label = mine[g._axis]
    if not all(map(g.is_same, others)) or mine.count(label) > 1:
        return NotImplemented
    if label not in result:
        return _contract(g, operands, terms, result)
    if any(term.count(label) > 1 for term in terms):
        return NotImplemented
    out = products.einsum([v._data if v is g else v for v in operands], subscripts)
    return g.moved(out, result.index(label))


def _contract(g, operands, terms, result):
    """The Einstein sum with ``result`` as its labels, in which the axis of the examples is summed over: kept apart.

    Of two arrays that share no other label of the result it is, for each example, a product of two matrices.
    """
    (mine,) = [k for k, v in enumerate(operands) if v is g]
    label = terms[mine][g._axis]
    before, after = [c for c in string.ascii_letters if c not in "".join(terms)][:2]
    operands, terms = list(operands), list(terms)
    for k, term in enumerate(terms):
        if term.count(label) > 1:
            return NotImplemented
        array = g._data if k == mine else operands[k]
        if label in term:
            array = g.apart(array, term.index(label))
        operands[k], terms[k] = array, term.replace(label, before + label + after)
    if len(terms) == 2 and (factors := _factors(g, operands, terms, label, result)) is not None:
        return factors
    return Batched(products.einsum(operands, f"{','.join(terms)}->{label}{result}"), g._level)


def _factors(g, operands, terms, label, result):
    """Two arrays, each with the axes (example, summed over, kept), if the result is made of the kept ones alone."""
    summed = [c for c in terms[0] if c in terms[1] and c not in result and c != label]
    kept = ["".join([c for c in result if c in term]) for term in terms]
    if any(set(term) - {label, *summed} != set(own) for term, own in zip(terms, kept, strict=True)):
        return None
    if not all(isinstance(v, np.ndarray) for v in operands):
        return None
    if "".join(kept) != result:
        operands, terms, kept = operands[::-1], terms[::-1], kept[::-1]
        if "".join(kept) != result:
            return None
    order = [[term.index(c) for c in (label, *summed, *own)] for term, own in zip(terms, kept, strict=True)]
    moved = [v.transpose(axes) for v, axes in zip(operands, order, strict=True)]
    shape = tuple([n for v in moved for n in v.shape[1 + len(summed) :]])
    times = math.prod(moved[0].shape[1 : 1 + len(summed)])
    left, right = (v.reshape(g.examples, times, math.prod(v.shape[1 + len(summed) :])) for v in moved)
    return Factors([(left, right)], shape, g._level)


# ----------------------------------------------------------------------------------------------- images


@rule(convolution.unpatch)
def _unpatch(p, shape=(), size=(1, 1), stride=(1, 1), padding=(0, 0)):
    if p._axis > 1:
        return NotImplemented
    return p.moved(convolution.unpatch(p._data, shape, size, stride, padding), p._axis)


@rule(convolution.patches)
def _patches(x, size=(1, 1), stride=(1, 1), padding=(0, 0), fill=0.0):
    if x._axis > 1 or fill != 0:
        return NotImplemented
    return x.moved(convolution.patches(x._data, size, stride, padding, fill), x._axis)
