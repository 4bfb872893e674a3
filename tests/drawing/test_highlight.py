"""What a picture highlights: paths to the result, and what a report of check_derivation says."""

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.drawing.facts import Facts
from tinygrad_mb.drawing.highlight import mark
from tinygrad_mb.drawing.record import record
from tinygrad_mb.drawing.sides import Options
from tinygrad_mb.drawing.view import view

X, Y = np.random.default_rng(0).normal(size=(5, 3)), np.arange(5.0)
PARAMS = {"W": np.random.default_rng(1).normal(size=(3, 4)), "b": np.zeros(4), "v": np.ones(4)}


def loss(params, x, y):
    with tg.scope("net"):
        h = np.tanh(x @ params["W"] + params["b"])
    losses = 0.5 * np.square(h @ params["v"] - y)
    return losses.mean().named("loss")


def by_hand(params, x, y):
    h = np.tanh(x @ params["W"] + params["b"])
    dh = (h @ params["v"] - y)[:, None] * params["v"] / len(x)  # and the derivative of tanh is forgotten
    return {"v": h.T @ (h @ params["v"] - y) / len(x), "W": x.T @ dh, "b": dh.sum(axis=0)}


def facts_of(loss_fn, *arguments):
    outputs, data = record(loss_fn, *arguments)
    return Facts([t.node for t in outputs], data)


def parameter(data, name=None):
    return tg.Tensor(data, requires_grad=True, name=name)


def states(picture):
    return {box.sides[0].title: box.state for box in picture.boxes if not box.stub}


def highlighted(wanted, **options):
    facts = facts_of(loss, PARAMS, X, Y)
    picture = view(facts, Options(**options))
    mark(picture, facts, wanted)
    return picture


def test_a_path_from_a_parameter_to_the_loss():
    picture = highlighted("v")
    found = states(picture)
    assert {title for title, state in found.items() if state == "path"} == {
        "v", "h @ v", "· - y", "square(·)", "losses", "loss",
    }  # fmt: skip
    assert set(found.values()) == {"path", "faded"}
    state = {box.id: box.state for box in picture.boxes}
    for edge in picture.edges:
        on = state[edge.source] == state[edge.target] == "path"
        assert edge.state == ("path" if on else "faded")


def test_labels_are_on_no_path():
    def classify(W, x, labels):
        losses = tg.nn.cross_entropy(x @ W, labels)
        picked = losses[np.array([0, 2])].named("picked")
        return picked.mean()

    facts = facts_of(classify, np.ones((3, 2)), X, np.array([0, 1, 1, 0, 1]))
    picture = view(facts)
    mark(picture, facts, "W")
    assert {box.sides[0].title for box in picture.boxes if box.state == "faded"} == {"x", "labels", "constant"}


def test_paths_of_several_values_and_of_tensors():
    assert states(highlighted(["W", "b"]))["v"] == "faded"
    assert states(highlighted(("W", "v")))["v"] == states(highlighted(("W", "v")))["W"] == "path"
    w = parameter(np.ones(3), "w")
    h = np.sin(w)
    total = (h * 2.0).sum()
    facts = Facts([total.node])
    picture = view(facts)
    mark(picture, facts, h)
    assert states(picture)["w"] == "faded"
    assert states(picture)["sin(w)"] == "path"


def test_what_is_not_there_cannot_be_highlighted():
    with pytest.raises(ValueError, match="highlight: 'Wx' is not in this graph; it has W, b, v, x, h, y, losses, loss"):
        highlighted("Wx")
    with pytest.raises(ValueError, match="this tensor is not in this graph"):
        highlighted(parameter([1.0]))


def test_a_report_of_check_derivation_marks_the_first_wrong_step():
    report = tg.check_derivation(loss, PARAMS, by_hand, X, Y)
    found = states(highlighted(report))
    assert found["v"] == "right"
    assert report.first in ("W", "b")
    assert found[report.first] == "first wrong"
    assert {found["W"], found["b"]} == {"wrong", "first wrong"}
    assert found["x"] == found["h"] == found["h @ v"] == ""
    source = tg.draw(loss, PARAMS, X, Y, highlight=report).source
    assert "✗ first wrong step" in source


def test_a_folded_module_says_the_worst_of_what_is_in_it():
    report = tg.check_derivation(loss, PARAMS, by_hand, X, Y)
    found = states(highlighted(report, depth=0))
    assert (found["net"], found["v"]) == ("first wrong", "right")


@pytest.mark.parametrize("layer", [0, 3])
def test_a_path_from_any_turn_of_what_is_drawn_once(layer):
    def deep(params, x):
        for k in range(6):
            with tg.scope(f"layer.{k}"):
                x = np.tanh(x @ params[k])
        return x.sum(axis=1).mean()

    facts = facts_of(deep, [np.eye(3)] * 6, X)
    picture = view(facts)
    mark(picture, facts, str(layer))
    assert {box.kind for box in picture.boxes if box.state == "faded"} == {"data"}
