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
    found: list[int | Repeat] = []
    at = room = 0
    while at < len(kinds) and room < limit:
        lengths = np.flatnonzero(kinds[at + 1 : at + 1 + _LONGEST] == kinds[at]) + 1
        best = max(
            [_repeat(kinds, at, length) for length in lengths.tolist()],
            key=lambda r: (r.length * r.times, -r.length),
            default=Repeat(at, 0, 0),
        )
        if best.times >= _FEWEST:
            found.append(best)
            at += best.length * best.times
            room += 2 * best.length
        else:
            found.append(at)
            at += 1
            room += 1
    return found


def _repeat(kinds: np.ndarray[tuple[int], np.dtype[np.int_]], start: int, length: int) -> Repeat:
    """How often the ``length`` elements from ``start`` on stand in a row; once counts for nothing."""
    same = kinds[start:-length] == kinds[start + length :]
    run = len(same) if same.all() else int(same.argmin())
    times = 1 + run // length
    return Repeat(start, length if times > 1 else 0, times)
