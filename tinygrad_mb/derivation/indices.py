"""Where indices stand: which axes of an array are written as indices, and what broadcasting leaves to be said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .examples import ELEMENTWISE, example_axis
from .expressions import Expr, Shape, only_ones
from .marks import Marks

LETTERS = "ijkln"  # of the axes of arrays: i is that of the examples


class Indices(Marks):
    """The indices that are open where an expression is written, and the shape that its neighbours have with it."""

    def __init__(self) -> None:
        self.indices: tuple[str, ...] = ()
        self.sizes: Shape = ()
        self.whole = False
        self.joint: Shape | None = None  # of the sum, product or comparison that is being written
        self.says_axes = False  # whether the operands in it must say which of its axes are theirs

    @contextmanager
    def each(self, sizes: Shape, letters: Sequence[str] = LETTERS, whole: bool = False) -> Iterator[None]:
        """Within this, arrays with these leading axes, that of the examples first, are written for an index of each.

        With ``whole`` single elements are meant, and other arrays have indices for their last axes.
        """
        before = self.indices, self.sizes, self.whole
        self.indices, self.sizes, self.whole = tuple(letters[: len(sizes)]), tuple(sizes), whole
        yield
        self.indices, self.sizes, self.whole = before

    @contextmanager
    def among(self, joint: Shape | None, says_axes: bool = False) -> Iterator[None]:
        """Within this, operands that broadcast to a shape are written; ``None`` for what stands by itself."""
        before = self.joint, self.says_axes
        self.joint, self.says_axes = joint, says_axes
        yield
        self.joint, self.says_axes = before

    def indices_of(self, x: Expr) -> tuple[str, ...]:
        """The indices that stand below a variable here."""
        if example_axis(x) == 0:
            k = min(len(self.sizes), x.ndim)
            while k and x.shape[:k] != self.sizes[:k]:
                k -= 1
            return self.indices[:k]
        if self.whole and 0 < x.ndim <= len(self.sizes):
            return tuple(a for a, n in zip(self.indices[-x.ndim :], x.shape, strict=True) if n != 1)
        return ()

    def seen(self, x: Expr) -> bool:
        """Whether an expression is an array here, where some axes may stand for single elements."""
        if not x.shape:
            return False
        hidden = len(self.indices_of(x))
        return x.ndim > hidden and not all(n == 1 for n in x.shape[hidden:])

    def is_clear(self, joint: Shape, x: Expr) -> bool:
        """Whether broadcasting alone says which axes of ``joint`` are those of an operand, if new axes are left out."""
        if x.op != "reshape" or not only_ones(x.shape, x.args[0].shape):
            return True
        inside, done = x.args[0].shape, len(self.sizes)
        whole = [(k, n) for k, n in enumerate(joint[done:], done) if n != 1]
        own = [(k, n) for k, n in enumerate(x.shape, len(joint) - x.ndim) if n != 1 and k >= done]
        seen = [(k, n) for k, n in enumerate(inside, len(joint) - len(inside)) if n != 1]
        if own == whole:
            return len(seen) == len(inside) or inside[:1] != (1,)
        return own in ([], seen[len(seen) - len(own) :])

    def axis_letters(self, x: Expr) -> str:
        """Letters for the axes that a reduction is along."""
        along, others = example_axis(x.args[0]), iter(LETTERS[1:])
        letters = [LETTERS[0] if k == along else next(others, "q") for k in range(x.args[0].ndim)]
        return "".join(sorted([letters[k] for k in x.data[0]]))

    def new_axes(self, old: Shape, new: Shape) -> list[str]:
        """The index that takes axes of length one out of an array of one shape, and puts some in for another one."""
        left, index = list(old), []
        for n in new:
            while n != 1 and left[0] == 1:
                left.pop(0)
                index.append("0")
            if left[:1] == [n]:
                left.pop(0)
                index.append(self.any)
            else:
                index.append(self.new)
        return [*index, *["0" for _ in left]]

    def sizes_of(self, x: Expr) -> str:
        """A shape, with m for the examples."""
        along = example_axis(x)
        sizes = ["m" if k == along else str(int(n)) for k, n in enumerate(x.shape)]
        return self.cross.join(sizes[len(self.indices_of(x)) :])


def operands(x: Expr) -> Iterator[Expr]:
    """What is put together element by element."""
    for arg in x.args:
        if arg.op in ELEMENTWISE:
            yield from operands(arg)
        else:
            yield arg
