"""What a checker found, for people: text in a terminal, HTML in a notebook, an assertion in a test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, NamedTuple


class Table(NamedTuple):
    """Rows of text under a header, in a report."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[k]) for line in lines) for k in range(len(self.header))]
        return "\n".join(
            "  ".join(text.ljust(n) for text, n in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def html(self) -> str:
        """The same as a table of HTML."""
        rows = [("th", self.header), *[("td", row) for row in self.rows]]
        style = "text-align: left; padding: 0.1em 1em 0.1em 0"  # notebooks have styles of their own
        cells = ["".join(f'<{tag} style="{style}">{escape(text)}</{tag}>' for text in row) for tag, row in rows]
        return "<table>" + "".join(f"<tr>{line}</tr>" for line in cells) + "</table>"


class Report:
    """What a checker found: ``ok``, one line that says it all, and, if there is more to say, details.

    ok        whether everything is right; ``bool(report)`` is the same
    headline  one line
    details   paragraphs and tables; a report of what is right has none

    >>> report = Report(False, "b is wrong.", ["Its sum over the examples is missing."])
    >>> report
    b is wrong.
      Its sum over the examples is missing.
    >>> bool(report)
    False
    """

    def __init__(self, ok: bool, headline: str, details: Iterable[str | Table] = ()) -> None:
        self.ok = ok
        self.headline = headline
        self.details = list(details)

    def __str__(self) -> str:
        lines = [line for part in self.details for line in str(part).splitlines()]
        return "\n".join([self.headline, *[f"  {line}".rstrip() for line in lines]])

    def __repr__(self) -> str:
        return str(self)

    def __bool__(self) -> bool:
        return self.ok

    def _repr_html_(self) -> str:
        colour = "#1a7f37" if self.ok else "#b3261e"
        parts = [f'<p style="border-left: 4px solid {colour}; padding-left: 0.5em">{escape(self.headline)}</p>']
        for part in self.details:
            tag = "pre" if "\n" in str(part) else "p"  # lines are aligned, one alone is a sentence
            text = f'<{tag} style="white-space: pre-wrap; margin: 0.4em 0">{escape(str(part))}</{tag}>'
            parts.append(part.html() if isinstance(part, Table) else text)
        return "<div>" + "".join(parts) + "</div>"

    def assert_ok(self) -> None:
        """Raise ``AssertionError`` with the report's text unless all is right."""
        __tracebackhide__ = True  # pytest shows the line of the test
        if not self.ok:
            raise AssertionError(str(self))


def entry(path: str, index: Sequence[int]) -> str:
    """One number in an array, as one writes it: ``W1[2, 0]``.

    >>> entry("W1", (2, 0)), entry("b", ())
    ('W1[2, 0]', 'b')
    """
    return f"{path}[{', '.join(map(str, index))}]" if len(index) else path


def number(x: Any) -> str:
    """A number as a report shows it: six digits.

    >>> number(0.1 + 0.2), number(1e-17)
    ('0.3', '1e-17')
    """
    return f"{float(x):.6g}"


def size(x: Any) -> str:
    """How large an error is: two digits.

    >>> size(0.00012345)
    '0.00012'
    """
    return f"{float(x):.2g}"
