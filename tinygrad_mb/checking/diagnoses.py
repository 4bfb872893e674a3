"""From a wrong gradient to the mistake: the catalogue, and the search for what explains all parameters at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..wording import is_or_are, listed
from . import factors as factor_names
from .candidates import Candidate, on_the_way_back
from .catalogue import CATALOGUE, candidates, takes_pairs
from .factors import Factor
from .parameters import Case, Local, Way, is_right, ways
from .recordings import Recording, attempt
from .reports import size
from .walks import Array, Change, Gradients, Stop
from .wrong_batches import updated_too_early

_NEARLY = 1e-4  # a relative error that is no factor
_DRAWS = 10  # of other parameters, at which what is 0 by chance is not 0
_MOST_WHOLE = 40  # mistakes of which all pairs are tried


class Known(NamedTuple):
    """Factors that have a name: those that all parameters have, and those that some may have alone."""

    of_all: list[Factor]
    of_some: list[Factor]


class Diagnosis(NamedTuple):
    """What is wrong.

    number    of the mistake in the catalogue; 0 for one that is not in it
    sentence  what has been done, with the evidence
    names     the parameters and intermediate results that it is about
    """

    number: int
    sentence: str
    names: list[str]

    @property
    def mistake(self) -> str:
        """The mistake's name in the catalogue."""
        return CATALOGUE[self.number]


def diagnose(cases: Sequence[Case]) -> list[Diagnosis]:
    """One mistake, or two, that explain all that is wrong on all batches; nothing if there are no such.

    Intermediate results that no mistake explains together with the parameters are left aside.
    """
    params = cases[0].recording.params
    with np.errstate(all="ignore"):
        found = _diagnosed(cases)
        if not found and not cases[0].hand.keys() <= params.keys():
            alone = [case._replace(hand={n: u for n, u in case.hand.items() if n in params}) for case in cases]
            if alone[0].hand and not all(map(is_right, alone)):
                return _diagnosed(alone) or _in_part(alone)
        return found or _in_part(cases)


def _diagnosed(cases: Sequence[Case]) -> list[Diagnosis]:
    """Single mistakes come before pairs, and what is done to all parameters alike before what is done to some."""
    case = cases[0]
    r = case.recording
    known = Known(factor_names.factors(r), factor_names.factors(r, of_some=True))
    truth = [c.recording.truth for c in cases]
    alone = _explained(cases, truth, known, 1)
    if alone is not None and (_is_of_all(alone, case) or all(local.key[0] == "regulariser" for local in alone)):
        return _told(alone, case)
    made: list[Made] = []
    for one in _unequal(candidates(r), case):
        made.append(one)
        if one.right == case.hand.keys() & one.gradients.keys() and (said := _fits(one, cases, known, 0)) is not None:
            return said
    early = updated_too_early(r, case.hand, case.close)
    for one in _unequal([early] if early is not None else [], case):
        made.append(one)
        if (said := _fits(one, cases, known, 0)) is not None:
            return said
    if alone is not None and all(local.number for local in alone):
        return _told(alone, case)
    nearly = []
    for one in made:
        found = _explained(cases[:1], [one.gradients], known, 1)
        if found is not None:
            nearly.append(one)
            if _is_of_all(found, case) and (said := _fits(one, cases, known, 1, of_all=True)) is not None:
                return said
    both = _explained(cases, truth, known, 2)
    if both is not None and all(local.number for local in both):
        return _told(both, case)
    for one in nearly:
        if (said := _fits(one, cases, known, 1)) is not None:
            return said
    for pair in _pairs(made, case) if takes_pairs(r) else ():
        if (said := _fits(pair, cases, known, 0)) is not None:
            return said
    return _told(alone or both or {}, case)


class Made(NamedTuple):
    """A mistake made on the first batch: the gradients that come out, and which of those handed in they are."""

    candidate: Candidate
    gradients: Gradients
    change: Change | None
    right: set[str]


def _in_part(cases: Sequence[Case]) -> list[Diagnosis]:
    """What can be said where nothing explains all: that it is nearly right, or a mistake that is made up to a point."""
    case = cases[0]
    r = case.recording
    names = [n for n in r.order() if n in case.hand]
    wrong = [n for n in names if not all(c.close(c.hand[n], c.recording.truth[n], c.recording.truth[n]) for c in cases)]
    error = max([_relative(c.hand[n], c.recording.truth[n]) for c in cases for n in wrong], default=0.0)
    if error < _NEARLY:
        says = f"{case.say(wrong)} {is_or_are(wrong)} true to a relative error of {size(error)}, where {case.rtol:g} "
        says += "is the tolerance. That is no factor, but an error of computation, or a small term too many"
        return [Diagnosis(0, f"{says}.", wrong)] if wrong else []
    some = factor_names.factors(r, of_some=True)
    for n in range(len(wrong) - 1, 0, -1):
        part = [c._replace(hand={name: c.hand[name] for name in wrong[:n]}) for c in cases]
        found = _explained_with(part, [c.recording.truth for c in cases], some, 1)
        if found and all(local.number not in (0, 16) for local in found):
            most, following = case.say(wrong[:n]), case.say(wrong[n : n + 1])
            end = f" This explains {most}, and stops at {following}, the next one in backward that is wrong."
            return [d._replace(sentence=d.sentence + end) for d in _told(found, case)]
    return []


def _relative(u: Array, true: Array) -> float:
    return float(abs(u - true).max(initial=0) / max(abs(true).max(initial=0), 1e-300))


Found = dict[Local, list[str]]  # mistakes of single parameters, and the parameters that each is about


def _is_of_all(found: Found, case: Case) -> bool:
    """Whether one mistake is made in every parameter."""
    every = case.telling()
    return all(local.number and every <= set(names) for local, names in found.items())


def _unequal(found: Iterable[Candidate], case: Case) -> Iterator[Made]:
    """The mistakes that differ from the truth and from each other.

    Gradients are known again by two sums of their entries, with weights that no coincidence evens out.
    """
    truth = case.recording.truth
    scales = {n: max(abs(g).max(initial=0), 1e-300) for n, g in truth.items()}
    turns = {n: np.exp(1j * np.arange(k, k + g.size)).reshape(g.shape) for k, (n, g) in enumerate(truth.items())}

    def mark(gradients: Gradients) -> complex:
        return complex(sum([(g * turns[n]).sum() / scales[n] for n, g in gradients.items()]))

    marks = [mark(truth)]
    for candidate in found:
        made = candidate.make(case.recording)
        at = mark(made) if made is not None else np.nan
        if made is not None and np.isfinite(at) and (abs(np.array(marks) - at) > 1e-8 * (1 + abs(at))).all():
            marks.append(at)
            change = candidate.change(case.recording) if candidate.change is not None else None
            yield Made(candidate, made, change, _right(made, case))


def _right(gradients: Gradients, case: Case) -> set[str]:
    """The names of what was handed in that is equal to these gradients."""
    return {n for n in case.hand if n in gradients and case.agrees(n, gradients[n])}


def _other(case: Case, name: str) -> Callable[[Array | None], bool]:
    """Whether a gradient is none, or another one than was handed in."""
    return lambda g: g is None or not case.agrees(name, g)


def _pairs(made: list[Made], case: Case) -> Iterator[Made]:
    """Two mistakes on the way back: one explains more of the parameters than none does, or both are made throughout."""
    r = case.recording
    before = _right(r.truth, case)
    on_the_way = [one for one in made if one.change is not None]
    firsts = [one for one in on_the_way if one.right > before]
    whole = [one for one in on_the_way if one.candidate.whole and one not in firsts][:_MOST_WHOLE]
    stop: Stop = {r.index[n]: _other(case, name) for name, n in r.wanted.items() if name in case.hand and n in r.index}
    for one, other in [
        *[(one, other) for one in firsts for other in on_the_way if other is not one], *combinations(whole, 2)
    ]:  # fmt: skip
        assert one.change is not None
        assert other.change is not None
        both = one.change.joined(other.change)
        gradients = attempt(partial(r.back, both, stop)) if both is not None else None
        if gradients is not None:
            yield Made(_joined(one.candidate, other.candidate), gradients, both, set())


def _joined(one: Candidate, other: Candidate) -> Candidate:
    def change(r: Recording) -> Change:
        assert one.change is not None
        assert other.change is not None
        both = one.change(r).joined(other.change(r))
        if both is None:
            raise ValueError("two mistakes at one place")
        return both

    return on_the_way_back(one.number, f"{one.claim}; and {other.claim}", change, other.number)


def _fits(one: Made, cases: Sequence[Case], known: Known, more: int, of_all: bool = False) -> list[Diagnosis] | None:
    """What there is to say if a mistake, with at most so many besides, explains everything."""
    candidate, bases = one.candidate, list[Gradients]()
    found: Found | None = None
    for k, case in enumerate(cases):
        made = candidate.make(case.recording) if k else one.gradients
        if made is None or not all(np.isfinite(g).all() for g in made.values()):
            return None
        bases.append(made)
        found = _explained(cases[: k + 1], bases, known, more)
        if found is None or (of_all and not _is_of_all(found, cases[0])):
            return None
    if found is None or any(local.number == 0 for local in found):
        return None
    case, r = cases[0], cases[0].recording
    names = [n for n in r.order() if n in case.hand and n in bases[0]]
    wrong = [n for n in names if not case.close(bases[0][n], r.truth[n], r.truth[n])]
    if not any(case.hand[n].any() for n in wrong) and _is_zero_by_chance(candidate, r, wrong):
        return None
    right = [n for n in names if n not in wrong and n in r.params]
    claim = candidate.claim
    says = f"{claim[:1].upper()}{claim[1:]}: {_evidence(wrong, right, cases)}."
    parts = [Diagnosis(number, says, wrong) for number in (candidate.number, candidate.second) if number]
    return parts + _told(found, case)


def _is_zero_by_chance(candidate: Candidate, r: Recording, names: list[str]) -> bool:
    """Whether a mistake gives other gradients than 0 elsewhere, such as where other examples reach a relu."""
    rng = np.random.default_rng(0)
    others = [r.on(r.batch.leaves, [rng.normal(size=np.shape(x)) for x in r.nest.leaves]) for _ in range(_DRAWS)]
    found = [candidate.make(other) for other in others if other is not None]
    return any(made is not None and made[n].any() for made in found for n in names)


def _evidence(wrong: list[str], right: list[str], cases: Sequence[Case]) -> str:
    sizes = sorted({case.recording.m for case in cases})
    say = cases[0].say
    text = f"with this mistake backward gives your {say(wrong)}"
    if right:
        text += f", and leaves {say(right)} right"
    return text + (f", at batch sizes {listed([str(m) for m in sizes])}" if len(sizes) > 1 else "")


def _told(found: Found, case: Case) -> list[Diagnosis]:
    return [Diagnosis(local.number_for(names), local.tell(names, case), names) for local, names in found.items()]


def _explained(cases: Sequence[Case], bases: Sequence[Gradients], known: Known, most: int) -> Found | None:
    """At most so many mistakes of single parameters that make the person's gradients out of these; None if none do."""
    found = _explained_with(cases, bases, known.of_all, most)
    if found is None or not _is_by_chance(found, known, cases[0]):
        return found
    found = _explained_with(cases, bases, known.of_some, most)
    return None if found is None or _is_by_chance(found, known, cases[0]) else found


def _is_by_chance(found: Found, known: Known, case: Case) -> bool:
    """Whether some parameters alone have a factor that all would have, if it were what it is called."""
    claims = {f.claim for f in known.of_all} - {f.claim for f in known.of_some}
    return any(
        (local.key[-1] in claims or local.number == 16) and not _is_of_all({local: names}, case)
        for local, names in found.items()
    )


def _explained_with(cases: Sequence[Case], bases: Sequence[Gradients], known: list[Factor], most: int) -> Found | None:
    choices: dict[str, list[Way]] = {}
    for name in cases[0].hand:
        if name in bases[0]:
            choices[name] = ways(cases, [base[name] for base in bases], name, known)
            if not choices[name] or (most == 0 and choices[name] != [()]):
                return None
    mistakes = {local.key: local for name in choices for way in choices[name] for local in way}
    for n in range(most + 1):
        for keys in sorted(combinations(mistakes, n), key=lambda keys: sum(mistakes[k].number == 0 for k in keys)):
            taken: dict[tuple[str, ...], list[str]] = {key: [] for key in keys}
            for name, found in choices.items():
                way = next((way for way in found if {local.key for local in way} <= set(keys)), None)
                if way is None:
                    break
                for local in way:
                    taken[local.key].append(name)
            else:
                if all(taken.values()):
                    return {mistakes[key]: names for key, names in taken.items()}
    return None
