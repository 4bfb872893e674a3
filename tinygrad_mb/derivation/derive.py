"""``derive``: the backward pass of a loss function, written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from ..autodiff import data_of
from ..errors import TracedValueError
from ..pytrees import Nest
from . import numpy_source
from .expansions import expand
from .formulas import Formulas
from .passes import simplify
from .program import Program
from .sizes import align
from .steps import Steps, steps
from .tracing import trace

_MORE = (0, 0, 1, 3)  # examples than the batch has, in the four runs


def derive(loss_fn: Callable[..., Any], wrt: Any, *example_args: Any) -> Derivation:
    """The derivation of the gradient of ``loss_fn(wrt, *example_args)`` by ``wrt``, for a person to read and to run.

    ``wrt`` is a nest (a dict, say) of arrays, or a module; ``example_args`` are a batch, whose arrays have the examples
    along axis 0.  The function returns one number; where it returns a vector of losses, their sum is meant.  It is
    called four times, once with the same batch again and twice with batches of other sizes made from its rows, to see
    which numbers follow the number of examples.

    Raises ``TracedValueError`` where the function asks an array for plain numbers (a branch, ``float()``),
    ``RuntimeError`` if it draws random numbers, ``TypeError`` if the loss does not depend on ``wrt``.

    >>> import numpy as np, tinygrad_mb as tg
    >>> def loss(params, x, y):
    ...     f = x @ params["w"] + params["b"]
    ...     return np.square(f - y).mean()
    >>> d = tg.derive(loss, {"w": np.zeros(2), "b": np.zeros(())}, np.ones((5, 2)), np.ones(5))
    >>> print(d.numpy().partition("# backward")[2])
    <BLANKLINE>
        df = 2 / m * error  # (m,)
        dw = x.T @ df       # (2, m) @ (m,): Σ over the m examples
        db = df.sum()       # (m,) -> scalar: Σ over the m examples
    <BLANKLINE>
        return loss, {"w": dw, "b": db}
    <BLANKLINE>
    """
    lengths = [n for arg in example_args for n in _lengths(arg)]
    m = lengths[0] if lengths else 0
    programs = []
    ms: list[int] = []
    for more in _MORE if m else (0, 0):
        try:
            args = [_resized(arg, m, m + more) for arg in example_args]
            programs.append(trace(loss_fn, wrt, args))
            programs[-1].examples = m + more
        except (ValueError, IndexError, TypeError) as error:
            if not more or isinstance(error, TracedValueError):
                raise
            break
        ms.append(m + more)
    if not _same_value(*programs[:2]):
        raise RuntimeError(
            f"derive: {getattr(loss_fn, '__name__', 'the function')} gave two losses for the same arguments: if it "
            "draws random numbers, draw them outside, and pass them as an argument"
        )
    return Derivation(programs[1:], ms[1:])


class Derivation:
    """The gradient of a loss, as a program and as what is printed of it.

    program  the calls of the forward and of the backward pass, as they were made
    """

    def __init__(self, programs: list[Program], ms: list[int]) -> None:
        expanded = [expand(program) for program in programs]
        self.program = _aligned(programs, ms)
        self._plain = simplify(_aligned(expanded, ms))

    def numpy(self) -> str:
        """The forward and the backward pass as a function of plain NumPy, which runs alone.

        It takes what the loss function takes, and returns the loss and the gradients, in the structure of the
        parameters.
        """
        return numpy_source.source(self._plain)

    def latex(self) -> str:
        """The forward and the backward pass as formulas in LaTeX, one ``aligned`` block.

        The cotangent of v is written δ with the index v; ⊙ is a product element by element, i counts the examples.
        """
        return self._formulas.latex()

    def text(self) -> str:
        """The formulas of ``latex()`` in Unicode, for a terminal."""
        return self._formulas.text()

    @property
    def steps(self) -> Steps:
        """Each value of the forward pass and each δ of the backward pass, in order, with its rule and its numbers."""
        return steps(self._formulas.program, self._formulas.made_up)

    @cached_property
    def _formulas(self) -> Formulas:
        return Formulas(simplify(self.program))

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def __repr__(self) -> str:
        return f"<Derivation of {', '.join(f'd{v.name}' for v in self.program.inputs if v.role == 'parameter')}>"


def _aligned(programs: list[Program], ms: list[int]) -> Program:
    if len(programs) == len(_MORE) - 1:
        return align(programs, ms)
    if ms[0]:
        programs[0].notes.append(f"the function runs for {ms[0]} examples only")
    return programs[0]


def _same_value(a: Program, b: Program) -> bool:
    assert a.loss is not None
    assert b.loss is not None
    return np.array_equal(a.loss.value, b.loss.value, equal_nan=True)


def _lengths(arg: Any) -> list[int]:
    """The lengths of axis 0 of the arrays in an argument."""
    leaves = [data_of(leaf) for leaf in Nest(arg).leaves]
    return [len(leaf) for leaf in leaves if isinstance(leaf, np.ndarray) and leaf.ndim]


def _resized(arg: Any, m: int, size: int) -> Any:
    """An argument with ``size`` examples in the place of ``m``, the first ones repeated."""
    if size == m:
        return arg
    nest = Nest(arg)
    rows = np.arange(size) % max(m, 1)

    def longer(leaf: Any) -> Any:
        values = data_of(leaf)
        if not isinstance(values, np.ndarray) or values.ndim == 0 or len(values) != m:
            return leaf
        return values[rows] if values is leaf else type(leaf)(values[rows])

    return nest.fill([longer(leaf) for leaf in nest.leaves], whole=True)
