"""What the DOT text and the SVG make of a view: kinds by shape and colour, frames, and names that are only text."""

import re
import shutil
import subprocess
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.drawing.dot import STYLES, text

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="the program dot is not on PATH")
SVG = "{http://www.w3.org/2000/svg}"

# The name, and what is to be read in the picture; None where only harm is looked for.
HOSTILE = [
    ('"quoted"', '"quoted"'),
    ("<b>bold</b>", "<b>bold</b>"),
    ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ("two\nlines\r\ttab", r"two\nlines\r\ttab"),
    ("δ é 漢字 🙂", "δ é 漢字 🙂"),
    (r"back\slash \N \G \L \n", r"back\slash \N \G \L \n"),
    ("nul\0 bell\a", r"nul\x00 bell\x07"),
    ("\ud800 surrogate", r"\ud800 surrogate"),
    ("\u202eright to left", r"\u202eright to left"),
    ("a&b; &amp; &#60;", "a&b; &amp; &#60;"),
    ("]]>", "]]>"),
    ("<!--", "<!--"),
    ("-->", "-->"),
    ("{a|b}", "{a|b}"),
    ("label=x]; }", "label=x]; }"),
    ("<TABLE>", "<TABLE>"),
    ("<", "<"),
    (">", ">"),
    ("</TD></TR>", "</TD></TR>"),
    ("\\", "\\"),
    ("%s {} $data", "%s {} $data"),
    ("x" * 10_000, "x" * 47 + "…"),
    ("", None),
    (" ", None),
    ("\x7f\x80", r"\x7f\x80"),
]


def run_dot(source, fmt="svg"):
    done = subprocess.run(["dot", f"-T{fmt}"], input=source.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout


def texts_of(source):
    """All that can be read in the picture, after a look at what it is made of."""
    root = ElementTree.fromstring(run_dot(source))
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert tags <= {"svg", "g", "title", "text", "path", "polygon", "polyline", "ellipse"}
    for element in root.iter():
        assert all("href" not in key and not key.startswith("on") for key in element.attrib)
        if "id" in element.attrib:
            assert re.fullmatch(r"graph0|[a-z][\w]*", element.attrib["id"])
    for title in root.iter(f"{SVG}title"):
        assert re.fullmatch(r"[\w:]+|[\w:]+->[\w:]+", title.text)
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(set(ids)) == len(ids)
    return ["".join(element.itertext()).replace("\xa0", " ") for element in root.iter(f"{SVG}text")]


# ----------------------------------------------------------------------------------------------- hostile names


@needs_dot
@pytest.mark.parametrize("view", ["forward", "backward", "both"])
def test_hostile_names_of_tensors_and_scopes_are_text(view):
    total = tg.Tensor(0.0, requires_grad=True, name="start")
    for name, _ in HOSTILE:
        with tg.scope(name.replace("/", "")):
            t = tg.Tensor(1.0, requires_grad=True, name=name)
            total = total + (t * t).named(name)
    texts = texts_of(tg.draw(total, view=view, unfold=True).source)
    everything = "\n".join(texts)
    for name, expected in HOSTILE:
        if expected is not None:
            assert expected in everything, name
    assert max(map(len, texts)) <= 160


@needs_dot
def test_hostile_keys_of_parameters_and_data_are_text():
    names = [name for name, _ in HOSTILE]
    params = {name: np.ones(3) * k for k, name in enumerate(names)}
    batch = {name: np.full((5, 3), float(k)) for k, name in enumerate(names)}

    def loss(p, x):
        return sum((p[name] * x[name]).sum(axis=1) for name in names).mean()

    drawn = tg.draw(loss, params, batch, view="forward", limit=1000, unfold=True, values="numbers")
    everything = "\n".join(texts_of(drawn.source))
    for name, expected in HOSTILE:
        if expected is not None and len(name) < 40:
            assert everything.count(expected) >= 2, name


@needs_dot
def test_hostile_names_in_options():
    w = tg.Tensor([1.0], requires_grad=True, name="<i>")
    loss = np.square(w).sum()
    texts_of(tg.draw(loss, highlight=["<i>"]).source)
    with pytest.raises(ValueError, match=re.escape("nothing is called '</TABLE>'")):
        tg.draw(loss, unfold=["</TABLE>"])
    with pytest.raises(ValueError, match=re.escape("'</b>' is not in this graph; it has <i>")):
        tg.draw(loss, highlight="</b>")


@pytest.mark.parametrize(("name", "expected"), [(name, shown) for name, shown in HOSTILE if shown is not None])
def test_markup_of_a_text_means_that_text(name, expected):
    element = ElementTree.fromstring(f"<a>{text(name)}</a>".encode())
    assert len(element) == 0
    assert element.text.replace("\\\\", "\\") == expected
    assert "\n" not in text(name)


# ---------------------------------------------------------------------------------------------- kinds and lines


def net(x, y, params):
    with tg.scope("net"), tg.scope("layer"):
        h = np.tanh(x @ params["W"] + params["b"]).named("h")
    return np.square(h.sum(axis=1) - y).mean().named("loss")


X, Y = np.random.default_rng(0).normal(size=(5, 3)), np.arange(5.0)
PARAMS = {"W": np.ones((3, 2)), "b": np.zeros(2)}


def drawn(**options):
    return tg.draw(lambda p, x, y: net(x, y, p), PARAMS, X, Y, **options)


def luminance(colour):
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def test_each_kind_has_its_own_shape_and_its_own_colours():
    for a, b in combinations(STYLES.values(), 2):
        assert "result" in (a.meaning, b.meaning) or (a.shape, a.style) != (b.shape, b.style)  # it has two borders
        assert (a.fill, a.line) != (b.fill, b.line)
    assert len({style.meaning for style in STYLES.values()}) == len(STYLES)
    for style in STYLES.values():  # black text on the fill, and the line on white: WCAG 2, 1.4.3 and 1.4.11
        assert (luminance(style.fill) + 0.05) / 0.05 > 7
        assert 1.05 / (luminance(style.line) + 0.05) > 3


def test_boxes_are_drawn_in_the_style_of_their_kind():
    source = drawn(depth=1).source
    for kind, mark in [("parameter", ""), ("data", ""), ("operation", ""), ("output", "peripheries=2"), ("folded", "")]:
        style = STYLES[kind]
        shown = drawn().source if kind == "parameter" else source
        (line, *_) = [line for line in shown.splitlines() if f'fillcolor="{style.fill}"' in line]
        assert f"shape={style.shape}" in line
        assert f'color="{style.line}"' in line
        assert mark in line


def test_the_legend_explains_what_there_is_and_nothing_else():
    source = drawn(depth=0).source
    legend = source[source.index("label=") : source.index("labelloc")]
    for what in ("data", "operation", "result", "folded", "each example has its own part"):
        assert what in legend
    assert "parameter" not in legend
    plain = tg.draw(tg.Tensor(1.0, requires_grad=True) * 2.0).source
    for what in ("example", "Σ", "folded", "data"):
        assert what not in plain[plain.index("label=") : plain.index("labelloc")]


def test_a_picture_of_constants_needs_no_legend():
    run_dot(tg.draw(tg.Tensor([1.0])).source)


def test_frames_are_nested():
    source = drawn().source
    outer, inner = source.index("<B>net</B>"), source.index("<B>layer</B>")
    assert source.count("subgraph") == 2
    assert source[outer:inner].count("}") == 0


def edges(source):
    return [line for line in source.splitlines() if "->" in line]


def test_lines_of_data_are_dashed_and_those_with_examples_thick():
    found = {}
    for line in edges(drawn().source):
        key = "style=dashed" in line, "penwidth=2" in line
        found[key] = found.get(key, 0) + 1
    assert found[True, True] == 2  # x and y
    assert found[False, False] == 2  # W and b
    assert found[False, True] >= 4


def test_a_badge_stands_at_the_line_of_each_sum():
    badges = [line for line in edges(drawn().source) if "Σ m=5 · axis 0" in line]
    assert len(badges) == 2


def test_backward_turns_the_lines_around_and_both_draws_two():
    forward, backward, both = (edges(drawn(view=view).source) for view in ("forward", "backward", "both"))
    pairs = {tuple(re.findall(r"(\w+) -> (\w+)", line)[0]) for line in forward if "dashed" not in line}
    assert {tuple(re.findall(r"(\w+) -> (\w+)", line)[0][::-1]) for line in backward} == pairs
    assert len([line for line in both if "dir=back" in line]) == len(pairs)
    assert len(both) == len(forward) + len(pairs)


@needs_dot
@pytest.mark.parametrize("view", ["forward", "backward", "both"])
@pytest.mark.parametrize("values", [None, "numbers", "heat"])
def test_dot_has_nothing_to_complain_of(view, values):
    texts_of(drawn(view=view, values=values, grads=values, contributions=True).source)


@needs_dot
def test_heat_has_a_cell_for_each_number_and_black_for_what_is_none():
    w = tg.Tensor([[1.0, -0.5, np.nan], [np.inf, 0.0, -np.inf]], requires_grad=True, name="w")
    with np.errstate(all="ignore"):
        source = tg.draw((w * 1.0).sum(), values="heat").source
    line = next(line for line in source.splitlines() if "<B>w</B>" in line)
    cells = re.findall(r'BGCOLOR="(#\w+)" WIDTH', line)
    assert len(cells) == 6
    assert cells.count("#000000") == 3
    assert cells[4] == "#ffffff"
    run_dot(source)
