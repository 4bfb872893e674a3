"""What a problem is, the list of them, and the numbers that they are posed with."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_mb.primitives import PRIMITIVES

# Taken when the tests are collected, before any of them declares primitives of its own.  Those about hidden axes are
# not here: what they give is no plain array.
TABLE = {
    key: op
    for key, op in PRIMITIVES.items()
    if getattr(op.fn, "__module__", "numpy").split(".")[0] in ("numpy", "tinygrad_mb")
    and op.name not in ("hide", "reveal", "sum over examples")
}


@dataclass(frozen=True)
class Problem:
    """What to differentiate, where, and by what to judge the result.

    on       the function that it is about, a key of the table
    run      the function of the inputs
    inputs   arrays
    wrt      the positions of the inputs that are differentiated
    step     "complex", or "central" where the function is not analytic or NumPy lacks it for complex numbers
    exact    whether Tensors give NumPy's numbers to the last bit
    second   whether the second derivative exists and is to be checked
    narrow   whether NumPy keeps narrow dtypes, and the numbers fit into them
    """

    on: Callable[..., Any]
    run: Callable[..., Any]
    inputs: tuple[Any, ...]
    wrt: tuple[int, ...]
    step: str = "complex"
    exact: bool = True
    second: bool = True
    narrow: bool = True
    note: str = field(default="")

    def __str__(self) -> str:
        shapes = "-".join("x".join(map(str, a.shape)) or "0d" for a in self.inputs)
        return f"{getattr(self.on, '__name__', self.on)}[{shapes}]{self.note}"


PROBLEMS: list[Problem] = []


CENTRAL = {"step": "central"}
LOOSE = {"step": "central", "exact": False}


def problem(on, *inputs, run=None, wrt=None, **facts):
    inputs = tuple(np.asarray(a) for a in inputs)
    if wrt is None:
        wrt = tuple(k for k, a in enumerate(inputs) if a.dtype == np.float64)
    random.bit_generator.state = START  # a problem's numbers do not depend on those before it
    PROBLEMS.append(Problem(on, run or on, inputs, wrt, **facts))


random = np.random.default_rng(20)
START = random.bit_generator.state


def real(*shape):
    return random.normal(size=shape)


def between(low, high):
    return lambda *shape: random.uniform(low, high, shape)


positive, inner, above_one = between(0.5, 2.0), between(-0.8, 0.8), between(1.3, 2.5)


def apart(*shape):
    """Numbers no two of which are close, none close to zero, in random order."""
    n = math.prod(shape)
    return random.permutation(np.arange(n) * 0.3 - 0.15 * n + 0.05 + random.uniform(-0.02, 0.02, n)).reshape(shape)


choice = np.array([[True, False, True], [False, False, True]])
