"""What the walk says of examples, compared with one backward for each example's loss alone."""

import re

import numpy as np
import pytest
from batch_models import MODELS, M

import tinygrad_mb as tg
from tinygrad_mb import autodiff
from tinygrad_mb.derivation import contributions
from tinygrad_mb.derivation.contributions import Walk
from tinygrad_mb.derivation.explain import Explanation

BY_VMAP = ("each_example_by_vmap", "steps_by_vmap", "heads_by_vmap", "a_penalty_on_slopes")
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
every_batch = pytest.mark.parametrize(
    "model", [model for model in MODELS if model.name not in BY_VMAP], ids=lambda model: model.name
)


def recorded(model):
    params = {name: tg.Tensor(a, requires_grad=True, name=name) for name, a in model.params.items()}
    return params, model.losses(params, *model.batch)


def alone(walk, start, i):
    """The δ of all values if all losses but the i-th counted for nothing."""
    seed = np.zeros_like(walk.steps[start].delta)
    seed[i] = walk.steps[start].delta[i]
    below = [node for node in walk.steps if node.order <= start.order]
    return autodiff.gradient({start: seed}, below)


@every_batch
def test_an_examples_places_and_contributions_are_those_of_its_loss_alone(model):
    params, losses = recorded(model)
    walk = Walk(losses.mean().node)
    (start,) = walk.starts
    assert start is losses.node
    assert walk.examples == M
    told = 0
    for i in range(M):
        expected = alone(walk, start, i)
        for node, step in walk.steps.items():
            if node.order >= start.order:
                continue
            if step.places is not None:
                own = step.places.dense()._data[i]
                np.testing.assert_allclose(own, expected[node], rtol=1e-12, atol=1e-14)
                np.testing.assert_allclose(
                    np.sort(step.of_example(i).ravel()), np.sort(own[own_places(step, i)].ravel())
                )
            elif all(use.each is not None for use in step.received):
                own = sum(use.of_example(i) for use in step.received)
                assert own.shape == node.shape
                assert own.dtype == node.dtype
                np.testing.assert_allclose(own, expected[node], rtol=1e-12, atol=1e-14)
                told += 1
    assert told, "somewhere the contributions of the examples are added up"
    assert {walk.steps[t.node].delta.shape for t in params.values()} == {a.shape for a in model.params.values()}


def own_places(step, i):
    """Which elements of a δ an example owns, counted out by hand."""
    places = step.places
    owner = np.arange(places.shape[places._axis]) // places._after % places.examples
    shape = [1] * places.ndim
    shape[places._axis] = -1
    return np.broadcast_to((owner == i).reshape(shape), places.shape)


@every_batch
def test_what_is_received_adds_up_to_the_delta(model):
    _, losses = recorded(model)
    walk = Walk(losses.mean().node)
    for step in walk.steps.values():
        if step.received and all(use.each is not None for use in step.received):
            total = sum(use.of_example(i) for use in step.received for i in range(M))
            np.testing.assert_allclose(total, step.delta, rtol=1e-12, atol=1e-14)


@every_model
def test_the_deltas_are_those_of_backward(model):
    params, losses = recorded(model)
    walk = Walk(losses.mean().node)
    for name, t in params.items():
        expected = tg.grad(lambda p: model.losses(p, *model.batch).mean())(model.params)[name]
        np.testing.assert_array_equal(walk.steps[t.node].delta, expected)


# ------------------------------------------------------------------------------- where the examples are, or are not


def tensor(*shape, name=None):
    rng = np.random.default_rng(sum(shape))
    return tg.Tensor(rng.normal(size=shape), requires_grad=True, name=name)


X, Y = np.random.default_rng(0).normal(size=(5, 3)), np.arange(5.0)


def step_of(walk, name):
    (step,) = [step for node, step in walk.steps.items() if node.name == name]
    return step


def test_a_penalty_is_no_example_and_its_part_is_nobodys():
    W, w = tensor(3, 4, name="W"), tensor(4, name="w")
    losses = np.square(np.tanh(X @ W) @ w - Y)
    walk = Walk((losses.mean() + 0.1 * np.square(W).sum()).node)
    assert walk.starts == [losses.node]
    penalty, product = step_of(walk, "W").received
    assert (penalty.node.op.name, product.node.op.name) == ("square", "matmul")
    assert penalty.each is None
    each = tg.per_example_grads(losses, {"W": W})["W"]
    np.testing.assert_allclose([product.of_example(i) for i in range(5)], each / 5, atol=1e-15)
    np.testing.assert_allclose(step_of(walk, "W").delta, each.mean(axis=0) + 0.2 * W.numpy())


def test_two_kinds_of_losses_of_one_batch():
    W = tensor(3, 4, name="W")
    H = X @ W
    first, second = np.square(H[:, 0] - Y), abs(H[:, 1])
    walk = Walk((first.mean() + second.sum()).node)
    assert set(walk.starts) == {first.node, second.node}
    each = tg.per_example_grads(first / 5 + second, {"W": W})["W"]
    (use,) = step_of(walk, "W").received
    np.testing.assert_allclose([use.of_example(i) for i in range(5)], each, atol=1e-15)


def test_statistics_of_a_batch_mix_its_examples():
    W = tensor(3, 4, name="W")
    z = (X @ W).named("z")
    mu = z.mean(axis=0).named("mu")
    walk = Walk(np.tanh(z - mu).sum(axis=1).mean().node)
    (to_mu,) = step_of(walk, "mu").received
    assert to_mu.each is not None
    assert to_mu.summed == (0,)
    assert step_of(walk, "mu").places is None
    assert [use.node for use in step_of(walk, "z").mixing] == [mu.node]
    assert step_of(walk, "z").places is not None
    assert not any(step.mixing for node, step in walk.steps.items() if node.name != "z")


@pytest.mark.parametrize("shape", [(), (1,), (2,)])
def test_a_bias_as_long_as_the_batch_gets_a_sum(shape):
    """Also where most examples contribute nothing, so that no two contributions meet."""
    b = tg.Tensor(np.zeros(5), requires_grad=True, name="b")
    rest = np.eye(5).reshape(5, *[1 for _ in shape], 5) * np.ones((5, *shape, 5))
    losses = (rest * b).reshape(5, -1).sum(axis=1)
    walk = Walk((losses + 0 * Y).sum().node)
    (use,) = step_of(walk, "b").received
    np.testing.assert_array_equal([use.of_example(i) for i in range(5)], np.eye(5) * sum(shape or (1,)))


def test_losses_of_tokens_in_one_row_are_told_apart_down_to_where_they_are_put_in_a_row():
    """And it is not taken for a sum over them."""
    E = tensor(7, 3, name="E")
    tokens = np.random.default_rng(0).integers(0, 7, (4, 5))
    logits = (E[tokens] @ tensor(3, 7)).named("logits")
    walk = Walk(tg.nn.cross_entropy(logits.reshape(-1, 7), tokens.reshape(-1)).mean().node)
    assert walk.examples == 20
    (use,) = step_of(walk, "logits").received
    assert use.lost
    assert use.each is None
    assert step_of(walk, "logits").places is None
    assert not any(use.each for step in walk.steps.values() for use in step.passed)
    assert "NB: from here on the examples are not told apart" in Explanation(walk).about("#3")


def test_contributions_to_a_parameter_are_a_sum_even_where_they_do_not_meet():
    logits, labels = tensor(4, 5, 7, name="logits"), np.arange(20) % 7
    walk = Walk(tg.nn.cross_entropy(logits.reshape(-1, 7), labels).mean().node)
    (use,) = step_of(walk, "logits").received
    assert not use.lost
    found = sum(use.of_example(i) for i in range(20))
    np.testing.assert_allclose(found, step_of(walk, "logits").delta, rtol=1e-12)


@pytest.mark.parametrize("model", [m for m in MODELS if m.name in BY_VMAP], ids=lambda model: model.name)
def test_inside_vmap_sums_over_what_it_hides_are_found_and_examples_not_told_apart(model):
    params, losses = recorded(model)
    walk = Walk(losses.mean().node)
    assert (walk.examples, walk.reason) == (0, "a part of the loss is computed inside vmap")
    text = str(Explanation(walk))
    if model.name in ("each_example_by_vmap", "steps_by_vmap"):
        lengths = {use.hidden for step in walk.steps.values() for use in step.passed if use.hidden}
        assert lengths == {(5,) if model.name == "each_example_by_vmap" else (6,)}
        assert re.search(r"→ W: .*← Σ over the [56] examples that vmap hides", text)
        assert "; the examples that vmap hides are along axis 0" in text
    assert walk.steps[params["W"].node].delta.shape == params["W"].shape
    assert not any(use.each is not None for step in walk.steps.values() for use in step.passed)
    if model.name != "a_penalty_on_slopes":
        assert re.search(r"hide\(δ, axis=\d\)$", text, re.MULTILINE)


def test_a_batch_of_one():
    walk = Walk(np.square(np.einsum("md,dhe,me->mh", X[:1], tensor(3, 2, 3, name="A"), X[:1])).mean().node)
    (use,) = step_of(walk, "A").received
    assert not use.lost
    np.testing.assert_array_equal(use.of_example(0), step_of(walk, "A").delta)


def test_losses_themselves_are_explained_as_their_sum():
    w = tensor(3, name="w")
    losses = np.square(X @ w - Y)
    walk = Walk(losses.node)
    assert walk.starts == [losses.node]
    np.testing.assert_allclose(step_of(walk, "w").delta, losses.sum().gradient(w))


@pytest.mark.parametrize(("loss", "reason"), [
    (lambda w: np.square(w).sum(), "no sum or mean over the rows"),
    (lambda w: w[0] * w[1] - 1, "no sum or mean over the rows"),
    (lambda w: np.square(X @ w).sum() + np.square(w[:2] - np.ones(2)).sum(), "arrays of 2 and of 5 rows"),
    (lambda w: (X[:0] @ w).sum(), "no sum or mean over the rows"),
])  # fmt: skip
def test_where_there_are_no_examples_the_reason_is_said(loss, reason):
    walk = Walk(loss(tensor(3)).node)
    assert walk.examples == 0
    assert reason in walk.reason
    assert not any(step.places is not None for step in walk.steps.values())


def test_a_batch_that_would_take_too_much_room_is_not_told_apart(monkeypatch):
    monkeypatch.setattr(contributions, "ROOM", 5 * 5 * 4)
    assert Walk(np.square(X @ tensor(3, 4)).mean().node).examples == 5
    monkeypatch.setattr(contributions, "ROOM", 5 * 5 * 4 - 1)
    walk = Walk(np.square(X @ tensor(3, 4)).mean().node)
    assert (walk.examples, walk.reason) == (0, "the batch is too large for that, with 5 rows")


def test_a_leaf_is_its_own_walk():
    (step,) = Walk(tensor(3).node).steps.values()
    np.testing.assert_array_equal(step.delta, np.ones(3))
