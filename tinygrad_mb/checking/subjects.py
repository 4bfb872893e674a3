"""A function and its inputs as a checker sees them: one number, as a function of a list of arrays."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from .. import errors
from ..autodiff import bare, data_of
from ..graph import Node
from ..modes import enable_grad, keep_values, no_grad
from ..primitives import PRIMITIVES
from ..pytrees import Nest
from ..tensor import Tensor
from ..transforms import vjp
from .complexes import ComplexValued
from .differences import Line

Arrays = list[np.ndarray[Any, np.dtype[Any]]]


class Subject:
    """A function of arrays, and the number that stands for all of its outputs: their sum with random weights.

    paths      the names of the arrays that it is differentiated by
    leaves     these arrays, in float64
    weights    those of the outputs; of a single number the weight is 1
    lifted     the paths of arrays that had another dtype
    constants  the names of inputs that it is not differentiated by, with the reason
    outputs    what it returns
    value      the weighted sum
    size       the sum of the sizes of its terms
    calls      how often the function has been called with plain arrays
    """

    def __init__(self, name: str, run: Callable[[Sequence[Any]], Any], paths: list[str], leaves: Arrays) -> None:
        self.name = name
        self.paths = paths
        self.leaves = leaves
        self.lifted: list[str] = []
        self.constants: list[str] = []
        self.calls = 0
        self._run = run
        self._with_tensors = False
        self.weights: Arrays = []

    def start(self, seed: int) -> None:
        """Call the function for the first time, and refuse what cannot be checked.

        Raises ``ValueError`` if it draws random numbers or changes its inputs, and ``TypeError`` if it returns no
        floating-point numbers, or narrow ones for wide inputs.
        """
        given = [leaf.copy() for leaf in self.leaves]
        try:
            outs = self._outputs(given)
        except Exception as error:
            self._with_tensors = True  # perhaps it uses what only Tensors have
            given = [leaf.copy() for leaf in self.leaves]
            try:
                outs = self._outputs(given)
            except Exception:
                raise error from None
        for path, before, after in zip(self.paths, self.leaves, given, strict=True):
            if not np.array_equal(before, after, equal_nan=True):
                raise ValueError(
                    f"gradcheck: {self.name} changes its input {path}, so that each call starts from other numbers. "
                    f"Let it make a new array: `{path} = {path} + ...` for `{path} += ...`"
                )
        if not outs:
            raise TypeError(f"gradcheck: {self.name} returns no array of floating-point numbers: nothing to check")
        for out in outs:
            if out.dtype.itemsize < 8:
                raise TypeError(
                    f"gradcheck: {self.name} returns {out.dtype} for inputs of float64: it converts inside, and "
                    f"differences of {out.dtype} numbers say little. Let it keep the dtype of its inputs while it is "
                    "checked"
                )
        again = self._outputs(self.leaves)
        for one, other in zip(outs, again, strict=True):
            if one.shape != other.shape or not np.allclose(one, other, 1e-10, 0, equal_nan=True):
                raise ValueError(
                    f"gradcheck: {self.name} gives two different values for the same inputs, as functions do that "
                    "draw random numbers. Draw them before and pass them as an argument, or make the generator "
                    "inside the function, np.random.default_rng(0)"
                )
        single = sum(out.size for out in outs) == 1
        rng = np.random.default_rng(seed)
        self.weights = [
            np.asarray(1.0 if single else rng.uniform(0.5, 1.5, out.shape)).reshape(out.shape) for out in outs
        ]
        self.outputs = outs
        self.value = self._number(outs)
        self.size = float(sum(np.abs(w * out).sum() for w, out in zip(self.weights, outs, strict=True)))

    def _outputs(self, leaves: Sequence[Any]) -> Arrays:
        """What the function returns, as plain arrays."""
        self.calls += 1
        if self._with_tensors:
            with no_grad():
                outs = self._run([Tensor(leaf) for leaf in leaves])
        else:
            outs = self._run(leaves)
        return [np.asarray(data_of(out)) for out in outs]

    def _number(self, outs: Arrays) -> Any:
        return sum((w * out).sum() for w, out in zip(self.weights, outs, strict=True))

    def gradient(self) -> Arrays:
        """The gradient of the weighted sum by all arrays, as the engine computes it.

        Raises ``ValueError`` if the function gives other numbers for Tensors than for arrays.
        """
        outs, pull = vjp(lambda parts: self._run(list(parts.values())), dict(zip(self.paths, self.leaves, strict=True)))
        for plain, out in zip(self.outputs, outs, strict=True):
            if plain.shape != out.shape or not np.allclose(plain, out, 1e-8, 1e-12 * (1 + self.size), equal_nan=True):
                raise ValueError(
                    f"gradcheck: {self.name} gives other numbers for Tensors than for arrays, "
                    f"{errors.describe(out)} with a sum of {np.sum(out):.6g} and {errors.describe(plain)} with a sum "
                    f"of {np.sum(plain):.6g}. Does it ask for the type of its arguments?"
                )
        return list(pull(self.weights)[0].values())

    def graph(self) -> list[Node]:
        """The nodes of the outputs, of a call in which all nodes keep their values."""
        leaves = [
            Tensor(leaf, requires_grad=True, name=path) for leaf, path in zip(self.leaves, self.paths, strict=True)
        ]
        with enable_grad(), keep_values():
            outs = self._run(leaves)
        return [out.node for out in outs if isinstance(out, Tensor) and out.requires_grad]

    def derivative(self) -> Subject:
        """The gradient as a function of the arrays and of the outputs' cotangents, for second derivatives."""
        n, run = len(self.leaves), self._run

        def gradient(arrays: Sequence[Any]) -> list[Any]:
            arrays = [ComplexValued(x) if np.result_type(data_of(x)).kind == "c" else x for x in arrays]
            parts = dict(zip(self.paths, arrays[:n], strict=True))
            found = vjp(lambda parts: run(list(parts.values())), parts)[1](list(arrays[n:]))[0].values()
            return [bare(g) if isinstance(g, ComplexValued) else g for g in found]

        several = len(self.weights) > 1
        names = [f"cotangent of output {k}" if several else "cotangent" for k in range(len(self.weights))]
        return Subject(f"the gradient of {self.name}", gradient, self.paths + names, self.leaves + self.weights)

    def along(self, directions: dict[int, Any]) -> Line:
        """The number while some arrays move, each in its direction."""

        def line(t: Any) -> Any:
            moved = [*self.leaves]
            for k, direction in directions.items():
                moved[k] = self.leaves[k] + t * direction
            return self._number(self._outputs(moved))

        return line

    def towards(self, k: int, place: int) -> tuple[Line, float]:
        """The number while one entry of one array moves, and the size of that entry, or 1 if it is smaller."""
        leaf = self.leaves[k]

        def line(t: Any) -> Any:
            moved = [x.astype(complex) for x in self.leaves] if isinstance(t, complex) else [*self.leaves]
            moved[k] = moved[k].copy()
            moved[k].flat[place] += t
            return self._number(self._outputs(moved))

        size = abs(float(leaf.flat[place]))
        return line, 2.0 ** math.ceil(math.log2(size)) if size > 1 else 1.0


def subject_of(fn: Callable[..., Any], inputs: Sequence[Any], argnums: int | tuple[int, ...] | None) -> Subject:
    """A function with its inputs, arrays or nests of arrays.

    Raises ``TypeError`` if none of them is to be differentiated by.
    """
    numbers = range(len(inputs)) if argnums is None else argnums if isinstance(argnums, tuple) else (argnums,)
    chosen = {k % len(inputs) if -len(inputs) <= k < len(inputs) else k for k in numbers}
    if not chosen <= set(range(len(inputs))):
        raise ValueError(f"gradcheck: argnums={argnums} for a function that is called with {len(inputs)} arguments")
    names = _argument_names(fn, len(inputs))
    nests = [Nest(x) for x in inputs]
    everything = [path or name for nest, name in zip(nests, names, strict=True) for path in nest.paths]
    slots: list[int | None] = []
    leaves: Arrays = []
    fixed, paths, lifted, constants = [], [], [], []
    for k, (name, nest) in enumerate(zip(names, nests, strict=True)):
        for path, leaf in zip(nest.paths, nest.leaves, strict=True):
            called = path or name
            if path and everything.count(called) > 1:
                called = f"{name}.{path}"
            array = np.asarray(data_of(leaf))
            slots.append(None)
            fixed.append(data_of(leaf))
            if k not in chosen:
                continue
            if array.dtype.kind != "f":
                constants.append(f"{called} ({array.dtype})" if array.dtype.kind in "iubc" else called)
            elif isinstance(leaf, Tensor) and not leaf.requires_grad:
                constants.append(f"{called} (requires no gradient)")
            else:
                slots[-1] = len(leaves)
                if array.dtype.itemsize < 8:
                    lifted.append(f"{called} from {array.dtype}")
                paths.append(called)
                leaves.append(array.astype(np.float64))
    for i, (slot, value) in enumerate(zip(slots, fixed, strict=True)):
        if slot is None and getattr(value, "dtype", None) in (np.float32, np.float16):
            fixed[i] = value.astype(np.float64)
    if not leaves:
        found = f", but {', '.join(constants)}" if constants else ""
        raise TypeError(f"gradcheck: no input of {function_name(fn)} is an array of floating-point numbers{found}")

    def run(arrays: Sequence[Any]) -> list[Any]:
        filled = iter([value if slot is None else arrays[slot] for slot, value in zip(slots, fixed, strict=True)])
        args = [nest.fill([next(filled) for _ in nest.leaves], whole=True) for nest in nests]
        outs = Nest(fn(*args)).leaves
        return [out for out in outs if np.result_type(data_of(out)).kind in "fc"]

    subject = Subject(function_name(fn), run, paths, leaves)
    subject.lifted, subject.constants = lifted, constants
    return subject


def function_name(fn: Callable[..., Any]) -> str:
    """What a function is called in reports."""
    name = getattr(fn, "__name__", type(fn).__name__)
    return "the function" if name == "<lambda>" else name


def _argument_names(fn: Callable[..., Any], n: int) -> list[str]:
    if isinstance(fn, Hashable) and fn in PRIMITIVES:
        known = list(PRIMITIVES[fn].names)
    else:
        try:
            parameters = inspect.signature(fn).parameters.values()
            known = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        except ValueError:  # written in C, and silent about its arguments
            known = []
    return known[:n] + [f"argument {k}" for k in range(len(known), n)]
