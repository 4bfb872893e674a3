"""A person's derivation against the engine's gradients: what is right, what is wrong, and which mistake it is."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..batch_axes import found_axes
from ..errors import BroadcastWarning, LostGradientWarning
from ..pytrees import Nest
from ..wording import is_or_are, listed
from . import hands
from .candidates import place
from .catalogue import left_out
from .conversions import Lost, is_converted, lost
from .diagnoses import Diagnosis, diagnose
from .kinks import explained_by_kinks
from .loss_parts import MOST_EXAMPLES
from .parameters import Case, is_right
from .recordings import Recording, lifted, nest_of
from .reports import Report, Table, entry, number, size
from .walks import Array, Gradients
from .wrong_batches import pairs, with_columns

_RTOL, _RTOL_SINGLE = 1e-7, 1e-3
_KINK = "right but for the kink"
_UNCLEAR = "not tested: at a kink"
_PRIMES = (7, 5, 11, 13, 17, 19, 23, 29, 31, 37, 3)


class Verdict(NamedTuple):
    """What is known of one gradient.

    name      of the parameter or the named tensor
    right     whether it agrees
    error     the largest difference over the largest true entry
    where     the index of the largest difference
    yours     the entry there
    true      what it should be
    note      more, in words
    """

    name: str
    right: bool
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
        self.first = next((v.name for v in verdicts if _is_wrong(v)), None)


def _is_wrong(verdict: Verdict) -> bool:
    return not verdict.right and verdict.note != _UNCLEAR


def check_derivation(
    loss_fn: Callable[..., Any], params: Any, hand: Any, *batch: Any, rtol: float | None = None
) -> DerivationReport:
    """Compare gradients that a person derived with those of ``loss_fn(params, *batch)``, and say what is wrong.

    ``hand`` is a function ``hand(params, *batch)`` that returns the gradients, or ``(loss, gradients)``, either of them
    with a dict of error terms as one element more; or it is the gradients themselves.  They are a nest of arrays like
    ``params``, or a dict by name, in which a gradient may be called "W1" or "dW1".  The dict may also hold error terms
    of tensors that ``loss_fn`` has named: "dz2" or "delta_z2" for ``.named("z2")``, each example's share in the loss of
    the batch, or of the example's own loss.  If ``loss_fn`` returns one loss for each example, the gradient is that of
    their mean.  Examples stand along the first axis of the batch's arrays, or along axes of one length along which they
    can change places without a change of the loss.

    A gradient is right if no entry is further from the true one than ``rtol`` times the largest true entry: 1e-7, or
    1e-3 where ``hand`` gives float32; nor, beyond rounding, than ten times ``rtol`` times its own true value.
    Everything is computed in float64.  A function is also called a second time, and with other batches that are made of
    the rows of this one, so that what depends on the number of examples shows; where a true gradient is 0, it is called
    with other parameters as well.

    The report reads as text, or as HTML in a notebook; ``.ok`` says whether all is right, and ``.assert_ok()`` raises
    unless it is.  A mistake is named only with evidence: the gradient made with this very mistake agrees with the one
    handed in, on all batches.  Where nothing fits, the report says so, and where backward leaves the truth.

    Raises ``TypeError`` for a loss that does not depend on ``params``, and for a ``hand`` that returns no arrays;
    ``ValueError`` for a sequence of gradients that has not the structure of ``params``, and for a loss that is not
    finite, has a gradient that is not, or draws random numbers.

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
    nest, arrays = nest_of(params), Nest(batch)
    if not callable(loss_fn) or any(map(callable, nest.leaves)):
        what = f"params contains {next(x for x in nest.leaves if callable(x))!r:.60}" if callable(loss_fn) else (
            f"loss_fn is {type(loss_fn).__name__}, no function"
        )  # fmt: skip
        raise TypeError(f"check_derivation: {what}. The arguments are check_derivation(loss_fn, params, hand, *batch)")
    nest.leaves, arrays.leaves = list(map(lifted, nest.leaves)), list(map(lifted, arrays.leaves))
    recording = Recording(loss_fn, nest, arrays)
    with warnings.catch_warnings():  # the first call has warned, and each other one would
        warnings.simplefilter("ignore", BroadcastWarning)
        warnings.simplefilter("ignore", LostGradientWarning)
        _refuse(recording)
        axes, sure = found_axes(arrays.leaves, recording.loss_of)
        if axes != recording.axes:
            recording = Recording(loss_fn, nest, arrays, axes)
        handed = hands.call(hand, recording)
        tolerance = rtol if rtol is not None else _RTOL_SINGLE if handed.narrow else _RTOL
        return _Check(recording, hand, handed, tolerance).report(sure)


def _refuse(recording: Recording) -> None:
    """Raise ``ValueError`` for a loss that is no number, or another one for the same batch."""
    value = float(recording.loss.item())
    if not np.isfinite(value):
        raise ValueError(
            f"check_derivation: the loss of this batch is {value}, and has no gradient to compare with. Look for a log "
            "of 0, a division by 0, an overflow in exp, or nan in the batch"
        )
    for name, g in recording.truth.items():
        if not np.isfinite(g).all():
            at = tuple(int(k) for k in np.argwhere(~np.isfinite(g))[0])
            raise ValueError(
                f"check_derivation: the gradient by {name} is {g[at]} at {entry(name, at)}: there is no derivative to "
                f"compare with, {recording.without_derivative()}. Check with other params or another batch, or keep "
                "the argument away from there, np.sqrt(x + 1e-12)"
            )
    again = recording.loss_at(recording.nest.leaves)
    if not np.isclose(value, again, 1e-10, 0):
        raise ValueError(
            f"check_derivation: loss_fn gives two different values for the same batch, {number(value)} and "
            f"{number(again)}, as functions do that draw random numbers. Draw them before and pass them as an "
            "argument, or make the generator inside the function, np.random.default_rng(0)"
        )


class _Check:
    """One comparison; ``given`` is the case of the given batch."""

    def __init__(self, recording: Recording, hand: Any, handed: hands.Handed, rtol: float) -> None:
        self.recording, self.hand, self.handed, self.rtol = recording, hand, handed, rtol
        self.shapes = {n: hands.fit_shape(n, x, recording, handed.keys[n]) for n, x in handed.arrays.items()}
        self.given = self._case(recording, handed)

    def _case(self, recording: Recording, handed: hands.Handed) -> Case:
        found: Gradients = {}
        for name in recording.order():
            if name in handed.arrays:
                array = hands.fit_shape(name, handed.arrays[name], recording, handed.keys[name]).array
                if array is not None and np.isfinite(array).all():
                    found[name] = array
        return Case(recording, found, self.rtol, self.handed.keys)

    def report(self, sure: bool) -> DerivationReport:
        """What there is to say; ``sure`` if it is known where the examples stand."""
        if is_converted(self.recording) and (parts := lost(self.recording)):
            return _cut(parts)
        problems = hands.problems(self.handed, self.recording)
        diagnoses = [Diagnosis(f.number, f.sentence, [n]) for n, f in self.shapes.items() if f.number]
        problems += [f.sentence for f in self.shapes.values() if f.sentence and not f.number]
        notes = self._notes(sure)
        stale = self._stale() if callable(self.hand) else None
        moved = self._moved()
        names = [name for name in self.recording.order() if name in self.handed.arrays]
        verdicts = [self._tested(self._verdict(name), moved) for name in names]
        untested = [n for n in self.given.hand if self.recording.vanishes(n)]
        if untested:
            notes.append(_vacuous(untested, moved))
        elsewhere = ""
        if stale is not None:
            diagnoses.append(stale)
        else:
            shown = moved or [self.given]  # where a gradient is 0 no mistake shows
            telling = shown + self._probes(shown[0].recording)
            cases = [self.given, *telling] if moved else telling
            wrong = next((case for case in cases if not is_right(case)), None)
            followed = all(case.recording.followed for case in cases)
            confirmed = bool(moved) and all(map(is_right, telling))
            kink, settled = explained_by_kinks(cases, confirmed) if wrong is not None and followed else ("", False)
            if kink:
                notes.append(kink)
                note = _KINK if settled else _UNCLEAR
                verdicts = [
                    v._replace(right=settled, note=note) if not v.right and v.name in self.given.hand else v
                    for v in verdicts
                ]
            elif wrong is not None and (parts := lost(wrong.recording)):
                return _cut(parts)
            elif wrong is not None:
                # Small batches are quick, and those that are made have no lengths that coincide.
                meant = self._meant()
                if meant is not None:
                    diagnoses.append(meant)
                elif followed:
                    diagnoses += diagnose(
                        sorted(telling, key=lambda c: (is_right(c), c is not self.given, c.recording.m > 40))
                    )
                if wrong in moved:
                    elsewhere = "right at these parameters, and wrong at others near them"
                elif wrong is not self.given:
                    sizes = f"{self.recording.m}, and wrong for one of {wrong.recording.m}"
                    elsewhere = f"right for this batch of {sizes} made of its rows"
        return self._written(verdicts, diagnoses, problems, notes, elsewhere)

    def _written(
        self, verdicts: list[Verdict], diagnoses: list[Diagnosis], problems: list[str], notes: list[str], elsewhere: str
    ) -> DerivationReport:
        n, of = len(verdicts), "the mean loss" if self.recording.per_example else "the loss"
        every = f"All {n} gradients of {of} are" if n > 1 else f"The gradient of {of} is"
        wrong = [v.name for v in verdicts if _is_wrong(v)]
        unclear = [self.handed.keys[v.name] for v in verdicts if v.note == _UNCLEAR]
        ok = not (wrong or unclear or diagnoses or problems or elsewhere)
        if ok:
            worst = max([v.error for v in verdicts if v.note != _KINK], default=0.0)
            return DerivationReport(
                True, f"{every} right: the largest relative error is {size(worst)}.", [*notes], verdicts, []
            )
        if wrong:
            which = listed([self.handed.keys[name] for name in wrong], most=12)
            some = f"{len(wrong)} of {n} gradients of {of} {is_or_are(wrong)}" if n > 1 else f"The gradient of {of} is"
            headline = f"{some} wrong: {which}."
        elif unclear:
            headline = f"Whether {listed(unclear)} {is_or_are(unclear)} right cannot be told at a kink."
        else:
            headline = f"{every} {elsewhere}." if elsewhere else f"{every} right, but:"
        details: list[str | Table] = [*problems, *dict.fromkeys(d.sentence for d in diagnoses)]
        explained = {name for d in diagnoses for name in d.names}
        unknown = [name for name in wrong if name not in explained and name in self.given.hand]
        if unknown or (elsewhere and not diagnoses):
            details.append(self._unknown(verdicts, unknown))
            details += filter(None, [left_out(self.recording)])
            if not callable(self.hand) and self.recording.m > MOST_EXAMPLES:
                details.append(
                    f"With {self.recording.m} examples, mistakes about single ones, about pairs of them and about "
                    "micro-batches were not looked for: pass hand as a function, or check fewer examples."
                )
        details += [*notes, _table(verdicts, self.handed.keys)]
        return DerivationReport(False, headline, details, verdicts, diagnoses)

    def _unknown(self, verdicts: list[Verdict], names: list[str]) -> str:
        if not names:
            return "Nothing in the catalogue of mistakes explains it."
        text, first = f"Nothing in the catalogue of mistakes explains {self.given.say(names)}.", names[0]
        earlier = verdicts[: [v.name for v in verdicts].index(first)]
        before = [v.name for v in earlier if v.right]
        if len(before) == len(earlier):
            text += f" In the order of backward your derivation leaves the truth at {self.given.say([first])}"
            text += f", after {self.given.say(before)}, which {is_or_are(before)} right" if before else (
                ", the first of all" if len(verdicts) > 1 else ""
            )  # fmt: skip
            text += "; the"
        else:
            text += f" The first of these in backward is {self.given.say([first])}: the" if len(names) > 1 else " The"
        u, t = self.given.hand[first], self.recording.truth[first]
        lengths = float(np.linalg.norm(u) * np.linalg.norm(t))
        if not lengths or u.size < 2:
            return re.sub("(; the|: the| The)$", "", text).removesuffix(".") + "."
        return f"{text} cosine between yours and the true one is {number((u * t).sum() / lengths)}."

    def _stale(self) -> Diagnosis | None:
        """What there is to say if a second call gives other numbers than the first."""
        first, second = self.handed.arrays, hands.call(self.hand, self.recording).arrays
        names = [n for n, x in first.items() if n not in second or not np.array_equal(x, second[n], equal_nan=True)]
        if not names:
            return None
        truth = self.recording.truth
        added = all(
            n in second and first[n].shape == second[n].shape == truth[n].shape
            and self.given.close(second[n] - first[n], truth[n], truth[n]) for n in names
        )  # fmt: skip
        if added:
            says = "adds the true gradients once more to what it gave before: they are not reset to zero between calls"
            return Diagnosis(19, f"A second call with the same batch {says} ({self.given.say(names)}).", names)
        which = self.given.say(names)
        says = f"gives other numbers for {which}: hand draws random numbers, or keeps something between calls"
        return Diagnosis(0, f"A second call with the same batch {says}.", names)

    def _meant(self) -> Diagnosis | None:
        """What there is to say if the gradients are right for the loss with its vectors as columns."""
        if pairs(self.recording) is None:
            return None
        for other in with_columns(self.recording):
            if self.given.hand.keys() == other.truth.keys() and is_right(self.given._replace(recording=other)):
                says = "These are the gradients of the loss in which each prediction has its own target, as a column "
                says += f"({self.recording.m}, 1): the mistake is in loss_fn, and not in the derivation."
                return Diagnosis(20, says, [*self.given.hand])
        return None

    def _verdict(self, name: str) -> Verdict:
        fitted, true = self.shapes[name], self.recording.truth[name]
        if fitted.array is None:
            return Verdict(
                name, False, np.inf, (), np.nan, np.nan, f"shape {self.handed.arrays[name].shape}, not {true.shape}"
            )
        u, note = fitted.array, ""
        finite = name in self.given.hand
        right = finite and self.given.right(name)
        if finite and not right and self.given.is_own(name, true):
            u, right, note = u * (self.recording.parts.weight or 1), True, "of each example's own loss"
        return self._compared(name, u, true, right and not fitted.sentence, "the shape" if fitted.sentence else note)

    def _compared(self, name: str, u: Array, true: Array, right: bool, note: str) -> Verdict:
        difference = np.where(np.isnan(u), np.inf, abs(u - true))
        error = float(difference.max(initial=0) / max(abs(true).max(initial=0), 1e-300))
        if not right and error <= self.rtol:  # wrong by the size of the entry itself
            difference = difference / np.maximum(abs(true), 1e-11 * abs(true).max(initial=0))
        where = np.unravel_index(int(difference.argmax()), u.shape) if u.size else ()
        place = tuple(int(k) for k in where)
        yours, should = (float(u[place]), float(true[place])) if u.size else (0.0, 0.0)
        return Verdict(name, right, error, place, yours, should, note)

    def _moved(self) -> list[Case]:
        """The same derivation at other parameters, where a true gradient is 0 at the given ones and shows nothing."""
        if not callable(self.hand) or not any(map(self.recording.vanishes, self.given.hand)):
            return []
        return self._cases_of([self.recording.elsewhere()])

    def _tested(self, verdict: Verdict, moved: list[Case]) -> Verdict:
        """The verdict at the other parameters where there is nothing to see at the given ones."""
        name = verdict.name
        if not verdict.right or name not in self.given.hand or not self.recording.vanishes(name):
            return verdict
        if not moved:
            return verdict._replace(error=0.0, note="not tested: 0 here")
        case = moved[0]
        u, true, right = case.hand[name], case.recording.truth[name], case.right(name)
        if not right and case.is_own(name, true):
            u, right = u * (case.recording.parts.weight or 1), True
        return self._compared(name, u, true, right, verdict.note)

    def _probes(self, r: Recording) -> list[Case]:
        """The same derivation on other numbers of rows of the batch: primes that are no other length here."""
        if not callable(self.hand):
            return []
        lengths = {n for node in r.nodes for n in node.shape}
        rng = np.random.default_rng(0)
        others = []
        for n in [p for p in _PRIMES if p not in lengths][:2]:
            rows = rng.permutation(r.m)[:n] if n <= r.m else np.append(np.arange(r.m), rng.integers(0, r.m, n - r.m))
            others.append(r.on(r.rows_at(np.sort(rows))))
        return self._cases_of(others)

    def _cases_of(self, others: list[Recording | None]) -> list[Case]:
        """The same derivation on other recordings, where it runs and gives gradients by the same."""
        found = []
        for other in filter(None, others):
            try:
                with np.errstate(all="ignore"):
                    case = self._case(other, hands.call(self.hand, other))
            except Exception:  # a derivation for one size of batch, or for these parameters, is still a derivation
                continue
            if case.hand.keys() == self.given.hand.keys():
                found.append(case)
        return found

    def _notes(self, sure: bool) -> list[str]:
        notes = []
        if not sure:
            axes = [f"axis {a} of argument {k}" for k, a in enumerate(self.recording.axes, 1) if a is not None]
            notes.append(f"It is assumed that the {self.recording.m} examples stand along {listed(axes)} of the batch.")
        if self.handed.narrow:
            precision = f"the precision of {self.handed.narrow}"
            notes.append(f"The gradients handed in have {precision}, and are compared to {self.rtol:g}.")
        if (k := pairs(self.recording)) is not None:
            m = self.recording.m
            notes.append(
                f"loss_fn itself compares each of the {m} examples with all of them, in {place(self.recording, k)}: a "
                f"column ({m}, 1) met a vector ({m},). Unless that is meant, give them one shape."
            )
        if self.recording.m == 1:
            notes.append("A batch of 1 example does not show what is done over the examples: give more of them.")
        loss, true = self.handed.loss, float(self.recording.loss.item())
        if loss is not None and not np.isclose(float(loss), true, rtol=max(self.rtol, 1e-7)):
            notes.append(f"The loss that hand returns is {number(loss)}, and loss_fn gives {number(true)}.")
        return notes


def _vacuous(names: list[str], moved: list[Case]) -> str:
    says = f"The true gradient by {listed(names)} is 0 here, so nothing was tested"
    if not moved:
        return f"{says}: give other params, and hand as a function."
    still = [n for n in names if moved[0].recording.vanishes(n)]
    if still:
        return f"{says}; at other params near these it is 0 by {listed(still)} too."
    return f"{says}: the comparison is at other params near these."


def _cut(parts: list[Lost]) -> DerivationReport:
    slopes = [
        f"in a random direction of {x.name} the loss has the slope {number(x.slope)}, and by its recorded gradient "
        f"{number(x.recorded)}" for x in parts
    ]  # fmt: skip
    return DerivationReport(
        False,
        "Nothing can be said of these gradients: the recorded gradient of your loss is not its slope.",
        [
            f"loss_fn loses a dependence on {listed([x.name for x in parts])}: {'; '.join(slopes)}. So float(), "
            ".item(), .numpy(), .data or stop_gradient makes a part of the loss count as a constant. Compute the loss "
            "from params by NumPy's functions, without converting on the way; where the cut is meant, pass that part "
            "as an argument of the batch."
        ],
        [],
        [],
    )


def _table(verdicts: list[Verdict], keys: Mapping[str, str]) -> Table:
    rows = []
    first = next((v.name for v in verdicts if _is_wrong(v)), None)
    for v in verdicts:
        key = keys.get(v.name, v.name)
        says = "right" if v.right else "wrong" if _is_wrong(v) else "unclear"
        if v.name == first and len(verdicts) > 1:
            says += " <- the first in backward"
        worst = v.note
        if not v.right and not worst:
            worst = f"{entry(key, v.where)}: {number(v.yours)}, should be {number(v.true)}"
        name = v.name if key == v.name else f"{v.name} (your {key})"
        rows.append((name, says, size(v.error) if np.isfinite(v.error) else "", worst))
    return Table(("gradient by", "", "relative error", "worst entry"), rows)
