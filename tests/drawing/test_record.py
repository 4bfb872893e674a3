"""The function form of draw: what is drawn is called as the user's function calls it, and the user's arrays stay."""

import functools

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.drawing.facts import Facts
from tinygrad_mb.drawing.record import record
from tinygrad_mb.drawing.sides import Options
from tinygrad_mb.drawing.view import view

X, Y = np.random.default_rng(0).normal(size=(5, 3)), np.arange(5.0)


def named(loss_fn, *arguments):
    """The names of nodes in their order."""
    outputs, data = record(loss_fn, *arguments)
    return [node.name for node in Facts([t.node for t in outputs], data).nodes if node.name]


def titles(loss_fn, *arguments, kind="data", **options):
    outputs, data = record(loss_fn, *arguments)
    seen = view(Facts([t.node for t in outputs], data), Options(**options))
    return [box.sides[0].title for box in seen.boxes if box.kind == kind and not box.stub]


def test_all_values_and_names_are_known():
    def loss(params, x, y):
        hidden = np.tanh(x @ params["W"])
        out = hidden @ params["v"]
        return np.square(out - y).mean()

    outputs, data = record(loss, {"W": np.ones((3, 4)), "v": np.ones(4)}, X, Y)
    facts = Facts([t.node for t in outputs], data)
    assert [node.name for node in facts.nodes if node.name] == ["W", "v", "hidden", "out"]
    assert all(facts.value(node) is not None for node in facts.nodes)
    assert facts.numbers
    assert [name for name, _ in data] == ["x", "y"]
    assert titles(loss, {"W": np.ones((3, 4)), "v": np.ones(4)}, X, Y) == ["x", "y"]


def test_parameters_are_called_by_their_paths():
    def loss(net):
        return (net["layers"][0]["W"] * net["layers"][1]["W"]).sum() + net["b"]

    assert named(loss, {"layers": [{"W": np.ones(2)}, {"W": np.ones(2)}], "b": 1.0})[:3] == [
        "layers.0.W",
        "layers.1.W",
        "b",
    ]


def test_a_single_parameter_is_called_as_the_function_calls_it():
    assert named(lambda weights, x: (x @ weights).mean(), np.ones(3), X) == ["weights"]
    assert titles(lambda weights, x: (x @ weights).mean(), np.ones(3), X) == ["x"]


def test_names_that_the_user_gave_stay():
    def loss(w):
        squares = np.square(w).named("mine")
        return squares.sum()

    assert named(loss, np.ones(3)) == ["w", "mine"]


def test_variables_with_an_underscore_and_those_of_the_library_name_nothing():
    def loss(x):
        _hidden = x * 2.0
        return tg.nn.gelu(_hidden).sum()

    assert named(loss, np.ones(3)) == ["x"]


def test_a_loop_names_the_value_of_each_turn():
    def loss(w):
        h = w
        for _ in range(3):
            h = np.tanh(h)
        return h.sum()

    assert named(loss, np.ones(2)) == ["w", "h", "h", "h"]


def test_nested_data_have_their_paths():
    def loss(w, batch, scale):
        return ((batch["x"] @ w - batch["y"][0]) * scale).mean()

    assert titles(loss, np.ones(3), {"x": X, "y": [Y]}, 2.0) == ["batch.x", "batch.y.0"]


def test_parts_of_data_are_called_by_their_index():
    def loss(w, series):
        return (series[:, 0] @ w + series[:, 2] @ w + series[1:3, 1].mean()).mean()

    found = titles(loss, np.ones(3), np.random.default_rng(0).normal(size=(5, 4, 3)))
    assert found == ["series[:, 0]", "series[:, 2]"]


def test_data_in_another_shape_are_the_same_data():
    def loss(W, images, pixels, targets):
        logits = (images.reshape(5, 6) + pixels.reshape(-1, 6)) @ W
        return tg.nn.cross_entropy(logits.reshape(10, 2), targets.reshape(-1)).reshape(5, 2).sum(axis=1).mean()

    images = np.random.default_rng(0).normal(size=(5, 2, 3))
    found = titles(loss, np.ones((6, 4)), images, images + 1.0, np.arange(10).reshape(5, 2) % 2)
    assert found == ["targets"]  # the sum of two arrays is no operand that a gradient asks for

    def one(W, images):
        return (images.reshape(5, 6) @ W).mean()

    assert titles(one, np.ones(6), images) == ["images"]


def test_arguments_without_names_get_the_usual_ones():
    assert titles(lambda p, *batch: ((batch[0] @ p) * batch[1]).mean(), np.ones(3), X, Y) == ["x", "y"]
    assert titles(lambda *everything: (everything[1] @ everything[0]).mean(), np.ones(3), X) == ["x"]


def test_data_inside_vmap_have_their_names_and_what_is_hidden():
    def loss(w, x, y):
        return tg.vmap(lambda row, target: np.square(row @ w - target))(x, y).mean()

    outputs, data = record(loss, np.ones(3), X, Y)
    shapes = {box.sides[0].title: box.sides[0].shape.text for box in view(Facts([outputs[0].node], data)).boxes}
    assert (shapes["x"], shapes["y"], shapes["w"]) == ("m=5 × (3,)", "m=5 × scalar", "(3,)")  # noqa: RUF001
    assert shapes["x @ w"] == "m=5 × scalar"  # noqa: RUF001


def test_labels_are_recognised():
    labels = np.array([0, 1, 1, 0, 1])

    def picked(W, x, labels):
        return -tg.nn.log_softmax(x @ W)[np.arange(5), labels].mean()

    def fused(W, x, labels):
        return tg.nn.cross_entropy(x @ W, labels).mean()

    def flattened(W, x, labels):
        return tg.nn.cross_entropy(x @ W, labels.reshape(-1)).mean()

    for loss in (picked, fused, flattened):
        assert titles(loss, np.ones((3, 2)), X, labels) == ["x", "labels"]
        assert titles(loss, np.ones((3, 2)), X, labels, kind="constant") == []


class Model(tg.nn.Module):
    def __init__(self):
        self.inner = tg.nn.Linear(3, 2, rng=np.random.default_rng(0))

    def forward(self, x):
        return np.tanh(self.inner(x))


def test_modules_are_drawn_with_their_names_and_stay_as_they_are():
    model = Model()
    model.named_parameters()  # gives them their names
    before = model.inner.W.numpy().copy()
    node, grad, name = model.inner.W._node, model.inner.W.grad, model.inner.W.name
    assert named(lambda m, x: m(x).mean(), model, X)[:2] == ["inner.W", "inner.b"]
    np.testing.assert_array_equal(model.inner.W.numpy(), before)
    assert (model.inner.W._node, model.inner.W.grad, model.inner.W.name) == (node, grad, name)


def test_the_users_arrays_and_tensors_stay_as_they_are():
    x, w, t = X.copy(), np.ones(3), tg.Tensor(np.ones(3), requires_grad=True)

    def loss(p, x):
        p["w"].data[...] = 7.0
        p["t"].data[...] = 7.0
        x *= 2.0
        return (x @ (p["w"] * p["t"])).mean()

    tg.draw(loss, {"w": w, "t": t}, x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(w, np.ones(3))
    np.testing.assert_array_equal(t.numpy(), np.ones(3))
    assert t.name is None
    assert t.grad is None


def test_a_later_change_of_the_data_is_not_in_the_picture():
    x = X.copy()
    outputs, data = record(lambda w, x: (x @ w).mean(), np.ones(3), x)
    x[...] = 0.0
    facts = Facts([t.node for t in outputs], data)
    (leaf,) = [node for node in facts.nodes if node.op is None and node.plan is None]
    np.testing.assert_array_equal(facts.value(leaf), X)


def test_integers_stay_integers():
    outputs, data = record(lambda E, ids: E[ids].sum(axis=1).mean(), np.ones((4, 2)), np.array([0, 3, 3]))
    assert data[0][1].dtype == np.array([0]).dtype
    assert outputs[0].dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_parameters_stays(dtype):
    (loss,), _ = record(lambda w, x: (x @ w).mean(), np.ones(3, dtype), X.astype(dtype))
    assert loss.dtype == dtype


def test_a_function_without_arguments_is_drawn():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    def loss():
        squares = w * w
        return squares.sum()

    source = tg.draw(loss, values="numbers").source
    assert "<B>squares</B>" in source
    assert "<B>w</B>" in source


def test_several_tensors_in_any_nest_and_what_is_none():
    outputs, _ = record(lambda w: {"a": w.sum(), "rest": [np.square(w), 3.0, None]}, np.ones(2))
    assert [t.shape for t in outputs] == [(), (2,)]


def test_gradients_are_recorded_whatever_is_switched_off():
    with tg.no_grad():
        outputs, _ = record(lambda w: (w * w).sum(), np.ones(2))
    assert outputs[0].requires_grad


@pytest.mark.parametrize("loss_fn", [functools.partial(lambda k, w: (w * k).sum(), 3.0), np.sum, tg.nn.gelu])
def test_anything_that_can_be_called(loss_fn):
    assert "parameter" in tg.draw(loss_fn, np.ones(3)).source


def test_what_returns_no_tensor_is_told():
    def forgets(w):
        np.square(w).sum()

    with pytest.raises(TypeError, match="draw: forgets returned no Tensor"):
        tg.draw(forgets, np.ones(3))


def test_errors_are_the_functions_own_and_nothing_watches_afterwards():
    import sys

    def broken(w):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tg.draw(broken, np.ones(3))
    assert sys.gettrace() is None or "pytest" in repr(sys.gettrace()) or "coverage" in repr(sys.gettrace())
    w = tg.Tensor(np.ones(20), requires_grad=True)
    assert (w * 2.0).node.held is None  # values are not kept any more
