"""Parts of a loss that have lost their dependence on params, because they were converted to plain numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..graph import Node
from .differences import judge, noise_of
from .recordings import Recording
from .walks import Array


class Lost(NamedTuple):
    """A slope of the loss that is not the recorded one; ``name`` says of which parameter, or params."""

    name: str
    slope: float
    recorded: float


def is_converted(recording: Recording) -> bool:
    """Whether constants of the recording change with params: numbers that were made of tensors and are none."""
    rng = np.random.default_rng(0)
    nudged = [x + 1e-3 * rng.normal(size=np.shape(x)) * np.maximum(1, abs(x)) for x in recording.nest.leaves]
    other = recording.on(recording.batch.leaves, nudged)
    return other is not None and not all(
        np.array_equal(x, y, equal_nan=True) for x, y in zip(_constants(recording), _constants(other), strict=True)
    )  # fmt: skip


def _constants(recording: Recording) -> list[Array]:
    """The floating-point numbers that the loss is made of and that depend on nothing."""
    operands = [p for n in recording.nodes for p in (*n.inputs, *n.params) if not isinstance(p, Node)]
    values = [recording.value(n) for n in recording.nodes if n.op is None and n.plan is None] + operands
    numbers = [np.asarray(x) for x in values if isinstance(x, (float, np.ndarray, np.generic))]
    return [x for x in numbers if x.dtype.kind == "f"]


def lost(recording: Recording) -> list[Lost]:
    """Where the recorded gradient is not the slope of the loss: by which parameters, or else by all together."""
    rng, params = np.random.default_rng(0), recording.nest.leaves
    directions = []
    for x, name in zip(params, recording.params, strict=True):
        v = rng.normal(size=np.shape(x)) * np.maximum(1, abs(x))
        length = np.sqrt(np.square(recording.truth[name] * v).sum())  # none shall hide the others
        directions.append(v * max(1 / length, 1e-2) if length > 1 else v)
    together = _lost_along(recording, directions, "params")
    if together is None:
        return []
    alone = []
    for k, name in enumerate(recording.params):
        found = _lost_along(recording, [v if j == k else 0 * v for j, v in enumerate(directions)], name)
        alone += [found] if found is not None else []
    return alone or [together]


def _lost_along(recording: Recording, direction: list[Array], name: str) -> Lost | None:
    """The slope of the loss in a direction of params and what its recorded gradient says, where they disagree."""
    params = recording.nest.leaves
    parts = [recording.truth[name] * v for name, v in zip(recording.params, direction, strict=True)]
    claimed, value = float(sum([part.sum() for part in parts])), float(recording.loss.item())

    def line(t: float) -> float:
        return recording.loss_at([x + t * v for x, v in zip(params, direction, strict=True)])

    with np.errstate(all="ignore"):
        noise, size = noise_of(line, value)
        unit = max(float(np.sqrt(sum([np.square(part).sum() for part in parts]))), 1e-2 * size, 1e-300)
        verdict = judge(claimed, line, value, noise, unit, rtol=1e-6)
    wrong = verdict.kind == "wrong" and abs(verdict.reference - claimed) > 1e-5 * unit
    return Lost(name, verdict.reference, claimed) if wrong else None
