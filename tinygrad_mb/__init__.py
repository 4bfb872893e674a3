"""tinygrad_mb: reverse-mode automatic differentiation of mini-batches on NumPy."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import errors, minibatch, nn, optim, special
from .custom import primitive
from .drawing import draw
from .mapping import vmap
from .minibatch.per_example import per_example_grads
from .modes import detect_anomaly, enable_grad, no_grad, scope
from .primitives import defvjp
from .tensor import Tensor, stop_gradient
from .transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

if TYPE_CHECKING:
    from .checking.assertions import assert_gradients
    from .checking.derivations import check_derivation
    from .checking.gradcheck import gradcheck
    from .derivation.derive import derive
    from .derivation.explain import explain

__all__ = [
    "Tensor",
    "assert_gradients",
    "check_derivation",
    "defvjp",
    "derive",
    "detect_anomaly",
    "draw",
    "enable_grad",
    "errors",
    "explain",
    "grad",
    "gradcheck",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "minibatch",
    "nn",
    "no_grad",
    "optim",
    "per_example_grads",
    "primitive",
    "scope",
    "special",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]

__version__ = "0.1.0"

# Where these names come from; a program that trains a model never needs them, and so does not wait for them.
_ON_DEMAND = {
    "assert_gradients": "checking.assertions",
    "check_derivation": "checking.derivations",
    "derive": "derivation.derive",
    "explain": "derivation.explain",
    "gradcheck": "checking.gradcheck",
}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f".{_ON_DEMAND[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
