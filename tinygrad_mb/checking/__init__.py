"""Gradients checked: those of the engine against differences, and those that a person derived against the engine."""
