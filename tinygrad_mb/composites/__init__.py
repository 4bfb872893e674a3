"""NumPy functions that are made of primitives, and so need no derivatives of their own."""

from . import elementwise, indexing, joining, products, reductions, shapes, statistics
from .table import COMPOSITES, numpy_functions

__all__ = [
    "COMPOSITES", "elementwise", "indexing", "joining", "numpy_functions", "products", "reductions", "shapes",
    "statistics",
]  # fmt: skip
