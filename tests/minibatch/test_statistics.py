"""Lengths, angles, spread and weighted sums of per-example gradients: from factors, and from the gradients."""

import math
import pickle
import tracemalloc

import numpy as np
import pytest
from batch_models import MODELS, M
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_known_answers import B1, B2, NORMS, W1, W2, X, Y

import tinygrad_mb as tg
from tinygrad_mb import nn
from tinygrad_mb.carriers import factors
from tinygrad_mb.carriers.factors import Factors
from tinygrad_mb.minibatch import example_gradients, influence
from tinygrad_mb.minibatch.statistics import Estimate
from tinygrad_mb.pytrees import Nest

every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


def known():
    def losses(p, x, y):
        f = (np.tanh(x @ p["W1"].T + p["b1"]) @ p["W2"].T + p["b2"])[:, 0]
        return 0.5 * np.square(f - y)

    return example_gradients(losses, {"W1": W1, "b1": B1, "W2": W2, "b2": B2}, X, Y)


def toy():
    """Four gradients that anyone can compute with: (1, 0), (3, 0), (2, 1), (2, -1)."""
    rows = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 1.0], [2.0, -1.0]])
    return example_gradients(lambda w, x: x @ w, np.zeros(2), rows)


def flat(gradients):
    """The gradients of all parameters side by side, one row for each example."""
    return np.concatenate([g.reshape(len(g), -1) for g in gradients.values()], axis=1)


def assert_printed(value, printed, digits=12):
    assert abs(float(value) - printed) <= 0.5001 * 10.0**-digits


# --------------------------------------------------------------------------------------- known answers


def test_the_toy_by_hand():
    grads = toy()
    assert grads.total_variance() == pytest.approx(4 / 3, abs=1e-15)
    assert grads.squared_signal() == pytest.approx(11 / 3, abs=1e-15)
    assert grads.noise_scale(debiased=False) == pytest.approx(1 / 3, abs=1e-15)
    assert grads.noise_scale() == pytest.approx(4 / 11, abs=1e-15)
    assert grads.snr() == pytest.approx(11, abs=1e-13)
    assert_printed(grads.norm_test(), 0.288675134595)
    assert_printed(grads.inner_product_test(), 0.204124145232)
    np.testing.assert_allclose(grads.clipped_sum(1.5), [5.183281573, 0], atol=5e-10)
    np.testing.assert_allclose(grads.variance(), [2 / 3, 2 / 3], rtol=1e-15)
    assert grads.suggested_size(0.5) == math.ceil(4 / 3 / (0.25 * 4))


def test_the_small_net():
    grads = known()
    np.testing.assert_allclose(grads.norms(), NORMS, atol=5.1e-13, rtol=0)
    squared = [0.948998055793, 0.077924565425, 2.372702088760, 2.203485948969, 6.641914468645]
    np.testing.assert_allclose(grads.squared_norms(), squared, atol=5.1e-13, rtol=0)
    assert_printed(grads.total_variance(), 2.866470319332)
    assert_printed(grads.squared_signal(), -0.417465293814)
    assert_printed(grads.noise_scale(debiased=False), 18.395000604597)
    assert_printed(grads.norm_test(), 1.918071980119)
    assert_printed(grads.inner_product_test(), 1.034741259780)
    cosine = grads.cosine()
    assert_printed(cosine[0, 3], -0.962807872834)
    assert_printed(cosine[2, 4], -0.835184134169)
    factors_of_c1 = [1, 1, 0.649199824438, 0.673666354052, 0.388019329321]
    rows = flat(grads.materialize())
    np.testing.assert_allclose(
        np.concatenate([g.reshape(-1) for g in grads.clipped_sum(1).values()]), factors_of_c1 @ rows, atol=1e-11
    )


def test_one_batch_that_cannot_tell_says_so():
    for estimate in known().noise_scale(), known().snr():
        assert math.isnan(estimate)
        assert "-0.4175" in estimate.reason
        assert "too small" in repr(estimate)
        assert math.isnan(pickle.loads(pickle.dumps(estimate)))
        assert pickle.loads(pickle.dumps(estimate)).reason == estimate.reason


def test_a_weight_at_two_steps():
    """|Σ_t δ_t a_tᵀ|² with a = (1, 2), (3, -1) and δ = (1, 0), (2, 1): 59, where the sum of the squares is 55."""
    a, delta = np.array([[[1.0, 2.0], [3.0, -1.0]]]), np.array([[[1.0, 0.0], [2.0, 1.0]]])
    grads = example_gradients(lambda w, a, d: ((a @ w) * d).sum(axis=(1, 2)), np.zeros((2, 2)), a, delta)
    assert grads.squared_norms() == pytest.approx([59], abs=1e-13)


def test_gradients_that_agree_have_no_noise():
    grads = example_gradients(lambda w, x: x @ w, np.zeros(2), np.ones((3, 2)))
    assert grads.total_variance() == 0
    assert grads.noise_scale() == 0
    assert grads.snr() == math.inf
    zero = example_gradients(lambda w, x: x @ w, np.zeros(2), np.zeros((3, 2)))
    assert zero.norm_test().reason == "all gradients are 0"


# ------------------------------------------------------------------- the same as from the gradients themselves


@every_model
def test_factors_tell_what_the_gradients_tell(model):
    grads = example_gradients(model.losses, model.params, *model.batch)
    rows = flat(grads.materialize())
    scale = np.abs(rows).max() ** 2 * rows.shape[1]
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12 * scale)  # noqa: E731
    gram = rows @ rows.T
    close(grads.gram(), gram)
    close(grads.squared_norms(), np.diagonal(gram))
    close(np.diagonal(grads.gram()), grads.norms() ** 2)
    weights = np.linspace(-1, 2, M)
    close(flat_one(grads.weighted_sum(weights)), weights @ rows)
    close(flat_one(grads.mean()), rows.mean(axis=0))
    close(flat_one(grads.variance()), rows.var(axis=0, ddof=1))
    close(grads.total_variance(), rows.var(axis=0, ddof=1).sum())
    close(flat_one(grads.clipped_sum(math.inf)), flat_one(grads.sum()))
    bound = np.median(grads.norms())
    close(flat_one(grads.clipped_sum(bound)), np.minimum(1, bound / np.linalg.norm(rows, axis=1)) @ rows)
    direction = {name: np.cos(np.arange(a.size)).reshape(a.shape) for name, a in model.params.items()}
    close(grads.dot(direction), rows @ flat_one(direction))
    for i in range(M):
        close(flat_one(grads.grads(i)), rows[i])
    close(flat(grads.grads(np.array([3, 0]))), rows[[3, 0]])
    close(flat(grads.grads([True, False, True, False, False])), rows[[0, 2]])


def flat_one(gradient):
    return np.concatenate([np.reshape(g, -1) for g in gradient.values()])


def sequence_factors(rng, m, t, d, h, kinds):
    """Factors of the given kinds, and the arrays that they are."""
    terms, total = [], 0
    for kind in kinds:
        right = rng.normal(size=(m, t, h))
        if kind == "ones":
            left = rng.integers(0, d, (m, t))
            total = total + np.einsum("mtd,mth->mdh", np.eye(d)[left], right)
        else:
            left = rng.normal(size=(m, t, d))
            total = total + np.einsum("mtd,mth->mdh", left, right)
        terms.append((left, right))
    return Factors(terms, (d, h), 1), total


@pytest.mark.parametrize("room", [1, 50, 1 << 22])
@pytest.mark.parametrize(("t", "d", "h"), [(1, 3, 4), (2, 5, 7), (9, 2, 3), (30, 2, 2)])
@pytest.mark.parametrize("kinds", [["dense"], ["ones"], ["dense", "ones"], ["dense", "dense", "ones", "ones"]])
def test_both_forms_of_the_algebra_agree(monkeypatch, room, t, d, h, kinds):
    """Few places and long vectors ask for products of factors, many places and short ones for the arrays themselves."""
    monkeypatch.setattr(factors, "ROOM", room)
    rng = np.random.default_rng(t)
    first, a = sequence_factors(rng, 4, t, d, h, kinds)
    second, b = sequence_factors(rng, 3, t, d, h, kinds[::-1])
    np.testing.assert_allclose(first.squared_norms(), np.einsum("mdh,mdh->m", a, a), rtol=1e-12)
    np.testing.assert_allclose(first.inner(second), np.einsum("mdh,ndh->mn", a, b), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(first.sum_of_squares(), (a * a).sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(first.rows(slice(None)), a, rtol=1e-12, atol=1e-14)
    weights = rng.normal(size=4)
    np.testing.assert_allclose(first.weighted_sum(weights), np.einsum("m,mdh->dh", weights, a), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(first.dot(b[0]), np.einsum("mdh,dh->m", a, b[0]), rtol=1e-11, atol=1e-12)


# --------------------------------------------------------------------------------------- equivalences

BATCH = arrays(float, st.tuples(st.integers(2, 7), st.just(3)), elements=st.floats(-2, 2, width=16))
WEIGHTS = np.random.default_rng(0).normal(size=(3, 4)), np.random.default_rng(1).normal(size=4)


def small(x):
    return example_gradients(lambda p, x: np.square(np.tanh(x @ p[0]) @ p[1] - 1), WEIGHTS, x)


@settings(deadline=None, max_examples=40)
@given(BATCH, st.randoms())
def test_permuted_and_doubled_examples(x, random):
    grads, order = small(x), list(range(len(x)))
    random.shuffle(order)
    permuted, doubled = small(x[order]), small(np.concatenate([x, x]))
    np.testing.assert_allclose(permuted.norms(), grads.norms()[order], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(permuted.gram(), grads.gram()[order][:, order], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(permuted.mean()[0], grads.mean()[0], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(doubled.mean()[0], grads.mean()[0], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(doubled.gram(), np.tile(grads.gram(), (2, 2)), rtol=1e-11, atol=1e-12)
    factor = (len(x) - 1) * 2 / (2 * len(x) - 1)  # the same sum of squares, divided by another count
    assert doubled.total_variance() == pytest.approx(grads.total_variance() * factor, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=40)
@given(BATCH, st.floats(0.01, 10))
def test_clipping(x, bound):
    grads = small(x)
    shrunk = np.minimum(1, bound / np.maximum(grads.norms(), 1e-300))
    clipped = [shrunk @ g.reshape(len(x), -1) for g in grads.materialize()]
    for found, expected in zip(grads.clipped_sum(bound), clipped, strict=True):
        np.testing.assert_allclose(found.reshape(-1), expected, rtol=1e-10, atol=1e-12)
    length = math.sqrt(sum(float((g * g).sum()) for g in grads.clipped_sum(bound)))
    assert length <= len(x) * bound * (1 + 1e-12)


def test_influence_is_the_products_of_gradients():
    def loss(p, x, y):
        return nn.cross_entropy(np.tanh(x @ p["W"]) @ p["V"], y)

    rng = np.random.default_rng(2)
    params = {"W": rng.normal(size=(3, 4)), "V": rng.normal(size=(4, 2))}
    train, test = ((rng.normal(size=(n, 3)), rng.integers(0, 2, n)) for n in (5, 3))
    a, b = (flat(tg.per_example_grads(loss, params, *batch)) for batch in (train, test))
    found = influence(loss, params, train, test)
    np.testing.assert_allclose(found, a @ b.T, rtol=1e-12)
    step = 1e-6
    for i in range(5):
        gradient = tg.grad(lambda p, x, y: loss(p, x, y).sum())(params, train[0][i : i + 1], train[1][i : i + 1])
        moved = {name: params[name] - step * gradient[name] for name in params}
        np.testing.assert_allclose((loss(params, *test) - loss(moved, *test)) / step, found[i], rtol=1e-3, atol=1e-5)


# ------------------------------------------------------------------------------------------------ room


def test_norms_sums_and_angles_take_no_room_for_each_example():
    rng = np.random.default_rng(0)
    m, d, h = 128, 300, 200
    params = {"W": rng.normal(size=(d, h)) / d, "V": rng.normal(size=(h, 10))}
    x, y = rng.normal(size=(m, d)), rng.integers(0, 10, m)
    all_gradients = 8 * m * (d * h + h * 10)

    def losses(p, x, y):
        return nn.cross_entropy(nn.relu(x @ p["W"]) @ p["V"], y)

    tracemalloc.start()
    try:
        grads = example_gradients(losses, params, x, y)
        grads.norms(), grads.gram(), grads.sum(), grads.clipped_sum(1.0), grads.noise_scale(), grads.variance()
        peak = tracemalloc.get_traced_memory()[1]
        assert peak < all_gradients / 8
        tracemalloc.reset_peak()
        grads.materialize()
        assert tracemalloc.get_traced_memory()[1] > all_gradients  # so that the first figure means something
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------------------------------------- errors


def test_one_parameter_by_its_path():
    grads = known()
    assert grads["W1"].materialize().shape == (5, 4, 2)
    total = sum(grads[name].squared_norms() for name in ("W1", "b1", "W2", "b2"))
    np.testing.assert_allclose(total, grads.squared_norms(), rtol=1e-14)
    with pytest.raises(KeyError, match="no parameter 'W3'; there are 'W1', 'b1'"):
        grads["W3"]
    assert repr(grads) == "<gradients of 5 examples: W1 (4, 2), b1 (4,), W2 (1, 4), b2 (1,)>"


def test_what_cannot_be_answered_is_refused():
    grads = known()
    alone = example_gradients(lambda w, x: x @ w, np.zeros(2), np.ones((1, 2)))
    for name in "variance", "total_variance", "noise_scale", "snr", "norm_test", "inner_product_test", "suggested_size":
        with pytest.raises(ValueError, match="two examples or more, and there is 1"):
            getattr(alone, name)()
    with pytest.raises(ValueError, match=r"weights \(4,\) for 5 examples must have shape \(5,\)"):
        grads.weighted_sum(np.ones(4))
    with pytest.raises(ValueError, match="bound must be positive, not 0"):
        grads.clipped_sum(0)
    with pytest.raises(ValueError, match="limit must be positive"):
        grads.suggested_size(-1)
    with pytest.raises(IndexError, match="no example 5: there are 5"):
        grads.grads(5)
    with pytest.raises(ValueError, match=r"direction b1 has shape \(3,\)"):
        grads.dot({"W1": W1, "b1": np.ones(3), "W2": W2, "b2": B2})
    with pytest.raises(TypeError, match="train_batch must be the tuple"):
        influence(lambda w, x: x @ w, np.zeros(2), np.ones((1, 2)), (np.ones((1, 2)),))


def test_an_estimate_is_a_number():
    assert Estimate(2.5) == 2.5
    assert Estimate(2.5) * 2 == 5.0
    assert repr(Estimate(2.5)) == "2.5"
    assert Estimate(2.5).reason is None


def test_no_examples():
    grads = example_gradients(lambda w, x: x @ w, np.zeros(2), np.zeros((0, 2)))
    assert len(grads) == 0
    assert grads.norms().shape == (0,)
    np.testing.assert_array_equal(grads.sum(), [0, 0])
    assert grads.materialize().shape == (0, 2)
    with pytest.raises(ValueError, match="of none there is no mean"):
        grads.mean()


def test_no_examples_in_a_deeper_net():
    def losses(p, x, y):
        return nn.cross_entropy(np.tanh(x @ p["W1"] + p["b1"]) @ p["W2"], y)

    params = {"W1": np.ones((3, 4), np.float32), "b1": np.ones(4, np.float32), "W2": np.ones((4, 2), np.float32)}
    grads = example_gradients(losses, params, np.zeros((0, 3), np.float32), np.zeros(0, int))
    total = grads.clipped_sum(1.0)
    for name, p in params.items():
        np.testing.assert_array_equal(total[name], np.zeros(p.shape))
        assert total[name].dtype == p.dtype
        assert grads.materialize()[name].shape == (0, *p.shape)


def test_brackets_are_for_parameters():
    with pytest.raises(TypeError, match=r"the path of a parameter, such as \['W1'\]; .*\.grads\(which\)"):
        known()[0]
    with pytest.raises(KeyError, match="there are 'W1', 'b1', 'W2', 'b2'"):
        known()["W3"]


# ------------------------------------------------------------------------------------- small numbers


def true_spread(grads):
    rows = [np.asarray(g, float).reshape(len(grads), -1) for g in Nest(grads.materialize()).leaves]
    return sum(row.var(axis=0, ddof=1).sum() for row in rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("spread", [1e-2, 1e-4])
def test_a_small_spread_around_a_large_mean(dtype, spread):
    """The textbook difference Σ|gᵢ|² - m|ḡ|² has no digit left here."""
    noise = np.random.default_rng(0)
    x = (1 + spread * noise.normal(size=(64, 10))).astype(dtype)
    steps = (1 + spread * noise.normal(size=(64, 3, 10))).astype(dtype)
    w, W = np.zeros(10, dtype), np.full((10, 4), 0.1, dtype)
    for grads in (
        example_gradients(lambda w, x: x @ w, w, x),
        example_gradients(lambda W, x: np.tanh(x @ W).sum(axis=1), W, x),
        example_gradients(lambda W, x: np.tanh(x @ W).sum(axis=(1, 2)), W, steps),
        example_gradients(lambda b, x: np.exp(x * b).sum(axis=1), w, x),
    ):
        tolerance = 1e-9 if dtype is np.float64 else 1e-3
        assert grads.total_variance() == pytest.approx(true_spread(grads), rel=tolerance)
        total = sum(float(v.sum()) for v in Nest(grads.variance()).leaves)
        assert total == pytest.approx(true_spread(grads), rel=tolerance)
    far = example_gradients(lambda w, x: x @ w, np.zeros(1), 1e8 + noise.normal(size=(64, 1)))
    assert far.total_variance() == pytest.approx(true_spread(far), rel=1e-7)


def test_a_signal_of_nothing_but_rounding_is_none():
    for seed in range(20):
        scale = np.random.default_rng(seed).random(8)
        grads = example_gradients(lambda w, x: x @ w, np.ones(8), np.diag(scale))  # orthogonal: |ḡ|² = tr Σ / m
        assert grads.squared_signal() == 0
        assert math.isnan(grads.noise_scale())


def test_places_that_cancel_have_no_negative_norm():
    rng = np.random.default_rng(0)
    for _ in range(50):
        x = np.broadcast_to(rng.normal(size=(4, 1, 3)), (4, 6, 3)).astype(np.float32)
        back = rng.normal(size=(4, 6, 2)).astype(np.float32)
        back -= back.mean(axis=1, keepdims=True)
        grads = example_gradients(lambda W, x, d: ((x @ W) * d).sum(axis=(1, 2)), np.zeros((3, 2), np.float32), x, back)
        assert np.isfinite(grads.norms()).all()
        assert np.isfinite(grads.clipped_sum(1.0)).all()


def test_an_embedding_with_many_places_is_not_multiplied_out():
    rng = np.random.default_rng(0)
    tokens, table = rng.integers(0, 20_000, (8, 40)), rng.normal(size=(20_000, 8))
    grads = example_gradients(lambda E, t: np.tanh(nn.embedding(E, t)).sum(axis=(1, 2)), table, tokens)
    tracemalloc.start()
    try:
        norms = grads.norms()
        assert tracemalloc.get_traced_memory()[1] < table.nbytes / 2
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(norms, np.linalg.norm(grads.materialize().reshape(8, -1), axis=1), rtol=1e-12)


def test_gradients_handed_out_are_the_callers_own():
    grads = example_gradients(lambda p, x: x @ p["w"] + p["a"] + p["b"], {"w": np.ones(3), "a": 0.0, "b": 0.0}, X3)
    norms = grads.norms()
    found = grads.materialize()
    found["a"] += 1
    np.testing.assert_array_equal(found["b"], np.ones(4))
    for g in (*found.values(), *grads.grads(0).values(), *grads.grads([1, 2]).values()):
        g *= 10
    np.testing.assert_array_equal(grads.norms(), norms)


X3 = np.arange(12.0).reshape(4, 3) / 10


def test_what_is_not_finite_is_named():
    x = X3.copy()
    x[2, 1] = np.nan
    grads = example_gradients(lambda w, x: x @ w, np.ones(3), x)
    assert grads.noise_scale().reason == "the gradient of example 2 is not finite"
    with pytest.raises(FloatingPointError, match="clipped_sum: the gradient of example 2 is not finite"):
        grads.clipped_sum(1.0)
    huge = example_gradients(lambda w, x: x @ w, np.ones(3), X3 * 1e90)
    assert math.isfinite(huge.inner_product_test())
    with np.errstate(over="ignore", invalid="ignore"):
        reason = example_gradients(lambda w, x: x @ w, np.ones(3), X3 * 1e200).suggested_size().reason
    assert reason == "the gradient of example 0 is not finite"
