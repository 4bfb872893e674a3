"""What a picture shows, in words: boxes, lines between them, frames, and what the options add."""

# ruff: noqa: RUF001

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.drawing.facts import Facts
from tinygrad_mb.drawing.record import record
from tinygrad_mb.drawing.sides import Options
from tinygrad_mb.drawing.view import view

X, Y = np.random.default_rng(0).normal(size=(5, 3)), np.arange(5.0)
PARAMS = {"W": np.random.default_rng(1).normal(size=(3, 4)), "b": np.zeros(4), "v": np.ones(4)}


def loss(params, x, y):
    """A two-layer net; its hidden layer is in a scope."""
    with tg.scope("net"), tg.scope("hidden"):
        h = np.tanh(x @ params["W"] + params["b"])
    losses = 0.5 * np.square(h @ params["v"] - y)
    return losses.mean().named("loss")


def facts_of(loss_fn, *arguments):
    outputs, data = record(loss_fn, *arguments)
    return Facts([t.node for t in outputs], data)


def seen(loss_fn=loss, *arguments, **options):
    return view(facts_of(loss_fn, *(arguments or (PARAMS, X, Y))), Options(**options))


def drawn(*tensors, **options):
    return view(Facts([t.node for t in tensors]), Options(**options))


def by_title(picture, side=0):
    return {box.sides[side].title: box for box in picture.boxes if not box.stub}


def shape_of(side):
    return side.shape.text


def lines(side):
    return [line.text for line in side.lines]


def parameter(data, name=None):
    return tg.Tensor(data, requires_grad=True, name=name)


# ---------------------------------------------------------------------------------------------------- boxes


def test_kinds_titles_formulas_and_shapes():
    found = by_title(seen())
    assert {title: box.kind for title, box in found.items()} == {
        "x": "data",
        "y": "data",
        "W": "parameter",
        "b": "parameter",
        "v": "parameter",
        "x @ W": "operation",
        "· + b": "operation",
        "h": "operation",
        "h @ v": "operation",
        "· - y": "operation",
        "square(·)": "operation",
        "losses": "operation",
        "loss": "output",
    }
    assert {title: box.sides[0].formula for title, box in found.items() if box.sides[0].named} == {
        "x": "", "y": "", "W": "", "b": "", "v": "", "h": "tanh(·)", "losses": "0.5 * ·", "loss": "mean(losses)",
    }  # fmt: skip
    shapes = {title: shape_of(box.sides[0]) for title, box in found.items()}
    assert shapes["x"] == "(m=5, 3)"
    assert shapes["h"] == "(m=5, 4)"
    assert shapes["losses"] == "(m=5,)"
    assert shapes["W"] == "(3, 4)"
    assert shapes["loss"] == "scalar"
    assert [title for title, box in found.items() if box.sides[0].shape.marked] == [
        title for title, shape in shapes.items() if "m=5" in shape
    ]


def test_boxes_are_in_the_order_of_the_program_and_have_ids_of_their_own():
    picture = seen()
    ids = [box.id for box in picture.boxes]
    assert len(set(ids)) == len(ids)
    assert all(box.node is not None for box in picture.boxes)
    place = {id_: k for k, id_ in enumerate(ids)}
    assert all(place[edge.source] < place[edge.target] for edge in picture.edges)
    assert ids == [box.id for box in seen().boxes]  # the same for the same program


def test_a_loss_without_a_name_is_called_l():
    titles = list(by_title(seen(lambda w, x: np.square(x @ w).mean(), np.ones(3), X)))
    assert titles[-1] == "L = mean(·)"


def test_a_scalar_constant_is_a_number_in_the_formula_and_no_box():
    picture = drawn(parameter([1.0], "w") * 3.0)
    assert [box.sides[0].title for box in picture.boxes] == ["w", "w * 3"]


@pytest.mark.parametrize(
    ("make", "title"),
    [
        (lambda t: t[0], "t[0]"),
        (lambda t: t[:, 1:3], "t[:, 1:3]"),
        (lambda t: t[[0, 1]], "t[array (2,)]"),
        (lambda t: t / 3, "t / 3"),
        (lambda t: 2.0 - t, "2 - t"),
        (lambda t: t**1.5, "t ** 1.5"),
        (lambda t: t.sum(axis=0, keepdims=True), "sum(t, axis=0, keepdims=True)"),
        (lambda t: np.concatenate([t] * 9), "concatenate(t, t, t, … 6 more, axis=0)"),
        (lambda t: t.T, "transpose(t)"),
    ],
)
def test_titles_of_calls(make, title):
    assert drawn(make(parameter(np.ones((2, 4)), "t"))).boxes[-1].sides[0].title == title


# ----------------------------------------------------------------------------------------- leaves and stubs


def test_each_use_of_a_parameter_has_a_box_the_first_a_full_one():
    w = parameter(np.ones(3), "w")
    picture = drawn((np.sin(w) * np.cos(w) + w).sum())
    boxes = [box for box in picture.boxes if box.kind == "parameter"]
    assert [box.stub for box in boxes] == [False, True, True]
    assert all(box.sides[0].title == "w" for box in boxes)
    assert "gradient: Σ over 3 uses" in lines(boxes[0].sides[0])
    assert not boxes[1].sides[0].lines
    assert len({edge.source for edge in picture.edges if edge.source in {box.id for box in boxes}}) == 3


def test_two_operands_that_are_the_same_parameter_share_a_box():
    w = parameter(np.ones(3), "w")
    picture = drawn(w * w)
    assert [box.kind for box in picture.boxes] == ["parameter", "output"]
    (edge,) = picture.edges
    assert len(edge.uses) == 2


def test_a_shared_value_is_one_box():
    x = parameter(2.0, "x")
    y = x
    for _ in range(30):  # 2**30 paths
        y = y + y
    picture = drawn(y, unfold=True)
    assert len(picture.boxes) == 31
    assert sum(len(edge.uses) for edge in picture.edges) == 60


def test_only_outputs_are_outputs():
    w = parameter(np.ones(2), "w")
    z = np.sin(w).named("z")
    picture = drawn(z.sum().named("s"), z, z.max().named("max"))
    assert {t for t, box in by_title(picture).items() if box.kind == "output"} == {"s", "z", "max"}


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (lambda: parameter([1.0], "w"), ["parameter"]),
        (lambda: tg.Tensor([1.0], name="x"), ["data"]),
        (lambda: tg.Tensor([1.0]), ["constant"]),
        (lambda: tg.Tensor([1.0]) * 2.0, ["constant"]),
        (lambda: parameter(2.0, "w") * 2.0, ["parameter", "output"]),
    ],
)
def test_pictures_of_single_values(make, kinds):
    for direction in ("forward", "both"):
        assert [box.kind for box in drawn(make(), view=direction).boxes] == kinds


# ---------------------------------------------------------------------------------------------------- edges


def test_lines_tell_where_gradients_flow_and_which_values_have_examples():
    picture = seen()
    title = {box.id: box.sides[0].title for box in picture.boxes}
    told = {(title[e.source], title[e.target]): (e.carries, e.examples) for e in picture.edges}
    assert told["x", "x @ W"] == (False, True)
    assert told["y", "· - y"] == (False, True)
    assert told["W", "x @ W"] == (True, False)
    assert told["h", "h @ v"] == (True, True)
    assert told["losses", "loss"] == (True, True)


def test_badges_stand_at_the_parameters():
    picture = seen()
    title = {box.id: box.sides[0].title for box in picture.boxes}
    badges = {title[e.source]: (e.badge.count, e.badge.axis, e.badge.uses) for e in picture.edges if e.badge}
    assert badges == {"W": (5, 0, 1), "b": (5, 0, 1), "v": (5, 0, 1)}


def test_the_operation_that_reduces_the_losses_says_so():
    assert "mean over the m=5 examples" in lines(by_title(seen())["loss"].sides[0])
    total = seen(lambda w, x: (x @ w).sum(), np.ones(3), X)
    assert "Σ over the m=5 examples" in lines(by_title(total)["L = sum(·)"].sides[0])


# ---------------------------------------------------------------------------------------- frames and folding


def test_frames_are_scopes_and_what_a_frame_says_is_not_said_again():
    picture = seen()
    assert [(frame.title, frame.kind, frame.parent) for frame in picture.frames] == [
        ("net", "module", None),
        ("hidden", "module", picture.frames[0].id),
    ]
    inner = tuple(frame.id for frame in picture.frames)
    found = by_title(picture)
    assert found["h"].frames == found["W"].frames == found["b"].frames == inner
    assert found["x"].frames == found["v"].frames == found["loss"].frames == ()


def test_names_in_a_frame_are_local():
    def in_blocks(p, x):
        for block in ("first", "second"):
            with tg.scope(block):
                x = np.tanh(x @ p[block]["W"])
        return x.sum(axis=1).mean()

    picture = seen(in_blocks, {"first": {"W": np.eye(3)}, "second": {"W": np.eye(3)}}, X)
    assert [box.sides[0].title for box in picture.boxes if box.kind == "parameter"] == ["W", "W"]
    outside = seen(in_blocks, {"first": {"W": np.eye(3)}, "second": {"W": np.eye(3)}}, X, depth=0)
    assert [box.kind for box in outside.boxes if box.kind == "parameter"] == []


def test_depth_folds_modules_with_what_they_alone_use():
    picture = seen(depth=0)
    (folded,) = [box for box in picture.boxes if box.kind == "folded"]
    assert folded.sides[0].title == "net"
    assert shape_of(folded.sides[0]) == "(m=5, 4)"
    assert lines(folded.sides[0]) == ["3 operations", "2 parameters, 16 numbers", "Σ over m=5 at 2 places"]
    assert len(folded.nodes) == 5  # with its parameters
    assert set(by_title(picture)) >= {"x", "v", "y", "loss"}
    assert not {"W", "b"} & set(by_title(picture))


def test_limit_folds_and_says_so():
    picture = seen(limit=2)
    assert len([box for box in picture.boxes if box.kind in ("operation", "output", "folded")]) <= 3
    assert picture.notes


def recurrent(p, x):
    h = np.zeros((len(x), 3))
    for t in range(12):
        h = np.tanh(x[:, t] @ p["W"] + h @ p["U"] + p["b"])
    return np.square(h).sum(axis=1).mean()


RECURRENT = {"W": np.eye(3), "U": np.eye(3) / 2, "b": np.zeros(3)}, np.random.default_rng(0).normal(size=(5, 12, 3))


def test_turns_of_a_loop_are_drawn_once_with_a_line_to_the_next():
    picture = seen(recurrent, *RECURRENT)
    assert [(frame.kind, frame.title) for frame in picture.frames] == [("repeat", "× 12")]
    (loop,) = [edge for edge in picture.edges if edge.loop]
    boxes = {box.id: box for box in picture.boxes}
    assert boxes[loop.source].sides[0].title == "h"
    assert boxes[loop.target].sides[0].title.endswith("@ U")
    assert loop.examples
    badges = {boxes[e.source].sides[0].title: e.badge.uses for e in picture.edges if e.badge}
    assert badges["W"] == badges["b"] == 12
    found = by_title(picture)
    assert len(found["x[:, 0] … x[:, 11]"].nodes) == 12
    assert len(found["h"].nodes) == 12
    assert "gradient: Σ over 12 uses" in lines(found["W"].sides[0])


def test_unfold_shows_all_turns():
    picture = seen(recurrent, *RECURRENT, unfold=True)
    assert not picture.frames
    assert not any(edge.loop for edge in picture.edges)
    assert len([box for box in picture.boxes if box.sides[0].title == "h" and box.kind == "operation"]) == 12
    assert len([box for box in picture.boxes if box.sides[0].title == "W" and box.stub]) == 11
    by_name = seen(recurrent, *RECURRENT, unfold=["× 12"])
    assert len(by_name.boxes) == len(picture.boxes)


def test_what_differs_between_turns_is_a_stack():
    def deep(p, x):
        for k in range(6):
            with tg.scope(f"layer.{k}"):
                x = np.tanh(x @ p["layer"][k]["W"] + p["layer"][k]["b"])
        return x.sum(axis=1).mean()

    params = {"layer": [{"W": np.eye(3), "b": np.zeros(3)} for _ in range(6)]}
    picture = seen(deep, params, X)
    assert [frame.title for frame in picture.frames if frame.kind == "repeat"] == ["layer.0 … layer.5  × 6"]
    weights = [box for box in picture.boxes if box.kind == "parameter"]
    assert [len(box.nodes) for box in weights] == [6, 6]
    assert "6 alike, the first is shown" in lines(weights[0].sides[0])
    assert {edge.badge.uses for edge in picture.edges if edge.badge} == {1}  # each of the six is used once


# ------------------------------------------------------------------------------------- numbers of all kinds


def test_small_values_are_shown_unasked():
    found = by_title(seen())
    assert found["v"].sides[0].grids[0].rows == (("1", "1", "1", "1"),)
    assert found["W"].sides[0].grids == ()
    assert len(found["loss"].sides[0].grids) == 1
    assert not any(box.sides[0].grids for box in seen(values=False).boxes)


def test_values_as_numbers():
    found = by_title(seen(values="numbers"))
    (grid,) = found["W"].sides[0].grids
    assert not grid.heat
    assert grid.rows == tuple(tuple(f"{x:.3g}" for x in row) for row in PARAMS["W"])


def test_values_as_heat_are_relative_to_the_largest():
    found = by_title(seen(values="heat"))
    (grid,) = found["W"].sides[0].grids
    assert grid.heat
    np.testing.assert_allclose(grid.rows, PARAMS["W"] / np.abs(PARAMS["W"]).max())
    assert not found["loss"].sides[0].grids[0].heat


def test_gradients_of_the_picture_are_those_of_backward():
    expected = tg.grad(loss)(PARAMS, X, Y)["W"]
    (value, gradient) = by_title(seen(values="numbers", grads="numbers"))["W"].sides[0].grids
    assert gradient.caption == "δ"
    assert gradient.rows == tuple(tuple(f"{x:.3g}" for x in row) for row in expected)
    assert value.caption == ""


def test_what_backward_has_left_and_what_it_has_not():
    w, b = parameter(np.ones((9, 9)), "w"), parameter(3.0, "b")
    total = np.square(w).sum() * b
    assert "no backward yet" in lines(by_title(drawn(total))["w"].sides[0])
    total.backward()
    found = by_title(drawn(total))
    assert "gradient: mean |·| 6, max |·| 6" in lines(found["w"].sides[0])
    assert "gradient 81" in lines(found["b"].sides[0])
    b.grad = -0.0
    assert "gradient 0" in lines(by_title(drawn(total))["b"].sides[0])
    b.grad = np.nan
    assert "gradient nan" in lines(by_title(drawn(total))["b"].sides[0])
    z = (w * 2.0).named("z").retain_grad()
    assert "no backward yet" in lines(by_title(drawn(z.sum()))["z"].sides[0])


def test_one_example():
    picture = seen(example=2, values="numbers")
    found = by_title(picture)
    assert "example 2 of m=5: its own numbers, its part of each sum" in picture.notes
    assert shape_of(found["x"].sides[0]) == "(3,)"
    assert found["x"].sides[0].grids[0].rows == (tuple(f"{v:.3g}" for v in X[2]),)
    assert found["y"].sides[0].grids[0].rows == (("2",),)
    assert len(found["W"].sides[0].grids[0].rows) == 3
    own = tg.grad(loss)(PARAMS, X[2:3], Y[2:3])
    title = {box.id: box.sides[0].title for box in picture.boxes}
    told = {title[e.source]: e.badge.contributions for e in picture.edges if e.badge}
    assert told["W"] == (f"example 2: norm {np.linalg.norm(own['W'] / 5):.3g}",)
    assert told["b"] == (f"example 2: [{', '.join(f'{v:.3g}' for v in own['b'] / 5)}]",)


def test_contributions_are_each_examples_gradient():
    picture = seen(contributions=True)
    title = {box.id: box.sides[0].title for box in picture.boxes}
    told = {title[e.source]: e.badge.contributions for e in picture.edges if e.badge}
    own = [tg.grad(loss)(PARAMS, X[i : i + 1], Y[i : i + 1]) for i in range(5)]
    assert told["W"] == (
        "norm of each one's part:",
        *[f"{i}: {np.linalg.norm(own[i]['W'] / 5):.3g}" for i in range(5)],
    )
    assert told["v"][0] == "each one's part:"
    assert len(told["v"]) == 6


def test_contributions_to_a_shared_parameter_are_added_up_over_its_uses():
    params, x = RECURRENT
    picture = seen(recurrent, params, x, contributions=True)
    title = {box.id: box.sides[0].title for box in picture.boxes}
    told = {title[e.source]: e.badge.contributions for e in picture.edges if e.badge}
    own = [tg.grad(recurrent)(params, x[i : i + 1])["W"] / 5 for i in range(5)]
    assert told["W"][1:] == tuple(f"{i}: {np.linalg.norm(own[i]):.3g}" for i in range(5))


def test_many_contributions_are_cut():
    x = np.random.default_rng(0).normal(size=(40, 3))
    picture = seen(lambda w, x: np.square(x @ w).mean(), np.ones(3), x, contributions=True)
    (badge,) = [edge.badge for edge in picture.edges if edge.badge]
    assert len(badge.contributions) == 14
    assert badge.contributions[-1] == "… 28 more"


# ------------------------------------------------------------------------------------- backward, and both


def test_backward_names_each_cotangent_and_how_it_is_made():
    picture = seen(view="backward")
    found = by_title(picture)
    assert "x" not in found
    assert found["δloss"].sides[0].formula == "= 1"
    assert found["δlosses"].sides[0].formula == "= 0.2 δloss"
    assert found["δh"].sides[0].formula.startswith("= δ#")
    assert found["∂loss/∂W"].sides[0].formula.startswith("= xᵀ δ#")
    assert found["∂loss/∂b"].sides[0].formula.endswith(", Σ over axis 0")
    assert shape_of(found["δh"].sides[0]) == "(m=5, 4)"
    assert all(edge.carries for edge in picture.edges)


def test_cotangents_of_values_with_several_uses_are_sums():
    w = parameter(np.ones(3), "w")
    (side,) = by_title(drawn((np.sin(w) * np.cos(w)).sum().named("L"), view="backward"))["∂L/∂w"].sides
    assert len([line for line in lines(side) if line.startswith("+ ")]) == 1
    assert "Σ over 2 uses" in lines(side)


def test_both_has_two_sides():
    picture = seen(view="both", grads="numbers")
    found = by_title(picture)
    assert [len(box.sides) for box in picture.boxes] == [2] * len(picture.boxes)
    assert by_title(picture, 1)["∂loss/∂W"] is found["W"]
    assert by_title(picture, 1)["δh"] is found["h"]
    assert found["x"].sides[1].title == ""
    expected = tg.grad(loss)(PARAMS, X, Y)["b"]
    assert found["b"].sides[1].grids[0].rows == (tuple(f"{x:.3g}" for x in expected),)


def test_backward_says_what_no_gradient_reaches():
    chosen, w = parameter(np.ones(3), "chosen"), parameter(np.ones(3), "w")
    found = by_title(drawn(np.where(chosen * 2.0, w, 0.0).sum(), view="both"))
    assert lines(found["chosen"].sides[1]) == ["no gradient flows here"]
    assert lines(found["w"].sides[1]) == []


def test_what_has_changed_since_is_the_value_and_not_the_gradient():
    w = parameter([1.0, 2.0], "w")
    loss = np.square(w).sum()
    loss.backward()
    w.data -= 0.1 * w.grad
    (both,) = [box.sides for box in drawn(loss, view="both").boxes if box.kind == "parameter"]
    assert [[(grid.caption, grid.rows) for grid in side.grids] for side in both] == [
        [("changed since", (("0.8", "1.6"),))],
        [(".grad", (("2", "4"),))],
    ]
