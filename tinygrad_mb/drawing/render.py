"""DOT -> files: through the program ``dot``, else through the pygraphviz wheel, which carries the layout engine."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

FORMATS = ("svg", "png", "pdf")
INSTALL = 'pip install "tinygrad_mb[draw]", or install Graphviz (https://graphviz.org) so that `dot` is on PATH'

# An endless layout cannot be stopped from within its process, so it gets one of its own.
_PYGRAPHVIZ = """
import sys, pygraphviz
source = sys.stdin.buffer.read().decode()
sys.stdout.buffer.write(pygraphviz.AGraph(string=source).draw(format=sys.argv[1], prog="dot"))
"""


class RenderError(RuntimeError):
    """No layout program is installed, or it failed, or it took too long."""


def save(source: str, path: str | Path, time_limit: float) -> Path:
    """Write the picture of ``source`` to ``path`` in the format of its suffix."""
    path = Path(path)
    suffix = path.suffix.lower()[1:]
    if suffix == "dot":
        path.write_text(source, encoding="utf-8")
    elif suffix in FORMATS:
        path.write_bytes(run(source, suffix, time_limit))
    else:
        raise ValueError(f"cannot save a drawing as {path.name!r}: the suffix must be .svg, .png, .pdf, .html or .dot")
    return path


def run(source: str, fmt: str, time_limit: float) -> bytes:
    """The picture of ``source`` in one of ``FORMATS``; raises ``RenderError``."""
    import subprocess

    try:
        done = subprocess.run(
            _command(fmt), input=source.encode(), capture_output=True, timeout=time_limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise RenderError(
            f"the layout was not done after {time_limit:g} s: draw a part of the graph, save it as .dot, or give "
            "save() a larger time_limit"
        ) from None
    except OSError as error:
        raise RenderError(f"the layout program does not start: {error}") from error
    if done.returncode or not done.stdout:
        raise RenderError(f"the layout failed: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return done.stdout


def _command(fmt: str) -> list[str]:
    if shutil.which("dot"):
        return ["dot", f"-T{fmt}"]
    if importlib.util.find_spec("pygraphviz"):
        return [sys.executable, "-c", _PYGRAPHVIZ, fmt]
    raise RenderError(f"no layout program was found: {INSTALL}")
