"""What can have been done to the gradient by one parameter alone: factors, transposes, rows, regularisers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..wording import is_or_are, listed
from . import factors
from .factors import Factor
from .recordings import Recording
from .reports import number
from .walks import Array, Gradients

_CLOSE = 1e-6
_ROUNDING = 100  # times what the truth moves by if its inputs move in their last digits


class Case(NamedTuple):
    """One batch: its recording, and what the person's derivation gives there (what has the right shape).

    ``keys`` are the person's words for the names of parameters and tensors.
    """

    recording: Recording
    hand: Gradients
    rtol: float
    keys: Mapping[str, str]

    def say(self, names: Sequence[str]) -> str:
        """The gradients by these parameters and tensors, as the person calls them."""
        return listed([self.keys.get(n, n) for n in names])

    def close(self, u: Array, c: Array, true: Array) -> bool:
        """Whether two gradients by the same parameter agree."""
        scale = max(abs(c).max(initial=0), 1e-3 * abs(true).max(initial=0), 1e-300)
        return u.shape == c.shape and bool(abs(u - c).max(initial=0) <= self.rtol * scale)

    def agrees(self, name: str, g: Array) -> bool:
        """Whether a gradient is what was handed in; error terms of the examples' own losses are as good as shares."""
        return self.close(self.hand[name], g, self.recording.truth[name]) or self.is_own(name, g)

    def is_own(self, name: str, g: Array) -> bool:
        """Whether error terms of the examples' own losses were handed in, where ``g`` are their shares in a mean."""
        r = self.recording
        own = name not in r.params and r.parts.is_mean
        return own and self.close(self.hand[name], g / (r.parts.weight or 1), r.truth[name])

    def telling(self) -> set[str]:
        """The parameters among what was handed in whose true gradient is not 0."""
        r = self.recording
        return {n for n in self.hand if n in r.params and abs(r.truth[n]).max(initial=0) > 0}

    def right(self, name: str) -> bool:
        """Whether what was handed in is the true gradient: as a whole, and each entry by its own size."""
        r, u = self.recording, self.hand[name]
        if r.vanishes(name) and abs(u).max(initial=0) <= _ROUNDING * r.rounding[name].max(initial=0) < 1e-8:
            return True
        return self.close(u, r.truth[name], r.truth[name]) and not self.wrong_entries(name).any()

    def wrong_entries(self, name: str) -> Array:
        """Where an entry is off by more than ten times the tolerance of its own size, and by more than rounding."""
        true = self.recording.truth[name]
        floor = max(1e-11, self.rtol * (1e-4 if self.rtol < 1e-5 else 1e-2))
        excess = abs(self.hand[name] - true) - 10 * self.rtol * abs(true) - floor * abs(true).max(initial=0)
        wrong = excess > 0
        return wrong & (excess > _ROUNDING * self.recording.rounding[name]) if wrong.any() else wrong


def is_right(case: Case) -> bool:
    """Whether all that was handed in is right."""
    return all(case.right(name) or case.is_own(name, case.recording.truth[name]) for name in case.hand)


class Local(NamedTuple):
    """What has been done to some parameters, each by itself.

    key     equal keys are the same mistake
    number  in the catalogue; 0 if it is not in it
    tell    a sentence for these parameters, in the words of a case
    biases  what says whether all of them are biases, of a factor that is another mistake then; else None
    """

    key: tuple[str, ...]
    number: int
    tell: Callable[[list[str], Case], str]
    biases: Callable[[list[str]], bool] | None = None

    def number_for(self, names: list[str]) -> int:
        """The number in the catalogue, if it is these parameters that it has been done to."""
        return 11 if self.biases is not None and self.biases(names) else self.number


Way = tuple[Local, ...]  # all that has been done to one parameter; nothing if it is right


def ways(cases: Sequence[Case], bases: Sequence[Array], name: str, known: list[Factor]) -> list[Way]:
    """How the person's gradient by one parameter can have been made of these, on all batches."""
    recordings = [case.recording for case in cases]
    hands = [case.hand[name] for case in cases]

    def close(predictions: Iterable[Array]) -> bool:
        return all(
            case.close(u, c, case.recording.truth[name]) for case, u, c in zip(cases, hands, predictions, strict=True)
        )

    if all(case.agrees(name, b) for case, b in zip(cases, bases, strict=True)):
        return [()]
    if not any(u.any() for u in hands):  # every other mistake that gives 0 would do so by chance
        return [(_ZERO,)]
    found = _scaled(cases, bases, name, known, close, ())
    if bases[0].ndim == 2 and bases[0].shape[0] == bases[0].shape[1]:
        turned = [b.T for b in bases]
        found += [(_TRANSPOSED,)] if close(turned) else _scaled(cases, turned, name, known, close, (_TRANSPOSED,))
    if bases[0].ndim <= 1 and all(r.parts.rows for r in recordings):
        for i, which in ((0, "first"), (-1, "last")):
            rows = [r.parts.rows[i][name] for r in recordings]
            whole = [row / (r.parts.weight or 1) for row, r in zip(rows, recordings, strict=True)]
            row = _row(which, recordings[0].m)
            if close(rows) or close(whole):
                found.append((row,))
            else:
                found += _scaled(cases, rows, name, known, close, (row,))
    return found + _regularised(cases, bases, name, known, close)


_ZERO = Local(
    ("zero",),
    0,
    lambda names, case: (
        f"{case.say(names)} {is_or_are(names)} 0 in all entries, and the true gradient is not: "
        f"{'was it' if len(names) == 1 else 'were they'} filled in?"
    ),
)
_TRANSPOSED = Local(
    ("transposed",),
    12,
    lambda names, case: (
        f"{case.say(names)} {is_or_are(names)} exactly transposed; the matrix is square, so that no shape tells."
    ),
)


def _row(which: str, m: int) -> Local:
    return Local(
        ("row", which),
        10,
        lambda names, case: (
            f"{case.say(names)} {is_or_are(names)} what the {which} example alone contributes: the sum over the {m} "
            "examples is missing."
        ),
    )


Close = Callable[[Iterable[Array]], bool]


def _scaled(
    cases: Sequence[Case], bases: Sequence[Array], name: str, known: list[Factor], close: Close, besides: Way
) -> list[Way]:
    """A factor, in addition to what has been done besides."""
    ratios = [_fit(case.hand[name], b) for case, b in zip(cases, bases, strict=True)]
    if not close([a * b for a, b in zip(ratios, bases, strict=True)]):
        return []
    named = factors.named([case.recording for case in cases], ratios, known)
    if besides or _is_one_number(cases, name):  # which is a multiple of any other
        named = [pair for pair in named if _is_mistake(pair)][:1]
    others: dict[int, Factor] = {}
    for pair in named[1:]:
        if len(pair) == 1 and pair[0].number != named[0][0].number:
            others.setdefault(pair[0].number, pair[0])
    return [
        (*[_of_factor(f, pair, [*others.values()], cases, ratios, name) for f in pair], *besides) for pair in named[:1]
    ]


def _is_one_number(cases: Sequence[Case], name: str) -> bool:
    """Whether so little is known of a gradient that one fitted number would always explain it."""
    return len(cases) == 1 and cases[0].hand[name].size < 2


def _is_mistake(pair: tuple[Factor, ...]) -> bool:
    """Whether it is one factor that has an explanation."""
    return len(pair) == 1 and pair[0].number > 0


def _of_factor(
    factor: Factor, pair: Sequence[Factor], others: list[Factor], cases: Sequence[Case], ratios: list[float], name: str
) -> Local:
    """The mistake behind a factor; ``pair`` are all that it is made of, ``others`` could be meant as well."""
    recordings = [case.recording for case in cases]
    r = recordings[0]
    every = cases[0].telling()

    def biases(names: list[str]) -> bool:
        return set(names) < every and all(is_bias(r, n) for n in names if n in r.params)

    def tell(names: list[str], case: Case) -> str:
        mine = [n for n in names if n in every] or names
        told, values = pair, ratios
        if all(_is_part(case, n, ratios[0], whole=True) for n in mine):
            text = f"{case.say(mine)} {is_or_are(mine)}{' each' if len(mine) > 1 else ''} exactly {_times(values[0])} "
            text += "the true gradient"
        elif all(_is_part(case, n, ratios[0], whole=False) for n in mine):
            text = f"the part of the data in {case.say(mine)} is exactly {_times(values[0])} the true one"
        else:
            told, values = [factor], [factor.value(q) for q in recordings]
            text = f"{case.say(mine)} {'has' if len(mine) == 1 else 'have'} besides the factor {_bare(values[0])}"
        reasons = [reason for f in told if (reason := f.reason(r))]
        if reasons:
            text += f" {'' if reasons[0].startswith('at ') else 'and '}{', '.join(reasons)}"
        if len(cases) > 1 and abs(values[1] - values[0]) > _CLOSE * abs(values[0]):
            text += f" ({_times(values[1]).removesuffix(' of')} with {recordings[1].m})"
        claims = [f.claim for f in told]
        if factor.number in (1, 2) and biases(mine):
            averaged = "averaged over the batch where those of the weights are summed"
            summed = "summed over the batch where those of the weights are averaged"
            claims = [f"the gradients of biases are {averaged if factor.number == 2 else summed}"]
        elif set(mine) < every:
            right = [n for n in r.order() if n in every and n not in mine]
            text += f", {case.say(right)} {is_or_are(right)} not"
        text += f": {', and '.join(claims)}"
        if len(cases) == 1 and others:
            text += f" (or else {'; or '.join([f.claim for f in others])}: pass hand as a function, and other batch "
            text += "sizes can tell)"
        elif others:
            text += f" (or else {'; or '.join([f.claim for f in others])})"
        return text[:1].upper() + text[1:] + "." if text.startswith("the part") else text + "."

    return Local(("factor", factor.claim), factor.number, tell, biases if factor.number in (1, 2) else None)


def _is_part(case: Case, name: str, times: float, whole: bool) -> bool:
    """Whether what was handed in is so many times the true gradient, or its part of the data is if not as a whole."""
    r, u, true = case.recording, case.hand[name], case.recording.truth[name]
    part = np.zeros(true.shape) if whole else r.parts.regularisation.get(name, np.zeros(true.shape))
    data = times * (true - part)
    return case.close(u, data + _fit(u - data, part) * part, true)


def is_bias(r: Recording, name: str) -> bool:
    """Whether a parameter is only ever added, or part of a regulariser."""
    nodes = [r.params[name]]
    for node in nodes:
        for user, at in r.users.get(node, ()):
            kind = user.op.name if user.op is not None else ""
            if kind in ("reshape", "index", "broadcast_to"):
                nodes.append(user)
            elif not (kind in ("add", "subtract") or (kind == "linear" and at == 2) or user in r.of_parameters):
                return False
    return True


def _regularised(
    cases: Sequence[Case], bases: Sequence[Array], name: str, known: list[Factor], close: Close
) -> list[Way]:
    """A regulariser's part in the gradient: forgotten, doubled, scaled, or where there is none; or a factor besides."""
    r = cases[0].recording
    if name not in r.params:
        return []
    choices = [r.parts.regularisers] + ([[k] for k in r.parts.regularisers] if len(r.parts.regularisers) > 1 else [])
    for terms in choices:
        found = _with_terms(cases, bases, name, known, close, terms)
        if found:
            return found
    return []


def _with_terms(
    cases: Sequence[Case], bases: Sequence[Array], name: str, known: list[Factor], close: Close, chosen: list[int]
) -> list[Way]:
    """What can have been done to some terms of the regulariser."""
    recordings = [case.recording for case in cases]
    r = recordings[0]
    parts = [q.parts.part_of(chosen).get(name, np.zeros(())) for q in recordings]
    has_part = bool(abs(parts[0]).max(initial=0) > 0)
    if not has_part and chosen != r.parts.regularisers:
        return []
    terms = parts if has_part else [q.value(q.params[name]) for q in recordings]
    if any(t is None for t in terms):
        return []
    data = [b - p for b, p in zip(bases, parts, strict=True)]
    given = [(case.hand[name], d, t) for case, d, t in zip(cases, data, terms, strict=True)]
    strength = 1.0 if has_part else _strength_elsewhere(r)
    what = "the regulariser" if chosen == r.parts.regularisers else "a term of the regulariser"
    for fits in (
        [(1.0, _fit(u - d, t)) for u, d, t in given],
        [(_fit(u - strength * t, d), strength) for u, d, t in given],
        [_fit_two(u, d, t) for u, d, t in given],
    ):
        if not close([a * d + c * t for (a, c), (_, d, t) in zip(fits, given, strict=True)]):
            continue
        strengths = [c for _, c in fits]
        way: Way = ()
        if not (has_part and all(abs(c - 1) < _CLOSE for c in strengths)):
            single = cases[0].hand[name].size < 2
            made = _strength(recordings, strengths, what, single) if has_part else _added(strengths, r, single)
            if made is None:
                continue
            way = (made,)
        if all(a == 1.0 for a, _ in fits):
            return [way]
        ratios = [a for a, _ in fits]
        named = [pair for pair in factors.named(recordings, ratios, known) if _is_mistake(pair)]
        return [(_of_factor(f[0], f, [], cases, ratios, name), *way) for f in named[:1]]
    return []


def _strength_elsewhere(r: Recording) -> float:
    """What a regulariser multiplies other parameters by in their gradients; 0 if none does so."""
    for term in r.parts.regularisers:
        for name, part in r.parts.part_of([term]).items():
            if name in r.params and part.any():
                value = r.value(r.params[name])
                strength = _fit(part, value)
                if abs(part - strength * value).max() <= _CLOSE * abs(part).max():
                    return strength
    return 0.0


def _strength(recordings: Sequence[Recording], strengths: list[float], what: str, single: bool) -> Local | None:
    """A regulariser that counts more or less than it should."""
    meanings: tuple[tuple[Callable[[Recording], float], str], ...] = (
        (lambda q: 0.0, "is forgotten"),
        (lambda q: 2.0, "counts twice"),
        (lambda q: 0.5, "counts half"),
        (lambda q: 1 / q.m, "is divided by m as well"),
        (lambda q: float(q.m), "is multiplied by m, or taken once for each example"),
        (lambda q: -1.0, "has the wrong sign"),
        (lambda q: np.nan if single else strengths[0], "has another strength"),
    )
    for value, does in meanings:
        if all(abs(c - value(q)) < _CLOSE * max(1, abs(c)) for c, q in zip(strengths, recordings, strict=True)):
            shown = number(strengths[0]) if abs(strengths[0]) > _CLOSE else "0"
            return Local(("regulariser", what, does), 13, _telling(shown, what, does))
    return None


def _telling(shown: str, what: str, does: str) -> Callable[[list[str], Case], str]:
    part = f"without that of {what}" if shown == "0" else f"plus {shown} x that of {what}"

    def tell(names: list[str], case: Case) -> str:
        if all(_is_part(case, n, 1.0, whole=False) for n in names):
            return f"{case.say(names)} {is_or_are(names)} the gradient of the rest {part}: it {does}."
        return f"In {case.say(names)}, {what} {does}."

    return tell


def _added(strengths: list[float], r: Recording, single: bool) -> Local | None:
    """A regulariser for a parameter that has none; for a single number, only with the strength that others have."""
    if single and abs(strengths[0] - _strength_elsewhere(r)) > _CLOSE * abs(strengths[0]):
        return None
    if np.ptp(strengths) > _CLOSE * abs(strengths[0]) or abs(strengths[0]) < _CLOSE:
        return None
    others = any(abs(g).max(initial=0) > 0 for g in r.parts.regularisation.values())
    claim = "the regulariser is applied where the loss has none" if others else "the loss has no regulariser"
    return Local(
        ("regulariser", "where none is"),
        13,
        lambda names, case: (
            f"{case.say(names)} {'has' if len(names) == 1 else 'have'} exactly {number(strengths[0])} x the parameter "
            f"itself too much: {claim}."
        ),
    )


def _fit(u: Array, b: Array) -> float:
    """The number a for which a b is nearest to u."""
    square = float((b * b).sum())
    return float((u * b).sum()) / square if square else 0.0


def _fit_two(u: Array, b: Array, t: Array) -> tuple[float, float]:
    """The numbers a and c for which a b + c t is nearest to u."""
    if b.size < 3:  # with so few numbers everything would fit
        return np.nan, np.nan
    along = _fit(t, b)
    rest = t - along * b
    c = _fit(u - _fit(u, b) * b, rest)
    return _fit(u - c * t, b), c


def _bare(a: float) -> str:
    whole = 0 < abs(a) < 0.6 and abs(1 / a - round(1 / a)) < _CLOSE * abs(1 / a)
    return f"{'-' if a < 0 else ''}1/{abs(round(1 / a))}" if whole else number(a)


def _times(a: float) -> str:
    if abs(a + 1) < _CLOSE:
        return "the negative of"
    return f"{_bare(a)} of" if "/" in _bare(a) else f"{_bare(a)} x"
