"""Mini-batches: the data in parts, and the parts' sums."""

from .batches import Batches, batches
from .means import Mean
from .sums import Sums
from .workers import Workers

__all__ = ["Batches", "Mean", "Sums", "Workers", "batches"]
