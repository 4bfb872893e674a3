"""Words and numbers in sentences."""

from __future__ import annotations

from collections.abc import Sequence


def listed(words: Sequence[str], most: int = 6) -> str:
    """Words in a sentence; of many, the first ones and how many more there are.

    >>> listed(["W1", "b1", "W2"]), listed(list("abcdefgh"))
    ('W1, b1 and W2', 'a, b, c, d, e, f and 2 more')
    """
    shown = list(words) if len(words) <= most else [*words[:most], f"{len(words) - most} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def many(n: int, what: str) -> str:
    """So many of something.

    >>> many(1, "example"), many(3000, "example"), many(3, "entry")
    ('1 example', '3,000 examples', '3 entries')
    """
    several = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{n:,} {what if n == 1 else several}"


def is_or_are(words: Sequence[str]) -> str:
    """The verb for so many words.

    >>> is_or_are(["W1"]), is_or_are(["W1", "b1"])
    ('is', 'are')
    """
    return "is" if len(words) == 1 else "are"
