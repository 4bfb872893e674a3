"""``tinygrad-mb draw``: a person's file becomes a picture, and what is wrong is told in its own lines."""

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest

from tinygrad_mb.cli import main

HAS_LAYOUT = shutil.which("dot") is not None or importlib.util.find_spec("pygraphviz") is not None
needs_layout = pytest.mark.skipif(not HAS_LAYOUT, reason="no layout program")

MINE = """\
import numpy as np

x, y = np.random.default_rng(0).normal(size=(2, 5, 3))
params = {"W": np.ones((3, 3))}

def loss(params, x, y):
    return np.square(x @ params["W"] - y).sum(axis=1).mean()

def hidden(params, x):
    values = np.tanh(x @ params["W"])
    return values

def constant():
    return 3.0
"""


@pytest.fixture
def draw(tmp_path, monkeypatch, capsys):
    """Run the command on a file; returns the exit code and what was printed."""
    monkeypatch.chdir(tmp_path)

    def run(*options, text=MINE, file="mine.py"):
        (tmp_path / "mine.py").write_text(text, encoding="utf-8")
        code = main(["draw", file, *options])
        return (code, *capsys.readouterr())

    return run


@needs_layout
def test_a_page_is_what_comes_unasked(draw, tmp_path):
    assert draw() == (0, "graph.html\n", "")
    page = (tmp_path / "graph.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert '"W"' in page


@needs_layout
@pytest.mark.parametrize(("name", "head"), [("a.svg", b"<?xml"), ("a.png", b"\x89PNG"), ("a.pdf", b"%PDF")])
def test_pictures_of_all_kinds(draw, tmp_path, name, head):
    assert draw("-o", name) == (0, f"{name}\n", "")
    assert (tmp_path / name).read_bytes().startswith(head)


def source(draw, tmp_path, *options, **file):
    assert draw("--out", "a.dot", *options, **file) == (0, "a.dot\n", "")
    return (tmp_path / "a.dot").read_text(encoding="utf-8")


def test_the_picture_knows_the_names_of_the_file(draw, tmp_path):
    drawn = source(draw, tmp_path)
    for text in ("<B>x</B>", "<B>y</B>", "<B>W</B>", "Σ m=5 · axis 0"):
        assert text in drawn


def test_options_are_those_of_draw(draw, tmp_path):
    assert "∂L/∂W" in source(draw, tmp_path, "--view", "backward")
    assert "example 3: norm" in source(draw, tmp_path, "--example", "3")
    assert source(draw, tmp_path, "--values", "heat") != source(draw, tmp_path, "--values", "numbers")
    assert ">δ<" in source(draw, tmp_path, "--grads", "numbers")
    assert source(draw, tmp_path, "--depth", "0")


def test_another_function_of_the_file(draw, tmp_path):
    drawn = source(draw, tmp_path, file="mine.py:hidden")
    assert "<B>values</B>" in drawn
    assert "<B>y</B>" not in drawn


def test_a_file_with_a_colon_in_its_name(draw, tmp_path):
    (tmp_path / "a:b.py").write_text(MINE)
    assert "<B>W</B>" in source(draw, tmp_path, file="a:b.py")
    assert "<B>values</B>" in source(draw, tmp_path, file="a:b.py:hidden")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("nowhere.py", "nowhere.py: there is no such file"),
        ("nowhere.py:loss", "nowhere.py: there is no such file"),
        ("mine.py:nothing", "mine.py: it defines no function `nothing`."),
        ("mine.py:params", "mine.py: its `params` is not a function."),
        ("mine.py:constant", "mine.py: draw: constant returned no Tensor"),
    ],
)
def test_files_and_functions_that_are_not_there(draw, tmp_path, file, message):
    code, out, err = draw(file=file)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert "Traceback" not in err
    assert not (tmp_path / "graph.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--example", "7"), "there is no example 7; 5 examples are told apart"),
        (("--depth", "-1"), "depth"),
        (("-o", "a.jpg"), "the suffix must be .svg, .png, .pdf, .html or .dot"),
    ],
)
def test_options_out_of_range_are_one_line(draw, options, message):
    code, out, err = draw(*options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_options_that_there_are_not(draw, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        draw("--view", "up")
    assert "invalid choice: 'up'" in capsys.readouterr().err


@pytest.mark.parametrize(("old", "new", "line", "error"), [
    ("import numpy as np", "import nump", 1, "ModuleNotFoundError: No module named 'nump'"),
    ('x @ params["W"] - y', 'x @ params["V"] - y', 7, "KeyError: 'V'"),
    ('x @ params["W"] - y', 'x[9] @ params["W"] - y', 7, "IndexError: "),
    ('@ params["W"] - y', '@ params["W"].T[:2] - y', 7, "tinygrad_mb.errors.ShapeError: matmul: "),
])  # fmt: skip
def test_an_error_in_the_file_is_shown_with_its_own_lines_only(draw, old, new, line, error):
    code, out, err = draw(text=MINE.replace(old, new, 1))
    assert (code, out) == (2, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert re.findall(r'File "(.*)", line (\d+)', err) == [("mine.py", str(line))]
    assert error in err


@pytest.mark.parametrize("name", ["a.svg", "a.html"])
def test_without_a_layout_program_the_dot_text_is_kept(draw, tmp_path, monkeypatch, name):
    find = importlib.util.find_spec
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "pygraphviz" else find(name, *a))
    code, out, err = draw("-o", name)
    assert (code, out) == (1, "a.dot\n")
    assert 'pip install "tinygrad_mb[draw]"' in err
    assert err.count("\n") == 1
    assert (tmp_path / "a.dot").read_text(encoding="utf-8").startswith("digraph")
    assert not (tmp_path / name).exists()


def test_a_directory_that_is_not_there_is_one_line(draw):
    code, out, err = draw("-o", "missing/a.dot")
    assert (code, out) == (1, "")
    assert err.startswith("tinygrad-mb: ")
    assert err.count("\n") == 1


def test_the_program_as_it_is_installed(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    done = subprocess.run(
        [sys.executable, "-m", "tinygrad_mb", "draw", str(tmp_path / "mine.py"), "-o", str(tmp_path / "a.dot")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{tmp_path / 'a.dot'}\n"
