"""A person's derivation against the engine's gradients: what is right, what is wrong, and which mistake it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..pytrees import Nest
from . import hands
from .diagnoses import Diagnosis, diagnose
from .kinks import explained_by_kinks
from .parameters import Case
from .recordings import Gradients, Recording, lifted
from .reports import Report, Table, entry, listed, number, size

_RTOL, _RTOL_SINGLE = 1e-7, 1e-3
_PRIMES = (7, 5, 11, 13, 17, 19, 23, 29, 31, 37, 3)


class Verdict(NamedTuple):
    """What is known of one gradient.

    name      of the parameter or the named tensor
    right     whether it agrees; None where there is nothing to compare
    error     the largest difference over the largest true entry
    where     the index of the largest difference
    yours     the entry there
    true      what it should be
    note      more, in words
    """

    name: str
    right: bool | None
    error: float
    where: tuple[int, ...]
    yours: float
    true: float
    note: str = ""


class DerivationReport(Report):
    """What ``check_derivation`` found: ``str`` of it for people, and the same for programs.

    verdicts   one for each parameter and each intermediate result that was handed in, in the order of backward
    diagnoses  the mistakes: number in the catalogue, sentence, names; empty where nothing is wrong or nothing fits
    first      the name of the first wrong one in the order of backward; None if there is none

    >>> import numpy as np, tinygrad_mb as tg
    >>> def loss(params, x, y):
    ...     return 0.5 * np.square(x @ params["w"] - y).mean()
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]), np.array([1.0, 2.0, 0.0])
    >>> report = tg.check_derivation(loss, {"w": np.zeros(2)}, lambda p, x, y: {"w": x.T @ (x @ p["w"] - y)}, x, y)
    >>> report.first, [d.mistake for d in report.diagnoses]
    ('w', ['the 1/m of the mean is missing'])
    """

    def __init__(
        self, ok: bool, headline: str, details: list[str | Table], verdicts: list[Verdict], diagnoses: list[Diagnosis]
    ) -> None:
        super().__init__(ok, headline, details)
        self.verdicts = verdicts
        self.diagnoses = diagnoses
        self.first = next((v.name for v in verdicts if v.right is False), None)


def check_derivation(
    loss_fn: Callable[..., Any], params: Any, hand: Any, *batch: Any, rtol: float | None = None
) -> DerivationReport:
    """Compare gradients that a person derived with those of ``loss_fn(params, *batch)``, and say what is wrong.

    ``hand`` is a function ``hand(params, *batch)`` that returns the gradients, or ``(loss, gradients)``; or the gradients
    themselves.  They are a nest of arrays like ``params``, or a dict by name, in which a gradient may be called "W1"
    or "dW1".  The dict may also hold error terms of tensors that ``loss_fn`` has named: "dz2" or "delta_z2"
    for ``.named("z2")``.  If ``loss_fn`` returns one loss for each example, the gradient is that of their mean.  Examples
    stand along the first axis of the batch's arrays.

    A gradient is right if no entry is further from the true one than ``rtol`` times the largest true entry: 1e-7, or
    1e-3 where ``hand`` gives float32.  Everything is computed in float64.  A function is also called with other batches,
    made of the rows of this one, so that what depends on the number of examples shows.

    The report reads as text, or as HTML in a notebook; ``.ok`` says whether all is right, ``.assert_ok()`` raises unless
    it is.  What is named has evidence: a gradient made with the same mistake agrees with the one handed in.  Where
    nothing fits, it says so.

    Raises ``TypeError`` for a loss that does not depend on ``params``, and for a ``hand`` that returns no arrays.

    >>> import numpy as np, tinygrad_mb as tg
    >>> def loss(params, x, y):
    ...     return 0.5 * np.square(x @ params["w"] - y).mean()
    >>> def hand(params, x, y):
    ...     error = x @ params["w"] - y
    ...     return {"w": x.T @ error}
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]), np.array([1.0, 2.0, 0.0])
    >>> tg.check_derivation(loss, {"w": np.array([1.0, -1.0])}, hand, x, y).ok
    False
    """
    given = Nest(params)
    nest = Nest(given.fill([lifted(x) for x in given.leaves]) if given.paths != [""] else lifted(given.leaves[0]))
    recording = Recording(loss_fn, nest, Nest(tuple([_lift(x) for x in batch])))
    handed, changed = hands.call(hand, recording)
    again = hands.call(hand, recording)[0] if callable(hand) else handed
    tolerance = rtol if rtol is not None else _RTOL_SINGLE if handed.single else _RTOL
    return _Check(recording, hand, handed, tolerance).report(changed, again)


def _lift(x: Any) -> Any:
    nest = Nest(x)
    return nest.fill([lifted(leaf) for leaf in nest.leaves], whole=True)


class _Check:
    """One comparison: ``cases`` are the given batch and those made of its rows."""

    def __init__(self, recording: Recording, hand: Any, handed: hands.Handed, rtol: float) -> None:
        self.recording, self.hand, self.handed, self.rtol = recording, hand, handed, rtol
        self.shapes: dict[str, hands.Fitted] = {}
        self.bad: list[str] = []
        fitted = self._case(recording, handed)
        self.given = fitted
        self.shapes = {n: hands.fit_shape(n, x, recording) for n, x in handed.arrays.items()}

    def _case(self, recording: Recording, handed: hands.Handed) -> Case:
        found: Gradients = {}
        for name in recording.order():
            if name in handed.arrays:
                array = hands.fit_shape(name, handed.arrays[name], recording).array
                if array is not None and np.isfinite(array).all():
                    found[name] = array
        return Case(recording, found, self.rtol)

    def report(self, changed: list[str], again: hands.Handed) -> DerivationReport:
        r = self.recording
        problems = hands.missing(self.handed, r)
        diagnoses = [Diagnosis(f.number, f.sentence, [n]) for n, f in self.shapes.items() if f.sentence]
        problems += list(self._not_finite())
        if changed:
            problems.append(
                f"hand changes its arguments in place: {listed(changed)}. What comes after sees other numbers."
            )
        stale = self._stale(again)
        verdicts = [self._verdict(name) for name in r.order() if name in self.handed.arrays]
        wrong = [
            v for v in verdicts if v.right is False and v.name in self.given.hand and not self.shapes[v.name].sentence
        ]
        elsewhere = ""
        notes = []
        if stale is not None:
            diagnoses.append(stale)
        else:
            cases = [self.given, *self._probes()]
            if any(not _right(case) for case in cases):
                kinks = explained_by_kinks(cases)
                if kinks and not diagnoses:
                    notes.append(kinks)
                    verdicts = [v._replace(right=True, note="right but for the kink") for v in verdicts]
                    wrong = []
                else:
                    diagnoses += self._diagnosed(cases)
                    if not wrong and not diagnoses[:-1] and _right(self.given):
                        bad = next(case for case in cases if not _right(case))
                        elsewhere = f"right for this batch of {r.m}, wrong for one of {bad.recording.m} of its rows"
        names = [v.name for v in verdicts if v.right is not True]
        ok = not (problems or diagnoses or names or elsewhere)
        notes += self._notes(verdicts)
        if ok:
            worst = max([v.error for v in verdicts], default=0.0)
            headline = (
                f"All {len(verdicts)} gradients of {self._of()} are right: the largest relative error is {size(worst)}."
            )
            return DerivationReport(True, headline, notes, verdicts, [])
        return DerivationReport(False, self._headline(names, elsewhere), self._details(
            verdicts, diagnoses, problems, notes, bool(names or elsewhere)), verdicts, diagnoses)  # fmt: skip

    def _of(self) -> str:
        return "the mean loss" if self.recording.per_example else "the loss"

    def _headline(self, names: list[str], elsewhere: str) -> str:
        n = len(self.handed.arrays)
        if elsewhere:
            return f"The gradients of {self._of()} are {elsewhere}."
        if not names:
            return f"The {n} gradients that were handed in are right, and there is something else."
        return f"{len(names)} of {n} gradients of {self._of()} {'is' if len(names) == 1 else 'are'} wrong: {listed(names)}."

    def _details(
        self, verdicts: list[Verdict], diagnoses: list[Diagnosis], problems: list[str], notes: list[str], wrong: bool
    ) -> list[str | Table]:
        details: list[str | Table] = [*problems, *dict.fromkeys(d.sentence for d in diagnoses)]
        explained = {name for d in diagnoses for name in d.names}
        unknown = [v.name for v in verdicts if v.right is False and v.name not in explained]
        if unknown or (wrong and not diagnoses and not problems):
            details.append(self._unknown(verdicts, unknown))
        rows = []
        first = next((v.name for v in verdicts if v.right is False), None)
        for v in verdicts:
            says = "right" if v.right else "cannot be compared" if v.right is None else "wrong"
            worst = (
                f"{entry(v.name, v.where)}: {number(v.yours)}, should be {number(v.true)}"
                if v.right is False
                else v.note
            )
            error = "" if v.right is None else size(v.error)
            rows.append(
                (
                    v.name,
                    says + (" <- the first in backward" if v.name == first and len(verdicts) > 1 else ""),
                    error,
                    worst,
                )
            )
        return [*details, *notes, Table(("gradient by", "", "relative error", "worst entry"), rows)]

    def _unknown(self, verdicts: list[Verdict], names: list[str]) -> str:
        right = [v.name for v in verdicts if v.right]
        seen = [v for v in verdicts if v.name in names and v.name in self.given.hand]
        text = f"Nothing in the catalogue of mistakes explains {listed(names)}." if names else "The mistake is unknown."
        if seen:
            v = seen[0]
            u, t = self.given.hand[v.name], self.recording.truth[v.name]
            lengths = float(np.linalg.norm(u) * np.linalg.norm(t))
            cosine = (
                f"; the cosine between yours and the true one is {number((u * t).sum() / lengths)}" if lengths else ""
            )
            before = (
                f"{listed(right)} {'is' if len(right) == 1 else 'are'} right" if right else "nothing before it is right"
            )
            text += f" In the order of backward the derivation leaves the truth at {v.name}: {before}{cosine}."
        return text

    def _not_finite(self) -> Iterator[str]:
        for name, x in self.handed.arrays.items():
            bad = ~np.isfinite(x)
            if bad.any():
                at = tuple(int(k) for k in np.argwhere(bad)[0])
                yield f"The gradient by {name} has {int(bad.sum())} of {x.size} entries that are not finite, the first {entry(name, at)} = {x[at]}."

    def _stale(self, again: hands.Handed) -> Diagnosis | None:
        """Whether a second call gives other numbers than the first."""
        names = [n for n, x in self.handed.arrays.items() if not np.array_equal(x, again.arrays.get(n), equal_nan=True)]
        if not names:
            return None
        r = self.recording
        added = [n for n in names if self.handed.arrays[n].shape == r.truth[n].shape == np.shape(again.arrays.get(n))
                 and self.given.close(again.arrays[n] - self.handed.arrays[n], r.truth[n], r.truth[n])]  # fmt: skip
        if added == names:
            return Diagnosis(19, f"A second call with the same batch gives {listed(names)} once more added to the first "
                                 "result: stale gradients are not reset to zero.", names)  # fmt: skip
        return Diagnosis(0, f"A second call with the same batch gives other numbers for {listed(names)}: hand draws random "
                            "numbers, or keeps something between calls.", names)  # fmt: skip

    def _verdict(self, name: str) -> Verdict:
        fitted, true = self.shapes[name], self.recording.truth[name]
        if name not in self.given.hand:
            return Verdict(
                name, None if fitted.array is None else False, np.inf, (), np.nan, np.nan, fitted.sentence and "shape"
            )
        u, note = self.given.hand[name], ""
        right = self.given.close(u, true, true)
        weight = self.recording.weight
        if not right and name not in self.recording.params and weight and self.given.close(u * weight, true, true):
            u, right, note = u * weight, True, "of each example's own loss"
        where = np.unravel_index(int(abs(u - true).argmax()), u.shape) if u.size else ()
        place = tuple(int(k) for k in where)
        scale = max(abs(true).max(initial=0), 1e-300)
        error = float(abs(u - true).max(initial=0) / scale) if u.size else 0.0
        yours, should = (float(u[place]), float(true[place])) if u.size else (0.0, 0.0)
        return Verdict(name, right and not fitted.sentence, error, place, yours, should, note)

    def _probes(self) -> list[Case]:
        """The same derivation on other numbers of rows of the batch: primes that are no other length here."""
        r = self.recording
        if not callable(self.hand):
            return []
        lengths = {n for node in r.nodes for n in node.shape} | {len(r.params)}
        rng = np.random.default_rng(0)
        found = []
        for n in [p for p in _PRIMES if p not in lengths][:2]:
            rows = rng.permutation(n) if n <= r.m else np.concatenate([np.arange(r.m), rng.integers(0, r.m, n - r.m)])
            other = r.on(r.rows_at(np.sort(rows % r.m)))
            if other is None or other.signature != r.signature:
                continue
            try:
                with np.errstate(all="ignore"):
                    handed = hands.call(self.hand, other)[0]
            except Exception:  # a derivation for one size of batch is still a derivation
                continue
            case = self._case(other, handed)
            if case.hand.keys() == self.given.hand.keys():
                found.append(case)
        return found

    def _diagnosed(self, cases: list[Case]) -> list[Diagnosis]:
        """What explains all batches; searched on one of the small ones, where it is quick and no sizes coincide."""
        wrong = [case for case in cases if not _right(case)]
        order = sorted(
            cases,
            key=lambda case: (case not in wrong[:1] and _right(case), case is not self.given or case.recording.m > 40),
        )
        return diagnose(order)

    def _notes(self, verdicts: list[Verdict]) -> list[str]:
        notes = []
        if self.handed.single:
            notes.append(
                f"The gradients handed in have the precision of float32, so that they were compared to {_RTOL_SINGLE:g}."
            )
        loss, true = self.handed.loss, float(np.asarray(self.recording.loss.numpy()))
        if loss is not None and not np.isclose(float(loss), true, rtol=max(self.rtol, 1e-7)):
            notes.append(f"The loss that hand returns is {number(loss)}, and loss_fn gives {number(true)}.")
        return notes


def _right(case: Case) -> bool:
    r = case.recording
    for name, u in case.hand.items():
        true = r.truth[name]
        own = name not in r.params and r.weight is not None and case.close(u * r.weight, true, true)
        if not own and not case.close(u, true, true):
            return False
    return True
