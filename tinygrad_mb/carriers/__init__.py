"""Arrays that are more than arrays, below tensors: they run the same rules, and hide an axis of examples."""
