"""Modules: parameters by path, state, scopes, and modules as arguments of transforms."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb import nn


class Block(nn.Module):
    def __init__(self, rng):
        self.inner = nn.Linear(3, 3, rng=rng)
        self.scale = tg.Tensor(np.ones(3), requires_grad=True)

    def forward(self, x):
        self.last = np.tanh(self.inner(x) * self.scale)  # a computed tensor among the attributes is no parameter
        return self.last


class Net(nn.Module):
    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.first = nn.Linear(2, 3, rng=rng)
        self.blocks = [Block(rng), Block(rng)]
        self.heads = {"a": nn.Linear(3, 1, rng=rng), "b": (nn.Linear(3, 1, bias=False, rng=rng),)}
        self.shift = tg.Tensor(np.zeros(2))
        self.size = 3

    def forward(self, x):
        h = self.first(x - self.shift)
        for block in self.blocks:
            h = block(h)
        return self.heads["a"](h) + self.heads["b"][0](h)


PATHS = ["first.W", "first.b", "blocks.0.inner.W", "blocks.0.inner.b", "blocks.0.scale", "blocks.1.inner.W",
         "blocks.1.inner.b", "blocks.1.scale", "heads.a.W", "heads.a.b", "heads.b.0.W"]  # fmt: skip
X = np.random.default_rng(5).normal(size=(4, 2))


def test_parameters_are_found_by_path():
    net = Net()
    assert list(net.named_parameters()) == PATHS
    assert [p.name for p in net.parameters()] == PATHS
    net(X)
    assert list(net.named_parameters()) == PATHS


def test_a_longer_path_replaces_a_shorter_one_but_no_users_name():
    net = Net()
    net.blocks[1].scale.name = "s"
    net.blocks[0].named_parameters()
    assert net.blocks[0].inner.W.name == "inner.W"
    net.parameters()
    assert net.blocks[0].inner.W.name == "blocks.0.inner.W"
    net.blocks[0].parameters()
    assert net.blocks[0].inner.W.name == "blocks.0.inner.W"
    assert net.blocks[1].scale.name == "s"


def test_shared_parameters_and_modules_are_listed_once():
    net = Net()
    net.heads["a"].W = net.heads["b"][0].W
    net.blocks.append(net.blocks[0])
    net.parent = net
    paths = list(net.named_parameters())
    assert paths == [p for p in PATHS if p != "heads.b.0.W"]
    assert len({id(p) for p in net.parameters()}) == len(paths)


def test_what_needs_no_gradient_is_state_but_no_parameter():
    net = Net()
    net.first.W.requires_grad = False
    assert "first.W" not in net.named_parameters()
    assert set(net.state_dict()) == {*PATHS, "shift"}


def test_state_goes_out_as_copies_and_in_again():
    one, other = Net(0), Net(1)
    assert not np.allclose(one(X).data, other(X).data)
    state = one.state_dict()
    other.load_state_dict(state)
    np.testing.assert_array_equal(one(X).data, other(X).data)
    state["first.W"][...] = 7
    assert not np.any(one.first.W == 7)
    assert not np.any(other.first.W == 7)


def test_narrow_parameters_stay_narrow_when_loaded():
    layer = nn.Linear(2, 3, rng=0, dtype=np.float32)
    layer.load_state_dict(nn.Linear(2, 3, rng=1).state_dict())
    assert layer.W.dtype == np.float32
    np.testing.assert_array_equal(layer.W.data, nn.Linear(2, 3, rng=1, dtype=np.float32).W.data)


def test_state_that_does_not_fit_is_refused_whole():
    net = Net()
    state, before = Net(1).state_dict(), net.state_dict()
    del state["first.b"]
    state["extra"] = np.zeros(2)
    state["heads.a.W"] = np.zeros((1, 3))
    state["shift"] = np.zeros(2, complex)
    with pytest.raises(ValueError, match="load_state_dict of Net") as error:
        net.load_state_dict(state)
    for line in ("missing: first.b", "unexpected: extra", "heads.a.W: (1, 3) float64 does not fit (3, 1) float64",
                 "shift: (2,) complex128 does not fit (2,) float64"):  # fmt: skip
        assert line in str(error.value)
    for path, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[path])


def test_train_and_eval_reach_all_modules():
    net = Net()
    assert net.training
    assert net.blocks[0].inner.training
    assert net.eval() is net
    assert not any([net.training, net.blocks[0].inner.training, net.heads["b"][0].training])
    net.train()
    assert all([net.training, net.blocks[0].inner.training, net.heads["b"][0].training])


def test_zero_grad():
    net = Net()
    net(X).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_calls_run_in_scopes_named_by_attributes():
    net = Net()
    with tg.scope("outer"):
        out = net(X)
    assert out.node.scope == "outer/Net"
    assert net.blocks[1].last.node.scope == "outer/Net/blocks.1"
    assert net.blocks[1].last.node.inputs[0].inputs[0].scope == "outer/Net/blocks.1/inner"
    assert net(X).node.scope == "Net"
    assert net.blocks[0](np.ones(3)).node.scope == "blocks.0"
    with tg.no_grad():
        assert not net(X).requires_grad
    assert net(X).requires_grad


def test_the_scope_ends_where_forward_raises():
    net = Net()
    with pytest.raises(tg.errors.ShapeError):
        net(np.ones((4, 5)))
    assert (tg.Tensor(1.0, requires_grad=True) * 2).node.scope == ""


def test_a_layer_that_is_called_first_gets_its_attributes_name_later():
    net = Net()
    assert net.first(X).node.scope == "Linear"
    net(X)
    assert net.first(X).node.scope == "first"


def test_repr_shows_modules_and_shapes():
    assert repr(Net()) == (
        "Net(\n    first: Linear(2, 3)\n"
        "    blocks.0: Block(\n        inner: Linear(3, 3)\n        scale: (3,) float64\n    )\n"
        "    blocks.1: Block(\n        inner: Linear(3, 3)\n        scale: (3,) float64\n    )\n"
        "    heads.a: Linear(3, 1)\n    heads.b.0: Linear(3, 1, bias=False)\n    shift: (2,) float64\n)"
    )
    net = Net()
    net.parent = net
    assert "parent: ..." in repr(net)
    assert repr(nn.Module()) == "Module()"


def test_copies_and_pickles_are_independent():
    net = Net()
    before = net(X).data.copy()
    for block in net.blocks:
        del block.last
    for clone in copy.deepcopy(net), pickle.loads(pickle.dumps(net)):
        np.testing.assert_array_equal(clone(X).data, before)
        clone.first.W.data[...] = 0
    np.testing.assert_array_equal(net(X).data, before)


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        nn.Module()(1)


# --------------------------------------------------------------------------------- modules in transforms


def loss(net, x):
    return np.square(net(x)).mean()


def test_transforms_take_a_module_as_a_nest_of_its_parameters():
    net = Net()
    net.heads["a"].W = net.heads["b"][0].W
    value, grads = tg.value_and_grad(loss)(net, X)
    loss(net, X).backward()
    assert list(grads) == list(net.named_parameters())
    np.testing.assert_allclose(float(value), loss(net, X).item())
    for path, parameter in net.named_parameters().items():
        np.testing.assert_allclose(np.array(grads[path].data), parameter.grad, rtol=1e-12, atol=1e-15)
        assert parameter.is_leaf


def test_transforms_of_modules_nest():
    net = nn.Sequential(nn.Linear(2, 3, rng=0), np.tanh, nn.Linear(3, 1, rng=1))

    def squared_norm(net):
        grads = tg.grad(loss)(net, X)
        return sum(np.square(g).sum() for g in grads.values())

    nested = tg.grad(squared_norm)(net)
    parameters = net.parameters()
    grads = loss(net, X).gradient(*parameters, create_graph=True)
    expected = sum(np.square(g).sum() for g in grads).gradient(*parameters)
    assert list(nested) == ["layers.0.W", "layers.0.b", "layers.2.W", "layers.2.b"]
    for actual, right in zip(nested.values(), expected, strict=True):
        np.testing.assert_allclose(np.array(actual.data), right, rtol=1e-10, atol=1e-14)


# ------------------------------------------------------------------------------------------------ layers


def test_linear_weights_are_drawn_as_described():
    layer = nn.Linear(300, 500, rng=0)
    limit = np.sqrt(6 / 800)
    assert np.abs(layer.W.data).max() <= limit
    np.testing.assert_allclose(layer.W.data.std(), limit / np.sqrt(3), rtol=0.02)
    he = nn.Linear(300, 500, rng=0, init="he")
    np.testing.assert_allclose(he.W.data.std(), np.sqrt(2 / 300), rtol=0.02)
    assert not np.any(layer.b.data)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(nn.Linear(300, 500, rng=rng).W.data, layer.W.data)
    assert not np.array_equal(nn.Linear(300, 500, rng=rng).W.data, layer.W.data)
    assert not np.array_equal(nn.Linear(3, 3).W.data, nn.Linear(3, 3).W.data)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_keeps_dtypes(bias):
    layer = nn.Linear(3, 2, bias=bias, rng=0, dtype=np.float32)
    out = layer(np.ones((4, 5, 3), np.float32))
    assert (out.shape, out.dtype) == ((4, 5, 2), np.float32)
    out.sum().backward()
    assert [(p.grad.shape, p.grad.dtype) for p in layer.parameters()] == [((3, 2), "f4"), ((2,), "f4")][: 1 + bias]
    if not bias:
        assert layer.b is None


@pytest.mark.parametrize(("arguments", "error"), [((0, 3), ValueError), ((3, -1), ValueError), ((2.5, 3), TypeError)])
def test_linear_refuses_sizes(arguments, error):
    with pytest.raises(error):
        nn.Linear(*arguments)


def test_linear_refuses_other_initialisations_and_integers():
    with pytest.raises(ValueError, match="'glorot' or 'he', not 'xavier'"):
        nn.Linear(2, 3, init="xavier")
    with pytest.raises(tg.errors.NotDifferentiableError):
        nn.Linear(2, 3, dtype=int)


def test_wrong_inputs_name_the_layers_weights():
    net = nn.Sequential(nn.Linear(2, 3, rng=0), nn.relu, nn.Linear(4, 1, rng=0))
    with pytest.raises(tg.errors.ShapeError, match=r"layers\.2\.W \(4, 1\) float64"):
        net(X)


def test_sequential_takes_functions_and_modules():
    net = nn.Sequential(nn.Linear(2, 3, rng=0), nn.relu, lambda x: x * 2, Block(0), np.tanh)
    out = net(X)
    first, block = net.layers[0], net.layers[3]
    np.testing.assert_array_equal(out.data, np.tanh(block(2 * nn.relu(first(X)))).data)
    assert "layers.1: relu\n" in repr(net)
    with pytest.raises(TypeError, match="layer 1 is a Tensor, which cannot be called"):
        nn.Sequential(np.tanh, tg.Tensor(1.0))
