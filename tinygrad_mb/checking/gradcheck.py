"""Gradients of the engine against derivatives that were not made by differentiation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .differences import CIRCLE, EPS, TINY, Verdict, beside, complex_slope, is_analytic, judge, noise_of
from .outcomes import Entry, GradcheckReport, Outcome
from .subjects import Subject, subject_of

ALL_OF = 1000  # entries or fewer are all checked
SAMPLE = 200  # of more
DIRECTIONS = 5
_THOROUGH = 20  # wrong entries, after which the complex step is believed
_NOT_ANALYTIC = (
    "the complex step disagrees with central differences: the function is not analytic (abs, real, norm ...)"
)


class _MisledError(Exception):
    """The complex step gives slopes that are not the function's."""


class _Check:
    """One comparison of a gradient with differences."""

    def __init__(self, subject: Subject, order: int, entries: int | str | None, rtol: float, seed: int) -> None:
        self.subject, self.order, self.rtol = subject, order, rtol
        self.rng = np.random.default_rng(seed)
        subject.start(seed)
        self.entries = sum(leaf.size for leaf in subject.leaves)
        wanted = (self.entries if self.entries <= ALL_OF else SAMPLE) if entries is None else entries
        self.places = self._places(self.entries if wanted == "all" else min(int(wanted), self.entries))
        self.checked = sum(map(len, self.places))
        self.directions = DIRECTIONS if self.checked < self.entries else 0
        self.method, self.reason, self.two_sided = "complex step", "", False
        self.finite = bool(np.isfinite(subject.value))
        self.gradient = subject.gradient() if self.finite else []
        flat = np.concatenate([g.reshape(-1) for g in self.gradient]) if self.gradient else np.zeros(0)
        self.largest = float(np.abs(flat[np.isfinite(flat)]).max(initial=0.0))
        self.size, self.noise = subject.size, EPS * subject.size
        if self.finite and self.entries:
            near = {
                k: v * np.where(x, np.minimum(1, np.abs(x)), 1) * np.isfinite(self.gradient[k])
                for k, v, x in self._random_steps()
            }
            noise, size = noise_of(subject.along(near), subject.value)
            self.size, self.noise = max(self.size, size), max(self.noise, noise)
            self._choose_method(near)

    def _places(self, n: int) -> list[np.ndarray[Any, np.dtype[Any]]]:
        """Which entries of each array to check: all, or a sample that has at least one of each array."""
        if n == self.entries:
            return [np.arange(leaf.size) for leaf in self.subject.leaves]
        shares = [min(leaf.size, max(1, round(n * leaf.size / self.entries))) for leaf in self.subject.leaves]
        return [
            np.sort(self.rng.choice(leaf.size, share, replace=False))
            for leaf, share in zip(self.subject.leaves, shares, strict=True)
        ]

    def _random_steps(self) -> list[tuple[int, Any, Any]]:
        """For each array its number, a random step, and the array."""
        leaves = enumerate(self.subject.leaves)
        return [(k, self.rng.normal(size=x.shape) * np.isfinite(x), x) for k, x in leaves if x.size]

    def _direction(self) -> dict[int, Any]:
        return {k: v * np.maximum(1, np.abs(x)) for k, v, x in self._random_steps()}

    # ------------------------------------------------------------------------------------------ the method

    def _choose_method(self, direction: dict[int, Any]) -> None:
        """The complex step if the function lets complex numbers through, and one central difference agrees with it."""
        line, value = self.subject.along(direction), self.subject.value
        try:
            ahead = complex_slope(line)
            behind = complex_slope(lambda t: line(-t).conjugate())
            shift = abs(complex(line(TINY * 1j)).real - value)
        except Exception as error:
            first = str(error).strip().splitlines()
            return self._central(f"with complex inputs it raises {type(error).__name__}: {first[0] if first else ''}")
        if not math.isfinite(ahead) or not math.isfinite(behind) or shift > 1e3 * self.noise + 1e-12 * self.size:
            return self._central("for complex inputs its real values are others")
        unit = self._unit_along(direction)
        self.two_sided = abs(ahead - behind) > 1e-10 * unit
        for slope in (ahead, behind):
            if judge(slope, line, value, self.noise, unit).kind != ("kink" if self.two_sided else "right"):
                return self._central(_NOT_ANALYTIC)
        return None

    def _central(self, reason: str) -> None:
        self.method, self.reason, self.two_sided = "central differences", reason, False

    # ----------------------------------------------------------------------------------------- comparisons

    def _unit(self, k: int, scale: float) -> float:
        """What counts as a large slope for an entry of the k-th array."""
        g = self.gradient[k]
        largest = float(np.abs(g[np.isfinite(g)]).max(initial=0.0))
        return max(largest, 1e-2 * self.size / scale, 1e-6 * self.largest, 1e-300)

    def _unit_along(self, direction: dict[int, Any]) -> float:
        squares = [np.square(np.where(np.isfinite(self.gradient[k]), self.gradient[k], 0) * v).sum()
                   for k, v in direction.items()]  # fmt: skip
        return max(math.sqrt(sum(squares)), 1e-2 * self.size, 1e-300)

    def compare(self, claimed: float, line: Any, unit: float, scale: float, trusting: bool = False) -> Verdict:
        """One slope against the reference; raises ``_MisledError`` if the complex step turns out not to be one."""
        value, exact = self.subject.value, self.method == "complex step"
        if exact:
            slope = complex_slope(line, scale)
            other = complex_slope(lambda t: line(-t).conjugate(), scale) if self.two_sided else slope
            tolerance = self.rtol * abs(slope) + 1e-12 * unit + 16 * self.noise
            if abs(slope - other) <= 1e-10 * unit:
                origin = f"{self.rtol:.0e} of the value, and rounding"
                if abs(claimed - slope) <= tolerance:
                    return Verdict("right", slope, tolerance, origin)
                if trusting:
                    return Verdict("wrong", slope, tolerance, origin)
        verdict = judge(claimed, line, value, self.noise, unit, scale, self.rtol)
        if not exact or verdict.kind == "kink":
            return verdict
        if abs(slope - verdict.reference) > verdict.tolerance:
            raise _MisledError
        resolution = 10 * self.noise / (CIRCLE * scale)
        if verdict.kind != "wrong" and abs(claimed - slope) <= resolution:
            return Verdict("right", slope, resolution, f"rounding in the function's values, {self.noise:.0e}")
        if verdict.kind != "wrong" and not is_analytic(line, scale, abs(claimed - slope)):
            raise _MisledError
        return Verdict("wrong", slope, tolerance, f"{self.rtol:.0e} of the value, and rounding")

    def entry(self, k: int, place: int, trusting: bool = False) -> Entry:
        """One entry of the k-th array, compared."""
        g, leaf = self.gradient[k], self.subject.leaves[k]
        index = tuple(int(i) for i in np.unravel_index(place, leaf.shape))
        claimed = float(g.flat[place])
        line, scale = self.subject.towards(k, place)
        if not math.isfinite(claimed):
            infinite, why = beside(line, self.subject.value, scale)
            verdict = Verdict("no derivative" if infinite else "not finite", math.nan, math.nan, why)
        else:
            verdict = self.compare(claimed, line, self._unit(k, scale), scale, trusting)
        return Entry(self.subject.paths[k], index, claimed, verdict.reference, verdict.tolerance, verdict.origin,
                     verdict.kind)  # fmt: skip

    def all_entries(self) -> list[Entry]:
        """All that are to be checked, and those that wrong directions lead to."""
        found: list[Entry] = []
        bad = 0
        for k, places in enumerate(self.places):
            for place in places[np.isfinite(self.subject.leaves[k].flat[places])]:
                found.append(self.entry(k, int(place), bad >= _THOROUGH))
                bad += found[-1].kind != "right"
        if all(e.kind in ("right", "kink") for e in found):
            for _ in range(self.directions):
                direction = self._direction()
                verdict = self._judge_direction(direction)
                if verdict.kind == "wrong":
                    found.append(self._search(direction))
                    break
        return found

    def _judge_direction(self, direction: dict[int, Any]) -> Verdict:
        claimed = float(sum((self.gradient[k] * v).sum() for k, v in direction.items()))
        if not math.isfinite(claimed):
            return Verdict("wrong", math.nan, math.nan, "")
        return self.compare(claimed, self.subject.along(direction), self._unit_along(direction), 1.0)

    def _search(self, direction: dict[int, Any]) -> Entry:
        """The wrong entry that a wrong direction leads to, by halving the set of entries that move."""
        where = [(k, place) for k in direction for place in range(direction[k].size)]
        while len(where) > 1:
            half = where[: len(where) // 2]
            part = {k: np.zeros_like(direction[k]) for k, _ in half}
            for k, place in half:
                part[k].flat[place] = direction[k].flat[place]
            where = half if self._judge_direction(part).kind == "wrong" else where[len(where) // 2 :]
        return self.entry(*where[0])

    def outcome(self) -> Outcome:
        """Compare, and say what was found."""
        found: list[Entry] = []
        if self.finite:
            try:
                found = self.all_entries()
            except _MisledError:
                self._central(_NOT_ANALYTIC)
                found = self.all_entries()
        found.sort(key=_badness, reverse=True)
        return Outcome(
            self.subject, self.order, self.method, self.reason, self.entries, self.checked, self.directions, found,
            self.noise / (self.size or 1),
        )  # fmt: skip


def _badness(e: Entry) -> tuple[int, float]:
    """What to show first: what is not finite, what has no derivative, what is wrong by much, what is undecided."""
    order = ("kink", "right", "undecided", "wrong", "no derivative", "not finite").index(e.kind)
    return order, e.error / e.tolerance if e.tolerance and math.isfinite(e.error / e.tolerance) else 0.0


def gradcheck(
    fn: Callable[..., Any],
    *inputs: Any,
    order: int = 1,
    argnums: int | tuple[int, ...] | None = None,
    entries: int | str | None = None,
    rtol: float = 1e-9,
    seed: int = 0,
) -> GradcheckReport:
    """Compare the gradient of a function, as the engine computes it, with derivatives found without differentiation.

    ``inputs`` are arrays or nests of arrays (dicts of parameters, modules); all that are of floating-point numbers are
    differentiated by, or those in the arguments ``argnums``.  Narrow numbers are widened to float64.  ``fn`` returns an
    array or a nest; of several numbers, the sum with random weights is differentiated.  ``order=2`` also checks the
    derivatives of the gradient, as those of any function: the engine's gradient is run on complex numbers, too.

    The reference is the complex step where ``fn`` lets complex numbers through and one central difference confirms it,
    and central differences otherwise.  All of up to 1000 entries are compared; of more, a random sample of 200, and the
    derivatives along 5 random directions; ``entries`` is another size for the sample, or "all".  ``rtol`` is what an
    entry may be off by, as a part of it, besides the error of the reference.  ``seed`` is for whatever is random.

    Where the slopes on both sides of a point differ, as at 0 for ``abs``, any value from the one to the other is right,
    and the entry is counted as a kink.  Where the slope is infinite there is none, and the check fails.

    The report prints itself; it is true if all is right, and has ``assert_ok()``.

    Raises ``ValueError`` for a function that draws random numbers, changes its inputs, or gives other values for
    Tensors than for arrays; ``TypeError`` if there is nothing to differentiate, or the function narrows its numbers.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.gradcheck(np.tanh, np.array([0.5, -1.0]))
    gradcheck of tanh: all 2 entries right (complex step).
    >>> @tg.primitive
    ... def cube(x):
    ...     return x * x * x
    >>> tg.defvjp(cube, x=lambda g, x: 2 * g * x * x)
    >>> bool(tg.gradcheck(cube, np.array([1.0, 2.0])))
    False
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: order={order!r} must be 1 or 2")
    if entries is not None and entries != "all" and (isinstance(entries, str) or entries < 1):
        raise ValueError(f"gradcheck: entries={entries!r} must be a number of entries from 1 on, or 'all'")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        subject = subject_of(fn, inputs, argnums)
        outcomes = [_Check(subject, 1, entries, rtol, seed).outcome()]
        if order == 2 and outcomes[0].ok:
            outcomes.append(_Check(subject.derivative(), 2, entries, rtol, seed).outcome())
        return GradcheckReport(outcomes)
