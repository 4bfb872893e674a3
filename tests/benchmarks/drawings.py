"""The time from a computed loss to its picture as SVG, beside torchviz and MyGrad's own drawer.

Run with ``python tests/benchmarks/drawings.py``; it wants the program ``dot``, which all sides use.  Each picture is
made in a process of its own, in turn with the others, after a first one that loads what there is to load, and given up
after a minute.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 60.0
ROUNDS = 3
GRAPHS = {
    "batch": "two layers, 9 operations",
    "deep": "500 layers with parameters of their own, 2,000 operations",
    "recurrent": "a recurrence over 36 steps",
    "doubled": "18 times y = y + y",
    "chain": "a chain of 10,000 operations",
}
SIDES = {
    "tinygrad_mb": "tinygrad_mb", "unfolded": "tinygrad_mb, nothing folded", "torch": "torchviz", "mygrad": "MyGrad",
}  # fmt: skip
NEEDS = {"torch": "torchviz", "mygrad": "mygrad"}


def graph(name: str, tensor: Callable[[Any], Any], tanh: Callable[[Any], Any]) -> Any:
    """A loss; ``tensor`` makes a parameter of an array."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 4)).astype(np.float32)

    def parameter(*shape: int) -> Any:
        return tensor(rng.normal(size=shape).astype(np.float32) / 2)

    if name == "batch":
        h = tanh(tensor(x) @ parameter(4, 4) + parameter(4))
        y = h @ parameter(4, 1) + parameter(1)
        return (y * y).sum() / 32
    if name == "deep":
        h = tensor(x)
        for _ in range(500):
            h = tanh(h @ parameter(4, 4) + parameter(4)) * 1.5
        return h.sum()
    if name == "recurrent":
        W, V, b = parameter(4, 4), parameter(4, 4), parameter(4)
        h = tensor(np.zeros((32, 4), np.float32))
        for _ in range(36):
            h = tanh(tensor(x) @ V + h @ W + b)
        return h.sum()
    y = parameter()
    for _ in range(18 if name == "doubled" else 10_000):
        y = y + y if name == "doubled" else y + 1.0
    return y


def picture(side: str, name: str) -> float:
    """The seconds that one picture takes."""
    if side == "torch":
        import torch
        from torchviz import make_dot

        loss = graph(name, lambda x: torch.tensor(x, requires_grad=True), torch.tanh)
        start = time.perf_counter()
        make_dot(loss).pipe("svg")
    elif side == "mygrad":
        import mygrad
        from mygrad.computational_graph import build_graph

        loss = graph(name, mygrad.tensor, mygrad.tanh)
        start = time.perf_counter()
        build_graph(loss, names={}).pipe("svg")
    else:
        import tinygrad_mb as tg
        from tinygrad_mb.drawing import render

        loss = graph(name, lambda x: tg.Tensor(x, requires_grad=True), np.tanh)
        start = time.perf_counter()
        more = {"unfold": True, "limit": 20_000} if side == "unfolded" else {}
        render.run(tg.draw(loss, **more).source, "svg", LIMIT)
    return time.perf_counter() - start


def measure(side: str, name: str) -> float:
    """The same in a process of its own; infinite if it is not done in time, or fails."""
    command = [sys.executable, str(Path(__file__)), side, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return float("inf")
    return float(done.stdout) if done.returncode == 0 else float("nan")


def main() -> None:
    """Print a table."""
    sides = {k: v for k, v in SIDES.items() if k not in NEEDS or importlib.util.find_spec(NEEDS[k])}
    print("| seconds to SVG |", " | ".join(sides.values()), "|\n|---|" + "--:|" * len(sides))
    for name, words in GRAPHS.items():
        found: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(ROUNDS):
            for side, seconds in found.items():
                if float("inf") not in seconds:
                    seconds.append(measure(side, name))
        cells = []
        for seconds in found.values():
            middle = statistics.median(seconds)
            cells.append("more than 60" if middle == float("inf") else "fails" if middle != middle else f"{middle:.2f}")
        print(f"| {words} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        picture(sys.argv[1], "batch")
        print(picture(*sys.argv[1:]))
    else:
        main()
