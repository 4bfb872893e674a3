"""Losses: one for each example, stable, right to second order, and clear about operands that do not fit."""

import numpy as np
import pytest
from differences import CENTRAL_TOLERANCE, assert_close, by_central_differences

import tinygrad_mb as tg
from tinygrad_mb import nn

random = np.random.default_rng(1)
LABELS = np.array([0, 2, 2, 1])
TOKENS = random.integers(0, 3, (4, 5))
LOSSES = {
    "squared error of numbers": (nn.squared_error, (4,), random.normal(size=4)),
    "squared error of rows": (nn.squared_error, (4, 3), random.normal(size=(4, 3))),
    "squared error of images": (nn.squared_error, (4, 2, 3), random.normal(size=(4, 2, 3))),
    "cross-entropy": (nn.cross_entropy, (4, 3), LABELS),
    "cross-entropy of tokens": (nn.cross_entropy, (4, 5, 3), TOKENS),
    "binary cross-entropy": (nn.binary_cross_entropy, (4,), np.array([0, 1, 0.25, 1])),
    "binary cross-entropy of rows": (nn.binary_cross_entropy, (4, 3), random.uniform(size=(4, 3))),
}
every_loss = pytest.mark.parametrize(("loss", "shape", "target"), LOSSES.values(), ids=LOSSES)


@every_loss
def test_one_loss_for_each_example(loss, shape, target):
    prediction = random.normal(size=shape)
    losses = loss(tg.Tensor(prediction), target)
    assert losses.shape == (TOKENS.shape if target is TOKENS else (4,))
    one_by_one = [loss(prediction[i : i + 1], target[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(losses.numpy(), one_by_one, rtol=1e-14)
    np.testing.assert_array_equal(losses.numpy(), loss(prediction, target))


@every_loss
def test_gradients_to_second_order(loss, shape, target):
    prediction, weights = random.normal(size=shape), random.uniform(0.5, 1.5, shape)
    out = loss(prediction, target)
    cotangent = random.uniform(0.5, 1.5, out.shape)

    def gradient(p):
        t = tg.Tensor(p, requires_grad=True)
        return loss(t, target).gradient(t, gradient=cotangent)

    t = tg.Tensor(prediction, requires_grad=True)
    first = loss(t, target).gradient(t, gradient=cotangent, create_graph=True)
    second = (first * weights).sum().gradient(t)
    expected = by_central_differences(lambda p: (cotangent * loss(p, target)).sum(), [prediction], 0)
    assert_close(first.data, expected, CENTRAL_TOLERANCE, "first")
    expected = by_central_differences(lambda p: (weights * gradient(p)).sum(), [prediction], 0)
    assert_close(second, expected, CENTRAL_TOLERANCE, "second")


@every_loss
def test_narrow_predictions_have_narrow_gradients(loss, shape, target):
    prediction = tg.Tensor(random.normal(size=shape), requires_grad=True, dtype=np.float32)
    narrow = target.astype(np.float32) if target.dtype == float else target
    losses = loss(prediction, narrow)
    gradient = losses.mean().gradient(prediction)
    assert losses.dtype == gradient.dtype == np.float32
    assert gradient.shape == shape


def test_cross_entropy_is_its_composition():
    logits = tg.Tensor(random.normal(size=(4, 3)), requires_grad=True)
    composed = -nn.log_softmax(logits)[np.arange(4), LABELS]
    fused = nn.cross_entropy(logits, LABELS)
    np.testing.assert_allclose(fused.numpy(), composed.numpy(), rtol=1e-14)
    np.testing.assert_allclose(fused.mean().gradient(logits), composed.mean().gradient(logits), atol=1e-16)
    one_hot = np.eye(3)[LABELS]
    expected = (nn.softmax(logits.data) - one_hot) / 4
    np.testing.assert_allclose(fused.mean().gradient(logits), expected, atol=1e-16)


@pytest.mark.parametrize("labels", [LABELS.astype(np.uint8), LABELS.tolist(), tg.Tensor(LABELS)], ids=str)
def test_labels_are_integers_of_any_kind(labels):
    logits = tg.Tensor(random.normal(size=(4, 3)).T.copy().T, requires_grad=True)
    losses = nn.cross_entropy(logits, labels)
    np.testing.assert_array_equal(losses.numpy(), nn.cross_entropy(logits, LABELS).numpy())
    expected = nn.softmax(logits.data) - np.eye(3)[LABELS]
    np.testing.assert_allclose(losses.sum().gradient(logits), expected, atol=1e-15)


def test_binary_cross_entropy_of_integers_and_booleans_stays_narrow():
    logits = tg.Tensor([0.5, -1.0], requires_grad=True, dtype=np.float32)
    for targets in np.array([1, 0]), np.array([True, False]):
        losses = nn.binary_cross_entropy(logits, targets)
        assert losses.dtype == np.float32
        np.testing.assert_allclose(losses.numpy(), np.log1p(np.exp([-0.5, -1.0])), rtol=1e-6)


def test_binary_cross_entropy_by_its_targets():
    targets = tg.Tensor([0.3, 0.7], requires_grad=True)
    np.testing.assert_array_equal(
        nn.binary_cross_entropy(np.array([2.0, -1.0]), targets).sum().gradient(targets), [-2, 1]
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sure_predictions_have_finite_losses(dtype):
    logits = tg.Tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True, dtype=dtype)
    losses = nn.cross_entropy(logits, np.array([0, 0]))
    np.testing.assert_array_equal(losses.numpy(), [0, 2e4])
    np.testing.assert_array_equal(losses.sum().gradient(logits), [[0, 0], [-1, 1]])
    x = tg.Tensor([1e4, -1e4, 40.0], requires_grad=True, dtype=dtype)
    losses = nn.binary_cross_entropy(x, np.array([0.0, 0.0, 1.0], dtype))
    np.testing.assert_allclose(losses.numpy(), [1e4, 0, np.exp(-40)], rtol=1e-6)
    np.testing.assert_array_equal(losses.sum().gradient(x), [1, 0, 0])


def test_labels_changed_before_backward_are_noticed():
    labels = LABELS.copy()
    logits = tg.Tensor(random.normal(size=(4, 3)), requires_grad=True)
    loss = nn.cross_entropy(logits, labels).mean()
    labels[0] = 1
    with pytest.raises(tg.errors.ChangedArrayError, match="labels"):
        loss.backward()


def test_an_empty_batch_has_no_losses():
    for loss, shape, target in LOSSES.values():
        prediction = tg.Tensor(np.ones((0, *shape[1:])), requires_grad=True)
        losses = loss(prediction, target[:0])
        assert losses.shape[0] == 0
        assert losses.sum().gradient(prediction).shape == prediction.shape


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(("loss", "roles"), [
    (nn.squared_error, ("prediction", "target")), (nn.binary_cross_entropy, ("logits", "targets")),
])  # fmt: skip
def test_columns_against_vectors_are_refused(loss, roles):
    with pytest.raises(tg.errors.ShapeError) as error:
        loss(tg.Tensor(np.zeros((5, 1)), name="f"), np.zeros(5, np.float32))
    assert f"the {roles[0]} f (5, 1) float64 and the {roles[1]} (5,) float32 must have the same shape" in str(
        error.value
    )
    assert f"`f.reshape(5)` or `{roles[1]}.reshape(5, 1)`" in str(error.value)
    with pytest.raises(tg.errors.ShapeError, match=rf"`{roles[0]}.reshape\(5, 1\)` or `y.reshape\(5\)`"):
        loss(np.zeros(5), tg.Tensor(np.zeros((5, 1)), name="y"))
    with pytest.raises(tg.errors.ShapeError, match=r"must have the same shape, since broadcasting .* each other\.$"):
        loss(np.zeros((5, 2)), np.zeros((4, 2)))
    with pytest.raises(tg.errors.ShapeError, match="must have the same shape"):
        loss(np.zeros(5), 0.0)


@pytest.mark.parametrize(("labels", "error", "message"), [
    ([0, 3, 1, 1], ValueError, r"cross_entropy: .* integers from 0 to 2, and in labels \(4,\) int64 labels\[1\] = 3"),
    ([0, 2, -1, 1], ValueError, r"labels\[2\] = -1"),
    ([0.0, 2.0, 2.0, 1.0], TypeError, r"labels \(4,\) float64 is not of an integer dtype: write labels.astype\(int\)"),
    ([0.0, np.nan, 2.0, 0.5], TypeError, r"labels\[1\] = nan"),
    ([0, 1], tg.errors.ShapeError, r"logits f \(4, 3\) float64 want labels of shape \(4,\)"),
    ([[0], [2], [2], [1]], tg.errors.ShapeError, r"Use `labels\[..., 0\]`"),
    (np.eye(3)[LABELS], tg.errors.ShapeError, r"one-hot, use `labels.argmax\(-1\)`"),
])  # fmt: skip
def test_labels_that_do_not_fit_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        nn.cross_entropy(tg.Tensor(np.zeros((4, 3)), requires_grad=True, name="f"), np.array(labels))


def test_the_place_of_a_bad_label_has_all_its_indices():
    labels = tg.Tensor([[0, 1], [7, 1]], name="tokens")
    with pytest.raises(ValueError, match=r"in tokens \(2, 2\) int64 labels\[1, 0\] = 7"):
        nn.cross_entropy(np.zeros((2, 2, 3)), labels)


@pytest.mark.parametrize(("bad", "message"), [
    (1.5, r"targets\[1\] = 1.5"), (-0.1, r"targets\[1\] = -0.1"), (np.nan, r"targets\[1\] = nan"),
])  # fmt: skip
def test_targets_outside_of_0_to_1_are_refused(bad, message):
    with pytest.raises(ValueError, match=f"binary_cross_entropy: targets must be from 0 to 1, .*{message}") as error:
        nn.binary_cross_entropy(np.zeros(2), tg.Tensor([0.0, bad], name="y"))
    assert "y (2,) float64" in str(error.value)
