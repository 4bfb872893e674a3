"""What a derivative rule does, as a formula: found by running the rule on traced operands, and reading what it called.

``lambda g, out: g * (1 - out * out)``, the rule of tanh, reads ``δ ⊙ (1 − h²)`` where the result is called h.  The
cotangent and the arrays that the rule reads are the variables of the little program that this gives; shapes and options
are known.  A rule that needs plain arrays, or whose formula would be longer than a line, is named as a call.
"""

# ruff: noqa: RUF001, RUF002
from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import count
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from ..autodiff import Hidden, Recorded, bare
from ..carriers.hiding import hide, reveal
from ..carriers.traced import Traced
from ..graph import Node
from ..primitives import OUT, PlannedRule
from .examples import ELEMENTWISE
from .expressions import Expr, constant, multiply, scalars_first
from .formulas import in_text, numbered
from .indices import operands
from .passes import simplify
from .program import Program, Variable
from .reading import Reader
from .tracing import Writer
from .unicode import Unicode

DELTA = "δ"
LONGEST = 100  # letters

Label = Callable[[Node], str]
Shape = Callable[[Node], tuple[int, ...]]


class RuleProgram(NamedTuple):
    """A rule as the calls that it makes.

    program  its inputs are δ, which comes first, and the arrays that the rule reads
    made     what it returns: a variable of the program, or an array that depends on none of its inputs
    """

    program: Program
    made: Any


class RuleFormula(NamedTuple):
    """What a rule makes of δ.

    text    the formula, or the call of the rule
    form    the formula as an expression of the inputs of the rule's program; None where it is a call
    spread  the shape that the same numbers are repeated to fill; None if there is nothing to repeat
    """

    text: str
    form: Expr | None = None
    spread: tuple[int, ...] | None = None


def trace_rule(
    node: Node, rule: PlannedRule, saved: Any, label: Label, shape: Shape = attrgetter("shape")
) -> RuleProgram:
    """Run a rule of ``node`` on traced arrays; ``saved`` is what the node had saved, ``label`` names nodes.

    ``shape`` gives the shapes of nodes, whose sizes may know that they follow the number of examples.  Raises whatever
    the rule raises where it cannot be traced.
    """
    program = Program()
    writer = Writer(program)
    known: dict[Any, Traced] = {}

    def traced(key: Any, name: str, array: Any, shape: Any) -> Any:
        if key not in known:
            taken = {v.name for v in program.inputs}
            free = next(text for text in (name + "′" * k for k in count()) if text not in taken)
            v = writer.variable(np.asarray(array), "data", free)
            v.shape = shape
            program.inputs.append(v)
            known[key] = Traced(v.value, v, writer)
        return known[key]

    def operand(source: Any, array: Any) -> Any:
        return traced(source, label(source), _plain(array), shape(source)) if isinstance(source, Node) else array

    def option(name: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple([option(name, part) for part in value])
        if not isinstance(value, np.ndarray):
            return value
        return traced((name, id(value)), name, value, value.shape) if value.ndim else value.item()

    assert node.op is not None
    g = traced(DELTA, DELTA, np.ones(node.shape, node.dtype), shape(node))
    arrays = []
    for at, array in zip(node.plan.saves, saved, strict=True):  # type: ignore[union-attr]  # it has a rule
        if node.op.variadic and at != OUT:
            arrays.append([operand(x, a) for x, a in zip(node.inputs, array, strict=True)])
        else:
            arrays.append(operand(node if at == OUT else node.inputs[at], array))
    params = [option(name, x) for name, x in zip(node.op.names[node.op.arrays :], node.params, strict=True)]
    with np.errstate(all="ignore"):
        made = rule.pull(g, _Call(node.inputs, params), arrays)
    if not isinstance(made, Traced) and (isinstance(made, (Hidden, Recorded)) or not hasattr(made, "shape")):
        raise TypeError(f"a rule returned {made!r}")
    return RuleProgram(program, made.variable if isinstance(made, Traced) else np.asarray(made))


class _Call(NamedTuple):
    """What a rule is told of the call that it is for."""

    inputs: tuple[Any, ...]
    params: list[Any]


def _plain(array: Any) -> Any:
    """An array of plain numbers; those of one example stand for all that are hidden, and they do not matter."""
    if isinstance(array, Traced):
        return bare(array)
    if isinstance(array, Hidden):
        return (np.ones if array.dtype.kind == "f" else np.zeros)(array.shape, array.dtype)
    return array


def read_rule(traced: RuleProgram) -> Expr:
    """The rule's calls as one expression of the program's inputs."""
    if not isinstance(traced.made, Variable):
        return constant(traced.made)
    traced.program.loss = traced.made
    program = simplify(traced.program)
    assert program.loss is not None
    reader = Reader(program)
    for call in program.calls:
        reader.read(call)
    return reader.standing[program.loss]


def rule_formula(
    node: Node,
    rule: PlannedRule,
    saved: Any,
    label: Label,
    shape: Shape = attrgetter("shape"),
    delta: str = DELTA,
) -> RuleFormula:
    """What a rule of ``node`` makes of its δ, with ``label`` naming nodes; its call if it has no formula.

    Inside ``vmap`` that is the formula for one example.
    """
    assert node.op is not None
    if node.op.key in (hide, reveal):  # of which one example knows nothing: each is the derivative of the other
        back = reveal if node.op.key is hide else hide
        return RuleFormula(f"{back.__name__}({delta}, axis={node.params[-1]})")
    try:
        traced = trace_rule(node, rule, saved, label, shape)
    except Exception:  # a user's rule may do anything; and what hides examples is not traced
        return RuleFormula(_named(node, rule, label, delta))
    found, spread = _spread(read_rule(traced))
    names = {v.index: in_text(v.name or "") for v in traced.program.inputs}
    names[traced.program.inputs[0].index] = in_text(delta)
    text = _written(Unicode(names, numbered([found])), found, spread)
    if len(text) > LONGEST:
        return RuleFormula(_named(node, rule, label, delta))
    return RuleFormula(text, found, spread)


def _spread(x: Expr) -> tuple[Expr, tuple[int, ...] | None]:
    """What an expression repeats, and the shape that it fills with that."""
    numbers, rest = scalars_first(x)
    if rest.op != "broadcast" or not (numbers or rest.args[0].shape):
        return x, None
    inside = rest.args[0]
    if inside.op == "reshape" and inside.shape[-inside.args[0].ndim :] == inside.args[0].shape:
        inside = inside.args[0]  # axes in front come by themselves
    return multiply(*numbers, inside), x.shape


def _written(printer: Unicode, x: Expr, spread: tuple[int, ...] | None) -> str:
    """An expression as text; of one that is to be spread, it says along which axes if that does not go by itself."""
    if spread is None:
        return printer.write(x)
    inside = operands(x) if x.op in ELEMENTWISE else (x,)
    with printer.among(spread, not all(printer.is_clear(spread, part) for part in inside)):
        return printer.write(x)


def _named(node: Node, rule: PlannedRule, label: Label, delta: str) -> str:
    """The call of a rule, with the arrays that it takes."""
    op = node.op
    assert op is not None
    fn = inspect.unwrap(op.rules[0 if op.variadic else rule.position].fn)
    sources = {"g": delta, "out": label(node)}
    if not op.variadic:
        sources |= {name: label(x) for name, x in zip(op.names, node.inputs, strict=False)}
    given = [sources[name] for name in inspect.signature(fn).parameters if name in sources]
    name = getattr(fn, "__name__", "<lambda>").replace("<lambda>", "its rule")
    return f"{name}({', '.join(given)})"
