"""Which sizes of a batch a program is right for: the number of examples, and those that it must be given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import combinations, islice, product
from typing import Any

import numpy as np

from ..autodiff import data_of
from ..batch_axes import Axes, choices, is_even
from ..errors import NotDifferentiableError
from ..pytrees import Nest
from . import numpy_source
from .expansions import expand
from .passes import simplify
from .program import Program, Variable, variables_in
from .rewriting import by_formulas
from .sizes import alike
from .tracing import trace

_MORE = (1, 3)  # examples than the batch has, in further runs
_MOST = 16  # attempts to find the arrays that have the examples
_MOST_SIZES = 24  # attempts to see whether another size may change
_REFUSALS = (ValueError, IndexError, TypeError, AssertionError)  # of a function that does not take such arrays


class Batch:
    """The programs of a loss for its batch and for larger ones.

    first   the program of the batch as it is; it says where the examples stand, and which sizes are fixed
    larger  those of batches with more examples; none if the function takes no others
    ms      the numbers of examples of all of these
    """

    def __init__(self, loss_fn: Callable[..., Any], wrt: Any, args: tuple[Any, ...], first: Program) -> None:
        self.loss_fn, self.wrt, self.first = loss_fn, wrt, first
        self.nest = Nest(args)
        values = [data_of(leaf) for leaf in self.nest.leaves]
        self.arrays = [v if isinstance(v, np.ndarray) else None for v in values]
        self.shapes = [np.shape(a) if a is not None else () for a in self.arrays]
        axes, self.larger = self._along()
        m = self._length(axes)
        self.ms = [m, *[m + more for more in _MORE]]
        first.examples = m
        first.along = dict(_longer(first, self.larger[0])) if self.larger else {}
        first.fixed = self._fixed(axes)

    def _along(self) -> tuple[Axes, list[Program]]:
        """The axes of the examples, and the programs of larger batches; none if there are none.

        They are the first axes, unless the loss does not take the examples there as equal; then they may be others in
        as many arrays, along which they can change places, and of which no loop has as many steps as there are.
        """
        nowhere: Axes = [None] * len(self.arrays)
        likely = ((axes, self._larger(axes)) for axes in islice(self._first_axes(), _MOST))
        usual, larger = next((pair for pair in likely if pair[1]), (next(self._first_axes(), nowhere), []))
        others = [axes for axes in choices(self.arrays) if axes != usual and axes.count(None) <= usual.count(None)]
        if others and not (larger and alike(self.first, larger[0]) and self._is_even(usual)):
            for axes in filter(self._is_even, others[:_MOST]):
                found = self._larger(axes)
                if found and alike(self.first, found[0]):
                    return axes, found
        return usual, larger

    def _larger(self, axes: Axes) -> list[Program]:
        """The programs of batches with more examples, if the function takes them, and depends on them."""
        found = self._grown(axes, _MORE)
        return found if found and _use_what_grew(self.first, found[0]) else []

    def _first_axes(self) -> Iterator[Axes]:
        """The first axes of arrays that are equally long; likeliest first.

        The number of examples is the length of most of the arrays; but one of them may have that length by chance, such
        as weights of as many classes.
        """
        lengths = {k: shape[0] for k, shape in enumerate(self.shapes) if shape and shape[0]}
        counts = Counter(lengths.values())
        most = max(counts.values(), default=0)
        for size in range(most, 0, -1):
            for m in [m for m in counts if counts[m] == most]:
                for chosen in combinations([k for k in lengths if lengths[k] == m], size):
                    yield [0 if k in chosen else None for k in range(len(self.shapes))]

    def _length(self, axes: Axes) -> int:
        return next((shape[a] for shape, a in zip(self.shapes, axes, strict=True) if a is not None), 0)

    def _is_even(self, axes: Axes) -> bool:
        """Whether the loss stays as it is when what stands along these axes changes places."""

        def loss(arrays: list[Any]) -> Any:
            return _loss(trace(self.loss_fn, self.wrt, self._filled(arrays)))

        return is_even(self.arrays, axes, loss, _loss(self.first))

    def _grown(self, axes: Axes, more: tuple[int, ...]) -> list[Program]:
        """The programs of batches that are longer along these axes, their first rows repeated; [] if one is refused."""
        found = []
        for size in [self._length(axes) + n for n in more]:
            longer = [
                a if k is None or a is None else np.take(a, np.arange(size) % a.shape[k], k)
                for a, k in zip(self.arrays, axes, strict=True)
            ]
            try:
                found.append(trace(self.loss_fn, self.wrt, self._filled(longer)))
            except _REFUSALS:
                return []
        return found

    def _filled(self, arrays: list[Any]) -> Any:
        """The arguments with these arrays."""
        leaves = list(self.nest.leaves)
        for k, (old, new) in enumerate(zip(self.arrays, arrays, strict=True)):
            if new is not old:
                leaves[k] = new if leaves[k] is old else type(leaves[k])(new)
        return self.nest.fill(leaves, whole=True)

    # ------------------------------------------------------------------------------------ other sizes

    def _fixed(self, examples: Axes) -> list[tuple[Variable, int]]:
        """The axes whose lengths the function that is printed depends on, though the loss takes others."""
        attempts = [axes for n in {n for shape in self.shapes for n in shape} for axes in self._of_length(n, examples)]
        fixed: dict[tuple[Variable, int], None] = {}
        for axes in sorted(attempts, key=lambda axes: -axes.count(None))[:_MOST_SIZES]:
            for other in self._grown(axes, (1,)):
                places = list(_longer(self.first, other))
                if not fixed.keys() >= set(places) and _text(other) != self._as_printed:
                    fixed.update(dict.fromkeys(places))
        return list(fixed)

    def _of_length(self, n: int, examples: Axes) -> Iterator[Axes]:
        """Axes of length n other than those of the examples, at most one in each array."""
        ways: list[Axes] = []
        for shape, own in zip(self.shapes, examples, strict=True):
            ways.append([None, *[k for k, length in enumerate(shape) if length == n and k != own]])
        return (list(axes) for axes in product(*ways) if any(a is not None for a in axes))

    @cached_property
    def _as_printed(self) -> str:
        return _text(trace(self.loss_fn, self.wrt, self._filled(self.arrays)))


def _loss(program: Program) -> Any:
    assert program.loss is not None
    return program.loss.value


def _text(program: Program) -> str:
    """The function that is printed of a program, without what is said beside; "" where it cannot be printed."""
    try:
        source = numpy_source.source(by_formulas(simplify(expand(program))))
    except NotDifferentiableError:
        return ""
    return "\n".join([line.partition("#")[0].rstrip() for line in source.splitlines()])


def _longer(first: Program, other: Program) -> Iterator[tuple[Variable, int]]:
    """The axes of the inputs that have another length in another program."""
    for a, b in zip(first.inputs, other.inputs, strict=True):
        yield from [(a, k) for k, (m, n) in enumerate(zip(a.shape, b.shape, strict=True)) if m != n]


def _use_what_grew(first: Program, larger: Program) -> bool:
    """Whether a program needs an array that was made longer, or at least none of that length that was left as it is."""
    grown = dict(_longer(first, larger))
    lengths = {a.shape[k] for a, k in grown.items()}
    left = {a for a in first.inputs if a.role == "data" and a not in grown and a.shape and a.shape[0] in lengths}
    used = set(variables_in([(call.args, call.kwargs) for call in first.calls]))
    return bool(grown.keys() & used) or not left & used
