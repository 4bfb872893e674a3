"""Cut a data set into mini-batches."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import ShapeError, describe
from .orders import Shuffled, Stratified, Weighted
from .sources import Source, length, source


class _Position:
    """How far an iteration has come; ``begun`` is true from its beginning to its end."""

    __slots__ = ("begun", "epoch", "given")

    def __init__(self, epoch: int, given: int) -> None:
        self.epoch = epoch
        self.given = given  # batches of this epoch that have been handed out
        self.begun = False


class Batches:
    """A data set in mini-batches, as ``batches`` makes it; each iteration is an epoch.

    Iterating gives a tuple with one part of each array, or the part itself for a single array; ``len`` is the number
    of batches in an epoch.  ``seed`` decides the order of every epoch (``None`` for data that are not shuffled):
    epoch e is drawn by child e of ``np.random.SeedSequence(seed)``, whatever was iterated before.

    An iteration that is left by ``break`` has used up its epoch: the next one begins the next epoch.  Two iterations
    at once walk through two epochs; ``epoch`` and ``state_dict`` are then those of the younger.

    >>> import numpy as np, tinygrad_mb as tg
    >>> data = tg.minibatch.batches(np.arange(6), size=2, rng=0)
    >>> len(data), data.epoch
    (3, 0)
    >>> first, second = list(data), list(data)
    >>> data.epoch
    2
    >>> data.epoch = 0
    >>> np.array_equal(list(data), first)
    True
    """

    def __init__(
        self,
        sources: list[Source],
        examples: int,
        size: int,
        drop_last: bool,
        order: Shuffled | Stratified | Weighted | None,
        seed: int | None,
    ) -> None:
        self.size = size
        self.seed = seed
        self._sources = sources
        self._examples = examples
        self._order = order
        self._count = examples if order is None else order.count
        self._length = self._count // size if drop_last else -(-self._count // size)
        self._at = _Position(0, 0)

    @property
    def epoch(self) -> int:
        """The number of the epoch that is being iterated, and between iterations that of the next; it can be set.

        Setting it, also to the number that it has, makes the next iteration begin at that epoch's first batch.
        Raises ``TypeError`` or ``ValueError`` for what is not an integer of 0 or more.
        """
        return self._at.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._at = _Position(_integer(epoch, "epoch", 0), 0)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        if self._at.begun:
            self.epoch += 1
        self._at.begun = True
        return self._rest(self._at)

    def _rest(self, at: _Position) -> Iterator[Any]:
        """What is left of an epoch."""
        order, size, single = None, self.size, len(self._sources) == 1
        if self._order is not None:
            assert self.seed is not None
            child = np.random.SeedSequence(self.seed, spawn_key=(at.epoch,))
            order = self._order.draw(np.random.default_rng(child))
        read = [s.cut if order is None else s.take for s in self._sources]
        for start in range(at.given * size, self._length * size, size):
            part: Any = slice(start, start + size) if order is None else order[start : start + size]
            batch = read[0](part) if single else tuple([f(part) for f in read])
            at.given += 1
            yield batch
        at.epoch, at.given, at.begun = at.epoch + 1, 0, False

    def state_dict(self) -> dict[str, int | str | None]:
        """Where the iteration stands, for JSON: the epoch, the batches of it handed out, and what they depend on.

        Examples are known by their number and weights or classes by a checksum; the data are not looked at.
        """
        return {"epoch": self._at.epoch, "batch": self._at.given, **self._conditions()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next iteration hand out exactly what was left of the epoch when ``state`` was taken.

        Raises ``ValueError`` if the state is of other batches: of another number of examples, size, seed, sampling.

        >>> import numpy as np, tinygrad_mb as tg
        >>> data = tg.minibatch.batches(np.arange(7), size=2, rng=0)
        >>> for k, part in enumerate(data):
        ...     if k == 1:
        ...         state = data.state_dict()
        ...     if k > 1:
        ...         print(part)
        [2 4]
        [6]
        >>> again = tg.minibatch.batches(np.arange(7), size=2, rng=0)
        >>> again.load_state_dict(state)
        >>> for part in again:
        ...     print(part)
        [2 4]
        [6]
        """
        own = self.state_dict()
        if state.keys() != own.keys():
            raise ValueError(f"load_state_dict: a state of batches has the keys {list(own)}, not {list(state)}")
        for key, value in self._conditions().items():
            if state[key] != value:
                raise ValueError(
                    f"load_state_dict: the state is of batches with {key} {state[key]!r}, and these have {value!r}; "
                    "make them of the same data, with the same arguments and rng=state['seed']"
                )
        epoch, given = (_integer(state[key], f"the state's {key}", 0) for key in ("epoch", "batch"))
        if given > self._length:
            raise ValueError(f"load_state_dict: the state's batch is {given}, and an epoch has {self._length}")
        self._at = _Position(epoch, given)

    def _conditions(self) -> dict[str, int | str | None]:
        sampling = "in order" if self._order is None else self._order.name
        return {
            "examples": self._examples,
            "size": self.size,
            "batches": self._length,
            "seed": self.seed,
            "sampling": sampling,
        }

    def __repr__(self) -> str:
        return f"<{len(self)} batches of up to {self.size} of {self._count} examples>"


def batches(
    *arrays: Any,
    size: int,
    shuffle: bool = True,
    rng: np.random.Generator | int | None = None,
    drop_last: bool = False,
    stratify: Any = None,
    weights: Any = None,
    draws: int | None = None,
) -> Batches:
    """The data in mini-batches of ``size`` examples, the last with what is left; axis 0 is that of the examples.

    An array is anything with a length that gives its parts by slices and by arrays of increasing indices: NumPy's
    arrays, memory maps and files are read batch by batch, tensors are cut as tensors, tables of pandas by rows.  A
    list of numbers or of arrays of one shape becomes an array; the parts of another list are lists.

    With ``shuffle`` each epoch has an order of its own, which the seed and the epoch's number decide; ``rng`` is the
    seed, or a generator that draws it once, here.  Without, the parts of arrays are views.  ``drop_last`` leaves out a
    last batch of fewer than ``size`` examples.

    ``stratify``, a label for each example, lets each batch have less than one example too many or too few of any
    class; every example still comes once.  ``weights``, one for each example, makes an epoch of ``draws`` independent
    draws with replacement (by default as many as examples), with probabilities pᵢ proportional to the weights.  The
    mean over a batch then estimates Σ pᵢ gᵢ; factors 1/(m pᵢ), which are ``weights.mean() / weights``, make it the
    mean over the data again.

    Raises ``ShapeError`` for arrays of different lengths, and for labels or weights that are not one for each example;
    ``ValueError`` for no arrays, a size below 1, a weight that is negative or not finite, weights that are all zero,
    and arguments that exclude each other; ``TypeError`` for dicts.

    >>> import numpy as np, tinygrad_mb as tg
    >>> X, Y = np.arange(10).reshape(5, 2), np.arange(5)
    >>> for x, y in tg.minibatch.batches(X, Y, size=2, shuffle=False):
    ...     print(x.shape, y)
    (2, 2) [0 1]
    (2, 2) [2 3]
    (1, 2) [4]
    >>> labels = np.array(["a", "a", "b", "a", "a", "b"])
    >>> for part in tg.minibatch.batches(labels, size=3, rng=0, stratify=labels):
    ...     print(part)
    ['a' 'b' 'a']
    ['a' 'a' 'b']
    """
    if not arrays:
        raise ValueError("batches: there are no arrays to cut")
    sources = [source(array, f"array {k}") for k, array in enumerate(arrays)]
    m = length(arrays[0])
    if any(length(a) != m for a in arrays):
        what = ", ".join([
            describe(a, f"array {k}") if hasattr(a, "shape") else f"array {k} {type(a).__name__} of {len(a)}"
            for k, a in enumerate(arrays)
        ])  # fmt: skip
        raise ShapeError(f"batches: the arrays have different numbers of examples along axis 0: {what}")
    size = _integer(size, "size", 1)
    if stratify is not None and weights is not None:
        raise ValueError("batches: stratify and weights exclude each other, weighted draws are not every example once")
    if not shuffle and (stratify is not None or weights is not None):
        raise ValueError("batches: stratified and weighted batches are drawn: leave out shuffle=False")
    if draws is not None and weights is None:
        raise ValueError("batches: draws is the number of weighted draws, and there are no weights")
    order: Shuffled | Stratified | Weighted | None = None
    if stratify is not None:
        order = Stratified(stratify, m, size)
    elif weights is not None:
        order = Weighted(weights, m, m if draws is None else _integer(draws, "draws", 1))
    elif shuffle:
        order = Shuffled(m)
    return Batches(sources, m, size, drop_last, order, _seed(rng) if shuffle else None)


def _seed(rng: np.random.Generator | int | None) -> int:
    """The seed itself, or one drawn by the generator, or a new one."""
    if isinstance(rng, np.random.Generator) or rng is None:
        return int(np.random.default_rng(rng).integers(2**63))
    return _integer(rng, "rng, a generator or a seed,", 0)


def _integer(value: Any, what: str, least: int) -> int:
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"batches: {what} must be an integer, not {value!r:.60}") from None
    if value < least:
        raise ValueError(f"batches: {what} must be {least} or more, not {value}")
    return int(value)
