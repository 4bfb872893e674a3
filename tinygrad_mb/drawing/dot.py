"""View -> DOT: shapes, colours, clusters, and every text escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from graphviz import Digraph

    from .sides import Side
    from .view import Badge, Box, Edge, Frame, Kind, View
    from .words import Grid

_LONGEST = 48  # characters of a line that a picture shows
_FONT = "Helvetica,Arial,sans-serif"
_CELL = 9  # points of a cell of a heat map
EXAMPLES, PLAIN, FLOW = "#0b7a75", "#555555", "#b3541e"  # lines: with examples, without, of backward
BACK_FILL = "#fdeee2"
SUM, SUM_LINE, FADED = "#ffd75e", "#7a4f00", "#c9c9c9"


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
    "constant": Style("plain", "", "#ffffff", "#7a7a7a", "constant"),
    "operation": Style("box", "filled,rounded", "#f6f6f6", "#7a7a7a", "operation"),
    "folded": Style("box3d", "filled", "#e9e4f5", "#6a5a9a", "folded: several operations"),
    "output": Style("box", "filled,bold", "#f9d5d3", "#b3261e", "result"),
}
_STATES = {
    "right": ("#2e7d32", "✓ "), "wrong": ("#b3261e", "✗ "), "first wrong": ("#b3261e", "✗ first wrong step: "),
    "path": ("#0050c8", ""),
}  # fmt: skip


def digraph(view: View) -> Digraph:
    """The view as a ``graphviz.Digraph``."""
    from graphviz import Digraph

    font = {"fontname": _FONT, "fontsize": "11"}
    graph = Digraph(
        "tinygrad_mb",
        graph_attr={
            **font, "rankdir": "TB", "nslimit": "0.1", "nslimit1": "1", "mclimit": "0.5", "ranksep": "0.3",
            "nodesep": "0.2", "label": _legend(view), "labelloc": "b",
        },
        node_attr={**font, "margin": "0.12,0.06"},
        edge_attr={"arrowsize": "0.7", "color": PLAIN, "fontname": _FONT, "fontsize": "9"},
    )  # fmt: skip
    clusters: dict[str, Digraph] = {frame.id: _cluster(frame) for frame in view.frames}
    for box in view.boxes:
        _node(clusters[box.frames[-1]] if box.frames else graph, box)
    for frame in reversed(view.frames):  # a cluster is copied into its parent, and stands behind it in the list
        (clusters[frame.parent] if frame.parent else graph).subgraph(clusters[frame.id])
    ports = {box.id: ":f" if _has_two_sides(box) else "" for box in view.boxes}
    for k, edge in enumerate(view.edges):
        _lines(graph, edge, f"e{k}", view, ports)
    return graph


def _cluster(frame: Frame) -> Digraph:
    from graphviz import Digraph

    repeat = frame.kind == "repeat"
    look = {"style": "rounded,dashed", "color": "#6a5a9a", "penwidth": "1.6"} if repeat else {
        "style": "rounded", "color": "#9fb3c8",
    }  # fmt: skip
    first = (
        '<BR ALIGN="LEFT"/><FONT POINT-SIZE="9"><I>the first is shown</I></FONT><BR ALIGN="LEFT"/>' if repeat else ""
    )
    attributes = {
        "label": f"<<B>{text(frame.title)}</B>{first}>",
        "labeljust": "l",
        "labelloc": "t",
        "id": frame.id,
        **look,
    }
    return Digraph(f"cluster_{frame.id}", graph_attr=attributes)


def _node(graph: Digraph, box: Box) -> None:
    style = STYLES[box.kind]
    line, fill, font = style.line, style.fill, "#000000"
    look = {"shape": style.shape, "style": style.style}
    if box.kind == "output":
        look["peripheries"] = "2"
    if box.stub and box.kind == "parameter":
        look["style"] = "filled,dashed"
    if box.state == "faded":
        line, fill, font = FADED, "#fbfbfb", "#9a9a9a"
    elif box.state:
        line = _STATES[box.state][0]
        look["penwidth"] = "3"
    graph.node(box.id, _label(box), id=box.id, fillcolor=fill, color=line, fontcolor=font, **look)


def _label(box: Box) -> str:
    if _has_two_sides(box):
        cells = zip("fb", box.sides, strict=True)
        fills = {"f": "", "b": f' BGCOLOR="{BACK_FILL}"'}
        columns = "".join(f'<TD PORT="{port}"{fills[port]}>{_side(side, box)}</TD>' for port, side in cells)
        look = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="4" COLUMNS="*"'
        return f"<<TABLE {look}><TR>{columns}</TR></TABLE>>"
    return f"<{_side(box.sides[0], box)}>"


def _has_two_sides(box: Box) -> bool:
    return len(box.sides) > 1 and bool(box.sides[1].title)


def _side(side: Side, box: Box) -> str:
    mark = _STATES[box.state][1] if box.state in _STATES and side is box.sides[-1] else ""
    first = f"<B>{text(mark + side.title)}</B>" if side.named or mark else text(side.title)
    lines = [first]
    if side.shape.text:
        lines.append(_small(text(side.shape.text), EXAMPLES if side.shape.marked else ""))
    if side.formula:
        lines.append(_small(text(side.formula)))
    for line in side.lines:
        markup = f"<I>{text(line.text)}</I>" if line.kind == "note" else text(line.text)
        lines.append(_small(markup, SUM_LINE if line.kind == "sum" else ""))
    if not side.grids:
        return "<BR/>".join(lines)
    rows = "".join(f"<TR><TD>{line}</TD></TR>" for line in ["<BR/>".join(lines), *map(_grid, side.grids)])
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{rows}</TABLE>'


def _small(markup: str, strong: str = "") -> str:
    """Small print, in bold where it has a colour."""
    inner = f"<B>{markup}</B>" if strong else markup
    return f'<FONT POINT-SIZE="9" COLOR="{strong or "#444444"}">{inner}</FONT>'


def _grid(grid: Grid) -> str:
    def cell(x: object) -> str:
        if isinstance(x, float):
            return f'<TD BGCOLOR="{_shade(x)}" WIDTH="{_CELL}" HEIGHT="{_CELL}" FIXEDSIZE="TRUE"></TD>'
        return f'<TD ALIGN="{align}"><FONT POINT-SIZE="8">{text(str(x))}</FONT></TD>'

    align = "RIGHT" if len(grid.rows) > 1 else "CENTER"
    rows = "".join(f"<TR>{''.join(map(cell, row))}</TR>" for row in grid.rows)
    look = 'CELLSPACING="3" BORDER="0"'
    if grid.heat:  # a table of fixed size is not stretched
        wide, high = (2 + _CELL * n for n in (len(grid.rows[0]), len(grid.rows)))
        look = f'CELLSPACING="0" BORDER="1" FIXEDSIZE="TRUE" WIDTH="{wide}" HEIGHT="{high}"'
    table = f'<TABLE {look} CELLBORDER="0" CELLPADDING="0" COLOR="#9a9a9a">{rows}</TABLE>'
    return f"{_small(text(grid.caption))}</TD></TR><TR><TD>{table}" if grid.caption else table


def _shade(x: float) -> str:
    """A colour from blue over white to orange for -1 to 1; black for what is not finite."""
    if x != x or abs(x) > 1:
        return "#000000"
    end = (0xC4, 0x4E, 0x00) if x > 0 else (0x00, 0x4E, 0x9A)
    return "#" + "".join(f"{round(255 + (e - 255) * abs(x)):02x}" for e in end)


def _lines(graph: Digraph, edge: Edge, id_: str, view: View, ports: dict[str, str]) -> None:
    colour = EXAMPLES if edge.examples else PLAIN
    look = {"color": colour, "penwidth": "2" if edge.examples else "1", "weight": "4" if edge.examples else "1"}
    if not edge.carries:
        look["style"] = "dashed"
    if edge.loop:
        look |= {"style": "bold,dashed", "constraint": "false", "xlabel": "next turn"}
    if edge.state == "faded":
        look["color"] = FADED
    elif edge.state:
        look |= {"color": _STATES[edge.state][0], "penwidth": "3"}
    badge = {"label": _badge(edge.badge)} if edge.badge is not None else {}
    if view.direction == "forward":
        graph.edge(edge.source, edge.target, id=id_, **look, **badge)
        return
    if view.direction == "both":
        graph.edge(edge.source + ports[edge.source], edge.target + ports[edge.target], id=id_, **look)
    if edge.carries:
        back = look if edge.state else look | {"color": FLOW}
        if view.direction == "backward":
            graph.edge(edge.target, edge.source, id=id_, **back, **badge)
        elif ports[edge.source] and ports[edge.target]:
            graph.edge(f"{edge.source}:b", f"{edge.target}:b", id=f"{id_}b", dir="back", **back, **badge)


def _badge(badge: Badge) -> str:
    where = "" if badge.axis is None else f" · axis {badge.axis}"
    uses = "" if badge.uses == 1 else f" × {badge.uses} uses"  # noqa: RUF001
    rows = [f"<B>Σ m={badge.count}{where}{uses}</B>", *[text(line) for line in badge.contributions]]
    cells = "".join(f'<TR><TD ALIGN="LEFT">{row}</TD></TR>' for row in rows)
    look = 'STYLE="ROUNDED" CELLPADDING="2"' if len(rows) == 1 else 'CELLPADDING="1"'
    return (
        f'<<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" {look} BGCOLOR="{SUM}" COLOR="{SUM_LINE}">{cells}</TABLE>>'
    )


def _legend(view: View) -> str:
    cells = [*_legend_cells(view)]
    rows = f'<TR><TD><TABLE BORDER="0" CELLSPACING="6"><TR>{"".join(cells)}</TR></TABLE></TD></TR>' if cells else ""
    rows += "".join(f"<TR><TD>{text(note, 160)}</TD></TR>" for note in view.notes)
    return f'<<FONT POINT-SIZE="9"><TABLE BORDER="0" CELLSPACING="0">{rows}</TABLE></FONT>>' if rows else ""


def _legend_cells(view: View) -> Iterator[str]:
    kinds = {box.kind for box in view.boxes}
    for kind, style in STYLES.items():
        if kind in kinds and kind != "constant":
            yield f'<TD BORDER="1" COLOR="{style.line}" BGCOLOR="{style.fill}">{style.meaning}</TD>'
    if view.examples:
        line = f'<FONT COLOR="{FLOW if view.direction == "backward" else EXAMPLES}"><B>━━</B></FONT>'
        size = f'<FONT COLOR="{EXAMPLES}"><B>m={view.examples}</B></FONT>'
        yield f"<TD>{line} {size}: each example has its own part</TD>"
    if view.direction != "forward":
        yield f'<TD><FONT COLOR="{FLOW}"><B>⟵ δ</B></FONT>: backward</TD>'
    if any(edge.badge is not None for edge in view.edges):
        what = "backward adds up the examples' contributions here"
        yield f'<TD BORDER="1" COLOR="{SUM_LINE}" BGCOLOR="{SUM}"><B>Σ</B></TD><TD>{what}</TD>'
    if view.direction == "forward" and any("·" in side.title + side.formula for b in view.boxes for side in b.sides):
        yield "<TD>· is a value without a name</TD>"


def text(value: str, longest: int = _LONGEST) -> str:
    """Any string as one line of an HTML-like label: shortened, unprintable characters written out, markup as text."""
    if len(value) > longest:
        value = value[: longest - 1] + "…"
    printable = [c if c.isprintable() else c.encode("unicode_escape").decode() for c in value]
    return escape("".join(printable)).replace("\\", "\\\\") or "&#160;"  # dot would expand \N and \G
