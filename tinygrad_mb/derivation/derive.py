"""``derive``: the backward pass of a loss function, written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from . import numpy_source
from .batches import Batch
from .expansions import expand
from .formulas import Formulas
from .passes import simplify
from .program import Program
from .rewriting import by_formulas
from .sizes import align
from .steps import Steps, steps
from .tracing import trace


def derive(loss_fn: Callable[..., Any], wrt: Any, *example_args: Any) -> Derivation:
    """The derivation of the gradient of ``loss_fn(wrt, *example_args)`` by ``wrt``, for a person to read and to run.

    ``wrt`` is a nest (a dict, say) of arrays, or a module; ``example_args`` are a batch, whose arrays have the examples
    along axis 0: most arrays of the batch have that length.  They are looked for along other axes, as in series by
    time, where the loss does not stay as it is when the rows change places.  The function returns one number; where it
    returns a vector of losses, their sum is meant.  It is called several times, twice with the batch and then with
    batches of other sizes made from its rows, to see which numbers follow the number of examples, or another size; the
    function that ``numpy()`` prints asserts the sizes that it is right for.

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
    programs = [trace(loss_fn, wrt, example_args) for _ in range(2)]
    if not _same_value(*programs):
        raise RuntimeError(
            f"derive: {getattr(loss_fn, '__name__', 'the function')} gave two losses for the same arguments: if it "
            "draws random numbers, draw them outside, and pass them as an argument"
        )
    batch = Batch(loss_fn, wrt, example_args, programs[1])
    return Derivation([batch.first, *batch.larger], batch.ms)


class Derivation:
    """The gradient of a loss, as a program and as what is printed of it.

    program  the calls of the forward and of the backward pass, as they were made
    """

    def __init__(self, programs: list[Program], ms: list[int]) -> None:
        expanded = [expand(program) for program in programs]
        self.program = _aligned(programs, ms)
        self._plain = by_formulas(simplify(_aligned(expanded, ms)))

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
    if len(programs) == len(ms):
        return align(programs, ms)
    if ms[0]:
        programs[0].notes.append(f"the function runs for {ms[0]} examples only")
    return programs[0]


def _same_value(a: Program, b: Program) -> bool:
    assert a.loss is not None
    assert b.loss is not None
    return np.array_equal(a.loss.value, b.loss.value, equal_nan=True)
