"""The call that made a node, as a person would write it."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Node

_INFIX: dict[Callable[..., Any], str] = {
    np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.matmul: "@", np.power: "**",
}  # fmt: skip


def call(node: Node, label: Callable[[Any], str]) -> str:
    """The call that made the node, its operands called as ``label`` says."""
    op = node.op
    assert op is not None
    operands = [label(source) for source in node.inputs]
    if op.key in _INFIX:
        return f" {_INFIX[op.key]} ".join(operands)
    if op.key is operator.getitem:
        index = node.params[0]
        return f"{operands[0]}[{', '.join(map(label, index if isinstance(index, tuple) else (index,)))}]"
    names = op.names[1 if op.variadic else op.arrays :]
    options = [f"{k}={label(v)}" for k, v in zip(names, node.params, strict=True) if v is not None and v is not False]
    if len(operands) > 4:
        operands = [*operands[:3], f"… {len(operands) - 3} more"]
    return f"{op.name}({', '.join(operands + options)})"


def operand(value: Any) -> str:
    """A scalar, an index or an option, in few characters."""
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.6g}"
    if isinstance(value, np.ndarray) and value.ndim:
        return f"array {value.shape}"
    if isinstance(value, slice):
        text = ":".join("" if part is None else str(part) for part in (value.start, value.stop, value.step))
        return (text[:-1] if value.step is None else text) or ":"
    return "..." if value is Ellipsis else reprlib.repr(value.item() if isinstance(value, np.generic) else value)
