"""Neural networks: activations and layers as functions, losses with one value per example, and modules."""

from ..vjps.special import linear, log_softmax, relu, sigmoid, softmax, softplus
from .convolution import conv2d, max_pool2d
from .functional import dropout, embedding, gelu
from .layers import Linear, Sequential
from .losses import binary_cross_entropy, cross_entropy, squared_error
from .module import Module

__all__ = [
    "Linear",
    "Module",
    "Sequential",
    "binary_cross_entropy",
    "conv2d",
    "cross_entropy",
    "dropout",
    "embedding",
    "gelu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "squared_error",
]
