"""View -> DOT: shapes, colours, clusters, and every text escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from graphviz import Digraph

    from .view import Box, Kind, View

_LONGEST = 48  # characters of a line that a picture shows


class Style(NamedTuple):
    """How boxes of one kind look: told apart by their shape as well as by their colour."""

    shape: str
    style: str
    fill: str
    line: str
    meaning: str


STYLES: dict[Kind, Style] = {
    "parameter": Style("box", "filled,bold", "#ffe3b3", "#b86e00", "parameter"),
    "data": Style("note", "filled", "#dcebfb", "#2f6fb0", "data"),
    "operation": Style("box", "filled,rounded", "#f6f6f6", "#7a7a7a", "operation"),
    "output": Style("octagon", "filled,bold", "#f9d5d3", "#b3261e", "result"),
}


def digraph(view: View) -> Digraph:
    """The view as a ``graphviz.Digraph``."""
    from graphviz import Digraph

    font = {"fontname": "Helvetica", "fontsize": "11"}
    kinds = {box.kind for box in view.boxes}
    graph = Digraph(
        "tinygrad_mb",
        graph_attr={**font, "rankdir": "TB", "nslimit": "1", "ranksep": "0.35", "label": _legend(kinds)},
        node_attr={**font, "margin": "0.12,0.06"},
        edge_attr={"arrowsize": "0.7", "color": "#444444"},
    )
    clusters: dict[tuple[str, ...], Digraph] = {(): graph}
    for box in view.boxes:
        for depth in range(1, len(box.scope) + 1):
            scope = box.scope[:depth]
            if scope not in clusters:
                clusters[scope] = _cluster(f"cluster_{len(clusters)}", scope[-1])
        style = STYLES[box.kind]
        clusters[box.scope].node(
            box.id, _label(box), shape=style.shape, style=style.style, fillcolor=style.fill, color=style.line
        )
    for scope in sorted(clusters, key=len, reverse=True):  # a cluster is copied into its parent: innermost first
        if scope:
            clusters[scope[:-1]].subgraph(clusters[scope])
    for edge in view.edges:
        graph.edge(edge.source, edge.target, **({} if edge.carries else {"style": "dashed", "color": "#9a9a9a"}))
    return graph


def _cluster(name: str, title: str) -> Digraph:
    from graphviz import Digraph

    label = f"<<B>{text(title)}</B>>"
    return Digraph(name, graph_attr={"label": label, "labeljust": "l", "style": "rounded", "color": "#9fb3c8"})


def _label(box: Box) -> str:
    lines = [f"<B>{text(box.title)}</B>" if box.named else text(box.title)]
    lines += [f'<FONT POINT-SIZE="9" COLOR="#444444">{text(line)}</FONT>' for line in box.lines]
    return f"<{'<BR/>'.join(lines)}>"


def _legend(kinds: set[Kind]) -> str:
    cells = [
        f'<TD BORDER="1" COLOR="{style.line}" BGCOLOR="{style.fill}">{style.meaning}</TD>'
        for kind, style in STYLES.items()
        if kind in kinds
    ]
    notes = ("· is a value without a name", "gradients flow back along solid arrows")
    row = "".join([*cells, *[f"<TD>{note}</TD>" for note in notes]])
    return f'<<FONT POINT-SIZE="9"><TABLE BORDER="0" CELLSPACING="6"><TR>{row}</TR></TABLE></FONT>>'


def text(value: str) -> str:
    """Any string as one line of an HTML-like label: shortened, unprintable characters written out, markup as text."""
    if len(value) > _LONGEST:
        value = value[: _LONGEST - 1] + "…"
    printable = [c if c.isprintable() else c.encode("unicode_escape").decode() for c in value]
    return escape("".join(printable)).replace("\\", "\\\\") or "&#160;"  # dot would expand \N and \G
