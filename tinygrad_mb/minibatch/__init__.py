"""Mini-batches."""

from .batches import batches

__all__ = ["batches"]
