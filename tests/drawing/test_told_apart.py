"""What counts as examples, and what does not: programs that students write besides the usual batch."""

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.drawing.facts import Facts
from tinygrad_mb.drawing.record import record, rows_of
from tinygrad_mb.drawing.sides import Options
from tinygrad_mb.drawing.view import view

rng = np.random.default_rng(0)
x, y, w, c = rng.normal(size=(5, 3)), rng.normal(size=5), np.ones(3), rng.normal(size=5)
LAYER = {"W": rng.normal(size=(3, 4)), "b": rng.normal(size=3)}
NET = {"W": rng.normal(size=(3, 4)), "b": rng.normal(size=4), "v": rng.normal(size=4)}


def facts_of(loss, params, *batch):
    outputs, data = record(loss, params, *batch)
    return Facts([t.node for t in outputs], data, rows_of(batch), recorded=True)


def sums(facts):
    return sorted((node.op.name, node.inputs[k].name or "", found.count) for (node, k), found in facts.sums.items())


def batch_norm(p, x):
    z = x @ p["W"].T
    mean = z.mean(axis=0)
    variance = np.square(z - mean).mean(axis=0)
    return np.square((z - mean) / np.sqrt(variance + 1e-5)).sum(axis=1).mean()


def averaged_first(p, x, y):
    return np.square(np.tanh(x @ p["W"] + p["b"]).mean(axis=0) @ p["v"] - y.mean())


@pytest.mark.parametrize(
    ("loss", "params", "batch", "expected"),
    [
        (lambda p, x, y: np.square(x @ p - y)[:3].mean(), w, (x, y), [("matmul", "p", 5)]),
        (lambda p, x, y: np.sort(np.square(x @ p - y))[:3].mean(), w, (x, y), [("matmul", "p", 5)]),
        (lambda p, x, y: np.square(x @ p - y)[y > 0].mean(), w, (x, y), [("matmul", "p", 5)]),
        (lambda p, x: np.einsum("bi,i->b", x, p).mean(), w, (x,), [("einsum", "p", 5)]),
        (averaged_first, NET, (x, y), [("add", "b", 5), ("matmul", "W", 5)]),
    ],
)
def test_sums_stand_where_rows_of_the_batch_meet(loss, params, batch, expected):
    facts = facts_of(loss, params, *batch)
    assert facts.examples == 5
    assert sums(facts) == expected


def test_every_sum_over_coupled_examples_is_found():
    facts = facts_of(lambda p, x: ((x @ p - (x @ p).mean()) * c).mean(), w, x)
    assert sums(facts) == [("matmul", "p", 5), ("matmul", "p", 5), ("subtract", "", 5)]
    (mixed,) = [node for node in facts.nodes if facts.mixes(node)]
    assert mixed.op.name == "matmul"


def test_batch_norm_has_its_sums_at_the_mean_the_variance_and_the_weights():
    facts = facts_of(batch_norm, {"W": rng.normal(size=(4, 3))}, rng.normal(size=(7, 3)))
    assert sums(facts) == [("divide", "", 7), ("matmul", "", 7), ("subtract", "mean", 7), ("subtract", "mean", 7)]
    for node in facts.nodes:
        if node.op is not None and node.shape[:1] == (7,):
            assert facts.axis(node) == 0
    assert {node.label for node in facts.nodes if facts.mixes(node)} == {"z", "square"}


@pytest.mark.parametrize(
    ("loss", "params", "batch", "reason"),
    [
        (lambda p, x, t: np.square(np.tanh(p["W"] @ x + p["b"]) - t).sum(), LAYER, (np.ones(4), np.ones(3)), "its own"),
        (lambda p, x: np.einsum("bi,i->", x, p), w, (x,), "no value along the way has their 5 rows"),
        (
            lambda p, x, y: (np.square(x[:3] @ p - y[:3]).sum() + np.square(x[3:] @ p - y[3:]).sum()) / 5,
            w, (x, y), "no value along the way has their 5 rows",
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_to_be_examples_is_not_called_so(loss, params, batch, reason):
    facts = facts_of(loss, params, *batch)
    assert (facts.examples, facts.sums) == (0, {})
    assert reason in facts.reason
    notes = view(facts).notes
    assert notes == [f"examples are not told apart: {facts.reason}"]


def test_rows_of_several_parts_are_not_taken_for_the_same_examples():
    p = tg.Tensor(w, requires_grad=True, name="w")
    loss = sum(np.square(x[i : i + 2] @ p - y[i : i + 2]).sum() for i in (0, 2)) / 4
    facts = Facts([loss.node])
    assert facts.examples == 0
    assert "2 rows of several arrays" in facts.reason


def test_a_loop_over_examples_has_its_sum_at_the_parameters():
    def loop(p, x, y):
        total = 0.0
        for i in range(5):
            total = total + np.square(np.tanh(x[i] @ p) - y[i])
        return total / 5

    facts = facts_of(loop, w, x, y)
    picture = view(facts)
    assert [frame.title for frame in picture.frames] == ["× 5 examples"]  # noqa: RUF001
    assert [(edge.source, edge.badge.count) for edge in picture.edges if edge.badge] == [("n0", 5)]
    assert not [edge for edge in view(facts, Options(unfold=True)).edges if edge.badge]


def test_gradients_are_those_of_this_loss_and_not_what_backward_calls_have_added_up():
    p = tg.Tensor(w, requires_grad=True, name="w")
    for _ in range(2):
        loss = np.square(tg.Tensor(x, name="x") @ p - y).mean()
        loss.backward(retain_graph=True)
    (box,) = [
        box for box in view(Facts([loss.node]), Options(view="both", grads="numbers")).boxes if box.node is p.node
    ]
    shown = [float(number) for number in box.sides[1].grids[0].rows[0]]
    np.testing.assert_allclose(shown, p.grad / 2, rtol=5e-3)


def test_numbers_of_a_freed_graph_are_not_those_of_changed_leaves():
    p = tg.Tensor([1.0, 2.0], requires_grad=True, name="p")
    loss = np.square(p).sum()
    loss.backward()
    assert Facts([loss.node]).delta(p.node).tolist() == [2.0, 4.0]
    p.data -= 0.5
    facts = Facts([loss.node])
    assert facts.changed(p.node)
    assert facts.delta(p.node) is None


def test_names_that_are_used_twice_are_told_apart_in_formulas():
    def loss(p, x):
        h = x @ p
        h = np.tanh(h)
        return h.mean()

    facts = facts_of(loss, w, x)
    picture = view(facts, Options(view="backward"))
    titles = {side.title: side.formula for box in picture.boxes for side in box.sides}
    first, second = sorted(title for title in titles if title.startswith("δh#"))
    assert titles[first] == f"= {second} ⊙ (1 − {second[1:]}²)"  # noqa: RUF001
