"""The table of derivatives: one line for each argument of each primitive."""

from . import elementwise, indexing, products, reductions, shapes

__all__ = ["elementwise", "indexing", "products", "reductions", "shapes"]
