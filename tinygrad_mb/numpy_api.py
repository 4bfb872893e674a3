"""The fate of every NumPy function that Tensors can meet.

Each function that NumPy lets a carrier override has exactly one fate: it is a **primitive** with derivative rules,
a **composite** of primitives, **not differentiable** (it tells about values and has no derivative worth the name),
or **refused**.  A refused function raises and names what to use instead; nothing falls through to object arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib import recfunctions

from .autodiff import Recorded, record
from .composites import COMPOSITES
from .errors import NotDifferentiableError
from .primitives import PRIMITIVES, _UNSET
from .vjps import reductions, special

# What these return says something about the values; where it is a number, it is flat almost everywhere.
NOT_DIFFERENTIABLE: frozenset[Callable[..., Any]] = frozenset()

REFUSED: dict[Callable[..., Any], str] = {}

# What a binary ufunc's methods are as functions.
REDUCE: dict[np.ufunc, Callable[..., Any]] = {
    np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min, np.logaddexp: special.logsumexp,
}  # fmt: skip
ACCUMULATE: dict[np.ufunc, Callable[..., Any]] = {np.add: np.cumsum, np.multiply: np.cumprod}


def call_function(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], cls: type[Recorded]) -> Any:
    """What ``function`` does when an argument is a Tensor, primitives aside."""
    composite = COMPOSITES.get(function)
    if composite is not None:
        return composite(*args, **_without_defaults(function.__name__, kwargs))
    if function in NOT_DIFFERENTIABLE:
        return constant(function(*unwrap(args), **unwrap(kwargs)), cls)
    name = f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
    raise NotDifferentiableError(f"{name} does not work on Tensors. {REFUSED.get(function, '')}".strip())


def call_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: dict[str, Any], cls: type[Recorded]) -> Any:
    """What a universal function, or one of its methods, does when an argument is a Tensor."""
    kwargs = _without_defaults(f"{ufunc.__name__}{'' if method == '__call__' else '.' + method}", kwargs)
    if method == "__call__":
        op = PRIMITIVES.get(ufunc)
        if op is not None:
            return record(op, op.bind(*inputs, **kwargs), cls)
        return call_function(ufunc, inputs, kwargs, cls)
    if method == "reduce" and ufunc in REDUCE:
        return REDUCE[ufunc](inputs[0], **{"axis": 0, **kwargs})
    if method == "accumulate" and ufunc in ACCUMULATE:
        return ACCUMULATE[ufunc](inputs[0], **{"axis": 0, **kwargs})
    if method == "outer" and ufunc.nin == 2:
        x, y = (a if hasattr(a, "shape") else np.asarray(a) for a in inputs)
        return ufunc(x.reshape(x.shape + (1,) * y.ndim), y)
    advice = "Use t.at[index].add(values)." if method == "at" else "Use NumPy's functions on whole arrays."
    raise NotDifferentiableError(f"np.{ufunc.__name__}.{method} does not work on Tensors. {advice}")


def unwrap(value: Any) -> Any:
    """The same nest of arguments with plain data in the place of Tensors."""
    if isinstance(value, Recorded):
        return value._data
    if isinstance(value, dict):
        return {key: unwrap(v) for key, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)([unwrap(v) for v in value])
    return value


def constant(value: Any, cls: type[Recorded]) -> Any:
    """A result without derivative: floating-point arrays as Tensors, so that calculations go on; the rest as it is."""
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "f":
        result = cls.__new__(cls)
        result._data, result._node = value, None
        return result
    return value


def _without_defaults(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a call less those that say nothing; raises for those that Tensors do not support."""
    return kwargs
