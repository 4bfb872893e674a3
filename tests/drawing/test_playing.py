"""What the page knows: the sums that it plays are the gradients, however much of the graph is folded."""

import json

import numpy as np
import pytest
from batch_models import MODELS

import tinygrad_mb as tg
from tinygrad_mb.drawing.facts import Facts
from tinygrad_mb.drawing.folding import fold
from tinygrad_mb.drawing.opening import opened
from tinygrad_mb.drawing.playing import played
from tinygrad_mb.drawing.record import record
from tinygrad_mb.drawing.sides import Options, Sides
from tinygrad_mb.drawing.view import view


def knowledge(facts, room, limit):
    """What the page gets, with so many operations laid out."""
    nodes = [node for node in facts.nodes if node.op is not None]
    opening = opened(nodes, None, limit, (), room)
    picture = view(facts, Options(), opening.folding)
    return picture, json.loads(json.dumps(played(picture, facts, opening), allow_nan=False))


def check(facts, room=1000, limit=150):
    """Gradients that have grown to their end are those of backward, and contributions sum up; the growing ones."""
    picture, known = knowledge(facts, room, limit)
    leaves = {box.id: box.node for box in picture.boxes}
    last = {}
    for step in known["steps"]:
        last |= step.get("gradients", {})
    for id_, grown in last.items():
        delta = facts.delta(leaves[id_])
        assert tuple(grown["shape"]) == delta.shape
        np.testing.assert_allclose(np.array(grown["numbers"]), delta.reshape(-1), rtol=1e-6, atol=1e-6)
    for edge in known["edges"]:
        if edge["contributions"] and edge["all_sums"]:
            parts = np.reshape(edge["contributions"]["numbers"], edge["contributions"]["shape"])
            np.testing.assert_allclose(parts.sum(axis=0).reshape(-1), edge["passed"]["numbers"], rtol=1e-6, atol=1e-6)
    return {leaves[id_].name for id_ in last}


@pytest.mark.parametrize("room", [1, 5, 1000])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_gradients_grow_to_those_of_backward(model, room):
    outputs, data = record(lambda p, *batch: model.losses(p, *batch).mean(), model.params, *model.batch)
    check(Facts([t.node for t in outputs], data), room, min(room, 150))


def deep(params, x):
    first = params["W"][0] @ np.ones(3)  # used once more, outside of what repeats itself
    with tg.scope("net"):
        for k in range(6):
            with tg.scope(f"layer.{k}"):
                x = np.tanh(x @ params["W"][k] + params["b"])
        x = x * params["s"] + np.square(params["s"])  # with the examples, and alike for all
    return (x.sum(axis=1) + first.sum()).mean()


@pytest.mark.parametrize(("room", "limit", "growing"), [(1000, 150, 8), (10, 10, 2), (6, 6, 1)])
def test_no_part_of_a_gradient_is_taken_for_all_of_it(room, limit, growing):
    rng = np.random.default_rng(0)
    params = {"W": [rng.normal(size=(3, 3)) for _ in range(6)], "b": np.ones(3), "s": np.ones(3)}
    outputs, data = record(deep, params, rng.normal(size=(5, 3)))
    facts = Facts([t.node for t in outputs], data)
    assert len(check(facts, room, limit)) == growing


def repeated(params, x):
    h = np.zeros((len(x), 2))
    for t in range(4):
        h = np.tanh(x[:, t] @ params["U"] + h @ params["W"])
        h = np.square(h * h + x[:, t, :2]) * (h @ params["W"])
    return h.sum(axis=1).mean()


def test_formulas_that_are_alike_have_the_numbers_of_their_own_operands():
    rng = np.random.default_rng(1)
    params = {"U": rng.normal(size=(3, 2)), "W": rng.normal(size=(2, 2))}
    outputs, data = record(repeated, params, rng.normal(size=(5, 4, 3)))
    facts = Facts([t.node for t in outputs], data)
    picture, known = knowledge(facts, 1000, 150)
    words = Sides(facts, fold([node for node in facts.nodes if node.op is not None], unfold=True), Options(view="both"))
    rules = []
    for edge, fact in zip(picture.edges, known["edges"], strict=True):
        passed = [use for node, at in edge.uses for use in facts.step(node).passed if use.rule.position == at]
        if len(passed) == 1:
            rules.append(words.rule(passed[0]))
            assert fact["rule"] == rules[-1]
    assert len({rule for rule in rules if "#" in rule}) >= 16
