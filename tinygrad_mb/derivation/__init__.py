"""Derivations: a loss function and its backward pass, written out as a program that a person can read."""
