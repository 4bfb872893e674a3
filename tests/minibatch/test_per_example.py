"""Per-example gradients against one backward for each example alone, for every model of the list."""

import numpy as np
import pytest
from batch_models import MODELS, M
from problems import PROBLEMS

import tinygrad_mb as tg
from tinygrad_mb.minibatch import example_gradients

every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def by_a_loop(model):
    """The gradients of the losses of batches of one example each."""
    gradient = tg.grad(lambda params, *batch: model.losses(params, *batch).sum())
    rows = [gradient(model.params, *[a[i : i + 1] for a in model.batch]) for i in range(M)]
    return {name: np.stack([row[name] for row in rows]) for name in model.params}


def dropped(model):
    """A model whose masks depend on the example's place draws them anew for a batch of one."""
    return model.name == "dropout_drawn_inside"


def assert_same(found, expected, tolerance=1e-12):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance * max(1, np.abs(array).max()))


@every_model
def test_each_gradient_is_that_of_the_example_alone(model):
    if not dropped(model):
        assert_same(tg.per_example_grads(model.losses, model.params, *model.batch), by_a_loop(model))


@every_model
def test_recorded_losses_give_the_rows_of_their_jacobian(model):
    params = {name: tg.Tensor(a, requires_grad=True) for name, a in model.params.items()}
    losses = model.losses(params, *model.batch)
    losses = losses.reshape(M, -1).sum(axis=1)
    rows = [losses[i].gradient(*params.values()) for i in range(M)]
    rows = [row if isinstance(row, tuple) else (row,) for row in rows]
    expected = {name: np.stack(column) for name, column in zip(params, zip(*rows, strict=True), strict=True)}
    assert_same(tg.per_example_grads(losses, params), expected)


@every_model
def test_their_sum_is_the_gradient_of_the_summed_loss(model):
    whole = tg.grad(lambda params, *batch: model.losses(params, *batch).sum())(model.params, *model.batch)
    grads = example_gradients(model.losses, model.params, *model.batch)
    assert_same(grads.sum(), whole)
    assert_same({name: g.sum(axis=0) for name, g in grads.materialize().items()}, whole)


@every_model
def test_mean_and_sum_of_the_losses_give_the_same(model):
    expected = tg.per_example_grads(model.losses, model.params, *model.batch)
    found = tg.per_example_grads(lambda p, *batch: model.losses(p, *batch).sum(), model.params, *model.batch)
    assert_same(found, expected)
    losses = lambda p, *batch: model.losses(p, *batch).reshape(len(batch[0]), -1).sum(axis=1)  # noqa: E731
    assert_same(tg.per_example_grads(lambda *args: losses(*args).mean(), model.params, *model.batch), expected)


@every_model
def test_float32_stays_float32(model):
    params = {name: a.astype(np.float32) for name, a in model.params.items()}
    batch = [a.astype(np.float32) if a.dtype == float else a for a in model.batch]
    exact = tg.per_example_grads(model.losses, model.params, *model.batch)
    for name, g in tg.per_example_grads(model.losses, params, *batch).items():
        assert g.dtype == np.float32
        np.testing.assert_allclose(g, exact[name], rtol=2e-3, atol=2e-4 * max(1, np.abs(exact[name]).max()))


def poses_several_losses(problem):
    out = np.asarray(problem.run(*problem.inputs))
    return out.ndim > 0 and len(out) > 0 and out.size > 0 and out.dtype.kind == "f"


ROWS = [p for p in PROBLEMS if poses_several_losses(p)]


@pytest.mark.parametrize("problem", ROWS, ids=[f"{k}-{p}" for k, p in enumerate(ROWS)])
def test_every_rule_keeps_the_rows_of_a_result_apart(problem):
    """Exact also where rows influence each other, and where a rule does something that has no structure."""
    xs = [tg.Tensor(a, requires_grad=True) if k in problem.wrt else a for k, a in enumerate(problem.inputs)]
    wrt = [xs[k] for k in problem.wrt]
    out = problem.run(*xs)
    weights = np.random.default_rng(1).uniform(0.5, 1.5, out.shape)
    losses = (out * weights).reshape(out.shape[0], -1).sum(axis=1)
    for i, found in enumerate(zip(*tg.per_example_grads(losses, wrt), strict=True)):
        expected = losses[i].gradient(*wrt)
        for f, e in zip(found, expected if isinstance(expected, tuple) else (expected,), strict=True):
            assert f.shape == e.shape
            assert f.dtype == e.dtype
            np.testing.assert_allclose(f, e, rtol=1e-10, atol=1e-10 * max(1, np.abs(e).max(initial=0)))
