"""Functions that NumPy lacks and models need, with their derivatives."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import numpy as np

from ..custom import primitive
from ..primitives import defvjp
from .helpers import restore_axes, total


@primitive
def logsumexp(a, axis=None, keepdims=False):
    """log(sum(exp(a))) without overflow, over all elements or along axes."""
    top = a.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    out = np.log(total(np.exp(a - top), axis, True)) + top
    return out if keepdims else out.reshape(total(a, axis, False).shape)


# fmt: off
defvjp(logsumexp, a=lambda g, a, out, axis, keepdims:
                    restore_axes(g, a.shape, axis, keepdims)
                    * np.exp(a - restore_axes(np.where(np.isfinite(out), out, 0), a.shape, axis, keepdims)))
# fmt: on
