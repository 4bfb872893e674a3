"""Train a classifier of handwritten digits so that no single example can leave a large trace in it: DP-SGD.

    python docs/examples/dp_sgd.py

The algorithm is that of M. Abadi et al., "Deep learning with differential privacy", 2016 (arXiv 1607.00133).  In each
step (1) every example is drawn by itself, with probability q (Poisson sampling, so that batches differ in size);
(2) each drawn example's gradient is shortened to the length C at most; (3) normal noise of standard deviation
sigma * C is added to their sum; (4) the result is divided by the expected size of a batch, q times the number of
examples, which tells nothing about the examples that were drawn.

NB: what privacy this buys, the epsilon for a delta, is for an accountant to compute from q, sigma and the number of
steps; none is part of this library.  ``dp-accounting`` (https://pypi.org/project/dp-accounting/) is one.  Its bounds
speak about the noisy steps alone.  Here the pixels' mean and scale were taken from the training data without noise,
NumPy's generators are not made to keep secrets, and floating-point noise is not exactly normal: this is a program to
learn from.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_mb import nn
from tinygrad_mb.demo import data
from tinygrad_mb.minibatch import example_gradients

CLIP = 1.0  # C, the length to which gradients are shortened
BATCH = 256  # the expected number of examples in a step
STEPS = 150
LEARNING_RATE = 2.0


def losses(params: Any, x: Any, y: Any) -> Any:
    """One cross-entropy for each example."""
    h = np.tanh(x @ params["W1"] + params["b1"])
    return nn.cross_entropy(h @ params["W2"] + params["b2"], y)


def new_params(rng: np.random.Generator) -> dict[str, Any]:
    """A perceptron 64 -> 32 tanh -> 10."""
    return {
        "W1": rng.normal(0, 1 / 8, (64, 32)), "b1": np.zeros(32),
        "W2": rng.normal(0, 1 / 32**0.5, (32, 10)), "b2": np.zeros(10),
    }  # fmt: skip


def drawn(examples: int, rng: np.random.Generator) -> Any:
    """The examples of one step: each with probability BATCH / examples, independently of the others."""
    return np.flatnonzero(rng.random(examples) < BATCH / examples)


def private_gradient(params: Any, x: Any, y: Any, sigma: float, rng: np.random.Generator) -> tuple[Any, float]:
    """The noisy mean of the shortened gradients, and the share of the gradients that were shortened.

    Adding or removing one example changes the sum by a vector of length CLIP at most, over all parameters together;
    that is what the noise must hide.
    """
    grads = example_gradients(losses, params, x, y)
    noisy = {
        name: (total + rng.normal(0, sigma * CLIP, total.shape)) / BATCH
        for name, total in grads.clipped_sum(CLIP).items()
    }
    return noisy, float((grads.norms() > CLIP).mean()) if len(grads) else 0.0


def train(digits: data.Data, sigma: float, seed: int = 0) -> tuple[float, float]:
    """Return the accuracy on the test set, and the share of gradients that were shortened in the last step."""
    rng = np.random.default_rng(seed)
    params, shortened = new_params(rng), 0.0
    for _ in range(STEPS):
        which = drawn(len(digits.y_train), rng)
        gradient, shortened = private_gradient(params, digits.x_train[which], digits.y_train[which], sigma, rng)
        params = {name: p - LEARNING_RATE * gradient[name] for name, p in params.items()}
    h = np.tanh(digits.x_test @ params["W1"] + params["b1"])
    return float(((h @ params["W2"] + params["b2"]).argmax(axis=1) == digits.y_test).mean()), shortened


def main() -> None:
    """Train with more and more noise."""
    digits = data.load()
    print(f"q = {BATCH / len(digits.y_train):.3f}, {STEPS} steps, C = {CLIP:g}")
    for sigma in 0.0, 1.0, 2.0, 4.0:
        accuracy, shortened = train(digits, sigma)
        print(f"sigma {sigma:g}  accuracy {100 * accuracy:.1f} %  shortened at the end {100 * shortened:.0f} %")


if __name__ == "__main__":
    main()
