"""Examples that influence each other: found, named, and refused where a gradient of one example was asked for."""

import pickle

import numpy as np
import pytest
from batch_models import MODELS

import tinygrad_mb as tg
from tinygrad_mb import nn
from tinygrad_mb.errors import CoupledExamplesError
from tinygrad_mb.minibatch import couples_examples

RNG = np.random.default_rng(0)
X, Y, LABELS = RNG.normal(size=(5, 3)), RNG.normal(size=5), np.array([0, 1, 1, 0, 1])
W = RNG.normal(size=(3, 4))


def squares(z):
    return np.square(z).sum(axis=-1)


def batch_norm(w, x):
    z = x @ w
    return squares(1 + (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5))


def contrast(w, x):
    z = np.tanh(x @ w)
    return nn.cross_entropy(z @ z.T, np.arange(len(x)))


# What is written, and what the message must name.
COUPLED = {
    "centred data": (lambda w, x: squares((x - x.mean(axis=0)) @ w), r"mean\(axis=0\) of \(5, 3\).*subtract"),
    "centred and kept": (lambda w, x: squares((x - x.mean(0, keepdims=True)) @ w), r"mean\(axis=0, keepdims=True\)"),
    "batch norm": (batch_norm, r"(mean|var|sum).*axis=0"),
    "contrast": (contrast, r"transpose of \(5, 4\) along axis 0, that of the examples.*matmul"),
    "softmax over examples": (lambda w, x: squares(nn.softmax(x @ w, axis=0)), "softmax"),
    "running sum": (lambda w, x: squares(np.cumsum(x, axis=0) @ w), r"cumsum.*axis=0|'x'"),
    "the one before": (lambda w, x: squares((x + np.roll(x, 1, axis=0)) @ w), "roll|'x'"),
    "the largest": (lambda w, x: squares((x / x.max(axis=0)) @ w), r"max\(axis=0\)"),
    "sorted": (lambda w, x: squares(np.sort(x, axis=0) * x @ w), "index|'x'"),
    "einsum": (lambda w, x: squares(np.einsum("id,jd->ij", x @ w, x @ w)), "einsum|matmul"),
    "reversed": (lambda w, x: squares((x * x[::-1]) @ w), "index|'x'"),
    "somebody else": (lambda w, x: squares(x[::-1] @ w), "index|'x'"),
    "whole batch": (lambda w, x: squares(x @ w) * squares(x @ w).sum(), r"sum of \(5,\)"),
}

every_coupling = pytest.mark.parametrize("name", COUPLED)


@every_coupling
def test_refused_with_the_operation_and_the_axis(name):
    losses, names = COUPLED[name]
    with pytest.raises(CoupledExamplesError, match=names) as caught:
        tg.per_example_grads(losses, W, X)
    assert "examples influence each other" in str(caught.value)
    assert "per_example_grads(losses, tensors)" in str(caught.value)


@every_coupling
def test_answered(name):
    losses, _ = COUPLED[name]
    answer = couples_examples(losses, W, X)
    assert answer
    assert answer.coupled


@every_coupling
def test_losses_that_are_computed_already_have_gradients(name):
    w = tg.Tensor(W, requires_grad=True)
    losses = COUPLED[name][0](w, tg.Tensor(X))
    found = tg.per_example_grads(losses, w)
    for i, loss in enumerate(losses):
        np.testing.assert_allclose(found[i], loss.gradient(w), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_models_whose_examples_are_apart(model):
    if model.name in ("dropout_drawn_inside", "a_row_of_its_own"):
        return  # what they do depends on an example's place in the batch
    answer = couples_examples(model.losses, model.params, *model.batch)
    assert not answer, answer.reason
    assert "parts of the batch are those of the whole" in answer.reason


def test_what_has_no_derivative_is_seen_in_the_losses():
    def weighted_by_class(w, x, labels):
        return squares(x @ w) / np.bincount(labels)[labels]

    answer = couples_examples(weighted_by_class, W, X, LABELS)
    assert answer
    assert "change when they are a batch of their own" in answer.reason
    ranks = couples_examples(lambda w, x: squares(x @ w) * np.argsort(np.argsort(x[:, 0])), W, X)
    assert ranks


def test_where_losses_cannot_be_compared_it_is_said():
    rng = np.random.default_rng(0)
    random = couples_examples(lambda w, x: squares(x @ w) * rng.random(), W, X)
    assert not random
    assert "the losses are random" in random.reason


@pytest.mark.parametrize("reduce", [np.mean, np.sum])
def test_a_loss_of_the_whole_is_compared_with_those_of_parts(reduce):
    assert not couples_examples(lambda w, x: reduce(squares(x @ w)), W, X)
    ranks = couples_examples(lambda w, x: reduce(squares(x @ w) * np.argsort(np.argsort(x[:, 0]))), W, X)
    assert ranks
    assert "neither the mean nor the sum of those of the examples [0, 2, 4] and [1, 3]" in ranks.reason
    with pytest.raises(ValueError, match="wants the batch"):
        couples_examples(lambda w: reduce(squares(X @ w)), W)


@pytest.mark.parametrize(
    "losses",
    [
        lambda w, x: batch_norm(w, x)[1:],
        lambda w, x: np.repeat(batch_norm(w, x), 2),
        lambda w, x: batch_norm(w, x)[1:].mean(),
        lambda w, x: np.square(x @ w).mean(axis=0).sum(),
        lambda w, x: np.square(x @ w).reshape(-1),
        lambda w, x: squares(x @ w).mean(keepdims=True),
        lambda w, x: squares(x @ w)[None],
    ],
)
def test_losses_of_something_else_than_the_examples_are_refused(losses):
    """Or tokens, outputs, or pairs would count as examples, and nobody would look how they hang together."""
    with pytest.raises(tg.errors.ShapeError, match="are not those of the 5 examples of the batch's first array"):
        tg.per_example_grads(losses, W, X)


def test_examples_along_another_axis_are_not_apart():
    x = RNG.normal(size=(4, 4))
    with pytest.raises(CoupledExamplesError):
        tg.per_example_grads(lambda w, x: np.square(x.T @ w), np.ones(4), x)


def test_tables_of_pandas_pass_as_they_are():
    class Frame:
        """Like a table: a shape and no dtype."""

        shape = (5, 3)

        def to_numpy(self):
            return X

    found = tg.per_example_grads(lambda w, frame: squares(frame.to_numpy() @ w), W, Frame())
    np.testing.assert_allclose(found, tg.per_example_grads(lambda w, x: squares(x @ w), W, X))


def test_arrays_that_all_examples_share_are_no_examples():
    weights = np.array([0.5, 2.0])
    losses = lambda w, x, y, c: squares(x @ w) * c[y]  # noqa: E731
    grads = tg.per_example_grads(losses, W, X, LABELS, weights)
    assert grads.shape == (5, 3, 4)
    assert not couples_examples(losses, W, X, LABELS, weights)


def test_what_is_not_one_loss_per_example():
    with pytest.raises(tg.errors.ShapeError, match="not simply their mean or sum: return the losses themselves"):
        tg.per_example_grads(lambda w, x: squares(x @ w).mean() + 0.1 * np.square(w).sum(), W, X)
    with pytest.raises(TypeError, match="array of losses that depend on params"):
        tg.per_example_grads(lambda w, x: np.ones(5), W, X)
    with pytest.raises(TypeError, match="take no batch"):
        tg.per_example_grads(tg.Tensor(np.ones(3), requires_grad=True) * 2, W, X)
    with pytest.raises(TypeError, match="tensors that require gradients"):
        tg.per_example_grads(tg.Tensor(np.ones(3), requires_grad=True) * 2, W)


def test_the_error_can_be_pickled():
    with pytest.raises(CoupledExamplesError) as caught:
        tg.per_example_grads(batch_norm, W, X)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.how) == (str(caught.value), caught.value.how)


def test_a_module_gives_gradients_by_path():
    model = nn.Sequential(nn.Linear(3, 4, rng=0), np.tanh, nn.Linear(4, 2, rng=1))
    grads = tg.per_example_grads(lambda model, x, y: nn.cross_entropy(model(x), y), model, X, LABELS)
    assert {path: g.shape for path, g in grads.items()} == {
        "layers.0.W": (5, 3, 4), "layers.0.b": (5, 4), "layers.2.W": (5, 4, 2), "layers.2.b": (5, 2),
    }  # fmt: skip
    recorded = tg.per_example_grads(nn.cross_entropy(model(X), LABELS), model)
    for path, g in grads.items():
        np.testing.assert_allclose(g, recorded[path], rtol=1e-13)
    assert all(p.grad is None for p in model.parameters())


# --------------------------------------------------------------------- examples that are integers alone

TOKENS = RNG.integers(0, 7, (5, 6))
E = {"E": RNG.normal(size=(7, 3)), "P": RNG.normal(size=(6, 3)), "R": RNG.normal(size=(9, 6))}


def sentence(p, tokens):
    """A vector for each example, made of its tokens, their positions, and a table for pairs of places."""
    places = np.arange(tokens.shape[1])
    z = p["E"][tokens] + p["P"][places]
    weights = nn.softmax(p["R"][(places[:, None] - places) % 9].sum(axis=2))
    return np.tanh(weights @ z).mean(axis=1)


@pytest.mark.parametrize(
    "losses",
    [
        lambda p, t: squares(sentence(p, t) - sentence(p, t).mean(axis=0)),
        lambda p, t: nn.cross_entropy(sentence(p, t) @ sentence(p, t).T, np.arange(len(t))),
        lambda p, t: squares(nn.softmax(sentence(p, t[:, :-1]), axis=0)),
        lambda p, t: squares(np.cumsum(nn.embedding(p["E"], t.reshape(-1)), axis=0).reshape(5, 6, 3)).sum(axis=1),
        lambda p, t: squares(np.take(p["E"], t[:, 0], axis=0)[::-1] * p["E"][t[:, 1]]),
    ],
)
def test_what_their_integers_pick_is_followed(losses):
    with pytest.raises(CoupledExamplesError):
        tg.per_example_grads(losses, E, TOKENS)
    assert couples_examples(losses, E, TOKENS)


@pytest.mark.parametrize("m", [5, 6])
def test_tables_that_all_examples_share_are_parameters(m):
    """Also where a table happens to be as long as the batch: here there are six places, and m = 6."""
    tokens = RNG.integers(0, 7, (m, 6))
    losses = lambda p, t: squares(sentence(p, t))  # noqa: E731
    found = tg.per_example_grads(losses, E, tokens)
    alone = [tg.grad(lambda p, t: losses(p, t).sum())(E, tokens[i : i + 1]) for i in range(m)]
    for name, g in found.items():
        np.testing.assert_allclose(g, [row[name] for row in alone], rtol=1e-11, atol=1e-13)
    assert not couples_examples(losses, E, tokens)
