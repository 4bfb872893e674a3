"""The call that made a value, as text: what drawings and explanations show of a node."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .graph import Node

_INFIX: dict[Callable[..., Any], str] = {
    np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.matmul: "@", np.power: "**",
}  # fmt: skip
_MOST = 4  # operands that are all shown


def shown(value: Any) -> str:
    """A scalar, an index or an option of a call, in few characters."""
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.6g}"
    if isinstance(value, np.ndarray) and value.ndim:
        return f"array {value.shape}"
    if isinstance(value, slice):
        text = ":".join("" if part is None else str(part) for part in (value.start, value.stop, value.step))
        return (text[:-1] if value.step is None else text) or ":"
    return "..." if value is Ellipsis else reprlib.repr(value.item() if isinstance(value, np.generic) else value)


def call_of(node: Node, label: Callable[[Node], str], option: Callable[[Any], str] = shown) -> str:
    """The call that made a node, with ``label`` naming its operands, and ``option`` whatever is no node.

    >>> import numpy as np, tinygrad_mb as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> [call_of(t.node, lambda node: node.name) for t in (w * 2, w[1:], w.sum(axis=0))]
    ['w * 2', 'w[1:]', 'sum(w, axis=0)']
    """
    op = node.op
    assert op is not None
    operands = [label(x) if isinstance(x, Node) else option(x) for x in node.inputs]
    if op.key in _INFIX:
        return f" {_INFIX[op.key]} ".join(operands)
    if op.key is operator.getitem:
        index = node.params[0]
        return f"{operands[0]}[{', '.join(map(option, index if isinstance(index, tuple) else (index,)))}]"
    names = op.names[1 if op.variadic else op.arrays :]
    options = [f"{k}={option(v)}" for k, v in zip(names, node.params, strict=True) if v is not None and v is not False]
    if len(operands) > _MOST:
        operands = [*operands[: _MOST - 1], f"… {len(operands) - _MOST + 1} more"]
    return f"{op.name}({', '.join(operands + options)})"
