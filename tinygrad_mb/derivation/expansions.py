"""Primitives of ours in plain NumPy: what a person would write in their place.

An expansion runs on traced arrays, and so adds its own calls to the program.  A primitive that assigns into an array
has none: the printer knows the lines that it comes to.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..carriers.traced import Traced
from ..vjps import indexing, products, shapes, special
from .arguments import is_number
from .program import Call, Program, Variable, replaced
from .tracing import Writer


def _created(like: Any, function: Callable[..., Any], *args: Any) -> Any:
    """An array made by a call that the program shows."""
    value = function(*args)
    return Traced(value, like.writer.write(function, args, {}, value), like.writer)


def _called(name: str, x: Any) -> Any:
    """The array ``x``, with a name in the program."""
    x.variable.name = name
    return x


def _parts_of_softmax(logits):
    """The logits less their largest, so that no exponential overflows; the exponentials, and their sums."""
    shifted = _called("shifted", logits - logits.max(axis=-1, keepdims=True))
    e = _called("e", np.exp(shifted))
    return shifted, e, e.sum(axis=-1, keepdims=True)


def _erf(x):
    """One call, for which the printer has a function."""
    value = special.erf(x.variable.value)
    return Traced(value, x.writer.write(special.erf, (x.variable,), {}, value), x.writer)


def _cross_entropy(logits, labels):
    shifted, _, total = _parts_of_softmax(logits)
    if labels.ndim == 1:
        chosen = shifted[_created(logits, np.arange, len(labels)), labels]
    else:
        chosen = np.take_along_axis(shifted, labels[..., None], -1)[..., 0]
    return np.log(total[..., 0]) - chosen


def _softmax_minus_one_hot(logits, labels):
    _, e, total = _parts_of_softmax(logits)
    program = logits.writer.program
    taken = {*program.signature, *[v.name for v in program.inputs]}
    p = _called("probabilities" if "p" in taken else "p", e / total)
    return p - (labels[..., None] == _created(logits, np.arange, logits.shape[-1]))


EXPANSIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    special.cross_entropy: _cross_entropy,
    special.softmax_minus_one_hot: _softmax_minus_one_hot,
    products.einsum: lambda operands, subscripts: np.einsum(subscripts, *operands),
    shapes.pad: lambda a, widths, value: np.pad(a, widths, constant_values=value),
    indexing.where: np.where,
    special.erf: _erf,
    special.normal_cdf: lambda x: 0.5 * _erf(x / math.sqrt(2)) + 0.5,
}


def expand(program: Program) -> Program:
    """The same program with NumPy calls in the place of primitives of ours, where that is possible."""
    out = Program()
    out.__dict__.update(program.__dict__)
    out.calls, out.notes = [], list(program.notes)
    writer = Writer(out, start=1 + max([v.index for v in program.variables()], default=0))
    now: dict[Variable, Variable] = {}

    def current(variable: Variable) -> Variable:
        return now.get(variable, variable)

    by_name = dict(_called_by_name(program))
    made: dict[Variable, Call] = {}
    for call in program.calls:
        call = made[call.out] = _with_shared_ties(by_name.get(call.out, call), made, writer)
        args, kwargs = replaced((call.args, call.kwargs), current)
        expansion = EXPANSIONS.get(call.function)
        if expansion is None:
            out.calls.append(Call(call.function, args, kwargs, call.out))
            continue
        writer.role = call.out.role
        traced = replaced((args, kwargs), lambda v: Traced(v.value, v, writer))
        found = expansion(*traced[0], **traced[1]).variable
        found.role, found.name = call.out.role, call.out.name
        now[call.out] = found
    out.outputs = {path: current(v) for path, v in program.outputs.items()}
    out.loss = current(program.loss) if program.loss is not None else None
    out.values = {node: current(v) for node, v in program.values.items()}
    out.cotangents = {node: current(v) for node, v in program.cotangents.items()}
    return out


def _called_by_name(program: Program) -> Iterator[tuple[Variable, Call]]:
    """The values of functions that are long as NumPy calls, and were traced as these; each with the one call."""
    for node, out in program.values.items():
        if node.op is not None and node.op.key in (special.erf, special.normal_cdf):
            x = program.values.get(node.inputs[0])
            if x is not None and x.shape == out.shape:
                yield out, Call(node.op.key, (x,), {}, out)


def _with_shared_ties(call: Call, made: dict[Variable, Call], writer: Writer) -> Call:
    """``g * (x > y) + 0.5 * g * (x == y)`` as ``g * ((x > y) + 0.5 * (x == y))``, which is of double precision."""

    def factors(v: Any) -> Any:
        return made[v].args if isinstance(v, Variable) and v in made and made[v].function is np.multiply else (v, None)

    if call.function is not np.add or call.out.dtype != np.float64:
        return call
    (g, wins), (half, ties) = map(factors, call.args)
    number, halved = factors(half)
    if halved is not g or not (is_number(number) and number == 0.5) or not _is_tie(made, wins, ties):
        return call
    writer.role = call.out.role
    halved = writer.write(np.multiply, (0.5, ties), {}, 0.5 * ties.value)
    both = writer.write(np.add, (wins, halved), {}, wins.value + halved.value)
    return Call(np.multiply, (g, both), {}, call.out)


def _is_tie(made: dict[Variable, Call], wins: Any, ties: Any) -> bool:
    return isinstance(wins, Variable) and isinstance(ties, Variable) and shares_ties(made.get(wins), made.get(ties))


def shares_ties(wins: Call | None, ties: Call | None) -> bool:
    """Whether calls compare the same values, for one that is larger or smaller, and for equal ones."""
    if wins is None or ties is None or wins.function not in (np.greater, np.less) or ties.function is not np.equal:
        return False
    return all(a is b or (is_number(a) and a == b) for a, b in zip(wins.args, ties.args, strict=True))
