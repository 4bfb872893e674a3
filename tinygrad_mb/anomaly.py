"""Stop at the first value that is not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import errors

if TYPE_CHECKING:
    from .graph import Node
    from .primitives import Primitive


def _not_finite(out: Any) -> str:
    if type(out) is list:  # the terms of a sum of outer products
        return next(filter(None, [_not_finite(array) for term in out for array in term]), "")
    if type(out) is not np.ndarray and not isinstance(out, np.floating):
        return ""
    bad = out.size - int(np.isfinite(out).sum())
    return f"{bad} value{' that is' if bad == 1 else 's that are'} not finite (of {out.size})" if bad else ""


def check_forward(op: Primitive, values: Sequence[Any], out: Any) -> None:
    """Raise ``FloatingPointError`` where an operation's result is not finite."""
    if bad := _not_finite(out):
        raise FloatingPointError(
            f"{op.name} made {bad}\n  operands: {errors.operands(op, values)}\n  at {errors.user_line()}"
        )


def check_backward(node: Node, name: str, c: Any) -> None:
    """Raise ``FloatingPointError`` where a node's derivative by one of its arguments is not finite."""
    if bad := _not_finite(c):
        where = node.extras.where if node.extras else None
        raise FloatingPointError(
            f"in backward, the derivative of {node.label} for its argument {name!r} made {bad}\n"
            f"  forward: {errors.describe_node(node)}\n"
            f"  at {where or 'an unknown line: run the forward pass inside detect_anomaly() as well'}"
        )
