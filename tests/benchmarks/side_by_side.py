"""Time several ways of doing the same thing in one interleaved run, and give the ratios.

Times on shared machines drift; ratios of steps taken in turn do not.  Every side makes a few steps, then every side the
next ones, and so on; the figures are medians over all rounds, and a ratio is the median of the ratios of the rounds.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

Step = Callable[[], object]


def weights_and_biases(sizes: tuple[int, ...]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What every side's net of these layer sizes starts from, float32."""
    rng = np.random.default_rng(1)
    Ws = [rng.normal(0, d**-0.5, (d, h)).astype(np.float32) for d, h in pairwise(sizes)]
    return Ws, [np.zeros(h, np.float32) for h in sizes[1:]]


class Row(NamedTuple):
    """One side's median time in microseconds, and its ratio to the reference side."""

    side: str
    microseconds: float
    ratio: float


def compare(sides: dict[str, Step], reference: str, seconds: float = 3.0, inner: int = 10) -> list[Row]:
    """Run the sides in turn, ``inner`` steps at a time, for about ``seconds`` altogether."""
    for step in sides.values():
        for _ in range(3):
            step()
    times: dict[str, list[float]] = {side: [] for side in sides}
    gc.collect()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[reference]) < 5:
        for side, step in sides.items():
            start = time.perf_counter()
            for _ in range(inner):
                step()
            times[side].append((time.perf_counter() - start) / inner)
    base = times[reference]
    return [
        Row(side, statistics.median(t) * 1e6, statistics.median([a / b for a, b in zip(t, base, strict=True)]))
        for side, t in times.items()
    ]


def table(title: str, rows: list[Row], reference: str) -> str:
    """The rows as a table in Markdown."""
    lines = [f"### {title}", "", f"| | time | ratio to {reference} |", "|---|--:|--:|"]
    for side, us, ratio in rows:
        shown = f"{us:.0f} µs" if us < 10_000 else f"{us / 1000:.1f} ms"
        lines.append(f"| {side} | {shown} | {ratio:.2f} |")
    return "\n".join([*lines, ""])
