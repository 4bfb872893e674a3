"""Pictures of the recorded graph: graph -> facts -> view (what to show) -> DOT (how it looks) -> SVG, PNG, PDF, HTML.

The modules that do it are imported by the first drawing, so that programs that draw nothing start no later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..autodiff import Recorded

if TYPE_CHECKING:
    from graphviz import Digraph

    from .sides import Direction, Numbers
    from .view import View


class Drawing:
    """A picture of a graph, as it was when ``draw`` was called; notebooks show it by themselves.

    graph  the picture to build on
    page   makes the interactive page, and the layout of it, in so many seconds
    """

    def __init__(self, graph: Digraph, page: Callable[[float], str]) -> None:
        self.graph = graph
        self._page = page

    @property
    def source(self) -> str:
        """The picture in the DOT language."""
        return str(self.graph.source)

    def save(self, path: str | Path, time_limit: float = 60.0) -> Path:
        """Write the picture to a file of the kind that its suffix says; return its path.

        ``.svg``, ``.png`` and ``.pdf`` are pictures, ``.dot`` is their text.  ``.html`` is a page for a browser, one
        file that needs no network: frames are folded and unfolded there, and a slider plays forward and backward step
        by step, with the numbers of all examples or of one.

        The layout may take ``time_limit`` seconds.  Raises ``ValueError`` for any other suffix, ``RenderError`` if
        there is no layout program (``.dot`` needs none) or it fails, and ``OSError`` if the file cannot be written.
        """
        from . import render

        path = Path(path)
        if path.suffix.lower() == ".html":
            path.write_text(self._page(time_limit), encoding="utf-8")
            return path
        return render.save(self.source, path, time_limit)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> dict[str, str]:
        from . import render

        try:
            return {"image/svg+xml": render.run(self.source, "svg", 20.0).decode()}
        except Exception as error:  # a notebook's cell must show something, whatever the reason
            return {"text/plain": f"{error}\n\n{self.source}"}


def draw(
    *outputs: Any,
    view: Direction = "forward",
    example: int | None = None,
    values: Numbers = None,
    grads: Numbers = None,
    contributions: bool = False,
    highlight: Any = None,
    depth: int | None = None,
    unfold: bool | Collection[str] = (),
    limit: int = 150,
) -> Drawing:
    """Draw the graph that ``outputs``, most often a single loss, were computed from.

    ``draw(loss_fn, params, *batch)`` runs the function itself, and so knows every value, what the function calls its
    variables, and which arrays are data: it can show all that follows.  So does ``draw(function)``, for a function
    without arguments that returns the tensors.  Of tensors that have been computed already, the
    picture shows what is known of them: values of few numbers, and what backward has not yet freed.

    Boxes are told apart by shape and colour: parameters, data, operations, the result.  The axis of examples reads
    ``m=32``, and lines along which each example has its own part are thick.  A badge Σ stands wherever backward adds up
    what the examples contribute.  ``scope`` and modules give frames.

    view           "forward", "backward" (each δ, and the rule that makes it), or "both" beside each other
    example        the number of an example, from 0 on: its values, its δ, and what it contributes to each sum
    values, grads  "numbers" or "heat" for the arrays' numbers, False for none; otherwise those of tiny arrays
    contributions  what each example contributes to each sum: its numbers if they are few, else their norm
    highlight      tensors, or names: what lies between them and the result; or a report of ``check_derivation``
    depth          how many levels of modules are unfolded; all by default
    unfold         titles of what is not to be folded by itself; True for everything
    limit          how many operations are shown; what is more is folded, and the picture says so

    The graph is only read: drawing before or after backward changes nothing.

    Raises ``TypeError`` for what is not a Tensor, and for no outputs at all; ``IndexError`` for an example that there
    is not; ``ValueError`` for options out of range, or a name in ``highlight`` that there is not.

    >>> import numpy as np, tinygrad_mb as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    >>> picture = tg.draw(np.square(w).sum().named("loss"))
    >>> "no backward yet" in picture.source
    True
    """
    from .dot import digraph
    from .facts import Facts
    from .highlight import mark
    from .record import record, rows_of
    from .sides import Options
    from .view import view as view_of

    title = "Graph"
    data: list[tuple[str, Any]] = []
    examples, recorded = None, False
    if outputs and callable(outputs[0]) and not isinstance(outputs[0], Recorded):
        title = getattr(outputs[0], "__name__", "the function")
        found, data = record(*outputs)
        examples, recorded = rows_of(outputs[2:]), True
        if not found:
            raise TypeError(f"draw: {title} returned no Tensor: does what it returns depend on the parameters?")
        outputs = tuple(found)
    if not outputs:
        raise TypeError("draw() wants the tensors whose graph to draw: tg.draw(loss)")
    for output in outputs:
        if not isinstance(output, Recorded):
            raise TypeError(
                f"draw() wants Tensors, and got {type(output).__name__}: an array does not know how it was computed"
            )
    if view not in ("forward", "backward", "both"):
        raise ValueError(f'draw: view is "forward", "backward" or "both", not {view!r}')
    for option, numbers in (("values", values), ("grads", grads)):
        if numbers not in ("numbers", "heat") and numbers is not False and numbers is not None:
            raise ValueError(f'draw: {option} is "numbers", "heat" or False, not {numbers!r}')
    if example is not None and not hasattr(example, "__index__"):
        raise TypeError(f"draw: example is the number of an example, a whole number from 0 on, not {example!r}")
    facts = Facts([output.node for output in outputs], data, examples, recorded)
    if example is not None and not 0 <= example < facts.examples:
        why = f": {facts.reason}" if not facts.examples else ""
        raise IndexError(f"draw: there is no example {example}; {facts.examples} examples are told apart{why}")
    options = Options(view, example, values, grads, contributions, depth, limit, unfold)

    def marked(picture: View) -> View:
        if highlight is not None:
            mark(picture, facts, highlight)
        return picture

    def page(time_limit: float) -> str:
        from .html import html

        return html(title, facts, options, marked, time_limit)

    return Drawing(digraph(marked(view_of(facts, options))), page)
