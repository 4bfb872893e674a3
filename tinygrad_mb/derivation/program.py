"""A program: the NumPy calls that computed a loss and its gradients, one after the other.

The calls are in the order in which they were made, the forward pass first, so that a variable is always computed
before it is used.  Printers read programs; passes make new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from ..graph import Node

Role = Literal["parameter", "data", "value", "cotangent", "result"]


class Variable:
    """A value of a program.

    index  its place in the order in which values came about
    shape  its shape in the run that was written down; a size that follows the number of examples is a ``Size``
    dtype  NumPy's type of the elements
    role   a "parameter" to differentiate by, other "data" that goes in, a "value" of the forward pass, a "cotangent"
           (or a part of one) of the backward pass, or a "result": the loss, or a parameter's gradient
    name   what the user calls it, or what it is called after that: dz1 is the cotangent of z1; None if nobody named it
    value  the array that it was in the run that was written down
    """

    __slots__ = ("dtype", "index", "name", "role", "shape", "value")

    def __init__(
        self, index: int, shape: tuple[int, ...], dtype: Any, role: Role, name: str | None = None, value: Any = None
    ) -> None:
        self.index = index
        self.shape = shape
        self.dtype = dtype
        self.role: Role = role
        self.name = name
        self.value = value

    def __repr__(self) -> str:
        return self.name or f"v{self.index}"


class Call(NamedTuple):
    """A call that computes a variable.

    function  a NumPy function or ufunc, ``operator.getitem``, or a primitive of ours such as ``scatter_add``
    args      variables, numbers, slices and other indices, constant arrays, and tuples or lists of these
    kwargs    the keywords, such as ``axis``
    out       the variable that it computes
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Variable


class Program:
    """The calls that compute ``outputs`` from ``inputs``.

    inputs      the parameters and the data, in the order of the loss function's arguments
    calls       what computes all the rest, in order
    outputs     the gradients, by the parameters' paths ("W1", "layers.0.W")
    loss        the number that was differentiated
    values      for each node of the recorded graph the variable that holds its value
    cotangents  for each node that backward met the variable that holds its complete cotangent
    paths       for each input where it is in the arguments: "W1", "layers.0.W"; "x", "batch.tokens"
    signature   the names of the loss function's arguments, the parameters first
    arguments   the arguments by these names: nests of variables, in the place of arrays, and of what else there was
    summed      whether the function returned a vector of losses, whose sum was differentiated
    examples    the number of examples in the run that was written down
    along       for each input that has the examples the axis along which they stand
    fixed       axes of inputs whose lengths the program depends on, and which no expression follows
    tables      the user's constant arrays, with their names
    notes       what holds only for the run that was written down, in words
    """

    def __init__(self) -> None:
        self.inputs: list[Variable] = []
        self.calls: list[Call] = []
        self.outputs: dict[str, Variable] = {}
        self.loss: Variable | None = None
        self.values: dict[Node, Variable] = {}
        self.cotangents: dict[Node, Variable] = {}
        self.paths: dict[Variable, str] = {}
        self.signature: tuple[str, ...] = ()
        self.arguments: dict[str, Any] = {}
        self.summed = False
        self.examples = 0
        self.along: dict[Variable, int] = {}
        self.fixed: list[tuple[Variable, int]] = []
        self.tables: list[tuple[str, np.ndarray[Any, Any]]] = []
        self.notes: list[str] = []

    def table_name(self, array: np.ndarray[Any, Any]) -> str | None:
        """What the user calls a constant array, if it has a name."""
        alike = (name for name, x in self.tables if x.dtype == array.dtype and np.array_equal(x, array))
        return next(alike, None)

    def variables(self) -> Iterator[Variable]:
        """All variables, in the order of their computation."""
        yield from self.inputs
        for call in self.calls:
            yield call.out

    def run(self, values: Iterable[Any]) -> dict[Variable, Any]:
        """Make all calls again, with other values for the inputs; returns the value of each variable."""
        known: dict[Variable, Any] = dict(zip(self.inputs, values, strict=True))
        for call in self.calls:
            args, kwargs = replaced((call.args, call.kwargs), known.__getitem__)
            known[call.out] = call.function(*args, **kwargs)
        return known


def variables_in(nest: Any) -> Iterator[Variable]:
    """The variables in a nest of arguments, each as often as it is used."""
    if isinstance(nest, Variable):
        yield nest
    elif isinstance(nest, (tuple, list)):
        for part in nest:
            yield from variables_in(part)
    elif isinstance(nest, dict):
        yield from variables_in(list(nest.values()))
    elif isinstance(nest, slice):
        yield from variables_in((nest.start, nest.stop, nest.step))


def replaced(nest: Any, new: Callable[[Variable], Any]) -> Any:
    """The same nest of arguments with ``new(variable)`` in the place of each variable."""
    if isinstance(nest, Variable):
        return new(nest)
    if isinstance(nest, tuple) and hasattr(nest, "_fields"):
        return type(nest)(*[replaced(part, new) for part in nest])
    if isinstance(nest, (tuple, list)):
        return type(nest)([replaced(part, new) for part in nest])
    if isinstance(nest, dict):
        return {key: replaced(part, new) for key, part in nest.items()}
    if isinstance(nest, slice):
        return slice(*[replaced(part, new) for part in (nest.start, nest.stop, nest.step)])
    return nest
