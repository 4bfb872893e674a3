"""Expressions as text: how tightly each holds together; what signs look like is left open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from .examples import ELEMENTWISE, example_axis, has_elements, takes_places
from .expressions import Expr, Shape, constant, is_number, is_places, multiply, only_ones, rational
from .indices import LETTERS, Indices, operands
from .marks import Part
from .program import Variable
from .ranks import ATOM, CHAIN, POWER, PRODUCT, SUM
from .sizes import form_of

_FEW = 6  # numbers of an array that are written out
_WIDE = frozenset(("sum", "examples", "kernels"))  # they stand behind a fraction, and not in it
_MOVING = frozenset((  # where it has no example of its own, its operands are whole
    "matmul", "outer", "transpose", "scatter", "place", "contraction", "call",
))  # fmt: skip


class Printer(Indices):
    """Writes expressions.

    names      those of variables, by what their expressions hold
    constants  a number for each constant array
    tables     what is written for constant arrays that have names
    """

    def __init__(
        self,
        names: dict[int, Callable[[tuple[str, ...]], str]],
        constants: dict[Expr, int] | None = None,
        tables: dict[Expr, str] | None = None,
    ) -> None:
        super().__init__()
        self.names = names
        self.constants, self.tables = constants or {}, tables or {}

    def write(self, x: Expr) -> str:
        """An expression."""
        return self.part(x)[0]

    def within(self, x: Expr, rank: int) -> str:
        """An expression as a part of one that holds together that tightly."""
        text, own = self.part(x)
        return text if own >= rank else self.brackets(text)

    def part(self, x: Expr) -> Part:
        """An expression, and how tightly it holds together."""
        below = self.indices_of(x)
        if not has_elements(x, max([k for k, letter in enumerate(below, 1) if letter], default=0)):
            with self.each(()), self.among(None):
                return self.indexed(self.within(x, ATOM), list(below)), ATOM
        if self.sizes and not below and not self.whole and x.op in _MOVING:
            with self.each(()):
                return self.part(x)
        writer: Callable[[Expr], Part] = getattr(self, f"_{x.op}")
        if x.op == "reshape" or (x.op in ELEMENTWISE and self.joint is not None):
            return writer(x)
        if x.op not in ELEMENTWISE:
            if self.says_axes and self.joint is not None and 0 < x.ndim < len(self.joint):
                return self.row(x)
            with self.among(None):
                return writer(x)
        with self.among(x.shape, not all(map(partial(self.is_clear, x.shape), operands(x)))):
            return writer(x)

    def row(self, x: Expr) -> Part:
        """An operand that has fewer axes than its neighbours, where these say which of the axes are theirs."""
        wide = Expr("reshape", (x,), None, (*[1] * (len(self.joint or ()) - x.ndim), *x.shape))
        return self._reshape(wide)

    # ---------------------------------------------------------------------------------------------- operations

    def _variable(self, x: Expr) -> Part:
        return self.names[x.data](self.indices_of(x)), ATOM

    def _number(self, x: Expr) -> Part:
        return self.signed(x.data, ())

    def _size(self, x: Expr) -> Part:
        return x.data[0], ATOM

    def _add(self, x: Expr) -> Part:
        # a person starts with what is not subtracted, and puts numbers first: 1 - h²
        one_minus = any(map(_leads_negative, x.args))
        terms = sorted(x.args, key=lambda t: (_leads_negative(t), is_number(t) != one_minus))
        text = ""
        for term in terms:
            piece = self.within(term, PRODUCT)
            if not text:
                text = piece
            elif piece.startswith(self.minus):
                text += f" {self.minus} {piece.removeprefix(self.minus).lstrip()}"
            else:
                text += f" + {piece}"
        return text, SUM

    def _multiply(self, x: Expr) -> Part:
        above = [f for f in x.args if f.op != "power" or f.data > 0]
        below = [
            Expr("power", f.args, -f.data, f.shape) if f.data != -1 else f.args[0] for f in x.args if f not in above
        ]
        front = [f for f in above if not self.seen(f) and f.op not in _WIDE]
        arrays = [f for f in above if f not in front]
        if any(self.seen(f) for f in below) and not any(f.op in _WIDE for f in arrays):
            front, arrays = above, []
        size = abs(x.data)
        (top, bottom), sign = self.quotient(size), self.minus if x.data < 0 else ""
        over = self.joined(top, front)
        under = self.joined(bottom, below)
        if not arrays:
            if not under:
                return f"{sign}{self.joined(top, front) or '1'}", PRODUCT if sign or len(front) > 1 or top else CHAIN
            return self.signed_fraction(sign, over or "1", under)
        if len(arrays) == 1:
            body, rank = self.part(arrays[0])
            if rank < PRODUCT or (sign == over == under == "" and rank < CHAIN):
                body = self.brackets(body)
        else:
            body = self.dotted(arrays)
        if len(front) == 1 and not top and not under:
            over = self.within(front[0], POWER if front[0].op == "apply" else CHAIN)
        prefix = self.factor(sign, over or "1", under) if under else sign + over
        separated = prefix if prefix in ("", self.minus) else f"{prefix}{self.gap(prefix, body)}"
        return f"{separated}{body}", PRODUCT

    def joined(self, count: str, factors: list[Expr]) -> str:
        """A number and factors side by side; arrays among them with the sign of their product."""
        scalars = [f for f in factors if not self.seen(f)]
        arrays = [f for f in factors if self.seen(f)]
        rank = CHAIN if len(scalars) + len(arrays) == 1 and not count else POWER
        if len(factors) == 1 and not count:
            return self.part(factors[0])[0]
        text = count
        for f in scalars:
            piece = self.within(f, CHAIN if f is factors[-1] else rank)
            text = f"{text}{self.gap(text, piece)}{piece}" if text else piece
        if arrays:
            piece = self.dotted(arrays) if len(arrays) > 1 else self.within(arrays[0], CHAIN)
            text = f"{text}{self.gap(text, piece)}{piece}" if text else piece
        return text

    def dotted(self, factors: list[Expr]) -> str:
        """A product element by element; only at its end needs a function no parentheses."""
        last = CHAIN if factors[-1].op == "apply" else POWER
        return self.dot.join([*[self.within(f, POWER) for f in factors[:-1]], self.within(factors[-1], last)])

    def signed(self, value: Any, factors: tuple[Expr, ...]) -> Part:
        """A number."""
        if not isinstance(value, Fraction):
            infinite = self.infinity if value == value else "nan"
            return (infinite, ATOM) if not value < 0 else (self.minus + infinite, PRODUCT)
        (top, bottom), sign = self.quotient(abs(value)), self.minus if value < 0 else ""
        if bottom:
            return self.signed_fraction(sign, top or "1", bottom)
        return sign + (top or "1"), PRODUCT if sign or " " in top else ATOM

    def _power(self, x: Expr) -> Part:
        base, exponent = x.args[0], x.data
        if exponent < 0:
            inverse = base if exponent == -1 else Expr("power", (base,), -exponent, x.shape)
            return self.signed_fraction("", "1", self.write(inverse))
        if exponent == Fraction(1, 2):
            if base.op == "sum" and base.args[0].op == "power" and base.args[0].data == 2 and self._is_norm(base):
                with self.among(None):
                    return self.norm(self.write(base.args[0].args[0])), ATOM
            return self.root(self.write(base), self.within(base, ATOM)), POWER
        return self.raised(base, exponent), POWER

    def _is_norm(self, x: Expr) -> bool:
        return len(x.data[0]) == x.args[0].ndim and example_axis(x.args[0]) is None

    def _sum(self, x: Expr) -> Part:
        axes, inside = x.data[0], x.args[0]
        if inside.op == "power" and inside.data == 2 and self._is_norm(x):
            return self.square(self.norm(self.write(inside.args[0]))), POWER
        if example_axis(inside) is None and len(axes) == inside.ndim:
            plain = LETTERS[1 : 1 + inside.ndim]
            with self.each(inside.shape, plain, whole=True):
                return f"{self.over(plain)}{self.within(inside, PRODUCT)}", PRODUCT
        if example_axis(inside) != 0:
            return f"{self.over(self.axis_letters(x))}{self.within(inside, PRODUCT)}", PRODUCT
        done, n = len(self.indices_of(inside)), len(axes)
        if axes == tuple(range(done, done + n)) and (done or n):
            free = iter([letter for letter in LETTERS if letter not in self.indices[:done]])
        elif axes == tuple(range(n)):
            done, free = 0, iter([letter for letter in LETTERS if letter not in self.indices])
        else:
            return f"{self.over(self.axis_letters(x))}{self.within(inside, PRODUCT)}", PRODUCT
        end = done + n
        new = [next(free) if inside.shape[k] != 1 or k == 0 else "" for k in range(done, end)]  # one place: no index
        with self.each(inside.shape[:end], (*self.indices[:done], *new), whole=end == inside.ndim):
            body = self.within(inside, PRODUCT)
        sums = (self.over_examples(new[0]) + self.over("".join(new[1:]))) if done == 0 else self.over("".join(new))
        return f"{sums}{body}", PRODUCT

    def _max(self, x: Expr) -> Part:
        return self.function(x.op, self.write(x.args[0]), self.axis_letters(x)), ATOM

    _min = _max
    _logsumexp = _max

    def _softmax(self, x: Expr) -> Part:
        return self.function("softmax", self.write(x.args[0]), "" if x.data == (x.ndim - 1,) else str(x.data)), ATOM

    def _matmul(self, x: Expr) -> Part:
        a, b = x.args
        stack = len(self.indices_of(x))
        left = self.within(a, CHAIN)
        if a.ndim == 1 == b.ndim:
            left = self.transposed(self.within(a, ATOM))
        if stack > b.ndim - 2 and example_axis(b) == 0:  # the rows of a product have the whole right factor
            with self.each(self.sizes[: b.ndim - 2], "".join(self.indices[: b.ndim - 2])):
                right = self.within(b, CHAIN)
        else:
            right = self.within(b, CHAIN)
        return f"{left}{self.gap(left, right)}{right}", CHAIN

    def _outer(self, x: Expr) -> Part:
        a, b = x.args
        left = self.within(a, CHAIN)
        with self.each(()):  # a row has the whole right factor
            right = self.transposed(self.within(b, ATOM))
        return f"{left}{self.gap(left, right)}{right}", CHAIN

    def _examples(self, x: Expr) -> Part:
        """A product that sums over the examples, and over the places in them if there are any, written out."""
        first, second = x.args[:2]
        lead = first.ndim - 1 if first.ndim == second.ndim else 1
        products = []
        with self.each(first.shape[:lead]):
            for a, b in zip(x.args[::2], x.args[1::2], strict=True):
                left, right = self.element(a, lead, ATOM), self.element(b, lead, CHAIN)
                left = self.transposed(left) if a.ndim > lead else left
                products.append(f"{left}{self.gap(left, right)}{right}")
        body = " + ".join(products)
        body = self.brackets(body) if len(products) > 1 else body
        return f"{self.over_examples()}{self.over(LETTERS[1:lead])}{body}", PRODUCT

    def _transpose(self, x: Expr) -> Part:
        n = x.ndim
        if x.data in ((1, 0), (*range(n - 2), n - 1, n - 2)):
            return self.transposed(self.within(x.args[0], ATOM)), ATOM
        return self.function("transpose", self.write(x.args[0]), "".join(map(str, x.data))), ATOM

    def _reshape(self, x: Expr) -> Part:
        inside = x.args[0]
        if not only_ones(x.shape, inside.shape):
            with self.among(None):
                return self.function("reshape", self.write(inside), self.sizes_of(x)), ATOM
        joint = x.shape if self.joint is None else self.joint
        shape = (*[1] * (len(joint) - x.ndim), *x.shape)
        hidden = len(self.sizes)
        letters = [a for a, n in zip(self.indices, shape, strict=False) if n != 1]
        axes = [k for k, n in enumerate(inside.shape) if n != 1][: len(letters)]
        lead = axes[-1] + 1 if axes else 0
        below = "".join(letters[axes.index(k)] if k in axes else " " for k in range(lead))
        says_axes = self.says_axes if self.joint is not None else inside.ndim < x.ndim
        with self.each(inside.shape[:lead], below, self.whole), self.among(None):
            if not says_axes or all(n == 1 for n in shape[hidden:]):
                return self.part(inside)
            seen = len(self.indices_of(inside))
            index = self.new_axes(inside.shape[seen:], shape[max(hidden, len(joint) - x.ndim) if seen else -x.ndim :])
            return self.indexed(self.within(inside, ATOM), index), ATOM

    def _broadcast(self, x: Expr) -> Part:
        inside = x.args[0]
        if is_number(inside, 1) and not inside.shape:
            return self.ones, ATOM
        if is_number(inside, 0):
            return "0", ATOM
        text = self.within(inside, CHAIN)
        if inside.shape[-1:] == x.shape[-1:]:
            return f"{self.ones}{self.gap(self.ones, text)}{text}", CHAIN
        ones = self.transposed(self.ones) if x.ndim == 2 else self.ones
        return f"{text}{self.gap(text, ones)}{ones}", CHAIN

    def _apply(self, x: Expr) -> Part:
        inside = [self.write(arg) for arg in x.args]
        if x.data == "exp":
            return self.exponential(x.args[0])
        if x.data == "abs":
            return self.bars(inside[0]), ATOM
        if x.data == "softplus":
            return self.function("log", f"1 + {self.exponential(x.args[0])[0]}", ""), ATOM
        if x.data == "power":
            return self.raised_to(self.within(x.args[0], ATOM), inside[1]), POWER
        if x.data == "relu":
            return self.function("max", f"0, {inside[0]}", ""), ATOM
        if x.data == "log" and x.args[0].op in ("variable", "pick", "index", "gather"):
            text = self.function("log", inside[0], "", bare=True)
            return text, CHAIN
        return self.function(x.data, ", ".join(inside), ""), ATOM

    def _compare(self, x: Expr) -> Part:
        return f"[{self.write(x.args[0])} {self.signs[x.data]} {self.write(x.args[1])}]", ATOM

    def _not(self, x: Expr) -> Part:
        return f"1 {self.minus} {self.within(x.args[0], PRODUCT)}", SUM

    def _where(self, x: Expr) -> Part:
        condition, a, b = x.args
        chosen, other = multiply(condition, a), multiply(Expr("not", (condition,), None, condition.shape), b)
        terms = [t for t in (chosen, other) if not is_number(t.args[0] if t.op == "broadcast" else t, 0)]
        return self.part(Expr("add", tuple(terms), None, x.shape) if len(terms) > 1 else terms[0])

    def _pick(self, x: Expr) -> Part:
        inside, labels = x.args
        label, places = self.place(labels), self.indices_of(labels)
        if len(places) < labels.ndim:
            places = tuple([self.all_places(labels.shape, k) for k in range(labels.ndim)])
            with self.each(()):
                label = self.write(labels)
        if inside.op == "variable":
            return self.names[inside.data]((*places, label)), ATOM
        with self.each(()):
            text = self.within(inside, ATOM)
        return self.indexed(text, [*places, label]), ATOM

    def place(self, x: Expr) -> str:
        """An index by integers; of those that name each place, the letter of that place where it has one."""
        below = self.indices_of(x)
        return below[0] if below and is_places(x) else self.write(x)

    def all_places(self, shape: Shape, axis: int) -> str:
        """All places along an axis, as part of an index by arrays that broadcast to a shape."""
        text, after = self.function("arange", str(shape[axis]), ""), len(shape) - axis - 1
        return self.indexed(text, [self.any, *[self.new] * after]) if after else text

    def _onehot(self, x: Expr) -> Part:
        return self.function("onehot", self.write(x.args[0]), ""), ATOM

    def _gather(self, x: Expr) -> Part:
        return self.indexed(self.within(x.args[0], ATOM), [self.write(x.args[1])]), ATOM

    def _scatter(self, x: Expr) -> Part:
        values, rows = x.args
        left, right = self.transposed(self.function("onehot", self.write(rows), "")), self.within(values, CHAIN)
        return f"{left}{self.gap(left, right)}{right}", CHAIN

    def _index(self, x: Expr) -> Part:
        inside = x.args[0]
        if takes_places(x):
            parts = self.index_of(x)
            with self.each(()):
                return self.indexed(self.within(inside, ATOM), parts), ATOM
        if inside.op == "variable":
            below, parts = self.indices_of(inside), self.index_of(x)
            if all(part == self.any for part in parts[: len(below)]):
                return self.names[inside.data]((*below, *parts[len(below) :])), ATOM
        return self.indexed(self.within(x.args[0], ATOM), self.index_of(x)), ATOM

    def index_of(self, x: Expr) -> list[str]:
        """The parts of an index."""
        arrays = iter(x.args[1:])
        return [
            self.place(next(arrays)) if part == "·" else self.sliced(p)
            for part, p in zip(x.data, x.payload, strict=True)
        ]

    def sliced(self, part: Any) -> str:
        """A slice or a number as part of an index."""
        if isinstance(part, slice):
            if part == slice(None):
                return self.any
            text = ":".join("" if end is None else str(end) for end in (part.start, part.stop, part.step))
            return text.removesuffix(":") if part.step is None else text
        return "..." if part is Ellipsis else self.new if part is None else str(part)

    def _place(self, x: Expr) -> Part:
        return self.placed(self.write(x.args[0]), self.index_of(x)[len(self.indices_of(x)) :]), ATOM

    def _convolution(self, x: Expr) -> Part:
        a, b = x.args
        return f"{self.within(a, ATOM)} {self.star} {self.within(b, ATOM)}", CHAIN

    def _deconvolution(self, x: Expr) -> Part:
        a, b = x.args
        star = self.transposed(self.star)
        return f"{self.within(a, ATOM)} {star} {self.within(b, ATOM)}", CHAIN

    def _kernels(self, x: Expr) -> Part:
        a, b = x.args
        with self.each(a.shape[:1]):
            left, right = self.element(a, 1, ATOM), self.element(b, 1, ATOM)
            return f"{self.over_examples()}{left} {self.star} {right}", PRODUCT

    def element(self, x: Expr, lead: int, rank: int) -> str:
        """One element along the leading axes, which are those of ``each``; it says so where they are no examples'."""
        if example_axis(x) == 0:
            return self.within(x, rank)
        below = list(self.indices[:lead])
        if x.op == "variable":
            return self.names[x.data](tuple(below))
        with self.each(()):
            return self.indexed(self.within(x, ATOM), below)

    def _pool(self, x: Expr) -> Part:
        size = self.cross.join(map(str, x.data[0]))
        return self.function("maxpool", self.write(x.args[0]), size), ATOM

    def _unpool(self, x: Expr) -> Part:
        return self.function("unpool", f"{self.write(x.args[0])}; {self.write(x.args[1])}", ""), ATOM

    def _patches(self, x: Expr) -> Part:
        return self.function(x.op, self.write(x.args[0]), self.cross.join(map(str, x.data[0]))), ATOM

    def _unpatch(self, x: Expr) -> Part:
        return self.function(x.op, self.write(x.args[0]), self.cross.join(map(str, x.data[1]))), ATOM

    def _contraction(self, x: Expr) -> Part:
        pairs = ", ".join(f"{j}{k}" for j, k in zip(*x.data, strict=True))
        return self.function("tensordot", ", ".join(map(self.write, x.args)), pairs), ATOM

    def _constant(self, x: Expr) -> Part:
        if x in self.tables:
            return self.tables[x], ATOM
        if is_places(x) and (form_of(x.shape[0]) or x.shape[0] > _FEW):
            text, below = self.all_places(x.shape, 0), self.indices_of(x)
            return self.indexed(text, list(below)) if below else text, ATOM
        if x.ndim == 2 and np.array_equal(x.payload, np.eye(*x.payload.shape)):
            return self.function("eye", ", ".join(map(str, dict.fromkeys(x.shape))), ""), ATOM
        if x.payload is not None and x.ndim == 1 and x.shape[0] <= _FEW and x.payload.dtype.kind in "fiub":
            return self.listing([self.signed(rational(n), ())[0] for n in x.payload.tolist()]), ATOM
        number = str(self.constants[x]) if len(self.constants) > 1 else ""
        return self.function("const", self.cross.join(map(str, x.shape)), number), ATOM

    def _call(self, x: Expr) -> Part:
        operands = iter(map(self.write, x.args))
        options = [f"{self.option(key)}={self.said(v, operands)}" for key, v in x.payload.kwargs.items()]
        inside = [*[self.said(v, operands) for v in x.payload.args if v is not None], *options]
        return self.function(x.data[0].strip("_"), ", ".join(inside), ""), ATOM

    def said(self, value: Any, operands: Iterator[str]) -> str:
        """An argument of a call; variables in it are the next operands."""
        if isinstance(value, Variable):
            return next(operands)
        if isinstance(value, (tuple, list)):
            return f"[{', '.join([self.said(part, operands) for part in value])}]"
        if isinstance(value, np.ndarray):
            return self.write(constant(value))
        if isinstance(value, slice):
            return self.sliced(value)
        return self.option("..." if value is Ellipsis else getattr(value, "__name__", str(value)))


def _leads_negative(term: Expr) -> bool:
    return (term.op == "multiply" or is_number(term)) and term.data < 0
