"""Where a sequence repeats itself, so that what is the same is shown once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

_LONGEST = 64  # a part that is looked for
_FEWEST = 4  # times that are worth leaving some out


class Repeat(NamedTuple):
    """``length`` elements from ``start`` on, ``times`` times in a row."""

    start: int
    length: int
    times: int

    @property
    def end(self) -> int:
        """The position after the last element."""
        return self.start + self.length * self.times


def repeats(sequence: Sequence[Hashable], limit: int) -> list[int | Repeat]:
    """The positions in a sequence, in order, with repetitions gathered; as many as show at most ``limit`` elements.

    A repetition shows its part twice.

    >>> repeats("abcbcbcbcd", 9)
    [0, Repeat(start=1, length=2, times=4), 9]
    >>> repeats("abcd", 3)
    [0, 1, 2]
    """
    known: dict[Hashable, int] = {}
    kinds = np.array([known.setdefault(element, len(known)) for element in sequence])
    covered, lengths = _longest(kinds)
    found: list[int | Repeat] = []
    at = room = 0
    while at < len(kinds) and room < limit:
        length = int(lengths[at])
        if length:
            found.append(Repeat(at, length, int(covered[at]) // length))
        else:
            found.append(at)
        at += int(covered[at])
        room += 2 * length or 1
    return found


def _longest(kinds: np.ndarray[tuple[int], np.dtype[np.int_]]) -> tuple[np.ndarray, np.ndarray]:
    """For each position how many elements the longest repetition from there on covers, and how long its part is.

    Where there is none, one element is covered, and the part has length 0.
    """
    positions = np.arange(len(kinds))
    covered, lengths = np.ones_like(positions), np.zeros_like(positions)
    for length in range(1, min(_LONGEST, len(kinds) // _FEWEST) + 1):
        here = positions[:-length]
        ends = np.where(kinds[:-length] == kinds[length:], len(here), here)
        times = (np.minimum.accumulate(ends[::-1])[::-1] - here) // length + 1
        longer = np.flatnonzero((times >= _FEWEST) & (times * length > covered[:-length]))
        covered[longer] = times[longer] * length
        lengths[longer] = length
    return covered, lengths
