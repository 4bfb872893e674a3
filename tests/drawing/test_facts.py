"""What is known of the values of a graph, before and after backward, and that looking changes nothing."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from batch_models import MODELS

import tinygrad_mb as tg
from tinygrad_mb.autodiff import FEW
from tinygrad_mb.drawing.facts import Facts
from tinygrad_mb.drawing.record import record
from tinygrad_mb.graph import Node, ancestors
from tinygrad_mb.modes import keep_values


def parameter(data, name=None):
    return tg.Tensor(data, requires_grad=True, name=name)


rng = np.random.default_rng(0)
X = rng.normal(size=(9, 3))
PARAMETERS = rng.normal(size=(3, 4)), rng.normal(size=4)


@pytest.fixture
def parameters():
    """A leaf is known as long as its tensor lives."""
    return [parameter(a.copy(), name) for a, name in zip(PARAMETERS, "Wv", strict=True)]


def two_layers(w, v, m=5):
    """A loss whose hidden values are more than a node remembers."""
    z = (X[:m] @ w).named("z")
    return np.square((np.tanh(z).named("h") @ v).named("out")).mean().named("loss")


def by_name(facts):
    return {node.name: node for node in facts.nodes if node.name}


# -------------------------------------------------------------------------------------------------- values


def test_values_are_known_of_leaves_small_results_and_what_rules_have_saved(parameters):
    loss = two_layers(*parameters, m=9)
    facts = Facts([loss.node])
    nodes = by_name(facts)
    assert facts.value(nodes["loss"]) == loss.item()
    assert facts.value(nodes["W"]).shape == (3, 4)
    assert facts.value(nodes["h"]).shape == (9, 4)  # tanh has saved its result
    assert facts.value(nodes["out"]).shape == (9,)  # square has saved its operand
    assert facts.value(nodes["z"]) is None
    loss.backward()
    facts = Facts([loss.node])
    assert facts.value(nodes["loss"]) == loss.item()
    assert facts.value(nodes["W"]).shape == (3, 4)
    assert [facts.value(nodes[name]) for name in ("z", "h", "out")] == [None] * 3


def test_keep_values_keeps_all_of_them(parameters):
    with keep_values():
        loss = two_layers(*parameters, m=9)
    loss.backward()
    facts = Facts([loss.node])
    assert all(facts.value(node) is not None for node in facts.nodes)
    assert facts.numbers


@pytest.mark.parametrize("size", [FEW, FEW + 1])
def test_a_node_remembers_few_numbers_and_no_more(size):
    w = parameter(np.ones(size))
    y = w + 1.0
    value = Facts([y.node]).value(y.node)
    if size > FEW:
        assert value is None
    else:
        np.testing.assert_array_equal(value, np.full(size, 2.0))
        assert value.dtype == np.float64


def test_views_are_not_remembered():
    big = parameter(np.ones((100, 100)))
    corner = (big + 1.0)[:2, :2]
    assert corner.node.held is None
    assert Facts([corner.node]).value(corner.node) is None


def test_a_leaf_is_known_while_its_tensor_lives():
    w = parameter(np.ones(20), "w")
    y = (w + 0.0).sum()
    node = w.node
    np.testing.assert_array_equal(Facts([y.node]).value(node), np.ones(20))
    del w
    assert Facts([y.node]).value(node) is None


def test_the_value_of_a_leaf_is_a_copy():
    w = parameter([1.0, 2.0])
    facts = Facts([(w * 2).sum().node])
    value = facts.value(w.node)
    w.data[0] = 7.0
    np.testing.assert_array_equal(value, [1.0, 2.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_values_and_cotangents_have_their_dtypes(dtype):
    w = parameter(np.ones(3, dtype), "w")
    facts = Facts([(w * w).sum().node])
    for node in facts.nodes:
        assert facts.value(node).dtype == dtype
        assert facts.delta(node).dtype == dtype
        assert facts.delta(node).shape == node.shape


# ------------------------------------------------------------------------------------------ changed leaves


def test_a_leaf_that_an_optimiser_has_changed_is_told():
    w, v = parameter([1.0, 2.0], "w"), parameter(3.0, "v")
    loss = np.square(w * v - 1.0).sum()
    facts = Facts([loss.node])
    assert not facts.changed(w.node)
    assert not facts.changed(v.node)
    loss.backward()
    w.data -= 0.1 * w.grad
    facts = Facts([loss.node])
    assert facts.changed(w.node)
    assert "changed since" in tg.draw(loss).source


def test_nothing_is_said_of_leaves_whose_results_are_not_known():
    w = parameter(np.ones((3, 4)), "w")
    loss = (np.ones((9, 3)) @ w + 1.0).sum()
    w.data += 1.0
    assert not Facts([loss.node]).changed(w.node)


def test_not_a_number_has_not_changed():
    w = parameter([np.nan, np.inf])
    with np.errstate(all="ignore"):
        loss = (w * 0.0).sum()
    assert not Facts([loss.node]).changed(w.node)


# -------------------------------------------------------------------------------------- after backward


def no_numbers(loss):
    loss.backward()
    return Facts([loss.node])


def test_after_backward_shapes_and_sums_are_known_and_numbers_are_not(parameters):
    fresh = Facts([two_layers(*parameters, m=9).node])
    freed = no_numbers(two_layers(*parameters, m=9))
    assert fresh.numbers
    assert not freed.numbers
    assert freed.examples == fresh.examples == 9
    assert [freed.axis(n) for n in freed.nodes] == [fresh.axis(n) for n in fresh.nodes]
    assert all(freed.delta(node) is None for node in freed.nodes)
    assert by_uses(freed) == by_uses(fresh)


def by_uses(facts):
    place = {node: k for k, node in enumerate(facts.nodes)}
    return {(place[node], position): (s.count, s.axis) for (node, position), s in facts.sums.items()}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_sums_are_the_same_after_backward(model):
    def run():
        params = {name: parameter(a, name) for name, a in model.params.items()}
        return model.losses(params, *model.batch).mean()

    fresh, freed = Facts([run().node]), no_numbers(run())
    assert by_uses(freed) == by_uses(fresh)
    assert [freed.axis(n) for n in freed.nodes] == [fresh.axis(n) for n in fresh.nodes]
    assert {freed.nodes.index(n) for n in freed.reductions} == {fresh.nodes.index(n) for n in fresh.reductions}


def test_what_is_known_is_enough_to_run_small_rules_again():
    """A graph of few numbers remembers all values, so its cotangents are known after backward too."""
    w = parameter([1.0, 2.0], "w")
    loss = np.square(np.tanh(w) * 3.0).sum()
    loss.backward()
    facts = Facts([loss.node])
    assert facts.numbers
    np.testing.assert_allclose(facts.delta(w.node), w.grad, rtol=1e-15)


def test_deltas_are_the_gradients(parameters):
    loss = two_layers(*parameters)
    facts = Facts([loss.node])
    leaves = [node for node in facts.nodes if node.op is None and node.plan is not None]
    loss.backward()
    for node in leaves:
        np.testing.assert_array_equal(facts.delta(node), node.grad)
        assert facts.delta(node).dtype == node.grad.dtype


def test_a_backward_that_fails_is_no_reason_for_no_picture(spoil):
    from tinygrad_mb.primitives import PRIMITIVES

    def broken(g, out):
        raise ZeroDivisionError("no slope")

    spoil(PRIMITIVES[np.tanh], 0, lambda rule: broken)
    loss = np.tanh(parameter(np.ones((5, 2)), "w")).sum()
    facts = Facts([loss.node])
    assert "backward does not run" in facts.reason
    assert not facts.numbers
    for direction in ("forward", "backward", "both"):
        assert "does not run" in tg.draw(loss, view=direction).source


# ------------------------------------------------------------------------------------ the graph is only read


SLOTS = [slot for slot in Node.__slots__ if slot not in ("grad", "saved")]


def state(nodes):
    parts = [tuple(id(getattr(node, slot)) for slot in SLOTS) for node in nodes]
    saved = [node.saved if node.saved is None else [(id(a), np.copy(a)) for a in node.saved] for node in nodes]
    grads = [None if node.grad is None else (id(node.grad), node.grad.copy()) for node in nodes]
    return parts, saved, grads


def same(a, b):
    np.testing.assert_equal(a[0], b[0])
    np.testing.assert_equal(a[1], b[1])
    np.testing.assert_equal(a[2], b[2])


@pytest.mark.parametrize("when", ["before", "after", "kept"])
def test_drawing_changes_nothing(when, parameters):
    loss = two_layers(*parameters)
    if when != "before":
        loss.backward(retain_graph=when == "kept")
    nodes = ancestors(loss.node)
    before = state(nodes)
    counted = loss.node.order
    pictures = [tg.draw(loss, view=v, contributions=True, grads="numbers").source for v in ("forward", "both")]
    assert ancestors(loss.node) == nodes
    same(state(nodes), before)
    assert pictures == [tg.draw(loss, view=v, contributions=True, grads="numbers").source for v in ("forward", "both")]
    assert loss.node.order == counted
    if when != "after":
        expected = two_layers(*parameters)
        expected.backward()
        for node in nodes:
            node.grad = None
        loss.backward()
        for node, other in zip(nodes, ancestors(expected.node), strict=True):
            if node.op is None and node.plan is not None:
                np.testing.assert_array_equal(node.grad, other.grad)


def test_drawing_runs_no_hooks_and_sees_no_anomalies():
    seen = []
    w = parameter([0.0, 1.0], "w")
    z = np.square(w)
    z.register_hook(seen.append)
    loss = z.sum()
    tg.draw(loss, view="both")
    assert not seen
    with tg.no_grad():
        assert "no backward yet" in tg.draw(loss).source


def test_a_picture_keeps_no_graph_alive_and_makes_no_cycles(parameters):
    gc.collect()
    gc.disable()
    try:
        loss = two_layers(*parameters)
        value, node = weakref.ref(loss), loss.node.inputs[0]
        facts = Facts([loss.node])
        del facts
        del loss
        assert value() is None
        del node
        gc.collect()
        loss = two_layers(*parameters)
        watcher = weakref.ref(loss)
        Facts([loss.node])
        del loss
        assert watcher() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------------------- what nodes remember costs little


def test_a_remembered_value_is_the_result_itself_and_dies_with_the_node():
    w = parameter([1.0, 2.0])
    y = w * 2.0
    assert y.node.held is y._data
    value = weakref.ref(y._data)
    gc.disable()
    try:
        del y
        assert value() is None
    finally:
        gc.enable()


def test_a_leaf_and_its_node_make_no_cycle():
    gc.collect()
    gc.disable()
    try:
        w = parameter(np.ones(3))
        y = (w * tg.Tensor(np.ones(3))).sum()
        watcher = weakref.ref(w)
        del w, y
        assert watcher() is None
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_gradients_of_several_outputs_are_those_of_their_sum():
    rng = np.random.default_rng(1)
    X, W = rng.normal(size=(4, 3)), tg.Tensor(rng.normal(size=(3, 2)), requires_grad=True)
    h = np.tanh(X @ W)
    outputs = [h.sum(), h, np.square(h).sum(axis=1).mean(), h]
    facts = Facts([t.node for t in outputs])
    assert len(facts.roots) == 3
    assert facts.examples == 4
    expected = X.T @ ((2.0 + h.data / 2) * (1 - h.data**2))
    found = facts.delta(W.node)
    assert (found.dtype, found.shape) == (np.float64, (3, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_outputs_of_batches_of_different_sizes_are_not_told_apart():
    w = tg.Tensor(np.ones(3), requires_grad=True)
    losses = [np.square(tg.Tensor(np.ones((m, 3))) @ w).mean() for m in (10, 5)]
    for outputs in (losses, losses[::-1]):
        facts = Facts([t.node for t in outputs])
        assert (facts.examples, facts.reason) == (0, "arrays of 5 and of 10 rows are reduced to the loss")


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_of_leaves_know_their_own_values(make):
    w = parameter([1.0, 2.0], "w")
    (w * 3.0).sum().backward()
    other = make(w)
    np.testing.assert_array_equal(other.numpy(), [1.0, 2.0])
    loss = (other * other).sum()
    np.testing.assert_array_equal(Facts([loss.node]).value(other.node), [1.0, 2.0])
    loss.backward()
    np.testing.assert_array_equal(Facts([(w * 1.0).node]).value(w.node), [1.0, 2.0])


def test_a_small_result_cannot_be_changed_behind_the_graph():
    y = parameter([1.0, 2.0]) + 1.0
    with pytest.raises(ValueError, match="read-only"):
        y.data[0] = 7.0
    np.testing.assert_array_equal(y.node.value, [2.0, 3.0])


# ------------------------------------------------------------------------------------------------ record


def test_record_knows_all_values_and_names():
    def loss(params, x, y):
        hidden = np.tanh(x @ params["W"])
        out = hidden @ params["v"]
        return np.square(out - y).mean()

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 3)), rng.normal(size=9)
    (result,), data = record(loss, {"W": rng.normal(size=(3, 4)), "v": np.ones(4)}, x, y)
    facts = Facts([result.node], data)
    assert {"W", "v", "hidden", "out"} <= set(by_name(facts))
    assert all(facts.value(node) is not None for node in facts.nodes)
    assert [name for name, _ in data] == ["x", "y"]
