import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mb.derivation.repeats import Repeat, repeats


def times(sequence, at, length):
    part = sequence[at : at + length]
    count = 1
    while len(part) == length and sequence[at + count * length : at + (count + 1) * length] == part:
        count += 1
    return count


@given(st.text("ab", max_size=30) | st.text("abc", max_size=30))
def test_each_repetition_is_the_longest_from_where_it_begins(sequence):
    at = 0
    for found in repeats(sequence, 1000):
        counts = {length: times(sequence, at, length) for length in range(1, 1 + len(sequence))}
        covered, length = max([(n * p, -p) for p, n in counts.items() if n >= 4], default=(1, 0))
        if length:
            assert found == Repeat(at, -length, covered // -length)
        else:
            assert found == at
        at += covered
    assert at == len(sequence)


def test_a_part_that_comes_twice_does_not_hide_a_smaller_one_that_comes_often():
    assert repeats("aaaaabcaaaaabc", 100) == [Repeat(0, 1, 5), 5, 6, Repeat(7, 1, 5), 12, 13]


@pytest.mark.parametrize("kinds", [1, 3, 100_000])
def test_long_sequences_are_covered_to_the_end(kinds):
    choose = random.Random(0).randrange
    found = repeats([choose(kinds) for _ in range(100_000)], 1_000_000)
    assert sum(part.length * part.times if isinstance(part, Repeat) else 1 for part in found) == 100_000
