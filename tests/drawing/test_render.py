"""DOT to files and to notebooks: through dot, through pygraphviz, through neither."""

import importlib.util
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.drawing import render

HAS_DOT = shutil.which("dot") is not None
HAS_WHEEL = importlib.util.find_spec("pygraphviz") is not None
needs_dot = pytest.mark.skipif(not HAS_DOT, reason="the program dot is not on PATH")
needs_wheel = pytest.mark.skipif(not HAS_WHEEL, reason="pygraphviz is not installed")
needs_layout = pytest.mark.skipif(not (HAS_DOT or HAS_WHEEL), reason="no layout program")
HEADS = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}


def drawing(**options):
    w = tg.Tensor(np.ones((3, 2)), requires_grad=True, name="w δ 漢")
    return tg.draw(np.tanh(np.ones((5, 3)) @ w).sum(axis=1).mean().named("loss"), **options)


@pytest.fixture
def no_dot(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_: None)


@pytest.fixture
def no_layout(monkeypatch, no_dot):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)


@needs_dot
@pytest.mark.parametrize("fmt", HEADS)
def test_save_through_dot(tmp_path, fmt):
    path = tmp_path / f"graph.{fmt}"
    assert drawing().save(path) == path
    assert path.read_bytes().startswith(HEADS[fmt])


@needs_wheel
@pytest.mark.parametrize("fmt", HEADS)
def test_save_through_pygraphviz(tmp_path, fmt, no_dot):
    path = drawing().save(str(tmp_path / f"graph.{fmt.upper()}"))
    assert path.read_bytes().startswith(HEADS[fmt])


@needs_wheel
@needs_dot
@pytest.mark.parametrize("view", ["forward", "both"])
def test_both_layout_programs_draw_the_same_boxes(view, monkeypatch):
    source = drawing(view=view).source
    texts = []
    for which in (shutil.which, lambda *_: None):
        monkeypatch.setattr(shutil, "which", which)
        root = ElementTree.fromstring(render.run(source, "svg", 30))
        texts.append(sorted(e.text for e in root.iter("{http://www.w3.org/2000/svg}text")))
    assert texts[0] == texts[1]
    assert "w δ 漢" in texts[0]


def test_dot_text_needs_no_layout_program(tmp_path, no_layout):
    made = drawing()
    assert made.save(tmp_path / "graph.dot").read_text(encoding="utf-8") == made.source


def test_the_digraph_can_be_built_on(tmp_path):
    made = drawing()
    made.graph.node("mine", "a note of mine")
    assert "a note of mine" in made.save(tmp_path / "graph.dot").read_text(encoding="utf-8")


@pytest.mark.parametrize("fmt", HEADS)
def test_without_a_layout_program_the_error_says_what_to_install(tmp_path, no_layout, fmt):
    path = tmp_path / f"graph.{fmt}"
    with pytest.raises(render.RenderError, match=r"pip install .*tinygrad_mb\[draw\].* PATH"):
        drawing().save(path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["graph.jpg", "graph", "graph.svg.zip", ".svg"])
def test_an_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=rf"{name}.*\.svg, \.png, \.pdf, \.html or \.dot"):
        drawing().save(tmp_path / name)


@needs_layout
@pytest.mark.parametrize("suffix", ["svg", "dot"])
def test_a_path_that_cannot_be_written_is_an_os_error(tmp_path, suffix):
    with pytest.raises(FileNotFoundError):
        drawing().save(tmp_path / "missing" / f"graph.{suffix}")


@needs_layout
def test_a_failed_layout_leaves_an_older_picture_alone(tmp_path, no_layout):
    path = tmp_path / "graph.svg"
    path.write_text("older")
    with pytest.raises(render.RenderError):
        drawing().save(path)
    assert path.read_text() == "older"


def test_a_layout_that_takes_too_long_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "_command", lambda fmt: [sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(render.RenderError, match=r"not done after 0\.2 s.*time_limit"):
        drawing().save(tmp_path / "graph.svg", time_limit=0.2)
    assert not (tmp_path / "graph.svg").exists()


@pytest.mark.parametrize(
    ("program", "message"),
    [("raise SystemExit('no such plugin')", "no such plugin"), ("", "the layout failed")],
)
def test_a_failing_layout_is_reported(tmp_path, monkeypatch, program, message):
    monkeypatch.setattr(render, "_command", lambda fmt: [sys.executable, "-c", program])
    with pytest.raises(render.RenderError, match=message):
        drawing().save(tmp_path / "graph.svg")


def test_a_program_that_does_not_start_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "_command", lambda fmt: [str(tmp_path / "gone")])
    with pytest.raises(render.RenderError, match="gone"):
        drawing().save(tmp_path / "graph.svg")


@needs_layout
def test_notebooks_get_svg():
    bundle = drawing()._repr_mimebundle_(include=None, exclude=None)
    assert list(bundle) == ["image/svg+xml"]
    assert "<svg" in bundle["image/svg+xml"]


def test_notebooks_get_the_text_and_one_line_that_says_what_to_install(no_layout):
    made = drawing()
    first, empty, *rest = made._repr_mimebundle_()["text/plain"].splitlines()
    assert "pip install" in first
    assert not empty
    assert "\n".join(rest).strip() == made.source.strip()


@pytest.mark.parametrize("error", [OSError("no process"), MemoryError(), UnicodeError("what")])
def test_notebooks_get_text_whatever_goes_wrong(monkeypatch, error):
    def broken(*_):
        raise error

    monkeypatch.setattr(render, "run", broken)
    made = drawing()
    assert made.source in made._repr_mimebundle_()["text/plain"]


def test_graphviz_is_imported_only_when_drawing():
    code = "import sys, tinygrad_mb\nsys.exit('graphviz' in sys.modules or 'tinygrad_mb.drawing.view' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
