"""The table of derivatives: one line for each argument of each primitive."""

from . import convolution, elementwise, indexing, products, reductions, shapes, special

__all__ = ["convolution", "elementwise", "indexing", "products", "reductions", "shapes", "special"]
