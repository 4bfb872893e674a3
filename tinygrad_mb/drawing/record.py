"""A loss function, run so that its picture can tell everything: every value kept, and the user's own names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autodiff import Recorded, data_of
from ..derivation.tracing import argument_names
from ..derivation.watching import watch_locals
from ..graph import ancestors
from ..modes import enable_grad, keep_values
from ..pytrees import Nest
from ..tensor import Tensor

Named = list[tuple[str, Any]]


def record(loss_fn: Callable[..., Any], params: Any = None, *batch: Any) -> tuple[list[Any], Named]:
    """The tensors that ``loss_fn(params, *batch)`` gives, recorded with all values; the batch's arrays by name.

    Parameters are called by their paths, data by the names of the function's arguments, and what has no name yet by
    the name of the local variable that holds it; so are other arrays.  Without ``params`` the function is called
    without arguments.
    """
    if params is None and (missing := _wanted(loss_fn)):
        name = getattr(loss_fn, "__name__", "the function")
        wanted = ", ".join(missing)
        raise TypeError(f"draw: {name} takes {wanted}, and is called with what follows it: draw({name}, {wanted})")
    first, *others = argument_names(loss_fn, len(batch) + 1)
    nest = Nest(params)
    leaves = [
        Tensor(np.array(data_of(leaf)), requires_grad=True, name=path or first)
        for leaf, path in zip(nest.leaves, nest.paths, strict=True)
    ]
    data: Named = []
    arguments = []
    for name, argument in zip(others, batch, strict=True):
        parts = Nest(argument)
        arrays = [_own(leaf) for leaf in parts.leaves]
        data += [(f"{name}.{path}" if path else name, a) for path, a in zip(parts.paths, arrays, strict=True)]
        arguments.append(parts.fill(arrays, whole=True))
    names: dict[Any, tuple[Tensor, str]] = {}

    def see(name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            if value._node is not None:
                names.setdefault(value._node, (value, name))
        elif isinstance(value, np.ndarray) and value.ndim and not any(value is array for _, array in data):
            data.append((name, value))

    with enable_grad(), keep_values(), watch_locals(see):
        outputs = Nest(loss_fn(*([] if params is None else [nest.fill(leaves, whole=True)]), *arguments)).leaves
    tensors = [x for x in outputs if isinstance(x, Recorded)]
    known = set(ancestors(*[x.node for x in tensors])) if tensors else set()  # type: ignore[attr-defined]
    for node, (tensor, name) in names.items():
        if node.name is None and node in known:
            tensor.named(name)
    return tensors, data


def _wanted(function: Callable[..., Any]) -> list[str]:
    """The arguments that a function cannot be called without."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # it is not written in Python
        return []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]


def rows_of(batch: Sequence[Any]) -> int | None:
    """How many rows all arrays of a batch have; None if they differ, or if there are none."""
    sizes = {len(x) for x in Nest(tuple(batch)).leaves if np.ndim(data_of(x))}
    return sizes.pop() if len(sizes) == 1 else None


def _own(x: Any) -> Any:
    """An array that nobody else changes."""
    x = data_of(x)
    return x.copy() if isinstance(x, np.ndarray) else x
