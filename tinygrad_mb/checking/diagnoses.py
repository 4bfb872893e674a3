"""From a wrong gradient to the mistake: the catalogue, and the search for what explains all parameters at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from . import factors as factor_names
from .candidates import Candidate, candidates, updated_too_early
from .factors import Factor
from .recordings import Array, Change, Gradients, Recording, attempt
from .reports import listed, number

CATALOGUE = {
    0: "a factor that nothing explains",
    1: "the 1/m of the mean is missing",
    2: "divided by m twice",
    3: "averaged over elements, not over examples",
    4: "the factor 2 of the square",
    5: "sign",
    6: "errors or activations averaged over the batch",
    7: "an activation's derivative is missing",
    8: "an activation's derivative at the wrong argument",
    9: "softmax with cross-entropy",
    10: "a bias's gradient is not summed over the batch",
    11: "a bias's gradient is averaged where weights are summed",
    12: "transposed, or factors in the wrong order",
    13: "the regulariser",
    14: "mean of means of unequal micro-batches",
    15: "a small batch is divided by the nominal size",
    16: "replicas averaged, and the loss is a sum",
    17: "mean or variance as constants",
    18: "weights updated before the errors go through them",
    19: "fan-out overwritten, or stale gradients added",
    20: "predictions (m, 1) against targets (m,)",
    21: "a reduction's axes restored wrongly",
    22: "a factor of the chain is left out",
}


class Case(NamedTuple):
    """One batch: its recording, and what the person's derivation gives there (what has the right shape)."""

    recording: Recording
    hand: Gradients
    rtol: float

    def close(self, u: Array, c: Array, true: Array) -> bool:
        """Whether two gradients by the same parameter agree."""
        scale = max(abs(c).max(initial=0), 1e-3 * abs(true).max(initial=0), 1e-300)
        return bool(abs(u - c).max(initial=0) <= self.rtol * scale)


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


class Local(NamedTuple):
    """What has been done to one parameter: equal keys are the same mistake."""

    key: tuple[Any, ...]
    number: int
    tell: Callable[[list[str]], str]


_SAME = Local(("same",), 0, lambda names: "")


def diagnose(cases: Sequence[Case]) -> list[Diagnosis]:
    """One mistake, or two, that explain all that is wrong on all batches; nothing if there are no such."""
    first = cases[0].recording
    known = list(factor_names.factors(first))
    truth = [case.recording.truth for case in cases]
    found = _explained(cases, truth, known, 1)
    if found is not None and all(local.number and len(names) == len(cases[0].hand) for local, names in found):
        return _told(found)  # one factor in all of them
    made = []
    for candidate in _unequal(candidates(first), cases[0]):
        made.append(candidate)
        if (part := _fits(candidate[0], cases, known, 0)) is not None:
            return part
    early = updated_too_early(first, cases[0].hand, cases[0].close)
    if early is not None and (part := _fits(early, cases, known, 0)) is not None:
        return part
    if found is not None and all(local.number for local, _ in found):
        return _told(found)
    two = _explained(cases, truth, known, 2)
    if two is not None and all(local.number for local, _ in two):
        return _told(two)
    for candidate, _ in made:
        if (part := _fits(candidate, cases, known, 1)) is not None:
            return part
    for both in _pairs(made, cases[0]):
        if (part := _fits(both, cases, known, 0)) is not None:
            return part
    return _told(two or found or [])


def _unequal(found: Iterable[Candidate], case: Case) -> Iterator[tuple[Candidate, Gradients]]:
    """The candidates that differ from the truth and from each other, with their gradients."""
    seen: list[Gradients] = [case.recording.truth]
    for candidate in found:
        made = candidate.make(case.recording)
        if made is None or not all(np.isfinite(g).all() for g in made.values()):
            continue
        if not any(made.keys() == other.keys() and all(
            case.close(g, other[name], case.recording.truth[name]) for name, g in made.items()) for other in seen):  # fmt: skip
            seen.append(made)
            if all(made.get(name, case.hand[name]).shape == case.hand[name].shape for name in case.hand):
                yield candidate, made


def _pairs(made: list[tuple[Candidate, Gradients]], case: Case) -> Iterator[Candidate]:
    """Two mistakes on the way back, the first of which explains more of the parameters than no mistake does."""
    order = [name for name in case.recording.order() if name in case.hand]
    truth = case.recording.truth

    def right(gradients: Gradients) -> set[str]:
        return {n for n in order if n in gradients and case.close(case.hand[n], gradients[n], truth[n])}

    before = right(truth)
    firsts = [c for c, gradients in made if c.change is not None and right(gradients) > before]
    for one in firsts:
        for other, _ in made:
            if other.change is None or other is one:
                continue

            def change(r: Recording, one: Candidate = one, other: Candidate = other) -> Change:
                assert one.change is not None
                assert other.change is not None
                both = one.change(r).joined(other.change(r))
                if both is None:
                    raise ValueError
                return both

            yield Candidate(
                one.number, f"{one.claim}; and {other.claim}", change,
                lambda r, change=change: attempt(lambda: r.back(change(r))), other.number,
            )  # fmt: skip


def _fits(candidate: Candidate, cases: Sequence[Case], known: list[Factor], more: int) -> list[Diagnosis] | None:
    """What there is to say if a candidate, with at most so many mistakes besides, explains everything."""
    bases: list[Gradients] = []
    for case in cases:
        made = candidate.make(case.recording)
        if made is None:
            return None
        bases.append(made)
        if len(bases) == 1 and _explained(cases[:1], bases, known, more) is None:
            return None
    found = _explained(cases, bases, known, more)
    if found is None or any(local.number == 0 for local, _ in found):
        return None
    case, r = cases[0], cases[0].recording
    names = [n for n in r.order() if n in case.hand and n in bases[0]]
    wrong = [n for n in names if not case.close(bases[0][n], r.truth[n], r.truth[n])]
    right = [n for n in names if n not in wrong and n in r.params]
    says = f"{_capital(candidate.claim)}: {_evidence(wrong, right, cases)}."
    parts = [Diagnosis(candidate.number, says, wrong)]
    if candidate.second:
        parts.append(Diagnosis(candidate.second, says, wrong))
    return parts + _told(found)


def _evidence(wrong: list[str], right: list[str], cases: Sequence[Case]) -> str:
    sizes = sorted({case.recording.m for case in cases})
    text = f"with this mistake backward gives your {listed(wrong)}"
    if right:
        text += f", and leaves {listed(right)} right"
    return text + (f", at batch sizes {listed([str(m) for m in sizes])}" if len(sizes) > 1 else "")


def _told(found: list[tuple[Local, list[str]]]) -> list[Diagnosis]:
    return [Diagnosis(local.number, local.tell(names), names) for local, names in found]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# ------------------------------------------------------------------------------------------- parameter by parameter


def _explained(
    cases: Sequence[Case], bases: Sequence[Gradients], known: list[Factor], most: int
) -> list[tuple[Local, list[str]]] | None:
    """At most so many mistakes of single parameters that make the person's gradients out of these; None if none do."""
    choices: dict[str, list[Local]] = {}
    for name in cases[0].hand:
        if name in bases[0]:
            choices[name] = _ways(cases, [base[name] for base in bases], name, known)
            if not choices[name]:
                return None
    if most == 0 or all(_SAME in ways for ways in choices.values()):
        return [] if all(_SAME in ways for ways in choices.values()) else None
    keys: dict[tuple[Any, ...], Local] = {}
    for ways in choices.values():
        keys |= {way.key: way for way in ways if way is not _SAME and way.key not in keys}
    for n in range(1, most + 1):
        for chosen in sorted(combinations(keys, n), key=lambda c: sum(keys[k].number == 0 for k in c)):
            # A mistake that explains every parameter comes before one that leaves some as they are.
            taken: dict[tuple[Any, ...], list[str]] = {key: [] for key in chosen}
            for name, ways in choices.items():
                if _SAME in ways:
                    continue
                key = next((way.key for way in ways if way.key in taken), None)
                if key is None:
                    break
                taken[key].append(name)
            else:
                if all(taken.values()):
                    return [(keys[key], names) for key, names in taken.items()]
    return None


def _ways(cases: Sequence[Case], bases: Sequence[Array], name: str, known: list[Factor]) -> list[Local]:
    """All that can have been done to one parameter."""
    recordings = [case.recording for case in cases]
    hands = [case.hand[name] for case in cases]
    trues = [r.truth[name] for r in recordings]

    def close(predictions: Iterable[Array | None]) -> bool:
        return all(
            c is not None and c.shape == u.shape and case.close(u, c, t)
            for case, u, c, t in zip(cases, hands, predictions, trues, strict=True)
        )

    if close(bases):
        return [_SAME]
    found: list[Local] = []
    if name not in recordings[0].params:  # error terms of examples' own losses are as good as their shares in the mean
        if all(r.weight for r in recordings) and close(
            [b / (r.weight or 1) for b, r in zip(bases, recordings, strict=True)]
        ):
            return [_SAME]
    ratios = [_fit(u, b) for u, b in zip(hands, bases, strict=True)]
    if close([a * b for a, b in zip(ratios, bases, strict=True)]):
        named = factor_names.name(recordings, ratios, known)
        found += [_scaled(named, k, cases, ratios) for k in range(len(named))]
    if bases[0].ndim == 2 and bases[0].shape[0] == bases[0].shape[1] and close([b.T for b in bases]):
        found.append(
            Local(
                ("transposed",),
                12,
                lambda names: (
                    f"{listed(names)} {_is(names)} exactly the transpose of the true gradient: square, so that no shape tells"
                ),
            )
        )
    if all(r.rows for r in recordings):
        for i, which in ((0, "first"), (-1, "last")):
            for scale in (lambda r: 1.0, lambda r: 1 / (r.weight or 1)):
                if close([r.rows[i][name] * scale(r) for r in recordings]):
                    found.append(
                        Local(
                            ("row", i),
                            10,
                            lambda names, which=which: (
                                f"{listed(names)} {_is(names)} the contribution of the {which} example alone: the sum over the "
                                f"{recordings[0].m} examples is missing"
                            ),
                        )
                    )
    return found + _regularised(recordings, hands, bases, name, close)


def _scaled(named: list[Factor], k: int, cases: Sequence[Case], ratios: Sequence[float]) -> Local:
    """A gradient times a factor; where several factors have its value, that is said."""
    chosen, others = named[k], named[:k] + named[k + 1 :]
    recordings = [case.recording for case in cases]
    r = recordings[0]
    every = set(cases[0].hand) & r.params.keys()

    def tell(names: list[str]) -> str:
        each = " each" if len(names) > 1 else ""
        text = f"{listed(names)} {_is(names)}{each} exactly {_times(ratios[0])} the true gradient"
        reason = chosen.reason(r)
        text += f" and {reason}" if reason and not reason.startswith("at ") else f" {reason}" if reason else ""
        if len({round(a, 9) for a in ratios}) > 1:
            text += "".join([f" ({_times(a)} with {q.m})" for a, q in zip(ratios[1:2], recordings[1:2], strict=True)])
        claim = chosen.claim
        biases = all(is_bias(r, n) for n in names)
        if biases and chosen.number in (1, 2) and set(names) < every:
            other = "averaged over the batch where those of the weights are summed" if chosen.number == 2 else (
                "summed over the batch where those of the weights are averaged")  # fmt: skip
            claim = f"the gradients of biases are {other}"
        elif set(names) & r.params.keys() < every:
            right = [n for n in r.order() if n in every and n not in names]
            text += f", while {listed(right)} {_is(right)} not"
        text += f": {claim}"
        values = sorted({f.claim for f in others if f.number != chosen.number})
        if values:
            text += f" (or {'; or '.join(values)}: {number(abs(ratios[0]))} has several meanings here"
            text += ")" if len(cases) > 1 else "; pass hand as a function, and another batch size can tell)"
        return text + "."

    subset = chosen.number in (1, 2)
    kind = 11 if subset and _is_for_biases(cases, ratios, chosen) else chosen.number
    return Local(("factor", chosen.claim), kind, tell)


def _is_for_biases(cases: Sequence[Case], ratios: Sequence[float], factor: Factor) -> bool:
    """Whether it is the biases that have the factor, and no weights."""
    case = cases[0]
    r = case.recording
    having = [
        n for n in case.hand if n in r.params and case.close(case.hand[n], factor.value(r) * r.truth[n], r.truth[n])
    ]
    return 0 < len(having) < len(case.hand.keys() & r.params.keys()) and all(is_bias(r, n) for n in having)


def is_bias(r: Recording, name: str) -> bool:
    """Whether a parameter is only ever added."""
    if name not in r.params:
        return False
    users = r.users.get(r.params[name], [])
    return bool(users) and all(
        u.op is not None
        and (u.op.name in ("add", "subtract") or (u.op.name == "linear" and at == 2))
        or _is_penalty(r, u)
        for u, at in users
    )


def _is_penalty(r: Recording, user: Any) -> bool:
    return user.op is not None and user.op.name != "reshape" and r.is_of_parameters(user)


def _regularised(
    recordings: Sequence[Recording],
    hands: Sequence[Array],
    bases: Sequence[Array],
    name: str,
    close: Callable[[Iterable[Array | None]], bool],
) -> list[Local]:
    """A regulariser's part in the gradient: forgotten, doubled, scaled, or where there is none."""
    if name not in recordings[0].params:
        return []
    r = recordings[0]
    parts = [q.regularisation.get(name, np.zeros(())) for q in recordings]
    values = [q.value(q.params[name]) for q in recordings]
    if any(v is None for v in values):
        return []
    has_part = bool(abs(parts[0]).max(initial=0) > 0)
    known = parts if has_part else values
    extra = [_fit(u - b, p) for u, b, p in zip(hands, bases, known, strict=True)]
    if not close([b + c * p for b, c, p in zip(bases, extra, known, strict=True)]):
        return []
    if not has_part:
        other = r.regularisation
        where = "and the loss has no such term for it" if not other or not any(abs(g).max(initial=0) for g in other.values()) else (
            "the regulariser is applied to it, and in the loss it is not")  # fmt: skip
        if np.ptp(extra) > 1e-6 * abs(extra[0]):
            return []
        return [
            Local(
                ("regulariser", "where none is"),
                13,
                lambda names: (
                    f"{listed(names)}: exactly the true gradient plus {number(extra[0])} x the parameter itself; {where}."
                ),
            )
        ]
    meanings = (
        (lambda q: 0.0, "the regulariser is forgotten"), (lambda q: 2.0, "the regulariser counts twice (λW for λ/2 |W|², or 2λW for it)"),
        (lambda q: 0.5, "the regulariser counts half"), (lambda q: 1 / q.m, "the regulariser is divided by m as well"),
        (lambda q: float(q.m), "the regulariser is multiplied by m, or taken once for each example"),
        (lambda q: -1.0, "the regulariser has the wrong sign"),
    )  # fmt: skip
    for value, claim in meanings:
        if all(abs(1 + c - value(q)) < 1e-6 * max(1, abs(value(q))) for c, q in zip(extra, recordings, strict=True)):
            return [
                Local(
                    ("regulariser", claim),
                    13,
                    lambda names, c=1 + extra[0], claim=claim: (
                        f"{listed(names)}: exactly the gradient of the data plus {number(c) if abs(c) > 1e-9 else 0} x that of the "
                        f"regulariser: {claim}."
                    ),
                )
            ]
    if np.ptp(extra) <= 1e-6 * abs(extra[0]):
        return [
            Local(
                ("regulariser", round(extra[0], 6)),
                13,
                lambda names: (
                    f"{listed(names)}: exactly the gradient of the data plus {number(1 + extra[0])} x that of the regulariser."
                ),
            )
        ]
    return []


def _fit(u: Array, b: Array) -> float:
    """The number a for which a b is nearest to u."""
    square = float((b * b).sum())
    return float((u * b).sum()) / square if square else 0.0


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _times(a: float) -> str:
    if 0 < abs(a) < 1 and abs(1 / a - round(1 / a)) < 1e-6 * abs(1 / a):
        return f"{'-' if a < 0 else ''}1/{abs(round(1 / a))} of"
    return f"{number(a)} x"
