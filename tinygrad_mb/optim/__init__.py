"""Optimizers: they change parameters in place, along their gradients."""

from .adam import Adam, AdamW
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW"]
