"""The closed list: all that derivative rules may call, and so all that a carrier must implement.

Besides these, rules use NumPy's universal functions, Python's operators, indexing, the attributes ``shape``, ``ndim``
and ``dtype``, and primitives of our own.
"""

import numpy as np

FUNCTIONS = frozenset({
    np.where, np.broadcast_to, np.concatenate, np.flip, np.roll, np.cumsum, np.cumprod, np.tensordot,
})  # fmt: skip

# They make plain arrays, always with the dtype given: another one would widen float32 gradients.
CREATION: frozenset[object] = frozenset({np.zeros, np.ones, np.eye})

METHODS = frozenset({"reshape", "transpose", "swapaxes", "T", "sum", "mean", "astype"})

# Helpers that may do more, because it is on plain arrays or on indices, and not on carriers.
PLAIN = frozenset({"total", "expand", "product", "_transposed_product", "summed_products", "_last_writers"})
