"""Primitives of ours in plain NumPy: what a person would write in their place.

An expansion runs on traced arrays, and so adds its own calls to the program.  A primitive that assigns into an array
has none: the printer knows the lines that it comes to.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..carriers.traced import Traced
from ..vjps import indexing, products, shapes, special
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

    for call in program.calls:
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
