"""The picture as one interactive page: the SVG, what is known of each box, and a small script of our own.

The page needs no network.  What users called their values reaches it as JSON, which the script turns into text and
never into markup, and in the SVG, of which only known elements and attributes are taken; a policy in the page lets no
other script run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from string import Template
from typing import Any
from xml.etree import ElementTree

from . import render
from .dot import digraph
from .facts import Facts
from .opening import opened
from .playing import played
from .sides import Options
from .view import View, view

_ELEMENTS = {"svg", "g", "path", "polygon", "polyline", "ellipse", "text", "tspan"}
_ATTRIBUTES = {
    "id", "class", "transform", "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity",
    "fill-opacity", "stroke-opacity", "d", "points", "x", "y", "cx", "cy", "rx", "ry", "dy", "text-anchor",
    "font-family", "font-size", "font-weight", "font-style", "text-decoration", "baseline-shift", "width", "height",
    "viewBox",
}  # fmt: skip


def html(title: str, facts: Facts, options: Options, marked: Callable[[View], View], time_limit: float) -> str:
    """The page of a picture with these options, the folding of which is only where it begins.

    ``marked`` gives boxes their states.  Raises ``RenderError`` as ``render.run`` does.
    """
    nodes = [node for node in facts.nodes if node.op is not None]
    opening = opened(nodes, options.depth, options.limit, options.unfold)
    shown = options._replace(view="forward", example=None, contributions=False)
    picture = marked(view(facts, shown, opening.folding))
    known = played(picture, facts, opening)
    _make_room(picture, known)
    svg = render.run(digraph(picture).source, "svg", time_limit).decode()
    name = facts.roots[0].name if len(facts.roots) == 1 else None
    return page(svg, {"title": name or title, "example": options.example, **known})


def _make_room(picture: View, known: dict[str, Any]) -> None:
    """Badges of a first turn as wide as they are when it stands for all turns."""

    def first(box: str) -> str:
        while twins := known["boxes"][box]["twins"]:
            box = next(iter(twins.values()))[0]
        return box

    places = [(known["boxes"][edge.source]["stub_of"] or edge.source, first(edge.target)) for edge in picture.edges]
    uses: Counter[tuple[str, str]] = Counter()
    for place, edge in zip(places, picture.edges, strict=True):
        uses[place] += edge.badge.uses if edge.badge is not None else 0
    for place, edge in zip(places, picture.edges, strict=True):
        if edge.badge is not None and edge.target == place[1]:
            edge.badge = edge.badge._replace(uses=uses[place])


def page(svg: str, data: dict[str, Any]) -> str:
    """The whole page: the picture as dot has drawn it, and what the script is to know of it."""
    script = "\n".join([_read(name) for name in ("numbers.js", "closing.js", "picture.js", "page.js")])
    style = _read("page.css")
    policy = f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none'"
    return Template(_read("page.html")).substitute(
        policy=policy, style=style, script=script, svg=_picture(svg), data=_embedded(data)
    )


def _read(name: str) -> str:
    return files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _embedded(data: dict[str, Any]) -> str:
    """JSON in which nothing can end the element that it stands in."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _picture(svg: str) -> str:
    """The boxes, edges and frames of a drawn picture, without its legend and with nothing but shapes and text."""
    root = _kept(ElementTree.fromstring(svg.encode()))
    for child in list(root[0]):
        if child.tag != "g":
            root[0].remove(child)
    return ElementTree.tostring(root, encoding="unicode")


def _kept(element: ElementTree.Element) -> ElementTree.Element:
    """A copy with only known elements and attributes; links become groups."""
    made = ElementTree.Element(
        _local(element.tag), {name: value for name, value in element.attrib.items() if name in _ATTRIBUTES}
    )
    made.text = element.text
    for child in element:
        tag = _local(child.tag)
        if tag == "a":
            child.tag, child.attrib = "g", {}
        if tag == "a" or tag in _ELEMENTS:
            made.append(_kept(child))
    return made


def _local(tag: Any) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""  # comments have functions for tags
