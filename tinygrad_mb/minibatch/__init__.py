"""Mini-batches: the data in parts, and the parts' sums."""

from .batches import Batches, batches
from .coupling import Coupling, couples_examples
from .influence import influence
from .means import Mean
from .per_example import example_gradients
from .statistics import Estimate, ExampleGradients
from .sums import Sums
from .workers import Workers

__all__ = [
    "Batches", "Coupling", "Estimate", "ExampleGradients", "Mean", "Sums", "Workers", "batches", "couples_examples",
    "example_gradients", "influence",
]  # fmt: skip
