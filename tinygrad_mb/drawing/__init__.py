"""Pictures of the recorded graph: graph -> view (what to show) -> DOT (how it looks) -> SVG, PNG, PDF.

The modules that do it are imported by the first drawing, so that programs that draw nothing start no later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..autodiff import Recorded

if TYPE_CHECKING:
    from pathlib import Path

    from graphviz import Digraph


class Drawing:
    """A picture of a graph, as it was when ``draw`` was called; notebooks show it by themselves."""

    def __init__(self, graph: Digraph) -> None:
        self.graph = graph

    @property
    def source(self) -> str:
        """The picture in the DOT language."""
        return str(self.graph.source)

    def save(self, path: str | Path, time_limit: float = 60.0) -> Path:
        """Write the picture to a file, ``.svg``, ``.png``, ``.pdf`` or ``.dot`` by its suffix; return its path.

        The layout may take ``time_limit`` seconds.  Raises ``ValueError`` for any other suffix, ``RenderError`` if
        there is no layout program (``.dot`` needs none) or it fails, and ``OSError`` if the file cannot be written.
        """
        from . import render

        return render.save(self.source, path, time_limit)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> dict[str, str]:
        from . import render

        try:
            return {"image/svg+xml": render.run(self.source, "svg", 20.0).decode()}
        except Exception as error:  # a notebook's cell must show something, whatever the reason
            return {"text/plain": f"{error}\n\n{self.source}"}


def draw(*outputs: Any) -> Drawing:
    """Draw the graph that ``outputs``, most often a single loss, were computed from.

    Parameters show the size of their gradient, or "no backward yet"; ``scope`` gives boxes around operations.
    The graph is only read: drawing before or after backward changes nothing.

    Raises ``TypeError`` for what is not a Tensor, and for no outputs at all.

    >>> import numpy as np, tinygrad_mb as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> picture = tg.draw(np.square(w).sum().named("loss"))
    >>> "no backward yet" in picture.source
    True
    """
    from .dot import digraph
    from .view import view

    if not outputs:
        raise TypeError("draw() wants the tensors whose graph to draw: tg.draw(loss)")
    for output in outputs:
        if not isinstance(output, Recorded):
            raise TypeError(
                f"draw() wants Tensors, and got {type(output).__name__}: an array does not know how it was computed"
            )
    return Drawing(digraph(view(*[output.node for output in outputs])))
