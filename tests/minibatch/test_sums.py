"""Sums and counts: any partition of a batch gives the whole, and the mean of means cannot be written by accident."""

import copy
import pickle
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_mb as tg
from tinygrad_mb.minibatch import Mean, Sums, batches

# The net of docs/known_answers.md.
X = np.array([[1, 0.5], [-1, 2], [0.5, -1.5], [2, 1], [-0.5, -1]])
Y = np.array([1, -1, 0.5, 0, 2])
PARAMS = {
    "W1": np.array([[0.5, -0.3], [-0.4, 0.8], [0.7, 0.2], [-0.6, -0.9]]),
    "b1": np.array([0.1, -0.2, 0.3, 0]),
    "W2": np.array([[0.6, -0.5, 0.4, 0.3]]),
    "b2": np.array([0.05]),
}


def losses(p, x, y):
    return 0.5 * np.square((np.tanh(x @ p["W1"].T + p["b1"]) @ p["W2"].T + p["b2"])[..., 0] - y)


def flat(gradient):
    return np.concatenate([np.ravel(part) for part in gradient.values()])


def difference(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def sums_of(parts, params=PARAMS, **kwargs):
    sums = Sums(params, **kwargs)
    for x, y in parts:
        sums.add(losses, x, y)
    return sums


def cut(x, y, stops):
    return list(zip(np.split(x, stops), np.split(y, stops), strict=True))


def same(a, b, rtol=1e-14):
    """Two pairs of a loss and a gradient are the same, in value, shape and dtype."""
    assert abs(a[0] - b[0]) <= rtol * max(1, abs(b[0]))
    assert a[1].keys() == b[1].keys()
    for path, g in a[1].items():
        assert (type(g), g.shape, g.dtype) == (np.ndarray, b[1][path].shape, b[1][path].dtype)
        np.testing.assert_allclose(g, b[1][path], rtol=rtol, atol=rtol)


WHOLE = tg.value_and_grad(lambda p, x, y: losses(p, x, y).mean())(PARAMS, X, Y)
WHOLE = (float(WHOLE[0]), WHOLE[1])


# ----------------------------------------------------------------------------------- known answers


@pytest.mark.parametrize(("stop", "error"), [(3, 0.503), (4, 2.199)])
def test_the_mean_of_means_is_wrong_by_what_is_known_and_the_sums_are_right(stop, error):
    parts = cut(X, Y, [stop])
    of_means = np.mean([flat(tg.grad(lambda p, x, y: losses(p, x, y).mean())(PARAMS, x, y)) for x, y in parts], axis=0)
    assert abs(difference(of_means, flat(WHOLE[1])) - error) < 5e-4
    loss, gradient = sums_of(parts).value_and_grad()
    assert difference(flat(gradient), flat(WHOLE[1])) < 1e-15
    assert abs(loss - 0.318797168737) < 1e-12
    same((loss, gradient), WHOLE, 1e-15)


# ------------------------------------------------------------------------------------ equivalences


@given(st.data())
def test_any_partition_of_any_order_gives_the_whole(data):
    m = data.draw(st.integers(1, 12))
    rows = data.draw(st.lists(st.integers(0, 4), min_size=m, max_size=m))  # a row may come twice
    stops = sorted(data.draw(st.lists(st.integers(0, m), max_size=5)))  # and a part may be empty
    whole = tg.value_and_grad(lambda p, x, y: losses(p, x, y).mean())(PARAMS, X[rows], Y[rows])
    order = data.draw(st.permutations(rows))
    parts = cut(X[order], Y[order], stops)
    sums = sums_of(parts)
    assert sums.count == m
    same(sums.value_and_grad(), whole)
    merged = sum(data.draw(st.permutations([sums_of([part]) for part in parts])))
    same(merged.value_and_grad(), whole)


@given(st.data())
def test_weights_weigh_in_any_partition(data):
    m = data.draw(st.integers(1, 8))
    rows = data.draw(st.lists(st.integers(0, 4), min_size=m, max_size=m))
    w = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=m, max_size=m)))
    w[0] = 0.5
    stops = sorted(data.draw(st.lists(st.integers(0, m), max_size=3)))
    whole = tg.value_and_grad(lambda p, x, y: (losses(p, x, y) * w).sum() / w.sum())(PARAMS, X[rows], Y[rows])
    sums = Sums(PARAMS)
    for (x, y), v in zip(cut(X[rows], Y[rows], stops), np.split(w, stops), strict=True):
        sums.add(losses, x, y, weights=v)
    assert sums.count == w.sum()
    same(sums.value_and_grad(), whole)


def test_a_weight_of_two_is_an_example_that_comes_twice_and_a_mask_takes_examples_out():
    sums = Sums(PARAMS)
    sums.add(losses, X, Y, weights=[2, 1, 0, 1, 0])
    same(sums.value_and_grad(), sums_of([(X[[0, 0, 1, 3]], Y[[0, 0, 1, 3]])]).value_and_grad())
    mask = np.array([True, False, True, True, False])
    sums = Sums(PARAMS)
    sums.add(losses, X, Y, weights=mask)
    assert sums.count == 3
    same(sums.value_and_grad(), sums_of([(X[mask], Y[mask])]).value_and_grad())


def token_losses(p, x):
    return np.square(np.tanh(x @ p["w"]))  # (m, t, d) -> (m, t)


@given(stop=st.integers(0, 4), seed=st.integers(0, 5))
def test_tokens_are_counted_one_by_one_however_long_the_sequences_are(stop, seed):
    rng = np.random.default_rng(seed)
    x, p = rng.normal(size=(4, 6, 3)), {"w": rng.normal(size=3)}
    mask = np.arange(6) < rng.integers(1, 7, size=4)[:, None]
    whole = tg.value_and_grad(lambda p: (token_losses(p, x) * mask).sum() / mask.sum())(p)
    sums = Sums(p, unit="token")
    for part in (slice(None, stop), slice(stop, None)):
        longest = max(mask[part].sum(axis=1), default=0)  # each part is padded to its own length
        sums.add(token_losses, x[part, :longest], weights=mask[part, :longest])
    assert sums.count == mask.sum()
    same(sums.value_and_grad(), whole)


# -------------------------------------------------------------------------------- recorded losses


def test_a_loop_over_batches_with_a_module_gives_the_optimizer_the_whole_batch_s_gradient():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(23, 6)), rng.integers(0, 3, size=23)
    model = tg.nn.Sequential(tg.nn.Linear(6, 5, rng=1), np.tanh, tg.nn.Linear(5, 3, rng=2))
    optimizer = tg.optim.SGD(model, lr=0.1)
    whole = tg.nn.cross_entropy(model(x), y).mean()
    expected = whole.gradient(*model.parameters())
    for p in model.parameters():
        p.grad = np.full(p.shape, 7.0)  # is not added to
    sums = Sums(model)
    for part_x, part_y in batches(x, y, size=5, rng=3):
        sums.add(tg.nn.cross_entropy(model(part_x), part_y))
    assert all((p.grad == 7).all() for p in model.parameters())
    loss = sums.write_grads()
    assert abs(loss - whole.item()) < 1e-15
    assert abs(sums.mean_loss - whole.item()) < 1e-15
    for p, g in zip(model.parameters(), expected, strict=True):
        assert (p.grad.shape, p.grad.dtype) == (g.shape, g.dtype)
        np.testing.assert_allclose(p.grad, g, rtol=1e-13, atol=1e-16)
    before = [p.numpy() for p in model.parameters()]
    optimizer.step()
    for p, old, g in zip(model.parameters(), before, expected, strict=True):
        np.testing.assert_allclose(p.data, old - 0.1 * g, rtol=1e-13, atol=1e-15)


def test_recorded_and_functional_parts_mix():
    model = tg.nn.Linear(2, 1, rng=0)

    def of(model, x, y):
        return np.square(model(x)[:, 0] - y)

    recorded, function = Sums(model), Sums(model)
    recorded.add(of(model, X, Y), weights=[1, 2, 3, 4, 5])
    function.add(of, X, Y, weights=[1, 2, 3, 4, 5])
    same(recorded.value_and_grad(), function.value_and_grad(), 1e-15)
    assert list(recorded.value_and_grad()[1]) == ["W", "b"]
    assert model.W.grad is None
    same((recorded + function).value_and_grad(), function.value_and_grad(), 1e-15)


def test_the_gradient_has_the_structure_of_the_parameters():
    pair = namedtuple("pair", "w b")
    params = {"z": [np.float32(1.5), np.ones((2, 1))], "a": pair(2.0, (np.ones(3, np.float16),)), "none": None}
    sums = Sums(params)
    sums.add(lambda p, x: x * p["z"][0] * p["z"][1].sum() * p["a"].w + p["a"].b[0].sum(), np.array([1.0, 2.0]))
    _, g = sums.value_and_grad()
    assert list(g) == ["z", "a", "none"]
    assert isinstance(g["a"], pair)
    assert [(x.shape, x.dtype.name) for x in [*g["z"], g["a"].w, g["a"].b[0]]] == [
        ((), "float32"), ((2, 1), "float64"), ((), "float64"), ((3,), "float16")
    ]  # fmt: skip
    assert g["none"] is None
    assert g["z"][0] == 1.5 * 2 * 2
    np.testing.assert_array_equal(g["z"][1], np.full((2, 1), 1.5 * 1.5 * 2))
    np.testing.assert_array_equal(g["a"].b[0], np.ones(3))
    bare = Sums(np.array([1.0, 2.0]))
    bare.add(lambda w, x: x @ w, X)
    np.testing.assert_allclose(bare.value_and_grad()[1], X.mean(axis=0), rtol=1e-15)


def test_sums_may_be_added_to_inside_no_grad_and_transforms_leave_no_graph():
    with tg.no_grad():
        sums = sums_of([(X, Y)])
    same(sums.value_and_grad(), WHOLE, 1e-15)
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    sums = Sums({"w": w})
    sums.add(lambda p, x: x @ p["w"], X)
    assert type(sums.value_and_grad()[1]["w"]) is np.ndarray


# ------------------------------------------------------------------------------------ empty parts


def test_parts_without_examples_change_nothing():
    model = tg.nn.Linear(2, 1, rng=0)
    sums = Sums(model)
    assert repr(sums) == "<Sums of 0 examples: gradient for 3 numbers>"
    sums.add(np.square(model(X[:0])[:, 0] - Y[:0]))  # the forward runs on nothing
    sums.add(np.zeros(0))
    sums.add([])
    sums.add(lambda model, x: model(x)[:, 0], X[:0])
    assert sums.count == 0
    losses = np.square(model(X)[:, 0] - Y)
    sums.add(losses)
    sums.add(losses, weights=np.zeros(5))
    sums.add(lambda model, x: model(x)[:, 0], X, weights=np.zeros(5, bool))
    assert sums.count == 5
    whole = sums_of([(X, Y)])
    same((whole + Sums(PARAMS)).value_and_grad(), WHOLE, 1e-15)
    same((Sums(PARAMS) + whole).value_and_grad(), WHOLE, 1e-15)
    np.testing.assert_allclose(sums.value_and_grad()[1]["W"], losses.mean().gradient(model.W), rtol=1e-14, atol=1e-16)


def test_nothing_has_no_mean():
    masked = Sums(PARAMS)
    masked.add(losses, X, Y, weights=np.zeros(5))
    for sums in (Sums(PARAMS), masked, Sums(PARAMS) + masked):
        for ask in (sums.value_and_grad, lambda s=sums: s.mean_loss, lambda s=sums: s.value_and_grad(lambda p: 1.0)):
            with pytest.raises(
                ValueError, match=r"<Sums of 0 examples.* has no mean: nothing was added, or .* weight 0"
            ):
                ask()
    with pytest.raises(ValueError, match="<Mean of 0 tokens> has no mean"):
        _ = Mean("token").value
    model = tg.nn.Linear(2, 1, rng=0)
    with pytest.raises(ValueError, match="has no mean"):
        Sums(model).write_grads()
    assert model.W.grad is None


# --------------------------------------------------------------------------------------- penalties


def test_a_penalty_is_added_once_however_many_parts_there_are():
    def penalty(p):
        return 0.05 * (np.square(p["W1"]).sum() + np.square(p["W2"]).sum())

    def objective(p, x, y):
        return losses(p, x, y).mean() + penalty(p)

    expected = tg.value_and_grad(objective)(PARAMS, X, Y)
    for stops in ([], [4], [1, 1, 2, 3]):
        sums = sums_of(cut(X, Y, stops))
        same(sums.value_and_grad(penalty), expected)
        same(sums.value_and_grad(penalty), expected)  # and asking changes nothing
        same(sums.value_and_grad(), WHOLE)
        same((sums + Sums(PARAMS)).value_and_grad(penalty), expected)
        assert abs(sums.mean_loss - WHOLE[0]) < 1e-15


def test_a_penalty_of_a_module():
    model = tg.nn.Linear(2, 1, rng=0)
    sums = Sums(model)
    sums.add(np.square(model(X)[:, 0] - Y))
    value = sums.write_grads(penalty=lambda model: 0.5 * np.square(model.W).sum())
    objective = np.square(model(X)[:, 0] - Y).mean() + 0.5 * np.square(model.W).sum()
    assert abs(value - objective.item()) < 1e-15
    for p, g in zip(model.parameters(), objective.gradient(*model.parameters()), strict=True):
        assert p.grad.dtype == np.float64
        np.testing.assert_allclose(p.grad, g, rtol=1e-14, atol=1e-16)


# ------------------------------------------------------------------------------------------- masks


def test_a_masked_loss_may_be_nan():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    x = np.array([[1.0, 1.0], [-1.0, -1.0], [2.0, 0.0]])
    mask = np.array([True, False, True])
    sums = Sums([w])
    with np.errstate(invalid="ignore"):
        sums.add(np.log(x @ w), weights=mask)  # the derivative of a logarithm is finite even there
    whole = np.log(x[mask] @ w).mean()
    assert abs(sums.mean_loss - whole.item()) < 1e-15
    np.testing.assert_allclose(sums.value_and_grad()[1][0], whole.gradient(w), rtol=1e-15)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_mask_that_comes_too_late_is_an_error_and_not_a_nan(recorded):
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    y = np.array([1.0, np.nan, 2.0])
    x = np.ones((3, 2))
    mask = ~np.isnan(y)

    def of(w, y):
        return np.square(x @ w - y)

    sums = Sums(w)
    args = (of(w, y),) if recorded else (of, y)
    with pytest.raises(FloatingPointError, match=r"1 of the losses .* 0 \* nan made the gradient by '' nan.* np.where"):
        sums.add(*args, weights=mask)
    assert sums.count == 0
    y = np.where(mask, y, 0.0)
    sums.add(*((of(w, y),) if recorded else (of, y)), weights=mask)
    np.testing.assert_allclose(sums.value_and_grad()[1], of(w, y)[mask].mean().gradient(w), rtol=1e-15)


def test_a_loss_that_counts_and_is_nan_stays_nan():
    sums = Sums(np.array([1.0, 2.0]))
    sums.add(lambda w, y: np.square(X @ w - y), np.array([np.nan, 0, 0, 0, 0]), weights=[1, 1, 0, 1, 1])
    loss, gradient = sums.value_and_grad()
    assert np.isnan(loss)
    assert np.isnan(gradient).all()


# ------------------------------------------------------------------------------------------- dtypes


def test_ten_thousand_float32_parts_add_up_like_one_batch():
    rng = np.random.default_rng(0)
    x = rng.normal(1, 1, size=(10_000, 4)).astype(np.float32)
    w = tg.Tensor(np.ones(4, np.float32), requires_grad=True)
    sums, naive = Sums([w]), np.zeros(4, np.float32)
    for row in x[:, None]:
        part = np.square(row @ w)
        sums.add(part)
        naive += part.sum().gradient(w)
    truth = 2 * (x.astype(float) * x.astype(float).sum(axis=1, keepdims=True)).mean(axis=0)
    found = sums.value_and_grad()[1][0]
    assert (found.shape, found.dtype) == ((4,), np.float32)
    ours, theirs = difference(found, truth), difference(naive / 10_000, truth)
    assert ours < 1e-7  # float32 has seven digits
    assert theirs > 3 * ours
    assert sums.count == 10_000


# ------------------------------------------------------------------------------------------ merging


def test_merging_is_commutative_leaves_both_as_they_were_and_takes_dicts_in_any_order():
    a, b = sums_of([(X[:2], Y[:2])]), Sums(dict(reversed(PARAMS.items())))
    b.add(losses, X[2:], Y[2:])
    before = a.value_and_grad()
    same((a + b).value_and_grad(), (b + a).value_and_grad(), 1e-15)
    assert list((a + b).value_and_grad()[1]) == list(PARAMS)
    same((a + b).value_and_grad(), WHOLE, 1e-15)
    same(sum([a, b]).value_and_grad(), WHOLE, 1e-15)
    alone = sum([a])
    alone.add(losses, X, Y)
    same(a.value_and_grad(), before, 0)
    assert (a.count, b.count, alone.count) == (2, 3, 7)


def test_copies_are_independent_and_can_be_added_to():
    a = sums_of([(X[:2], Y[:2])])
    for duplicate in (copy.copy(a), copy.deepcopy(a)):
        duplicate.add(losses, X[2:], Y[2:])
        same(duplicate.value_and_grad(), WHOLE, 1e-15)
    assert a.count == 2


def test_a_pickle_carries_the_sums_without_the_parameters():
    model = tg.nn.Linear(400, 1, rng=0)
    a, b = Sums(model), Sums(model)
    x = np.random.default_rng(0).normal(size=(5, 400))
    a.add(np.square(model(x[:2])[:, 0]))
    b.add(np.square(model(x[2:])[:, 0]))
    pickled = pickle.dumps(b)
    assert len(pickled) < 401 * 8 + 1000
    c = pickle.loads(pickled)
    assert repr(c) == repr(b)
    same(c.value_and_grad(), b.value_and_grad(), 0)
    for merged in (a + c, c + a):
        same(merged.value_and_grad(), (a + b).value_and_grad(), 1e-15)
    (a + c).write_grads()
    assert model.W.grad is not None
    for use in (lambda: c.add(np.square(model(x)[:, 0])), lambda: c.add(np.square, x), c.write_grads,
                lambda: c.value_and_grad(lambda p: 0.0)):  # fmt: skip
        with pytest.raises(RuntimeError, match=r"needs the parameters, and these Sums come from a pickle"):
            use()


def test_sums_that_do_not_belong_together_do_not_add_up():
    a = sums_of([(X, Y)])
    tokens = Sums(PARAMS, unit="token")
    with pytest.raises(ValueError, match=r"<Sums of 5 examples.*<Sums of 0 tokens.* unit: example and token"):
        _ = a + tokens
    with pytest.raises(ValueError, match=r"parameter 'b1': \(4,\) float64 and \(3,\) float64"):
        _ = a + Sums(PARAMS | {"b1": np.ones(3)})
    with pytest.raises(ValueError, match=r"parameter 'b3': missing and \(3,\) float32"):
        _ = a + Sums(PARAMS | {"b3": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match=r"kind: Sums and Mean"):
        _ = a + Mean()
    for other in (1, 0.0, "a"):
        with pytest.raises(TypeError):
            _ = other + a
        with pytest.raises(TypeError):
            _ = a + other


def test_gradients_at_different_points_do_not_add_up():
    model = tg.nn.Linear(2, 1, rng=0)
    optimizer = tg.optim.SGD(model, lr=0.1)
    sums = Sums(model)
    sums.add(np.square(model(X[:3])[:, 0]))
    old = pickle.loads(pickle.dumps(sums))
    sums.write_grads()
    optimizer.step()
    loss = np.square(model(X[3:])[:, 0])
    with pytest.raises(tg.errors.ChangedArrayError, match=r"changed since the first part .* and then make new Sums"):
        sums.add(loss)
    with pytest.raises(tg.errors.ChangedArrayError, match="changed since"):
        sums.add(lambda model, x: model(x)[:, 0], X[3:])
    assert sums.count == 3
    new = Sums(model)
    new.add(loss)
    for first, second in ((old, new), (new, old), (sums, new)):
        with pytest.raises(ValueError, match="gradients at different points do not add up"):
            _ = first + second
    empty = Sums(model)
    for merged in (empty + old, old + empty):
        with pytest.raises(ValueError, match="at different points"):
            _ = merged + new


# ------------------------------------------------------------------------------------------ refusals


MODEL = tg.nn.Linear(2, 1, rng=0)
VECTOR = np.square(MODEL(X)[:, 0] - Y)
OTHER = np.square(tg.nn.Linear(2, 1, rng=1)(X)[:, 0] - Y)


@pytest.mark.parametrize(("arguments", "weights", "error", "message"), [
    ((VECTOR.mean(),), None, tg.errors.ShapeError,
     r"one loss per example, and got a single number, \(\) float64, made by mean\. A mean has lost its count"),
    ((VECTOR.sum(),), None, tg.errors.ShapeError, "made by sum.*since Sums divides, once, at the end"),
    ((lambda m, x: m(x).mean(), X), None, tg.errors.ShapeError, r"a single number"),
    ((0.5,), None, tg.errors.ShapeError, r"a single number, float 0.5"),
    ((MODEL(X),), None, tg.errors.ShapeError, r"counts examples.* of shape \(m,\), not \(5, 1\).*unit=\"token\""),
    ((VECTOR.numpy(),), None, TypeError, r"\(5,\) float64 carry no gradient.*use Mean"),
    ((VECTOR > 0,), None, TypeError, "carry no gradient"),
    ((OTHER,), None, ValueError, r"depend on none of the parameters \['W', 'b'\]"),
    ((VECTOR, X), None, TypeError, "recorded losses alone"),
    ((lambda m, x: (m(x), x), X), None, TypeError, "an array with one loss per example, not a tuple"),
    (("losses",), None, TypeError, "not a str"),
    ((VECTOR,), np.ones(4), tg.errors.ShapeError, r"the weights are \(4,\) float64, and .* \(5,\)"),
    ((VECTOR,), [1, 1, -1, 1, 1], ValueError, r"at least 0, since their sum is the count, and weights\[2\] is -1"),
    ((VECTOR,), [1, 1, 1, 1, np.inf], ValueError, r"weights\[4\] is inf"),
    ((VECTOR,), [1, np.nan, 1, 1, 1], ValueError, r"weights\[1\] is nan"),
    ((VECTOR,), tg.Tensor(np.ones(5), requires_grad=True, name="w"), TypeError, r"weights w \(5,\).*\.detach\(\)"),
    ((VECTOR,), ["a"] * 5, TypeError, "weights are numbers or a mask"),
    ((VECTOR,), [1j] * 5, TypeError, "weights are numbers or a mask"),
])  # fmt: skip
def test_what_cannot_be_added_is_refused_and_changes_nothing(arguments, weights, error, message):
    sums = Sums(MODEL)
    with pytest.raises(error, match=message):
        sums.add(*arguments, weights=weights)
    assert not sums._packed.any()


def test_weights_per_example_for_losses_per_token_are_refused_with_the_way_to_do_it():
    sums = Sums(np.ones(3), unit="token")
    with pytest.raises(tg.errors.ShapeError, match=r"np.broadcast_to\(weights\[:, None\], \(4, 6\)\)"):
        sums.add(lambda w, x: x @ w, np.ones((4, 6, 3)), weights=np.ones(4))


def test_losses_of_a_model_that_does_not_matter_may_have_zero_gradients():
    sums = Sums(MODEL)
    sums.add((MODEL(X) * 0)[:, 0])
    assert sums.count == 5


@pytest.mark.parametrize(("params", "error", "message"), [
    ({}, ValueError, "no parameters"),
    ({"w": np.arange(3)}, TypeError, r"'w' is \(3,\) int64"),
    ([MODEL.W, MODEL.W], ValueError, r"twice among the parameters \['0', '1'\]"),
    ({"a.b": 1.0, "a": {"b": 2.0}}, ValueError, "twice"),
    ({"w": "text"}, TypeError, "floating-point"),
])  # fmt: skip
def test_what_has_no_gradient_is_refused(params, error, message):
    with pytest.raises(error, match=message):
        Sums(params)


def test_grads_are_written_to_tensors_only():
    with pytest.raises(TypeError, match=r"parameter 'W1', \(4, 2\) float64, is not a Tensor .*use value_and_grad\(\)"):
        sums_of([(X, Y)]).write_grads()
    sums = Sums(PARAMS)
    with pytest.raises(TypeError, match=r"parameters that are Tensors, and 'W1' is \(4, 2\) float64: hand the loss"):
        sums.add(VECTOR)


# ------------------------------------------------------------------------------------------- metrics


@given(st.data())
def test_metrics_of_parts_merge_to_the_whole_s(data):
    m = data.draw(st.integers(1, 20))
    right = np.array(data.draw(st.lists(st.booleans(), min_size=m, max_size=m)))
    stops = sorted(data.draw(st.lists(st.integers(0, m), max_size=5)))
    parts = []
    for part in np.split(right, stops):
        parts.append(Mean())
        parts[-1].add(part)
    accuracy = sum(data.draw(st.permutations(parts)))
    assert accuracy.value == right.mean()
    assert accuracy.count == m


def test_means_weigh_mask_and_take_tensors():
    mean = Mean("token")
    mean.add(VECTOR)
    mean.add(np.array([[1.0, np.nan], [3.0, 5.0]]), weights=np.array([[1, 0], [2, 1]]))
    assert mean.count == 9
    assert abs(mean.value - (VECTOR.numpy().sum() + 12) / 9) < 1e-15
    assert repr(mean) == f"<Mean {mean.value:.6g} of 9 tokens>"
    assert repr(pickle.loads(pickle.dumps(mean))) == repr(copy.deepcopy(mean)) == repr(mean)
    with pytest.raises(tg.errors.ShapeError, match=r"Mean.add wants one value per token, and got a single number"):
        mean.add(0.5)
    with pytest.raises(ValueError, match="unit: token and example"):
        _ = mean + Mean()
    one = Mean()
    one.add(np.float16([60000, 60000]))
    assert one.value == 60000
    one.add([0.0], weights=[0.5])
    assert repr(one) == "<Mean 48000 of 2.5 examples>"


def test_repr():
    assert repr(sums_of([(X, Y)])) == "<Sums of 5 examples: mean loss 0.318797, gradient for 17 numbers>"
    assert repr(sums_of([(X[:1], Y[:1])])).startswith("<Sums of 1 example: ")
