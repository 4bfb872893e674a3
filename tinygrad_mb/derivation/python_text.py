"""Calls as Python expressions, with the brackets that they need and no others."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ..errors import NotDifferentiableError
from ..vjps import shapes as shape_rules
from ..vjps import special
from .program import Call, Variable
from .ranks import AND, ATOM, COMPARE, OR, POWER, PRODUCT, SHIFT, SIGN, SUM, XOR
from .sizes import form_of


class Text(NamedTuple):
    """An expression, and how tightly its outermost operator binds."""

    code: str
    rank: int

    def within(self, rank: int) -> str:
        """The expression as an operand of an operator that binds as tightly as ``rank``."""
        return self.code if self.rank >= rank else f"({self.code})"


_INFIX: dict[Any, tuple[str, int]] = {
    np.add: ("+", SUM), np.subtract: ("-", SUM), np.multiply: ("*", PRODUCT), np.divide: ("/", PRODUCT),
    np.matmul: ("@", PRODUCT), np.floor_divide: ("//", PRODUCT), np.remainder: ("%", PRODUCT),
    np.less: ("<", COMPARE), np.less_equal: ("<=", COMPARE), np.greater: (">", COMPARE),
    np.greater_equal: (">=", COMPARE), np.equal: ("==", COMPARE), np.not_equal: ("!=", COMPARE),
    np.bitwise_and: ("&", AND), np.bitwise_or: ("|", OR), np.bitwise_xor: ("^", XOR),
    np.left_shift: ("<<", SHIFT), np.right_shift: (">>", SHIFT),
}  # fmt: skip
_PREFIX = {np.negative: "-", np.positive: "+", np.invert: "~"}
_METHODS = frozenset({np.sum, np.mean, np.max, np.min, np.var, np.std, np.prod, np.argmax, np.argmin, np.cumsum})

Operand = Callable[[Any], Text]


def expression(call: Call, operand: Operand) -> Text:
    """A call as an expression, ``operand`` giving the text of each of its variables."""
    function, args, kwargs = call.function, call.args, call.kwargs

    def show(value: Any) -> Text:
        return argument(value, operand)

    if not kwargs:
        if function in _INFIX and len(args) == 2:
            return _infix(call, [_operand(a, call, show) for a in args])
        if function in _PREFIX:
            return Text(_PREFIX[function] + show(args[0]).within(SIGN), SIGN)
        if function is np.square:
            return Text(f"{show(args[0]).within(ATOM)}**2", POWER)
        if function is np.power:
            return Text(f"{show(args[0]).within(ATOM)}**{show(args[1]).within(SIGN)}", POWER)
        if function is operator.getitem:
            return Text(f"{show(args[0]).within(ATOM)}[{_index(args[1], show)}]", ATOM)
        if function is np.transpose:
            x = show(args[0]).within(ATOM)
            return Text(f"{x}.T" if len(args) == 1 else f"{x}.transpose({_sizes(args[1], show)})", ATOM)
        if function is np.swapaxes:
            return Text(f"{show(args[0]).within(ATOM)}.swapaxes({args[1]}, {args[2]})", ATOM)
        if function is np.reshape:
            return Text(f"{show(args[0]).within(ATOM)}.reshape({_sizes(args[1], show)})", ATOM)
        if function is shape_rules.astype:
            return Text(f"{show(args[0]).within(ATOM)}.astype({_dtype(args[1])})", ATOM)
        if function is np.broadcast_to and isinstance(args[0], Variable) and all(str(n) == "1" for n in args[0].shape):
            return Text(f"np.full({show(args[1]).code}, {show(args[0]).code})", ATOM)  # an array that can be written to
        if function is np.full and len(args) == 2 and form_of(args[1]) is None and args[1] in (0, 1):
            return Text(f"np.{'ones' if args[1] else 'zeros'}({show(args[0]).code})", ATOM)
    options = [f"{key}={show(value).code if key != 'dtype' else _dtype(value)}" for key, value in kwargs.items()]
    if function in _METHODS and isinstance(args[0], Variable):
        more = [show(a).code for a in args[1:]]
        return Text(f"{show(args[0]).within(ATOM)}.{function.__name__}({', '.join([*more, *options])})", ATOM)
    return Text(f"{function_name(function)}({', '.join([*[show(a).code for a in args], *options])})", ATOM)


def _operand(value: Any, call: Call, show: Callable[[Any], Text]) -> Text:
    """An operand; a whole number beside floating-point ones is written without a point."""
    floats = any(isinstance(a, Variable) and a.dtype.kind == "f" for a in call.args)
    if isinstance(value, float) and form_of(value) is None and floats and value.is_integer() and abs(value) < 1e6:
        value = int(value)
    text = show(value)
    if isinstance(value, float) and "np." in text.code and call.out.dtype != np.float64 and math.isfinite(value):
        return Text(repr(value), ATOM if value >= 0 else SIGN)  # np.sqrt(2) would make single precision double
    return text


def _infix(call: Call, texts: list[Text]) -> Text:
    function, args = call.function, call.args
    sign, rank = _INFIX[function]
    if function is np.multiply:
        for k in (0, 1):
            form = form_of(args[k])
            if form is not None and form.exponent < 0:  # x * (1 / m) is x / m, and x * (2 / m) is 2 / m * x
                if form.fraction[0] == 1:
                    return Text(f"{texts[1 - k].within(PRODUCT)} / {texts[k].code.removeprefix('1 / ')}", PRODUCT)
                return Text(f"{texts[k].code} * {texts[1 - k].within(PRODUCT + 1)}", PRODUCT)
        if isinstance(args[1], (int, float)):
            texts = texts[::-1]
    if rank == COMPARE:
        return Text(f"{texts[0].within(OR)} {sign} {texts[1].within(OR)}", COMPARE)
    return Text(f"{texts[0].within(rank)} {sign} {texts[1].within(rank + 1)}", rank)


def argument(value: Any, operand: Operand) -> Text:
    """An argument of a call as Python writes it."""
    if isinstance(value, Variable):
        return operand(value)
    if isinstance(value, np.ndarray):
        return Text(array_text(value), ATOM)
    if isinstance(value, np.generic):
        return Text(f"np.{value!r}".replace("np.np.", "np."), ATOM)
    if isinstance(value, float) and not math.isfinite(value):
        return Text(
            "np.nan" if math.isnan(value) else "np.inf" if value > 0 else "-np.inf", ATOM if value > 0 else SIGN
        )
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        form = form_of(value)
        if form is not None:
            plain = form.factor == 1 and form.exponent == 1 and not form.offset
            return Text(repr(value), ATOM if plain or (form.offset and form.exponent == 1) else PRODUCT)
        return _number(value)
    if isinstance(value, (tuple, list)):
        parts = [argument(part, operand).code for part in value]
        if isinstance(value, list):
            return Text(f"[{', '.join(parts)}]", ATOM)
        return Text(f"({', '.join(parts)}{',' if len(parts) == 1 else ''})", ATOM)
    if isinstance(value, slice):
        return Text(
            f"slice({', '.join([argument(p, operand).code for p in (value.start, value.stop, value.step)])})", ATOM
        )
    if isinstance(value, (np.dtype, type)):
        return Text(_dtype(value), ATOM)
    if value is Ellipsis:
        return Text("...", ATOM)
    return Text(repr(value), ATOM)


_ROOTS = {math.sqrt(2 / math.pi): "np.sqrt(2 / np.pi)", math.sqrt(2 * math.pi): "np.sqrt(2 * np.pi)"}


def _number(value: float) -> Text:
    """A number; what has many digits as the fraction or the root that it is, if it is one to the last digit."""
    size = abs(value)
    if isinstance(value, float) and 1e-3 < size < 1e3 and len(repr(size)) > 14:
        near = Fraction(size).limit_denominator(1000)
        square = round(size * size)
        if near and near.numerator / near.denominator == size:
            return Text(f"{'-' if value < 0 else ''}{near.numerator} / {near.denominator}", PRODUCT)
        root = f"np.sqrt({square})" if math.sqrt(square) == size else _ROOTS.get(size)
        under = round(1 / size**2)
        if root is None and under and 1 / math.sqrt(under) == size:
            return Text(f"{'-' if value < 0 else ''}1 / np.sqrt({under})", PRODUCT)
        if root is not None:
            return Text(root, ATOM) if value > 0 else Text(f"-{root}", SIGN)
    return Text(repr(value), ATOM if value >= 0 else SIGN)


def _index(index: Any, show: Callable[[Any], Text]) -> str:
    parts = index if isinstance(index, tuple) else (index,)
    if not parts:
        return "()"
    texts = []
    for part in parts:
        if isinstance(part, slice):
            ends = ["" if end is None else show(end).code for end in (part.start, part.stop, part.step)]
            texts.append(":".join(ends[: 2 if part.step is None else 3]))
        else:
            texts.append("None" if part is None else show(part).code)
    return ", ".join(texts)


def index_text(index: Any, operand: Operand) -> str:
    """An index as it stands between square brackets."""
    return _index(index, lambda value: argument(value, operand))


def _sizes(sizes: Any, show: Callable[[Any], Text]) -> str:
    several = isinstance(sizes, (tuple, list)) and len(sizes) > 0
    return ", ".join([show(n).code for n in sizes]) if several else show(sizes).code


def _dtype(dtype: Any) -> str:
    name = np.dtype(dtype).name
    return {"float64": "float", "int64": "int", "bool": "bool"}.get(name, f"np.{name}")


MOST_NUMBERS = 200


def array_text(array: np.ndarray[Any, Any]) -> str:
    """A constant array as Python writes it; raises for one that is too large to be read."""
    if array.size == 0:
        return _with_dtype("np.zeros", f"{array.shape}", array)
    if array.ndim and (array == array.flat[0]).all():
        return _with_dtype("np.full", f"{array.shape}, {array.flat[0].item()!r}", array)
    if array.ndim == 1 and array.dtype.kind == "i" and (array == np.arange(len(array))).all():
        return _with_dtype("np.arange", str(len(array)), array)
    if array.ndim == 2 and (array == np.eye(*array.shape)).all():
        return _with_dtype("np.eye", ", ".join(map(str, dict.fromkeys(array.shape))), array)
    if array.size > MOST_NUMBERS:
        raise NotDifferentiableError(
            f"derive: the function uses a constant array of shape {array.shape}, which is too large to be written out: "
            "pass it as an argument"
        )
    text = repr(array.tolist()).replace("nan", "np.nan").replace("inf", "np.inf")
    return _with_dtype("np.array", text, array)


def _with_dtype(function: str, args: str, array: np.ndarray[Any, Any]) -> str:
    code = f"{function}({args})"
    usual = eval(code, {"np": np}).dtype == array.dtype
    return code if usual else f"{function}({args}, dtype={_dtype(array.dtype)})"


def function_name(function: Any) -> str:
    """A NumPy function by the name under which a program calls it.

    Raises ``NotDifferentiableError`` for what is no function of NumPy's.
    """
    if function is special.erf:  # defined above the lines that call it
        return "erf"
    ufunc = getattr(function, "__self__", None)
    if isinstance(ufunc, np.ufunc):
        return f"np.{ufunc.__name__}.{function.__name__}"
    name = getattr(function, "__name__", "")
    for path in (name, f"linalg.{name}", f"fft.{name}", f"lib.stride_tricks.{name}"):
        try:
            if operator.attrgetter(path)(np) is function:
                return f"np.{path}"
        except AttributeError:
            continue
    raise NotDifferentiableError(
        f"derive: {name or function!r} is not made of NumPy's functions alone, so it cannot be written out as NumPy"
    )
