"""Arrays that hide an axis of examples."""

from . import batched, batching_elementwise, batching_indexing, batching_shapes, hiding, randomness

__all__ = ["batched", "batching_elementwise", "batching_indexing", "batching_shapes", "hiding", "randomness"]
