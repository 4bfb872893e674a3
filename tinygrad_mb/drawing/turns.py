"""Where the operations of a graph repeat themselves: the same operations, wired in the same way, turn after turn."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..graph import Node

Numbers = NDArray[np.int64]

_FEWEST = 3  # turns
_COLUMNS = 4  # inputs that are looked at one by one
_REACH = 256  # operations between a value and its use that tell one part of a turn from another
_WINDOW = 256  # items in a row that are looked for elsewhere
_ANYWHERE = np.iinfo(np.int64).max


class Run(NamedTuple):
    """``length`` items from ``start`` on, ``times`` times in a row."""

    start: int
    length: int
    times: int

    @property
    def end(self) -> int:
        """The position after the last item."""
        return self.start + self.length * self.times


class Wiring:
    """What the operations of a graph are, and where they get their inputs from, as tables.

    kinds    for each operation the number of what it is and does, without its first inputs
    sources  for each of its first inputs the position of the operation that made it; -1 for leaves and numbers
    sorts    for each of its first inputs what it is: a value, a parameter or a constant of some shape, or a number
    leaves   whether each of its first inputs is a parameter or a constant
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._known: dict[Any, int] = {}
        known = self._known
        position = {node: k for k, node in enumerate(nodes)}
        kinds, cells, sources, sorts = [], [], [], []
        for k, node in enumerate(nodes):
            inputs = node.inputs
            cell = k * _COLUMNS
            for x in inputs[:_COLUMNS]:
                at = position.get(x, -1) if isinstance(x, Node) else -1
                sort = _sort(x, at)
                cells.append(cell)
                sources.append(at)
                sorts.append(known.setdefault(sort, len(known)))
                cell += 1
            far = tuple([_far(x, k, position) for x in inputs[_COLUMNS:]]) if len(inputs) > _COLUMNS else ()
            kind = (node.op, node.shape, _plain_params(node), len(inputs), far)
            kinds.append(known.setdefault(kind, len(known)))
        self.kinds: Numbers = np.array(kinds, dtype=np.int64)
        columns = 1 + max([cell % _COLUMNS for cell in cells], default=0)
        self.sources, self.sorts = [
            _table(cells, values, len(nodes))[:, :columns].copy() for values in (sources, sorts)
        ]
        self.leaves = (self.sources < 0) & (self.sorts >= 0) & (self.sorts != known.get("number", -1))

    def number(self, what: Any) -> int:
        """A number for a kind of part that is made of several operations."""
        return self._known.setdefault(what, len(self._known))

    def reads(self, start: int, end: int, since: int) -> tuple[Numbers, Numbers]:
        """What the operations from ``start`` to ``end`` read of those from ``since`` on: pairs (source, reader)."""
        sources = self.sources[start:end]
        rows, columns = np.nonzero(sources >= since)
        return sources[rows, columns], rows + start


def _table(cells: list[int], values: list[int], rows: int) -> Numbers:
    table: Numbers = np.full(rows * _COLUMNS, -1, dtype=np.int64)
    table[cells] = values
    return table.reshape(rows, _COLUMNS)


def _sort(x: Any, at: int) -> Any:
    if not isinstance(x, Node):
        return "number"
    return ("value" if at >= 0 else "constant" if x.plan is None else "parameter"), x.shape


def _far(x: Any, k: int, position: dict[Node, int]) -> Any:
    at = position.get(x, -1) if isinstance(x, Node) else -1
    return _sort(x, at), k - at if at >= 0 else 0


def _plain_params(node: Node) -> Any:
    """The options of a call, as far as they say what is computed; not which element of an array is taken."""
    if not node.params:
        return ()
    assert node.op is not None
    return _plain(node.params, node.op.name == "index")


def _plain(value: Any, index: bool) -> Any:
    if isinstance(value, tuple):
        return tuple([_plain(part, index) for part in value])
    if isinstance(value, (bool, str, type(None))):
        return value
    if isinstance(value, (int, float, complex)):
        return "number" if index else value
    return type(value), getattr(value, "shape", None)


def runs(wiring: Wiring, kinds: Numbers, starts: Numbers, boxes: Numbers, saving: int) -> list[Run]:
    """The repetitions in a row of items that save at least ``saving`` boxes, in order; none overlap.

    kinds   what each item is
    starts  the position of each item's first operation, and last where the next one would be
    boxes   how many boxes show each item
    """
    total = np.concatenate([[0], np.cumsum(boxes)])

    def worth(run: Run) -> bool:
        return run.times >= _FEWEST and total[run.end] - total[run.start + run.length] >= saving

    queue: list[tuple[int, int, int, int, int]] = []

    def push(start: int, end: int, length: int, entered: int) -> None:
        run = Run(start, length, (end - start) // length)
        if worth(run):
            heapq.heappush(queue, (-run.times * length, length, start, end, entered))

    for length in _periods(wiring, kinds, starts):
        for start, end, entered in _stretches(wiring, kinds, starts, length):
            push(start, end, length, entered)
    taken: list[Run] = []
    while queue:
        _, length, start, end, entered = heapq.heappop(queue)
        after = bisect_right(taken, start, key=lambda run: run.start)
        before = taken[after - 1].end if after else 0
        until = taken[after].start if after < len(taken) else end
        if before > start:  # what it begins with is taken: it may begin later, but behind the entry into it
            push(max(before, entered), end, length, entered)
        elif until < end:
            push(start, until, length, entered)
            push(max(taken[after].end, entered), end, length, entered)
        else:
            run = _turned(wiring, starts, Run(start, length, (end - start) // length), end, entered)
            insort(taken, run if worth(run) else Run(start, length, run.times))
    return taken


def _periods(wiring: Wiring, kinds: Numbers, starts: Numbers) -> list[int]:
    """The lengths that turns may have: distances at which the same few items come again."""
    count = len(kinds)
    found: set[int] = set()
    one = np.diff(starts) == 1
    sources = wiring.sources[starts[:-1]]
    distances = starts[:-1, None] - sources
    distances[(sources < 0) | (distances > _REACH) | ~one[:, None]] = 0
    words = kinds.astype(np.uint64)
    found.update(_distances(words))
    for column in distances.T:
        words = _mixed(words, column.astype(np.uint64))
    width = 1
    while width <= min(_WINDOW, count // _FEWEST):
        found.update(_distances(words))
        words = _mixed(words[:-width], words[width:])
        width *= 2
    return sorted(found)


def _mixed(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One number for two, different ones for different pairs; an accident costs time and nothing else."""
    mixed: NDArray[np.uint64] = (a * np.uint64(0x9E3779B97F4A7C15)) ^ (b + np.uint64(0x7F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return mixed


def _distances(words: NDArray[np.uint64]) -> list[int]:
    """The distances from a word to where it comes next that are frequent enough for turns of this length."""
    order = np.argsort(words, kind="stable")
    same = words[order[1:]] == words[order[:-1]]
    counts = np.bincount((order[1:] - order[:-1])[same])
    lengths = np.arange(len(counts))
    frequent = (counts > 1) & (4 * counts >= lengths) & (lengths * _FEWEST <= len(words) + _WINDOW)
    return [int(length) for length in np.flatnonzero(frequent)]


def _stretches(wiring: Wiring, kinds: Numbers, starts: Numbers, length: int) -> Iterator[tuple[int, int, int]]:
    """The stretches of items in which all comes again after ``length`` items, wired alike: (start, end, entered).

    A turn's inputs come from the same places as those of the turn before, seen from there, or both from in front of
    the stretch.  What later turns get from the turn before, the first one gets from in front, and be it a constant;
    ``entered`` is the item behind the last one where it differs so, before which the stretch cannot be cut off.
    """
    count = len(kinds) - length
    if count < length * (_FEWEST - 1):
        return
    different = np.concatenate([[-1], np.flatnonzero(kinds[:count] != kinds[length:]), [count]])
    for at in np.flatnonzero(np.diff(different) > length * (_FEWEST - 1)):
        first, last = int(different[at]) + 1, int(different[at + 1])
        a, b = int(starts[first]), int(starts[last])
        shift = int(starts[first + length]) - a
        low, high = _limits(wiring, a, b, shift)
        window = shift * (_FEWEST - 1)
        places = starts[first : int(np.searchsorted(starts, b - window, "right"))]
        lowest, highest = _over(np.maximum, low, window)[places - a], _over(np.minimum, high, window)[places - a]
        good = np.flatnonzero((lowest <= places) & (places <= highest)) + first
        start = first
        while (next_good := int(np.searchsorted(good, start))) < len(good):
            start = int(good[next_good])
            begin = int(starts[start])
            end = begin + _first(low[begin - a :], high[begin - a :], begin)
            here = bisect_right(starts, end) - 1 if end < b else last
            bounded = np.flatnonzero(high[begin - a : end - a] < _ANYWHERE)
            entered = bisect_right(starts, begin + int(bounded[-1])) if len(bounded) else start
            yield start, here + length, entered
            if end == b:
                break
            start = max(bisect_left(starts, low[end - a]), entered) if begin < low[end - a] else here + 1


def _over(extreme: np.ufunc, numbers: Numbers, width: int) -> Numbers:
    """The maximum, or minimum, of each ``width`` numbers in a row."""
    done = 1
    while 2 * done <= width:
        numbers = extreme(numbers[:-done], numbers[done:])
        done *= 2
    return extreme(numbers[: len(numbers) + done - width], numbers[width - done :])  # type: ignore[no-any-return]


def _first(low: Numbers, high: Numbers, begin: int) -> int:
    """How many operations come before the first one with limits that do not allow ``begin``."""
    at, size = 0, 1024
    while at < len(low):
        part = slice(at, at + size)
        beyond = np.flatnonzero((low[part] > begin) | (high[part] < begin))
        if len(beyond):
            return at + int(beyond[0])
        at, size = at + size, 2 * size
    return len(low)


def _limits(wiring: Wiring, a: int, b: int, shift: int) -> tuple[Numbers, Numbers]:
    """Between which positions turns must begin for the operations from a to b to be wired like those after them."""
    now, then = wiring.sources[a:b], wiring.sources[a + shift : b + shift]
    alike = wiring.sorts[a:b] == wiring.sorts[a + shift : b + shift]
    regular = (then - now == shift) & (now >= 0)
    low = np.where((then >= 0) & ~regular, np.maximum(now, then - shift) + 1, 0)
    high = np.where(alike, _ANYWHERE, then)
    return low.max(axis=1), high.min(axis=1)


def _turned(wiring: Wiring, starts: Numbers, run: Run, end: int, entered: int) -> Run:
    """The same run, with turns that begin where the fewest values are handed on, if items are left over at its end.

    Among equal places, an operation on parameters or data begins the turn, as it begins a layer.
    """
    spare = end - run.end
    if not spare:
        return run
    first = run.start + run.length * (run.times // 2)
    a, b = int(starts[first]), int(starts[first + run.length])
    sources, readers = wiring.reads(a, min(2 * b - a, int(starts[end])), int(starts[first - run.length]))
    used = np.full(3 * (b - a), -1)
    since = 2 * a - b
    np.maximum.at(used, sources - since, readers - since)
    made = np.flatnonzero(used >= 0)
    crossing = np.zeros(len(used) + 1, dtype=np.int64)
    np.add.at(crossing, made + 1, 1)
    np.add.at(crossing, used[made] + 1, -1)
    cuts = starts[first : first + spare + 1]
    layer = wiring.leaves[cuts].any(axis=1) & ~wiring.leaves[cuts - 1].any(axis=1)
    price = 2 * np.cumsum(crossing)[cuts - since] - layer
    price[1 : max(1, entered - run.start)] = _ANYWHERE
    return Run(run.start + int(price.argmin()), run.length, run.times)


def adds_up_examples(wiring: Wiring, nodes: Sequence[Node], start: int, shift: int) -> bool:
    """Whether each turn of ``shift`` operations adds a scalar of its own to a sum, and hands on nothing else.

    The turns share all that they are given but constants, and something that has axes becomes the scalar.
    """
    later = start + shift
    sources, readers = wiring.reads(later, later + shift, start)
    handed = sources < later
    if set(readers[handed] - shift) != set(sources[handed]) or handed.sum() != 1:
        return False
    total = nodes[int(readers[handed][0])]
    if total.op is None or total.op.key is not np.add or total.shape:
        return False
    own = set(nodes[start : later + shift])
    first, second = (
        [x for node in nodes[begin : begin + shift] for x in node.inputs if isinstance(x, Node) and x not in own]
        for begin in (start, later)
    )
    given = {x for x in second if x.op is not None or x.plan is not None}
    return given <= set(first) and any(node.shape for node in (*second, *own))
