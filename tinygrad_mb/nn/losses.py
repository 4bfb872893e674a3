"""Losses: each gives one loss per example, and the caller takes their mean or their sum."""

from __future__ import annotations

from typing import Any

from ..autodiff import as_array, bare, data_of
from ..errors import ShapeError, describe
from ..vjps import special
from . import checks


def squared_error(prediction: Any, target: Any) -> Any:
    """The squared distance of each prediction from its target: the sum of (prediction - target)^2 over an example.

    Both have the same shape (m, ...); the result has shape (m,).

    Raises ``ShapeError`` for different shapes, also where NumPy would broadcast them.

    >>> import numpy as np, tinygrad_mb as tg
    >>> f = tg.Tensor([[1.0, 2.0], [0.0, 1.0]], requires_grad=True)
    >>> losses = tg.nn.squared_error(f, np.array([[0.0, 0.0], [0.0, 3.0]]))
    >>> losses.numpy()
    array([5., 4.])
    >>> losses.mean().gradient(f)
    array([[ 1.,  2.],
           [ 0., -2.]])
    """
    prediction, target = as_array(prediction), as_array(target)
    checks.same_shape("squared_error", prediction, target, ("prediction", "target"))
    return special.squared_error(prediction, target)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """The negative log-probability of each label, where ``softmax(logits)`` are the probabilities of the classes.

    logits (m, k) with integer labels (m,) give losses (m,); logits (m, t, k) with labels (m, t) give one loss per
    token (m, t).  The gradient by the logits is softmax(logits) less one at the label.

    Raises ``TypeError`` for labels that are not integers, ``ValueError`` for labels outside of 0 ... k - 1, and
    ``ShapeError`` if labels do not have the shape of the logits without their last axis.

    >>> import numpy as np, tinygrad_mb as tg
    >>> logits = tg.Tensor(np.zeros((2, 4)), requires_grad=True)
    >>> losses = tg.nn.cross_entropy(logits, np.array([0, 3]))
    >>> losses.numpy().round(4)
    array([1.3863, 1.3863])
    >>> losses.sum().gradient(logits)
    array([[-0.75,  0.25,  0.25,  0.25],
           [ 0.25,  0.25,  0.25, -0.75]])
    """
    logits, labels = as_array(logits), as_array(labels)
    expected = logits.shape[:-1]
    if labels.shape != expected or not logits.shape:
        message = (
            f"cross_entropy: the logits {describe(logits)} want labels of shape {expected}, one class number for each "
            f"row, and the labels are {describe(labels)}."
        )
        if labels.shape == logits.shape:
            message += f" If they are one-hot, use `{checks.named(labels, 'labels')}.argmax(-1)`."
        elif labels.shape == (*expected, 1):
            message += f" Use `{checks.named(labels, 'labels')}[..., 0]`."
        raise ShapeError(message)
    return special.cross_entropy(logits, checks.integers_below("cross_entropy", "labels", labels, logits.shape[-1]))


def binary_cross_entropy(logits: Any, targets: Any) -> Any:
    """-t log(p) - (1 - t) log(1 - p) with p = sigmoid(logits), without overflow, summed over each example.

    Both have the same shape (m, ...), and targets are from 0 to 1; the result has shape (m,).

    Raises ``ShapeError`` for different shapes, ``ValueError`` for targets outside of 0 ... 1.

    >>> import numpy as np, tinygrad_mb as tg
    >>> logits = tg.Tensor([0.0, 1000.0], requires_grad=True)
    >>> losses = tg.nn.binary_cross_entropy(logits, np.array([1.0, 0.0]))
    >>> losses.numpy().round(4)
    array([6.931e-01, 1.000e+03])
    >>> losses.sum().gradient(logits)
    array([-0.5,  1. ])
    """
    logits, targets = as_array(logits), as_array(targets)
    checks.same_shape("binary_cross_entropy", logits, targets, ("logits", "targets"))
    checked = as_array(data_of(targets))
    numbers = bare(checked)
    if not checks.within(numbers, 0, 1):
        bad = checks.first_where(~((numbers >= 0) & (numbers <= 1)), numbers, "targets")
        raise ValueError(
            f"binary_cross_entropy: targets must be from 0 to 1, and in {describe(targets, 'targets')} {bad}"
        )
    if numbers.dtype.kind in "biu":
        targets = checked.astype(logits.dtype)
    return _over_example(special.binary_cross_entropy(logits, targets))


def _over_example(losses: Any) -> Any:
    """The sum over all axes but that of the examples."""
    ndim = len(losses.shape)
    return losses.sum(axis=tuple(range(1, ndim))) if ndim > 1 else losses
