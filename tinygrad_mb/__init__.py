"""tinygrad_mb: reverse-mode automatic differentiation of mini-batches on NumPy."""

from .custom import primitive
from .modes import detect_anomaly, enable_grad, no_grad, scope
from .primitives import defvjp
from .tensor import Tensor

__all__ = ["Tensor", "defvjp", "detect_anomaly", "enable_grad", "no_grad", "primitive", "scope"]
