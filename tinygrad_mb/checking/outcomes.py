"""What a comparison of a gradient with differences came to, and how a person would say it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..wording import listed, many
from .reports import Report, Table, entry, number, size
from .rules import Suspect, suspects
from .subjects import Subject

_MOST_ROWS = 12
_NEARLY_ONE = 1e-4  # a factor that is nearer to 1 says nothing in six digits
_FINE = ("right", "kink")
_KINDS = ("wrong", "not finite"), ("no derivative",), ("undecided",)


@dataclass(frozen=True, slots=True)
class Entry:
    """One number of a gradient, compared.

    input, index       where it is
    value              what the engine says
    reference          what it should be
    tolerance, origin  how far it may be from that, and where this comes from
    kind               "right", "kink", "wrong", "undecided", "not finite" or "no derivative"
    """

    input: str
    index: tuple[int, ...]
    value: float
    reference: float
    tolerance: float
    origin: str
    kind: str

    @property
    def error(self) -> float:
        """How far the value is from the reference."""
        return abs(self.value - self.reference)

    @property
    def relative(self) -> float:
        """The error as a part of the reference; infinite if that is 0 and the value is not."""
        return self.error / abs(self.reference) if self.reference else math.inf if self.error else 0.0

    def __str__(self) -> str:
        return entry(self.input, self.index)


@dataclass(eq=False)
class Outcome:
    """The comparison of one gradient, of ``order`` 1, or of the derivatives of that gradient, of order 2.

    subject     what was checked
    method      "complex step" or "central differences"
    reason      why it is not the complex step; empty if it is
    entries     how many there are
    checked     how many of them were compared, and ``directions``, along how many random ones besides
    found       all entries that were compared, the worst first
    roughness   by what part of themselves the function's values are rough
    """

    subject: Subject
    order: int
    method: str
    reason: str
    entries: int
    checked: int
    directions: int
    found: list[Entry]
    roughness: float

    def of_kind(self, *kinds: str) -> list[Entry]:
        """The entries of these kinds, worst first."""
        return [e for e in self.found if e.kind in kinds]

    @cached_property
    def wrong(self) -> list[Entry]:
        """The entries that are neither right nor at a kink, worst first."""
        return [e for e in self.found if e.kind not in _FINE]

    @property
    def finite(self) -> bool:
        """Whether the function's value is."""
        return bool(np.isfinite(self.subject.value))

    @property
    def ok(self) -> bool:
        """Whether no entry is wrong, and the function's value is finite."""
        return self.finite and not self.wrong

    # -------------------------------------------------------------------------------------------- in words

    @property
    def what(self) -> str:
        """What was compared: "all 35 entries", or "200 of 10,000 entries and 5 directions"."""
        if self.checked < self.entries:
            what = f"{self.checked:,} of {self.entries:,} entries"
        else:
            what = ("all " if self.entries > 1 else "") + many(self.entries, "entry")
        what += " of the second derivative" if self.order == 2 else ""
        return what + (f" and {self.directions} directions" if self.directions else "")

    def headline(self) -> str:
        """How many entries are right, or wrong."""
        name = self.subject.name
        if not self.finite:
            return f"{name}: it returns numbers that are not finite, so that there is no gradient to check."
        wrong, none, undecided = [len(self.of_kind(*kinds)) for kinds in _KINDS]
        parts = [many(wrong, "entry") + (" is wrong" if wrong == 1 else " are wrong")] * bool(wrong)
        parts += [many(none, "entry") + (" has" if none == 1 else " have") + " no derivative"] * bool(none)
        parts += [many(undecided, "entry") + " could not be decided"] * bool(undecided)
        return f"{name}: {listed(parts)}, of {self.what} checked ({self.method})."

    def details(self) -> Iterator[str | Table]:
        """What is wrong, and what to look at."""
        if not self.finite:
            yield from self._not_finite()
            return
        worst = self.wrong[0]
        if worst.kind in ("not finite", "no derivative"):
            yield f"{worst} is {number(worst.value)}: {worst.origin}."
        elif worst.kind == "undecided":
            yield f"{worst} is {number(worst.value)}, and {worst.origin}."
            if self.roughness > 1e-10 and math.isfinite(worst.reference):
                yield (
                    f"The function's values are rough, by {size(self.roughness)} of their size: does "
                    "it compute in float32 somewhere, or round?"
                )
        else:
            part = f", {100 * worst.relative:.3g} % of it" if math.isfinite(worst.relative) else ""
            worst_of = "Worst: " if len(self.wrong) > 1 else ""
            yield (
                f"{worst_of}{worst} is {number(worst.value)}, and should be {number(worst.reference)}: off by "
                f"{size(worst.error)}{part}."
            )
            yield f"Tolerance {size(worst.tolerance)}: {worst.origin}."
        if len(self.subject.weights[0].shape) or len(self.subject.weights) > 1:
            yield "The numbers are derivatives of the sum of all outputs, with random weights."
        kinks = len(self.of_kind("kink"))
        if kinks:
            yield f"{many(kinks, 'entry')} at kinks {'is' if kinks == 1 else 'are'} not counted as wrong."
        if len(self.subject.paths) > 1:
            yield self._table()
        yield from self._pattern()
        yield from self._blame()

    def _not_finite(self) -> Iterator[str]:
        for leaf, path in zip(self.subject.leaves, self.subject.paths, strict=True):
            for index in np.argwhere(~np.isfinite(leaf))[:1]:
                yield f"The input {entry(path, index)} is {number(leaf[tuple(index)])}."
        for k, out in enumerate(self.subject.outputs):
            name = f"output {k}" if len(self.subject.outputs) > 1 else "output"
            for index in np.argwhere(~np.isfinite(out))[:1]:
                yield f"The {entry(name, index)} is {number(out[tuple(index)])}."
        yield "Run it under tg.detect_anomaly() to see which operation makes such numbers."

    def _table(self) -> Table:
        rows = []
        for path, leaf in zip(self.subject.paths, self.subject.leaves, strict=True):
            mine = [e for e in self.found if e.input == path]
            wrong = sum(e.kind not in _FINE for e in mine)
            rows.append([path, str(leaf.shape), f"{len(mine):,}", f"{wrong:,}" if wrong else "-"])
        rows.sort(key=lambda row: row[3] == "-")
        more = [["...", "", "", ""]] if len(rows) > _MOST_ROWS else []
        return Table(("input", "shape", "compared", "wrong"), rows[:_MOST_ROWS] + more)

    def _pattern(self) -> Iterator[str]:
        """What all wrong entries have in common."""
        wrong = [e for e in self.of_kind("wrong") if e.reference]
        if len(wrong) < 2:
            return
        ratio = wrong[0].value / wrong[0].reference
        if abs(ratio - 1) >= _NEARLY_ONE and all(
            abs(e.value - ratio * e.reference) <= 1e-6 * abs(e.value) + 2 * e.tolerance for e in wrong
        ):
            if ratio == 0:
                yield (
                    "All of these are 0, as if nothing depended on them: derivatives are lost by .data, .numpy(), "
                    "detach() and stop_gradient()."
                )
            else:
                yield f"All of these are {number(ratio)} times what they should be."

    def _blame(self) -> Iterator[str]:
        """Which operation's rule is wrong, if one is."""
        if not self.of_kind("wrong", "not finite"):
            return
        rules = suspects(self.subject)
        guilty = [rule for rule in rules if rule.kind == "wrong"]
        for rule in guilty[:3]:
            yield f"Look at the derivative rule of {rule.op} for {rule.argument}: {_gives(rule)}{_used_at(rule)}."
        if guilty or not self.of_kind("wrong"):
            return
        at_kinks = [f"{rule.op}{_used_at(rule)}" for rule in rules if rule.kind == "kink"]
        if at_kinks:
            yield (
                f"Each operation's own rule is right here, but there is a kink: {'; '.join(at_kinks[:3])}. Each rule "
                "takes one of the slopes there, and together they need not make a slope of the function. Check at "
                "other inputs, away from the kink."
            )
        elif self.order == 2:
            yield (
                "Each operation's own rule is right here, so look for a rule that is not differentiable itself: "
                "it must be NumPy's functions of g and of what it names, without .data, .numpy() or detach()."
            )
        else:
            yield (
                "Each operation's own rule is right here, so look at what is between the operations: numbers taken "
                "out of Tensors, with .data, .numpy() or float(), count as constants, as does stop_gradient()."
            )


def _gives(rule: Suspect) -> str:
    """What a wrong rule gives, in words."""
    if rule.factor is not None and abs(rule.factor - 1) >= _NEARLY_ONE:
        return f"what it gives is {number(rule.factor)} times what it should be"
    off = f", off by {size(abs(rule.value - rule.reference))}" if rule.reference else ""
    return f"along a random direction it gives {number(rule.value)} for {number(rule.reference)}{off}"


def _used_at(rule: Suspect) -> str:
    return f", used at {rule.where}" if rule.where else ""


class GradcheckReport(Report):
    """What ``gradcheck`` found; it prints itself, in one line if all is right.

    ok           whether no entry is wrong, and the function's value is finite
    method       "complex step" or "central differences", of the first order
    reason       why it is not the complex step; empty if it is
    worst        the entry that is farthest from its reference, by its tolerance; None if there are no entries
    wrong        the entries that are neither right nor at a kink, worst first
    kinks        the entries at kinks
    outcomes     the comparison of the gradient, and that of its derivatives if these were asked for
    evaluations  how often the function was called with plain arrays
    """

    def __init__(self, outcomes: list[Outcome]) -> None:
        self.outcomes = outcomes
        first, last = outcomes[0], outcomes[-1]
        self.method, self.reason = first.method, first.reason
        self.wrong = [e for outcome in outcomes for e in outcome.wrong]
        self.kinks = [e for outcome in outcomes for e in outcome.of_kind("kink")]
        self.worst = last.found[0] if last.found else None
        self.evaluations = first.subject.calls
        if last.ok:
            super().__init__(True, f"gradcheck of {first.subject.name}: {self._all_right()}")
        else:
            super().__init__(False, f"gradcheck of {last.headline()}", last.details())

    def _all_right(self) -> str:
        parts = []
        for outcome in self.outcomes:
            kinks = len(outcome.of_kind("kink"))
            at = f", {kinks:,} of them at kinks" if kinks else ""
            parts.append(f"{outcome.what} right{at} ({outcome.method})")
        subject = self.outcomes[0].subject
        notes = [f"lifted: {listed(subject.lifted, 3)}"] if subject.lifted else []
        notes += [f"constant: {listed(subject.constants, 3)}"] if subject.constants else []
        return "; ".join([*parts, *notes]) + "."
