"""Per-example gradients against one backward for each example alone, for every model of the list."""

import numpy as np
import pytest
from batch_models import MODELS, M
from problems import PROBLEMS

import tinygrad_mb as tg
from tinygrad_mb.minibatch import example_gradients
from tinygrad_mb.pytrees import Nest

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


# -------------------------------------------------------------------------------- inside of transforms


def small_losses(p, x, y):
    return 0.5 * np.square(np.tanh(x @ p["A"]) @ p["b"] - y)


RNG = np.random.default_rng(4)
SMALL = {"A": RNG.normal(size=(3, 4)), "b": RNG.normal(size=4)}
BATCH = RNG.normal(size=(5, 3)), RNG.normal(size=5)


def test_the_other_way_is_vmap_of_grad():
    expected = tg.vmap(tg.grad(small_losses), in_axes=(None, 0, 0))(SMALL, *BATCH)
    assert_same(tg.per_example_grads(small_losses, SMALL, *BATCH), expected)


def test_an_ensemble_of_models_at_once():
    ensemble = {name: np.stack([a, a + 1, a * 2]) for name, a in SMALL.items()}
    found = tg.vmap(lambda p: tg.per_example_grads(small_losses, p, *BATCH))(ensemble)
    norms = tg.vmap(lambda p: example_gradients(small_losses, p, *BATCH).norms())(ensemble)
    for k in range(3):
        params = {name: a[k] for name, a in ensemble.items()}
        assert_same({name: a[k] for name, a in found.items()}, tg.per_example_grads(small_losses, params, *BATCH))
        np.testing.assert_allclose(norms[k], example_gradients(small_losses, params, *BATCH).norms(), rtol=1e-12)


def test_their_own_derivatives():
    """The gradient of a penalty on the lengths of the gradients, against differences."""

    def penalty(p):
        return sum(np.square(g).sum() for g in Nest(tg.per_example_grads(small_losses, p, *BATCH)).leaves)

    slopes = tg.grad(penalty)(SMALL)
    step = 1e-5
    for name, a in SMALL.items():
        for index in np.ndindex(a.shape):
            sides = []
            for sign in (1, -1):
                moved = a.copy()
                moved[index] += sign * step
                sides.append(penalty({**SMALL, name: moved}))
            assert slopes[name][index] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-7, abs=1e-8)
    closure = tg.grad(lambda c: np.sum(tg.per_example_grads(lambda w, x: c * (x @ w), np.ones(3), BATCH[0])))(2.0)
    assert closure == pytest.approx(BATCH[0].sum(), rel=1e-12)


def test_statistics_inside_of_a_derivative_are_refused():
    with pytest.raises(
        tg.errors.NotDifferentiableError,
        match=r"plain numbers, and a derivative by '(A|b)' is asked for.*per_example_grads",
    ):
        tg.grad(lambda p: example_gradients(small_losses, p, *BATCH).norms().sum())(SMALL)


def test_what_needs_plain_arrays_says_what_to_do():
    with pytest.raises(TypeError) as caught:
        tg.per_example_grads(lambda w, x: np.asarray(x) @ w, np.ones(3), BATCH[0])
    assert "as tensors, so that examples that influence each other are found" in caught.value.__notes__[0]


@tg.primitive
def smoothed(x, width=3):
    return np.stack([np.convolve(row, np.ones(width), "same") for row in x])


def _smoothed_vjp(g, width):
    g = np.asarray(g)  # as nobody should write a rule, and everybody does
    out = np.zeros(g.shape)
    for i, row in enumerate(g):
        out[i] = np.convolve(row, np.ones(width), "same")
    return out


tg.defvjp(smoothed, x=_smoothed_vjp)


def test_rules_that_want_plain_arrays_run_for_each_example():
    x = BATCH[0]
    losses = lambda w, x: np.square(smoothed(np.tanh(x * w))).sum(axis=1)  # noqa: E731
    expected = [tg.grad(lambda w, x: losses(w, x).sum())(np.ones(3), x[i : i + 1]) for i in range(5)]
    np.testing.assert_allclose(tg.per_example_grads(losses, np.ones(3), x), expected, rtol=1e-13)
    mapped = tg.vmap(tg.grad(lambda w, x: losses(w, x[None]).sum()), in_axes=(None, 0))(np.ones(3), x)
    np.testing.assert_allclose(mapped, expected, rtol=1e-13)


def test_losses_made_of_finished_transforms_have_plain_gradients():
    x = BATCH[0]
    losses = lambda w, x: np.square(tg.vmap(tg.grad(lambda x: np.tanh(x * w).sum()))(x)).sum(axis=1)  # noqa: E731
    expected = tg.jacobian(lambda w: losses(w, x))(np.ones(3))
    w = tg.Tensor(np.ones(3), requires_grad=True)
    for found in tg.per_example_grads(losses, np.ones(3), x), tg.per_example_grads(losses(w, x), w):
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    norms = example_gradients(losses(w, x), w).norms()
    np.testing.assert_allclose(norms, np.linalg.norm(expected, axis=1), rtol=1e-12)


def test_keyword_arguments_are_arrays_of_the_batch_and_options():
    rng = np.random.default_rng(0)
    X, y, importance, w = rng.normal(size=(5, 3)), rng.normal(size=5), rng.uniform(1, 2, 5), rng.normal(size=3)

    def loss(params, x, y, *, importance, power=1, name="", table=None):
        assert name == "squares"
        return importance * np.square(x @ params["w"] - y) ** power

    expected = {"w": (importance * 2 * (X @ w - y))[:, None] * X}
    found = tg.per_example_grads(loss, {"w": w}, X, y=y, importance=importance, name="squares")
    assert_same(found, expected)
    grads = example_gradients(loss, {"w": w}, x=X, y=y, importance=importance, name="squares")
    assert_same(grads.materialize(), expected)

    def centred(params, x, *, offset):
        return np.square((x - offset.mean(axis=0)) @ params["w"])

    with pytest.raises(tg.errors.CoupledExamplesError, match="mean"):
        tg.per_example_grads(centred, {"w": w}, X, offset=X)
    losses = np.square(X @ tg.Tensor(w, requires_grad=True))
    with pytest.raises(TypeError, match="take no batch"):
        tg.per_example_grads(losses, w, offset=X)
