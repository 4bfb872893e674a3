"""What a derivative rule does, as a formula: read from the rule's own source, with the operands' names put in.

``lambda g, out: g * (1 - out * out)``, the rule of tanh, reads ``δ ⊙ (1 - h²)`` where the result is called h.
Shapes and options are known, so what follows from them alone is a number.  Helpers that rules call, and rules that are
functions, have a phrase each; a user's rule that is not a lambda, has no source, or does what there is no sign for
here, is named as a call.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import ast
import functools
import inspect
import linecache
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from ..graph import Node
from ..primitives import Rule, is_own

DELTA = "δ"
_SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(1, 6)  # how tightly an expression holds together


class Term(NamedTuple):
    """A part of a formula: its text, how tightly that holds together, its shape if known, its value if a number."""

    text: str
    rank: int = _ATOM
    shape: tuple[int, ...] | None = None
    value: Any = None

    def within(self, rank: int) -> str:
        """The text as a part of an expression that holds together that tightly."""
        return self.text if self.rank >= rank else f"({self.text})"


class _Shaped:
    """Stands for an array of which only the shape is known: whatever asks for more raises."""

    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.ndim = len(shape)

    def __eq__(self, other: object) -> bool:
        raise TypeError

    def __bool__(self) -> bool:
        raise TypeError


class _Unknown(Exception):  # noqa: N818
    """A part of a rule that there is no sign for."""


def formula(rule: Rule, node: Node, position: int, label: Callable[[Any], str]) -> str:
    """What the rule of ``node`` for its operand at ``position`` makes of δ, with ``label`` naming nodes and numbers."""
    op = node.op
    assert op is not None
    terms = {"g": Term(DELTA, shape=node.shape), "out": _operand(node, label)}
    known: dict[str, Any] = {"g": _Shaped(node.shape), "out": _Shaped(node.shape)}
    if op.variadic:
        shapes = [getattr(x, "shape", ()) for x in node.inputs]
        known |= {"i": position, op.names[0]: [_Shaped(s) for s in shapes], f"{op.names[0]}_shapes": shapes}
    else:
        for name, x in zip(op.names, node.inputs, strict=False):
            terms[name] = _operand(x, label)
            known[name] = _Shaped(x.shape) if isinstance(x, Node) else x
            known[f"{name}_shape"] = getattr(x, "shape", ())
    known |= dict(zip(op.names[op.arrays :], node.params, strict=True))
    fn = inspect.unwrap(rule.fn)
    closure = inspect.getclosurevars(fn).nonlocals if inspect.isfunction(fn) else {}
    known = {name: x for name, x in closure.items() if isinstance(x, (int, float))} | known
    writer = _Writer(terms, known, {**getattr(fn, "__globals__", {}), **closure})
    if isinstance(body := _body(fn), ast.expr):
        with suppress(_Unknown):
            return writer.visit(body).text
    name = fn.__name__.replace("<lambda>", "its rule")
    return writer.call(name, [ast.Name(name) for name in inspect.signature(fn).parameters], {}, is_own(fn)).text


def _operand(x: Any, label: Callable[[Any], str]) -> Term:
    value = None if isinstance(x, Node) else x
    text = label(x)
    return Term(text, _SIGN if text.startswith("-") else _ATOM, getattr(x, "shape", ()), value)


@functools.lru_cache
def _lambdas(filename: str) -> list[ast.Lambda]:
    """All lambdas in a file; none where there is no source."""
    try:
        tree = ast.parse("".join(linecache.getlines(filename)))
    except SyntaxError:
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]


def _body(fn: Callable[..., Any]) -> ast.expr | None:
    """The expression that a lambda returns; None for other functions, and where the source is not to be had."""
    code = getattr(fn, "__code__", None)
    if code is None or code.co_name != "<lambda>":
        return None
    places = [p for p in code.co_positions() if None not in p and p[2] < p[3]]
    for found in _lambdas(code.co_filename):
        body = found.body
        start, end = (body.lineno, body.col_offset), (body.end_lineno, body.end_col_offset)
        names = tuple(arg.arg for arg in found.args.args)
        if names == code.co_varnames[: code.co_argcount] and all(
            start <= (p[0], p[2]) and (p[1], p[3]) <= end for p in places
        ):
            return body
    return None


# ------------------------------------------------------------------------------------------- the helpers' phrases


def _matmul_x(g, y, x_shape):
    if len(y.shape) == 1:
        return Term(f"{g.text} · {y.text}" if len(x_shape.value) == 1 else f"{g.text} ⊗ {y.text}", _PRODUCT)
    return Term(f"{g.text} @ {_transposed(y)}", _PRODUCT)


def _matmul_y(g, x, y_shape):
    if len(x.shape) == 1:
        return Term(f"{g.text} · {x.text}" if len(y_shape.value) == 1 else f"{x.text} ⊗ {g.text}", _PRODUCT)
    return Term(f"{_transposed(x)} @ {g.text}", _PRODUCT)


def _transposed(x: Term) -> str:
    return f"{x.within(_ATOM)}.{'T' if len(x.shape or ()) < 3 else 'mT'}"


def _times(*factors: Term) -> Term:
    """A product: numbers and scalars with a dot, arrays element by element, equal neighbours as a square."""
    text, previous, times, scalar = "", None, 0, True
    for factor in factors:
        if factor.value == 1 and len(factors) > 1:
            continue
        if previous is not None and factor.text == previous.text and factor.value is None and times == 1:
            text = text.removesuffix(previous.within(_PRODUCT)) + f"{previous.within(_ATOM)}²"
            times = 2
            continue
        dot = " · " if scalar or factor.shape == () else " ⊙ "
        scalar = scalar and factor.shape == ()
        text = f"{text}{dot}{factor.within(_PRODUCT)}" if text else factor.within(_PRODUCT)
        previous, times = factor, 1
    rank = _PRODUCT if len(factors) > 1 else factors[0].rank
    return Term(text, rank, () if scalar else None)


def _sum_of(a, axis=None, keepdims=None):
    return Term(f"Σ {a.within(_POWER)}{_along(axis)}", _SUM)


def _along(axis):
    return f" along axis {axis.text}" if axis and axis.text != "None" else ""


def _where(condition, x, y):
    if y.value == 0:
        return Term(f"{x.text} where {condition.text}, else 0", 0)
    if x.value == 0:
        return Term(f"0 where {condition.text}, else {y.text}", 0)
    return Term(f"where({condition.text}, {x.text}, {y.text})")


def _inside(index: Term) -> str:
    """An index as it stands in brackets."""
    return ", ".join(map(shown, index.value)) if isinstance(index.value, tuple) else index.text


def _softmax(g, out, axis):
    return _times(out, Term(f"{g.text} - Σ {out.text} ⊙ {g.text}", _SUM))


def _named(text: str, rank: int = _ATOM) -> Callable[..., Term]:
    """A phrase in which {0}, {1}, … stand for the arguments."""
    return lambda *args: Term(text.format(*[arg.text for arg in args], *[""] * 8), rank)


PHRASES: dict[str, Callable[..., Term]] = {
    "matmul_vjp_x": _matmul_x,
    "matmul_vjp_y": _matmul_y,
    "product": lambda a, b: Term(f"{a.within(_PRODUCT)} @ {b.within(_ATOM)}", _PRODUCT),
    "_einsum_vjp": _named("einsum of δ with the other operands"),
    "total": _sum_of,
    "sum": _sum_of,
    "mean": lambda a, axis=None, keepdims=None: Term(f"mean({a.text}{_along(axis)})"),
    "where": _where,
    "expand": lambda a, shape: Term(f"{a.text}, spread over {shape.text}", 0) if shape.value else a,
    "restore_axes": lambda a, *rest: a,
    "unbroadcast": lambda a, shape: a,
    "_per_example": lambda a, x: a,
    "_or_one": lambda a: a,
    "_bounded": lambda a: a,
    "_log_or_zero": lambda a: Term(f"log({a.text})"),
    "_over_square": lambda x, r: Term(f"{x.within(_PRODUCT)} / {r.within(_ATOM)}²", _PRODUCT),
    "_half_if_equal": lambda g, x, y: Term(f"{g.text} ⊙ [{x.text} > {y.text}], half of {g.text} where they tie", 0),
    "_winners": lambda a, out, *rest: Term(f"[{a.text} = {out.text}]"),
    "products_before": _named("(product of the elements before)"),
    "products_after": _named("(product of the elements after)"),
    "_cumprod_vjp": _named("δ by the products of the other elements of {1}", 0),
    "scatter_add": lambda g, index, shape: Term(f"{g.text} added at [{_inside(index)}], 0 elsewhere", 0),
    "put": lambda g, value, index: Term(f"{g.text}, and {value.text} at [{_inside(index)}]", 0),
    "item": lambda g, index: Term(f"{g.text}[{_inside(index)}]"),
    "_last_writers": _named("[not overwritten]"),
    "_part": _named("its part of δ", 0),
    "reshape": _named("{0} reshaped to {1}", 0),
    "transpose": _named("{0} with its axes moved back", 0),
    "swapaxes": _named("{0} with axes {1} and {2} exchanged", 0),
    "_softmax_vjp": _softmax,
    "softmax_minus_one_hot": _named("softmax({0}) - one_hot({1})", _SUM),
    "sigmoid": _named("sigmoid({0})"),
    "sqrt": lambda a: Term(f"√{a.within(_ATOM)}", _POWER),
    "floor_divide": lambda a, b: Term(f"⌊{a.within(_PRODUCT)} / {b.within(_SIGN)}⌋"),
    "hide": _named("{0} with axis {2} hidden by vmap again", 0),
    "reveal": _named("{0} with what vmap hides as axis {3}", 0),
    "unpatch": _named("{0} of each window added to its pixels", 0),
    "patches": _named("{0} cut into windows", 0),
    "_conv2d_vjp_x": _named("δ spread through the kernels {1} over the pixels", 0),
    "_conv2d_vjp_W": _named("the windows of {1} times their δ, added up", 0),
    "_max_pool2d_vjp": _named("δ to the largest element of each window of {1}", 0),
}

_SIGNS: dict[type[ast.cmpop], str] = {
    ast.Gt: ">", ast.Lt: "<", ast.GtE: "≥", ast.LtE: "≤", ast.Eq: "=", ast.NotEq: "≠",
}  # fmt: skip


class _Writer(ast.NodeVisitor):
    """Writes an expression of Python as a formula."""

    def __init__(self, terms: dict[str, Term], known: dict[str, Any], scope: dict[str, Any]) -> None:
        self.terms = terms
        self.known = known
        self.scope = scope

    def visit(self, node: ast.AST) -> Term:
        """A part of the rule as a part of the formula."""
        found = self._evaluated(node) or super().visit(node)
        assert isinstance(found, Term)
        return found

    def generic_visit(self, node: ast.AST) -> Term:
        """What there is no way to write."""
        raise _Unknown(type(node).__name__)

    def visit_IfExp(self, node: ast.IfExp) -> Term:
        """The branch that is taken, where shapes and options say which."""
        test = self._evaluated(node.test)
        if test is None:
            raise _Unknown("IfExp")
        return self.visit(node.body if test.value else node.orelse)

    def _evaluated(self, node: ast.AST) -> Term | None:
        """A part that follows from shapes, options and numbers alone."""
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        quotient = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)  # 1/3 says more than 0.333333
        if isinstance(node, ast.Name) or quotient or not names & self.known.keys():
            return None
        try:
            value = eval(compile(ast.Expression(node), "rule", "eval"), self.scope, dict(self.known))  # type: ignore[arg-type]
        except Exception:  # it takes more than that
            return None
        return _constant(value) if isinstance(value, (int, float, tuple)) and not _hides_arrays(value) else None

    def visit_Constant(self, node: ast.Constant) -> Term:
        return _constant(node.value)

    def visit_Name(self, node: ast.Name) -> Term:
        return self.terms.get(node.id) or (_constant(self.known[node.id]) if node.id in self.known else Term(node.id))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Term:
        term = self.visit(node.operand)
        if not isinstance(node.op, ast.USub):
            raise _Unknown(type(node.op).__name__)
        return Term(f"-{term.within(_PRODUCT)}", _SIGN, term.shape)

    def visit_BinOp(self, node: ast.BinOp) -> Term:
        if isinstance(node.op, ast.Mult):
            return _times(*map(self.visit, _factors(node)))
        left, right = self.visit(node.left), self.visit(node.right)
        shape = () if left.shape == right.shape == () else None
        if isinstance(node.op, ast.Div):
            if right.value == 1:
                return left
            if left.value is not None and right.value is not None:
                return Term(f"{left.text}/{right.text}", _PRODUCT, ())
            return Term(f"{left.within(_PRODUCT)} / {right.within(_SIGN)}", _PRODUCT, shape)
        if isinstance(node.op, ast.Pow):
            if right.value == 1:
                return left
            power = "²" if right.value == 2 else f"^{right.within(_ATOM)}"
            return Term(f"{left.within(_ATOM)}{power}", _POWER, shape)
        if isinstance(node.op, ast.BitAnd):
            if False in (left.value, right.value):
                return Term("0", shape=(), value=False)
            if right.value is True:
                return left
            return Term(f"[{left.text.strip('[]')} and {right.text.strip('[]')}]", _ATOM, shape)
        if isinstance(node.op, ast.Add) and right.value in (0, False) and right.value is not None:
            return left
        sign = {ast.Add: "+", ast.Sub: "-", ast.MatMult: "@"}.get(type(node.op))
        if sign is None:
            raise _Unknown(type(node.op).__name__)
        rank = _PRODUCT if sign == "@" else _SUM
        return Term(f"{left.within(rank)} {sign} {right.within(rank + 1)}", rank, shape)

    def visit_Compare(self, node: ast.Compare) -> Term:
        text = self.visit(node.left).text
        for op, other in zip(node.ops, node.comparators, strict=True):
            if type(op) not in _SIGNS:
                raise _Unknown(type(op).__name__)
            text += f" {_SIGNS[type(op)]} {self.visit(other).text}"
        return Term(f"[{text}]")

    def visit_Attribute(self, node: ast.Attribute) -> Term:
        if node.attr == "T":
            return Term(_transposed(self.visit(node.value)))
        return Term("π" if node.attr == "pi" else ast.unparse(node), shape=())

    def visit_Subscript(self, node: ast.Subscript) -> Term:
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        term = self.visit(node.value)
        if all(isinstance(part, ast.Constant) and part.value in (None, ...) for part in parts):
            return term  # broadcasting does the rest
        return Term(f"its part of {term.text}", 0)

    def visit_Call(self, node: ast.Call) -> Term:
        options = {keyword.arg: self.visit(keyword.value) for keyword in node.keywords if keyword.arg}
        if not isinstance(node.func, ast.Attribute):
            name = ast.unparse(node.func)
            function = self.scope.get(name)
            return self.call(name, node.args, options, function is not None and is_own(function))
        if isinstance(node.func.value, ast.Name) and node.func.value.id in ("np", "math"):
            return self.call(node.func.attr, node.args, options)
        roots = [n for n in ast.walk(node.func.value) if isinstance(n, ast.Name)]
        if not any(n.id in self.terms or n.id in self.known for n in roots):
            raise _Unknown(ast.unparse(node.func))  # a function of a module, and no method of an array
        return self.call(node.func.attr, [node.func.value, *node.args], options)

    def call(self, name: str, arguments: list[Any], options: dict[str, Term], known: bool = True) -> Term:
        """A call by name: the phrase for it if the function is ``known`` to be the one that it is for, or the call."""
        args = [self.visit(arg) for arg in arguments]
        if known and name in PHRASES:
            with suppress(TypeError):  # it is called in another way
                return PHRASES[name](*args, **options)
        given = [arg.text for arg in args] + [f"{key}={arg.text}" for key, arg in options.items()]
        shape = () if all(arg.shape == () for arg in args) else None
        return Term(f"{name}({', '.join(given)})", shape=shape)


def _factors(node: ast.expr) -> list[ast.expr]:
    """The factors of a product, from the left."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*_factors(node.left), node.right]
    return [node]


def _constant(value: Any) -> Term:
    if isinstance(value, (bool, int, float)):
        text = f"{value:g}" if value >= 0 else f"-{-value:g}"
        return Term(text, _ATOM if value >= 0 else _SIGN, (), value)
    return Term(shown(value), shape=(), value=value if isinstance(value, tuple) else None)


def _hides_arrays(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(part, _Shaped) or _hides_arrays(part) for part in value)


def shown(value: Any) -> str:
    """An option or an index of a call, in few characters."""
    if isinstance(value, slice):
        text = ":".join("" if part is None else str(part) for part in (value.start, value.stop, value.step))
        return (text[:-1] if value.step is None else text) or ":"
    if isinstance(value, tuple) and any(isinstance(part, slice) for part in value):
        return ", ".join(map(shown, value))
    if getattr(value, "shape", ()):
        return f"array {value.shape}"
    if isinstance(value, float):
        return f"{float(value):.6g}"
    return "..." if value is Ellipsis else str(value)[:40]
