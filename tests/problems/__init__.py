"""The one list of problems that every test of derivative rules runs through.

A problem is a function, its inputs (float64 where they are differentiated), and which of them those are; ``on`` names
the primitive or the composite that it is about.  A new primitive needs its problem here, and is then checked on every
carrier, at first and second order, in every precision.
"""

from . import elementwise, indexing, own, products, reductions, shapes
from .posing import PROBLEMS, TABLE, Problem

__all__ = [
    "PROBLEMS", "TABLE", "Problem", "elementwise", "indexing", "own", "products", "reductions", "shapes",
]  # fmt: skip
