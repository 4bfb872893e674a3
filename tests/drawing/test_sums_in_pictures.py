"""Where the examples stand, and where they are added up: compared with batches in which one example is another.

Nothing here asks the drawing how it knows: values are computed again with one example changed, and gradients with the
loss of one example alone.
"""

import numpy as np
import pytest
from batch_models import MODELS, M

import tinygrad_mb as tg
from tinygrad_mb import autodiff
from tinygrad_mb.broadcasting import unbroadcast
from tinygrad_mb.drawing.facts import Facts
from tinygrad_mb.drawing.record import record
from tinygrad_mb.drawing.sides import Options
from tinygrad_mb.drawing.view import view
from tinygrad_mb.graph import ancestors

BY_VMAP = ("each_example_by_vmap", "steps_by_vmap", "heads_by_vmap", "a_penalty_on_slopes")
every_batch = pytest.mark.parametrize(
    "model", [model for model in MODELS if model.name not in BY_VMAP], ids=lambda model: model.name
)


def facts_of(loss_fn, *arguments):
    outputs, data = record(loss_fn, *arguments)
    return Facts([t.node for t in outputs], data)


def mean_of(model):
    return lambda p, *batch: model.losses(p, *batch).mean()


def with_another_example(array, i):
    """The array with other numbers of the i-th example."""
    changed = array.copy()
    rows = np.moveaxis(changed, 0 if len(array) == M else 1, 0)
    if array.dtype.kind == "f":
        rows[i] = rows[i] * 1.37 + 0.1
    elif array.dtype.kind == "b":
        rows[i] = ~rows[i]
    else:
        rows[i] = np.where(rows[i] < array.max(), rows[i] + 1, rows[i] - 1)
    return changed


@every_batch
def test_an_example_changes_its_own_places_of_each_value_and_no_others(model):
    facts = facts_of(mean_of(model), model.params, *model.batch)
    assert facts.examples == M
    assert not any(map(facts.mixes, facts.nodes))
    changed = np.zeros((len(facts.nodes), M), bool)
    for i in range(M):
        batch = [with_another_example(array, i) for array in model.batch]
        (loss,), _ = record(mean_of(model), model.params, *batch)
        for k, (node, other) in enumerate(zip(facts.nodes, ancestors(loss.node)[::-1], strict=True)):
            differs = facts.value(node) != other.value
            changed[k, i] = np.any(differs)
            if facts.axis(node) is not None:
                own = facts.of_example(node, np.arange(differs.size).reshape(node.shape), i)
                assert set(np.flatnonzero(differs)) <= set(np.ravel(own)), (node, i)
    for node, all_differ in zip(facts.nodes, changed.all(axis=1), strict=True):
        if node.shape and all_differ:
            assert facts.axis(node) is not None, node


@every_batch
def test_the_parts_of_all_examples_are_the_whole_value(model):
    facts = facts_of(mean_of(model), model.params, *model.batch)
    for node in facts.nodes:
        if facts.axis(node) is not None:
            places = np.arange(int(np.prod(node.shape))).reshape(node.shape)
            parts = np.concatenate([np.ravel(facts.of_example(node, places, i)) for i in range(M)])
            np.testing.assert_array_equal(np.sort(parts), np.ravel(places))
            assert node.shape[facts.axis(node)] % M == 0


def alone(facts, start, i):
    """The δ of all values if only the i-th loss counted."""
    seed = np.zeros(start.shape)
    seed[i] = facts.delta(start)[i]
    return autodiff.gradient({start: seed}, [n for n in facts.nodes if n.plan is not None and n.order <= start.order])


@every_batch
def test_a_sum_stands_exactly_where_examples_that_stood_apart_meet(model):
    facts = facts_of(mean_of(model), model.params, *model.batch)
    start = facts.roots[0].inputs[0]
    assert facts.reductions == {facts.roots[0]}
    deltas = [alone(facts, start, i) for i in range(M)]
    found = set()
    for node in deltas[0]:
        apart = not meet([delta[node] for delta in deltas])
        for rule in node.plan.rules:
            parent = node.inputs[rule.position]
            parts = [rule.pull(delta[node], node, node.saved) for delta in deltas]
            parts = [unbroadcast(np.asarray(part), parent.shape) for part in parts]
            place = facts.sums.get((node, rule.position))
            if place is None:
                assert not (apart and meet(parts)), (node, parent)
                continue
            found.add(parent)
            assert apart
            assert meet(parts) or not all(part.any() for part in parts), (node, parent)  # or some add nothing
            assert place.count == M
            assert place.axis == facts.axis(node)
            for i, part in enumerate(parts):
                np.testing.assert_allclose(place.use.of_example(i), part, rtol=1e-12, atol=1e-14)
                assert place.use.of_example(i).dtype == parent.dtype
            total = sum(place.use.of_example(i) for i in range(M))
            np.testing.assert_allclose(
                total,
                unbroadcast(np.asarray(rule.pull(facts.delta(node), node, node.saved)), parent.shape),
                rtol=1e-12,
                atol=1e-14,
            )
    assert found, "somewhere the contributions are added up"


def meet(parts):
    """Whether two examples have numbers at the same place."""
    return bool((sum((part != 0).astype(int) for part in parts) > 1).any())


@every_batch
def test_the_contributions_at_the_badges_of_a_parameter_are_its_per_example_gradients(model):
    facts = facts_of(mean_of(model), model.params, *model.batch)
    params = {name: tg.Tensor(a, requires_grad=True) for name, a in model.params.items()}
    expected = tg.per_example_grads(model.losses(params, *model.batch), params)
    for node in facts.nodes:
        uses = facts.users.get(node, ())
        if node.op is None and node.plan is not None and all(use in facts.sums for use in uses):
            for i in range(M):
                own = sum(facts.sums[use].use.of_example(i) for use in uses)
                scale = 1 if model.losses(params, *model.batch).ndim == 1 else model.batch[-1].shape[1]
                np.testing.assert_allclose(own * M * scale, expected[node.name][i], rtol=1e-11, atol=1e-13)


@every_batch
def test_each_badge_of_the_picture_stands_for_its_sums_and_each_sum_has_one(model):
    facts = facts_of(mean_of(model), model.params, *model.batch)
    seen = view(facts, Options(unfold=True))
    badged = [use for edge in seen.edges if edge.badge for use in edge.uses if use in facts.sums]
    assert len(badged) == len(facts.sums)
    assert set(badged) == set(facts.sums)
    for edge in seen.edges:
        if edge.badge is not None:
            assert edge.carries
            assert edge.badge.count == M
            assert edge.badge.uses == len([use for use in edge.uses if use in facts.sums])


# --------------------------------------------------------------------------------------------- by hand

X, Y = np.random.default_rng(0).normal(size=(5, 3)), np.arange(5.0)


def by_names(facts):
    """The sums of a graph, by the names of operation and operand."""
    return {
        (node.op.name, node.inputs[position].name): (place.count, place.axis)
        for (node, position), place in facts.sums.items()
    }


def test_two_layers():
    def loss(p, x, y):
        return np.square(np.tanh(x @ p["W"] + p["b"]) @ p["w"] - y).mean()

    facts = facts_of(loss, {"W": np.ones((3, 4)), "b": np.zeros(4), "w": np.ones(4)}, X, Y)
    assert by_names(facts) == {("matmul", "W"): (5, 0), ("add", "b"): (5, 0), ("matmul", "w"): (5, 0)}
    assert [facts.axis(node) for node in facts.nodes if node.name in ("x", "y", "W")] == [None]
    assert [facts.axis(n) for n in facts.nodes if n.op is None and n.plan is None] == [0, 0]


def test_examples_in_the_second_axis():
    def loss(p, steps):
        return np.tanh(steps @ p["W"]).sum(axis=(0, 2)).mean()

    facts = facts_of(loss, {"W": np.ones((3, 2))}, np.random.default_rng(0).normal(size=(4, 5, 3)))
    assert by_names(facts) == {("matmul", "W"): (5, 1)}
    assert [facts.axis(node) for node in facts.nodes] == [None, 1, 1, 1, 0, None]


def test_flattened_examples_and_time():
    def loss(p, tokens, targets):
        h = p["E"][tokens].reshape(-1, 3)
        losses = tg.nn.cross_entropy(h @ p["W"], targets.reshape(-1))
        return losses.reshape(tokens.shape).sum(axis=1).mean()

    tokens = np.arange(20).reshape(5, 4) % 6
    facts = facts_of(loss, {"E": np.eye(6, 3), "W": np.ones((3, 6))}, tokens, tokens)
    shapes = {node.op.name: (node.shape, facts.axis(node)) for node in facts.nodes if node.op is not None}
    assert shapes["matmul"] == ((20, 6), 0)
    assert shapes["cross_entropy"] == ((20,), 0)
    (labels,) = [node for node in facts.nodes if node.shape == (20,) and node.op is None]
    np.testing.assert_array_equal(facts.of_example(labels, facts.value(labels), 1), tokens[1])
    assert by_names(facts) == {("index", "E"): (5, 0), ("matmul", "W"): (5, 0)}


def test_labels_in_an_index_have_the_axis_of_examples():
    def loss(p, x, labels):
        return -tg.nn.log_softmax(x @ p["W"])[np.arange(5), labels].mean()

    labels = np.array([1, 0, 0, 1, 1])
    facts = facts_of(loss, {"W": np.ones((3, 2))}, X, labels)
    (picked,) = [node for node in facts.nodes if node.op is not None and node.op.name == "index"]
    assert facts.axis(picked, labels) == 0
    assert facts.of_example(picked, labels, 3, labels) == labels[3]


def test_only_what_meets_over_the_examples_is_said_to():
    def loss(W, x):
        h = np.tanh(x @ W)
        return h.sum() + h.max(axis=1).mean()

    outputs, data = record(loss, np.eye(3), np.ones((5, 3)))
    told = [line.text for box in view(Facts([t.node for t in outputs], data)).boxes for line in box.sides[0].lines]
    assert [text for text in told if "over the" in text] == ["Σ over the m=5 examples", "mean over the m=5 examples"]


@pytest.mark.parametrize("m", [3, 5])
def test_a_mask_of_each_example_is_told_from_one_for_all(m):
    def loss(p, x, mask):
        causal = np.tri(3, dtype=bool)
        return np.where(causal, np.where(mask[:, None, None], (x @ p["W"])[:, None], 0.0), 1.0).sum(axis=(1, 2)).mean()

    facts = facts_of(loss, {"W": np.ones((3, 3))}, X[:m], np.arange(m) > 1)
    axes = {node.shape: facts.axis(node) for node in facts.nodes if node.dtype == bool}
    assert axes == {(m, 1, 1): 0, (3, 3): None}


def test_axes_of_one_length_are_not_confused():
    def loss(p, x, labels):
        z = np.swapaxes(np.eye(5) @ np.tanh(p["W"] @ x.T), 0, 1) @ p["V"]
        return tg.nn.cross_entropy(z, labels).mean()

    x = np.random.default_rng(0).normal(size=(5, 5))
    facts = facts_of(loss, {"W": np.eye(5), "V": np.eye(5)}, x, np.arange(5))
    assert [facts.axis(node) for node in facts.nodes if node.op is not None] == [1, 1, 1, 0, 0, 0, None]
    assert [facts.axis(node) for node in facts.nodes if node.op is None] == [
        None,
        None,
        1,
        None,
        0,
    ]  # W, V, x, eye, labels


def test_convolutions_sum_over_examples_at_kernels_and_biases():
    def loss(p, images):
        return tg.nn.conv2d(images, p["K"], p["b"]).sum(axis=(1, 2, 3)).mean()

    images = np.random.default_rng(0).normal(size=(5, 2, 6, 6))
    facts = facts_of(loss, {"K": np.ones((3, 2, 3, 3)), "b": np.zeros(3)}, images)
    assert {name for _, name in by_names(facts)} >= {"K"}
    assert set(by_names(facts).values()) == {(5, 0)}


def test_a_penalty_is_summed_over_no_examples():
    def loss(p, x, y):
        return np.square(x @ p["w"] - y).mean() + 0.1 * np.square(p["w"]).sum()

    facts = facts_of(loss, {"w": np.ones(3)}, X, Y)
    assert by_names(facts) == {("matmul", "w"): (5, 0)}
    assert {node.op.name for node in facts.reductions} == {"mean"}


def test_batch_norm_says_that_examples_influence_each_other():
    def loss(p, x, y):
        z = x @ p["W"]
        normal = ((z - z.mean(axis=0)) / z.std(axis=0)).named("normal")
        return np.square(normal @ p["w"] - y).mean()

    facts = facts_of(loss, {"W": np.eye(3), "w": np.ones(3)}, X, Y)
    mixed = [
        box for box in view(facts).boxes if any(line.text.startswith("examples inf") for line in box.sides[0].lines)
    ]
    assert [box.sides[0].title for box in mixed] == ["z"]
    assert [node.name for node in facts.nodes if facts.mixes(node)] == ["z"]
    assert ("divide", None) in by_names(facts)  # the deviation of all is shared by all


def test_what_vmap_hides_is_summed_where_it_ends():
    def loss(p, x, y):
        return tg.vmap(lambda x, y: np.square(x @ p["w"] + p["b"] - y))(x, y).mean()

    facts = facts_of(loss, {"w": np.ones(3), "b": 0.0}, X, Y)
    assert facts.examples == 0
    assert facts.reason == "a part of the loss is computed inside vmap"
    assert by_names(facts) == {("matmul", "w"): (5, None), ("add", "b"): (5, None)}
    hidden = {node.op.name: facts.hidden(node) for node in facts.nodes if node.op is not None}
    assert hidden["matmul"] == hidden["square"] == 5
    assert hidden["mean"] == 0


def test_losses_that_are_not_reduced_are_told_apart_too():
    facts = facts_of(lambda p, x: np.square(x @ p["w"]), {"w": np.ones(3)}, X)
    assert (facts.examples, facts.axis(facts.roots[0])) == (5, 0)
    assert by_names(facts) == {("matmul", "w"): (5, 0)}


def test_one_example_is_a_batch_too():
    facts = facts_of(lambda p, x: np.square(x @ p["w"]).mean(), {"w": np.ones(3)}, X[:1])
    assert facts.examples == 1
    assert by_names(facts) == {("matmul", "w"): (1, 0)}


@pytest.mark.parametrize(
    ("loss", "x", "reason"),
    [
        (lambda p, x: np.square(p["w"]).sum() + 0 * x.sum(), X, "no sum or mean over the rows"),
        (lambda p, x: (x @ p["w"]).sum(), np.zeros((0, 3)), "no sum or mean over the rows"),
        (lambda p, x: (x @ p["w"]).sum() + np.tanh(x[:4] @ p["w"]).sum(), X, "arrays of 4 and of 5 rows"),
    ],
)
def test_where_examples_are_not_told_apart_the_picture_says_why(loss, x, reason):
    facts = facts_of(loss, {"w": np.ones(3)}, x)
    assert facts.examples == 0
    assert not facts.sums
    assert reason in facts.reason
    assert any(reason in note for note in view(facts).notes) == bool(reason)
