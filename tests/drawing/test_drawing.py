"""Pictures: what the view says of a graph, what the DOT text makes of it, and the files."""

import importlib.util
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.drawing import render
from tinygrad_mb.drawing.view import view

HAS_DOT = shutil.which("dot") is not None
HAS_WHEEL = importlib.util.find_spec("pygraphviz") is not None
needs_dot = pytest.mark.skipif(not HAS_DOT, reason="the program dot is not on PATH")
needs_wheel = pytest.mark.skipif(not HAS_WHEEL, reason="pygraphviz is not installed")
needs_layout = pytest.mark.skipif(not (HAS_DOT or HAS_WHEEL), reason="no layout program")

HOSTILE = [
    '"quoted"', "<b>bold</b>", "two\nlines", "δ é 漢字 🙂", "x" * 300, "back\\slash \\N \\G", "nul\0 bell\a", "a&b;",
    "\ud800 surrogate", "{a|b}", "<", ">", "", " ", "]]>", "<!--", "label=x];",
]  # fmt: skip


def net():
    x = tg.Tensor(np.ones((7, 5)), name="x")
    with tg.scope("net"), tg.scope("layer"):
        w = tg.Tensor(np.full((5, 3), 0.1), requires_grad=True, name="w")
        b = tg.Tensor(np.zeros(3), requires_grad=True, name="b")
        z = (x @ w + b).named("z").retain_grad()
        h = np.tanh(z)
    return (0.5 * h * h).sum(axis=1).mean().named("loss"), w, b, z


def boxes_by_title(*outputs):
    return {box.title: box for box in view(*[t.node for t in outputs]).boxes}


@pytest.fixture
def no_dot(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_: None)


@pytest.fixture
def no_layout(monkeypatch, no_dot):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)


# ------------------------------------------------------------------------------------------------ view


def test_view_tells_kinds_names_shapes_and_formulas():
    loss, *_ = net()
    found = boxes_by_title(loss)
    assert {title: box.kind for title, box in found.items()} == {
        "x": "data",
        "w": "parameter",
        "b": "parameter",
        "x @ w": "operation",
        "z": "operation",
        "tanh(z)": "operation",
        "0.5 * ·": "operation",
        "· * ·": "operation",
        "sum(·, axis=1)": "operation",
        "loss": "output",
    }
    assert found["z"].lines[:2] == ("· + b", "shape (7, 3)")
    assert found["loss"].lines == ("mean(·)", "scalar")
    assert found["w"].lines == ("shape (5, 3) float64", "no backward yet")
    assert found["z"].named
    assert not found["x @ w"].named


def test_view_puts_parameters_into_the_scope_of_their_uses_and_data_outside():
    loss, *_ = net()
    found = boxes_by_title(loss)
    assert found["w"].scope == found["z"].scope == ("net", "layer")
    assert found["x"].scope == found["loss"].scope == ()
    shared = tg.Tensor([1.0], requires_grad=True, name="shared")
    with tg.scope("a"), tg.scope("b"):
        left = shared * 2
    with tg.scope("a"), tg.scope("c"):
        right = shared * 3
    assert boxes_by_title((left + right).sum())["shared"].scope == ("a",)


def test_gradients_are_shown_only_after_backward_and_zero_is_not_none():
    loss, w, b, _ = net()
    assert "no backward yet" in boxes_by_title(loss)["z"].lines
    loss.backward()
    found = boxes_by_title(loss)
    size = np.abs(w.grad)
    assert found["w"].lines[1] == f"gradient: mean |g| {size.mean():.2g}, max |g| {size.max():.2g}"
    assert found["z"].lines[2].startswith("gradient: mean |g|")
    b.grad = np.zeros(3)
    assert boxes_by_title(loss)["b"].lines[1] == "gradient: mean |g| 0, max |g| 0"
    scalar = tg.Tensor(3.0, requires_grad=True, name="scalar")
    (scalar * scalar).backward()
    assert boxes_by_title(scalar * 1.0)["scalar"].lines == ("scalar float64", "gradient 6")
    scalar.grad = -0.0
    assert boxes_by_title(scalar * 1.0)["scalar"].lines[1] == "gradient 0"
    scalar.grad = np.nan
    assert boxes_by_title(scalar * 1.0)["scalar"].lines[1] == "gradient nan"


def test_shared_nodes_are_one_box_and_each_use_is_one_edge():
    x = tg.Tensor(2.0, requires_grad=True)
    y = x
    for _ in range(30):  # 2**30 paths
        y = y + y
    seen = view(y.node)
    assert len(seen.boxes) == 31
    assert len(seen.edges) == 60


def test_edges_tell_where_gradients_flow():
    loss, *_ = net()
    seen = view(loss.node)
    title = {box.id: box.title for box in seen.boxes}
    dashed = [(title[e.source], title[e.target]) for e in seen.edges if not e.carries]
    assert dashed == [("x", "x @ w")]


@pytest.mark.parametrize(
    ("make", "formula"),
    [
        (lambda t: t[0], "t[0]"),
        (lambda t: t[:, 1:3], "t[:, 1:3]"),
        (lambda t: t[..., ::2], "t[..., ::2]"),
        (lambda t: t[[0, 1]], "t[array (2,)]"),
        (lambda t: t[None], "t[None]"),
        (lambda t: t / 3, "t / 3"),
        (lambda t: 2.0 - t, "2 - t"),
        (lambda t: t**1.5, "t ** 1.5"),
        (lambda t: t * np.float32(0.1), "t * 0.1"),
        (lambda t: t.sum(axis=0, keepdims=True), "sum(t, axis=0, keepdims=True)"),
        (lambda t: np.concatenate([t] * 9), "concatenate(t, t, t, … 6 more, axis=0)"),
        (lambda t: t.T, "transpose(t)"),
    ],
)
def test_formulas(make, formula):
    t = tg.Tensor(np.ones((2, 4)), requires_grad=True, name="t")
    assert view(make(t).node).boxes[-1].title == formula


def test_drawing_changes_nothing_and_works_at_any_time():
    loss, w, _, z = net()
    before = tg.draw(loss).source
    assert tg.draw(loss).source == before
    loss.backward()
    gradient, delta = w.grad.copy(), z.grad.copy()
    after = tg.draw(loss).source  # backward has freed the graph
    assert after != before
    np.testing.assert_array_equal(w.grad, gradient)
    np.testing.assert_array_equal(z.grad, delta)
    assert tg.draw(w).source.count("shape=box") == 1
    assert tg.draw(tg.Tensor([1.0])).source.count("shape=note") == 1


def test_several_outputs_share_one_picture():
    x = tg.Tensor(1.0, requires_grad=True, name="x")
    source = tg.draw(np.sin(x).named("s"), np.cos(x).named("c")).source
    assert source.count("shape=octagon") == 2
    assert source.count("<B>x</B>") == 1


def test_draw_refuses_what_has_no_graph():
    with pytest.raises(TypeError, match=r"tg\.draw\(loss\)"):
        tg.draw()
    with pytest.raises(TypeError, match="got ndarray"):
        tg.draw(np.ones(3))


def test_a_long_chain_is_drawn_without_recursion():
    x = tg.Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(5000):
        y = y + 1.0
    assert tg.draw(y).source.count("->") == 5000


# ------------------------------------------------------------------------------------------------- DOT


def test_dot_tells_kinds_apart_by_shape_and_by_colour():
    from tinygrad_mb.drawing.dot import STYLES

    assert len({(s.shape, s.style) for s in STYLES.values()}) == len({s.fill for s in STYLES.values()}) == 4
    loss, *_ = net()
    source = tg.draw(loss).source
    for style in STYLES.values():
        assert f"shape={style.shape}" in source
        assert style.fill in source


def test_scopes_are_nested_clusters():
    loss, *_ = net()
    source = tg.draw(loss).source
    outer, inner = source.index("<B>net</B>"), source.index("<B>layer</B>")
    assert source.count("subgraph") == 2
    assert source[outer:inner].count("}") == 0


@needs_layout
def test_hostile_names_are_text(tmp_path):
    total = tg.Tensor(0.0, requires_grad=True, name="start")
    for name in HOSTILE:
        with tg.scope(name):
            t = tg.Tensor(1.0, requires_grad=True, name=name)
            total = total + (t * t).named(name)
    svg = ElementTree.fromstring(tg.draw(total).save(tmp_path / "hostile.svg").read_bytes())
    texts = [e.text for e in svg.iter("{http://www.w3.org/2000/svg}text")]
    for shown in ['"quoted"', "<b>bold</b>", r"two\nlines", "δ é 漢字 🙂", r"back\slash \N \G", r"nul\x00 bell\x07",
                  "a&b;", r"\ud800 surrogate", "{a|b}", "]]>", "<!--", "label=x];"]:  # fmt: skip
        assert texts.count(shown) >= 2, shown
    assert max(map(len, texts)) < 60


# ----------------------------------------------------------------------------------------------- files

HEADS = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}


@needs_dot
@pytest.mark.parametrize("fmt", HEADS)
def test_save_through_dot(tmp_path, fmt):
    path = tg.draw(net()[0]).save(tmp_path / f"graph.{fmt}")
    assert path.read_bytes().startswith(HEADS[fmt])


@needs_wheel
@pytest.mark.parametrize("fmt", HEADS)
def test_save_through_pygraphviz(tmp_path, fmt, no_dot):
    path = tg.draw(net()[0]).save(str(tmp_path / f"graph.{fmt.upper()}"))
    assert path.read_bytes().startswith(HEADS[fmt])


def test_save_dot_needs_no_layout_program(tmp_path, no_layout):
    drawing = tg.draw(net()[0])
    assert drawing.save(tmp_path / "graph.dot").read_text(encoding="utf-8") == drawing.source


def test_without_a_layout_program_the_error_says_what_to_install(tmp_path, no_layout):
    with pytest.raises(render.RenderError, match=r"pip install .*tinygrad_mb\[draw\].* PATH"):
        tg.draw(net()[0]).save(tmp_path / "graph.svg")
    assert not (tmp_path / "graph.svg").exists()


@pytest.mark.parametrize("name", ["graph.jpg", "graph", "graph.svg.zip"])
def test_an_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.svg, \.png, \.pdf or \.dot"):
        tg.draw(net()[0]).save(tmp_path / name)


@needs_layout
def test_a_layout_that_takes_too_long_is_stopped(tmp_path):
    x = tg.Tensor(1.0, requires_grad=True)
    for _ in range(20000):
        x = x + 1.0
    drawing = tg.draw(x)
    with pytest.raises(render.RenderError, match=r"not done after 0\.5 s"):
        drawing.save(tmp_path / "graph.svg", time_limit=0.5)


def test_a_failing_layout_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "_command", lambda fmt: [sys.executable, "-c", "raise SystemExit('no such plugin')"])
    with pytest.raises(render.RenderError, match="no such plugin"):
        tg.draw(net()[0]).save(tmp_path / "graph.svg")


@needs_layout
def test_notebooks_get_svg():
    bundle = tg.draw(net()[0])._repr_mimebundle_(include=None, exclude=None)
    assert "<svg" in bundle["image/svg+xml"]


def test_notebooks_get_text_whatever_goes_wrong(monkeypatch, no_layout):
    drawing = tg.draw(net()[0])
    text = drawing._repr_mimebundle_()["text/plain"]
    assert "pip install" in text
    assert drawing.source in text


def test_graphviz_is_imported_only_when_drawing():
    code = "import sys, tinygrad_mb; sys.exit('graphviz' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
