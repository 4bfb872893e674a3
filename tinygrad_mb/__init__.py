"""tinygrad_mb: reverse-mode automatic differentiation of mini-batches on NumPy."""

from . import errors, minibatch, nn, optim, special
from .checking.assertions import assert_gradients
from .checking.derivations import check_derivation
from .checking.gradcheck import gradcheck
from .custom import primitive
from .derivation.derive import derive
from .derivation.explain import explain
from .drawing import draw
from .mapping import vmap
from .minibatch.per_example import per_example_grads
from .modes import detect_anomaly, enable_grad, no_grad, scope
from .primitives import defvjp
from .tensor import Tensor, stop_gradient
from .transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp

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
