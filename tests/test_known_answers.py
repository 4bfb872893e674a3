"""One small net and five examples whose every number is known, and how wrong each famous wrong rule is on it.

Net: 2 inputs, 4 tanh units, 1 linear output, loss ½ (f(x) - y)² per example.  The digits below were computed in three
independent ways; the parameters' order is W1 row by row (one row for each hidden unit), b1, W2, b2.
"""

from itertools import combinations

import numpy as np
import pytest

import tinygrad_mb as tg

W1 = np.array([[0.5, -0.3], [-0.4, 0.8], [0.7, 0.2], [-0.6, -0.9]])
B1 = np.array([0.1, -0.2, 0.3, 0.0])
W2 = np.array([[0.6, -0.5, 0.4, 0.3]])
B2 = np.array([0.05])
X = np.array([[1, 0.5], [-1, 2], [0.5, -1.5], [2, 1], [-0.5, -1]])
Y = np.array([1, -1, 0.5, 0, 2])

OUTPUTS = [0.487484764684, -1.130455882100, 1.278348464381, 0.638469124540, 0.623478322450]
LOSSES = [0.131335933215, 0.008509368587, 0.302913166002, 0.203821411496, 0.947405964382]
# fmt: off
TABLE = """
    -0.252773 -0.126386 0.246275 0.123137 -0.073638 -0.036819 -0.059777 -0.029888 -0.252773
    0.246275 -0.073638 -0.059777 -0.216230 0.101158 -0.410268 0.400688 -0.512515
    0.032873 -0.065746 -0.006755 0.013510 0.052182 -0.104365 0.011937 -0.023875 -0.032873
    0.006755 -0.052182 -0.011937 0.099354 -0.123516 0.000000 0.108755 -0.130456
    0.130542 -0.391626 -0.029291 0.087872 0.138056 -0.414168 0.045391 -0.136172 0.261084
    -0.058581 0.276112 0.090782 0.516852 -0.717379 0.261817 0.608518 0.778348
    0.428327 0.214164 -0.613596 -0.306798 0.043727 0.021864 0.022304 0.011152 0.214164
    -0.306798 0.021864 0.011152 0.423967 -0.126018 0.610528 -0.619604 0.638469
    0.403803 0.807605 -0.192388 -0.384776 0.258790 0.517580 0.062980 0.125960 -0.807605
    0.384776 -0.517580 -0.125960 -0.204943 0.914061 0.337136 -1.147544 -1.376522
"""
PER_EXAMPLE = np.array(TABLE.split(), float).reshape(5, 17)
MEAN = np.array([
    0.148554371157, 0.087602184553, -0.119151021025, -0.093410986849, 0.083823478263, -0.003181517991, 0.016567189600,
    -0.010564721116, -0.123600689169, 0.054485173664, -0.069085124393, -0.019148060884, 0.123800053805, 0.009661020434,
    0.159842676932, -0.129837328433, -0.120535041209,
])
# fmt: on
NORMS = [0.974165312354, 0.279149718655, 1.540357779466, 1.484414345447, 2.577191197534]
PRINTED = 0.5e-12  # half a unit of the last digit printed


class Net:
    """The net's parameters, and its loss on a batch or on one example."""

    def __init__(self, biases=True):
        self.parameters = [
            tg.Tensor(array * (1 if biases else array.ndim - 1), requires_grad=True, name=name)
            for array, name in ((W1, "W1"), (B1, "b1"), (W2, "W2"), (B2, "b2"))
        ]

    def outputs(self, x):
        w1, b1, w2, b2 = self.parameters
        return (np.tanh(x @ w1.T + b1) @ w2.T + b2)[..., 0]

    def losses(self, x, y):
        return 0.5 * np.square(self.outputs(x) - y)

    def gradient(self, loss):
        return np.concatenate([g.ravel() for g in loss.gradient(*self.parameters)])


def per_example(x=X, y=Y, net=None):
    net = net or Net()
    return np.array([net.gradient(net.losses(row, target)) for row, target in zip(x, y, strict=True)])


# --------------------------------------------------------------------------------------------- right answers


def test_outputs_and_losses():
    net = Net()
    np.testing.assert_allclose(net.outputs(X).numpy(), OUTPUTS, rtol=0, atol=PRINTED)
    losses = net.losses(X, Y)
    np.testing.assert_allclose(losses.numpy(), LOSSES, rtol=0, atol=PRINTED)
    np.testing.assert_allclose(losses.sum().item(), 1.593985843683, rtol=0, atol=PRINTED)
    np.testing.assert_allclose(losses.mean().item(), 0.318797168737, rtol=0, atol=PRINTED)


def test_gradient_of_each_example():
    g = per_example()
    np.testing.assert_allclose(g, PER_EXAMPLE, rtol=0, atol=0.5e-6)
    np.testing.assert_allclose(np.linalg.norm(g, axis=1), NORMS, rtol=0, atol=PRINTED)
    np.testing.assert_allclose(np.linalg.norm(MEAN), 0.394751529513, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reduce", ["mean", "sum"])
def test_gradient_of_the_batch(reduce):
    net = Net()
    loss = getattr(net.losses(X, Y), reduce)()
    g = net.gradient(loss) / (5 if reduce == "sum" else 1)
    np.testing.assert_allclose(g, MEAN, rtol=0, atol=PRINTED)
    np.testing.assert_allclose(g, per_example().mean(0), rtol=0, atol=2e-16)
    loss.backward()
    grads = np.concatenate([p.grad.ravel() for p in net.parameters])
    np.testing.assert_array_equal(grads / (5 if reduce == "sum" else 1), g)


def test_a_loop_that_accumulates():
    net = Net()
    for row, target in zip(X, Y, strict=True):
        (net.losses(row, target) / len(X)).backward()
    grads = np.concatenate([p.grad.ravel() for p in net.parameters])
    np.testing.assert_allclose(grads, MEAN, rtol=0, atol=PRINTED)


def test_in_single_precision():
    net = Net()
    net.parameters = [tg.Tensor(p.data.astype(np.float32), requires_grad=True) for p in net.parameters]
    loss = net.losses(X.astype(np.float32), Y.astype(np.float32)).mean()
    assert loss.dtype == np.float32
    for p, g in zip(net.parameters, loss.gradient(*net.parameters), strict=True):
        assert g.dtype == np.float32
        assert g.shape == p.shape
    np.testing.assert_allclose(net.gradient(loss), MEAN, rtol=0, atol=3e-7)


# --------------------------------------------------------------------------------------------- wrong answers


def forward(x, y, b1=B1, b2=B2):
    """Activations and the error of each example."""
    h = np.tanh(x @ W1.T + b1)
    return h, h @ W2.T + b2 - y[:, None]


def by_hand(x, h, error):
    """The classical backward pass for one forward pass, or for several of equal weight, given the errors."""
    delta = (error @ W2) * (1 - h * h)
    m = len(error)
    return np.concatenate([(delta.T @ x).ravel() / m, delta.mean(0), (error.T @ h).ravel() / m, error.mean(0)])


def averaged_data(x, y):
    x, y = x.mean(0, keepdims=True), y.mean(keepdims=True)
    return by_hand(x, *forward(x, y))


def averaged_activations(x, y):
    h, error = forward(x, y)
    return by_hand(x.mean(0, keepdims=True), h.mean(0, keepdims=True), error.mean(0, keepdims=True))


def averaged_error_through(k):
    def rule(x, y):
        h, error = forward(x, y)
        return by_hand(x[[k]], h[[k]], error.mean(0, keepdims=True))

    return rule


def averaged_error_for_all(x, y):
    h, error = forward(x, y)
    return by_hand(x, h, np.broadcast_to(error.mean(0), error.shape))


def product_of_means(x, y):
    h, error = forward(x, y)
    delta = ((error @ W2) * (1 - h * h)).mean(0)
    return np.concatenate([np.outer(delta, x.mean(0)).ravel(), delta, error.mean() * h.mean(0), error.mean(0)])


WRONG_RULES = {
    averaged_data: 1.094237,
    averaged_activations: 1.062564,
    averaged_error_through(-1): 0.719023,
    averaged_error_through(0): 1.311474,
    averaged_error_for_all: 1.049820,
    product_of_means: 1.086902,
}


def relative_error(wrong, right):
    return np.linalg.norm(wrong - right) / np.linalg.norm(right)


@pytest.mark.parametrize(("rule", "error"), WRONG_RULES.items())
def test_how_wrong_each_rule_is(rule, error):
    net = Net()
    right = net.gradient(net.losses(X, Y).mean())
    np.testing.assert_allclose(relative_error(rule(X, Y), right), error, rtol=0, atol=0.5e-6)


def test_the_derivation_by_hand_is_right():
    np.testing.assert_allclose(by_hand(X, *forward(X, Y)), MEAN, rtol=0, atol=PRINTED)


def test_product_of_means_gets_the_biases_right_and_misses_a_covariance():
    net = Net()
    h, _ = forward(X, Y)
    hidden = np.tanh(X @ net.parameters[0].T + net.parameters[1]).retain_grad()
    z = np.arctanh(hidden).retain_grad()  # so that δ = dL/dz can be read off
    (0.5 * np.square((np.tanh(z) @ net.parameters[2].T + net.parameters[3])[:, 0] - Y)).sum().backward()
    delta = z.grad
    difference = MEAN - product_of_means(X, Y)
    biases = [*range(8, 12), 16]
    np.testing.assert_allclose(difference[biases], 0, atol=PRINTED)
    covariance = (delta - delta.mean(0)).T @ (X - X.mean(0)) / len(X)
    np.testing.assert_allclose(difference[:8], covariance.ravel(), atol=1e-12)
    np.testing.assert_allclose(hidden.numpy(), h, rtol=1e-15)


def test_with_identical_examples_all_rules_agree():
    x, y = np.repeat(X[:1], 5, 0), np.repeat(Y[:1], 5)
    net = Net()
    right = net.gradient(net.losses(x, y).mean())
    for rule in WRONG_RULES:
        np.testing.assert_allclose(rule(x, y), right, rtol=0, atol=1e-15)


def test_the_odd_pair():
    x, y = np.array([[1, 0.5], [-1, -0.5]]), np.array([1.0, -1.0])
    net = Net(biases=False)
    np.testing.assert_array_equal(net.parameters[1].numpy(), 0)
    right = net.gradient(net.losses(x, y).mean())
    np.testing.assert_allclose(np.linalg.norm(right), 1.060504070943, rtol=0, atol=PRINTED)
    averaged = net.gradient(net.losses(x.mean(0), y.mean()))
    np.testing.assert_array_equal(averaged, 0)


def test_the_smallest_case_by_hand():
    w = tg.Tensor(0.0, requires_grad=True)
    x, y = np.array([1.0, -1.0]), np.array([1.0, -1.0])
    losses = 0.5 * np.square(w * x - y)
    assert [row.gradient(w) for row in losses] == [-1, -1]
    assert losses.mean().gradient(w) == -1
    assert (0.5 * np.square(w * x.mean() - y.mean())).gradient(w) == 0


# ---------------------------------------------------------------------------------------- splits, estimators


@pytest.mark.parametrize(("first", "error"), [(3, 0.503), (4, 2.199)])
def test_uneven_splits(first, error):
    net = Net()
    right = net.gradient(net.losses(X, Y).mean())
    parts = [(X[:first], Y[:first]), (X[first:], Y[first:])]
    mean_of_means = sum(net.gradient(net.losses(*part).mean()) for part in parts) / 2
    np.testing.assert_allclose(relative_error(mean_of_means, right), error, rtol=0, atol=0.5e-3)
    sums_with_counts = sum(net.gradient(net.losses(*part).sum()) for part in parts) / 5
    assert relative_error(sums_with_counts, right) < 1e-15


def test_the_batch_gradient_is_an_unbiased_estimate():
    net = Net()
    pairs = [list(pair) for pair in combinations(range(5), 2)]
    estimates = np.array([net.gradient(net.losses(X[pair], Y[pair]).mean()) for pair in pairs])
    np.testing.assert_allclose(estimates.mean(0), MEAN, rtol=0, atol=PRINTED)
    g = per_example()
    population = np.square(g - g.mean(0)).sum() / 5
    np.testing.assert_allclose(population, 2.293176255466, rtol=0, atol=PRINTED)
    variance = np.square(estimates - estimates.mean(0)).sum() / len(pairs)
    np.testing.assert_allclose(variance, population / 2 * (5 - 2) / (5 - 1), rtol=1e-13)


# ---------------------------------------------------------------------------------------------- statistics


def test_statistics_of_the_gradients():
    g = per_example()
    mean, m = g.mean(0), 5
    square = mean @ mean
    trace = (np.square(g).sum() - m * square) / (m - 1)
    for value, known in (
        (trace, 2.866470319332),
        (square, 0.155828770053),
        (square - trace / m, -0.417465293814),
        (trace / square, 18.395000604597),
        (np.sqrt(trace / (m * square)), 1.918071980119),
        (np.sqrt(np.var(g @ mean, ddof=1) / (m * square**2)), 1.034741259780),
        (g[0] @ g[3] / (NORMS[0] * NORMS[3]), -0.962807872834),
        (g[2] @ g[4] / (NORMS[2] * NORMS[4]), -0.835184134169),
    ):
        np.testing.assert_allclose(value, known, rtol=0, atol=2e-11)


def test_norms_from_activations_and_deltas():
    net = Net()
    w1, b1, w2, b2 = net.parameters
    z = (X @ w1.T + b1).retain_grad()
    h = np.tanh(z)
    f = (h @ w2.T + b2).retain_grad()
    (0.5 * np.square(f[:, 0] - Y)).sum().backward()
    squares = sum(
        np.square(delta).sum(1) * (np.square(a).sum(1) + 1) for delta, a in ((z.grad, X), (f.grad, h.numpy()))
    )
    known = [0.948998055793, 0.077924565425, 2.372702088760, 2.203485948969, 6.641914468645]
    np.testing.assert_allclose(squares, known, rtol=0, atol=PRINTED)
