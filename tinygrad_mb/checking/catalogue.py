"""The catalogue of mistakes, and all the places where each of them can be made in a loss."""

from __future__ import annotations

from collections.abc import Iterator

from ..wording import listed
from . import wrong_batches, wrong_masks, wrong_paths, wrong_slopes, wrong_steps, wrong_windows
from .candidates import Candidate, is_large
from .recordings import Recording

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
    23: "the derivative of another function",
    24: "a mask is forgotten",
    25: "z in the place of h, or the reverse",
    26: "back-propagation through time is cut off",
    27: "the state of another step",
}

_MOST_NODES = 3000  # of a graph in which mistakes are tried
_MOST_OF_PAIRS = 400  # of one in which two at once are


def candidates(recording: Recording) -> Iterator[Candidate]:
    """All mistakes that can be made in this loss, those of one kind together."""
    if len(recording.nodes) <= _MOST_NODES:
        for mistakes in (
            wrong_paths.regularisers,
            wrong_paths.statistics,
            wrong_slopes.activations,
            wrong_slopes.softmax,
            wrong_slopes.cross_entropy,
            wrong_paths.signs,
            wrong_slopes.of_others,
            wrong_windows.maxima,
            wrong_windows.kernels,
            wrong_masks.masks,
            wrong_masks.counts,
            wrong_steps.cut_off,
            wrong_steps.own_states,
            wrong_paths.fan_out,
            wrong_paths.factors,
            wrong_paths.orders,
            wrong_paths.axes,
            wrong_paths.operands,
            wrong_batches.averages,
        ):
            yield from mistakes(recording)
    yield from wrong_batches.batches(recording)


def takes_pairs(recording: Recording) -> bool:
    """Whether two mistakes on the way back are tried at once."""
    return len(recording.nodes) <= _MOST_OF_PAIRS


def left_out(recording: Recording) -> str:
    """What was not looked for in a large graph, as a sentence; empty if all was."""
    n = len(recording.nodes)
    if n > _MOST_NODES:
        return f"The loss has {n} operations, and mistakes on the way back were not looked for: check fewer steps."
    parts = ["mistakes in one step of a loop alone"] * is_large(recording)
    parts += ["two mistakes on the way back"] * (not takes_pairs(recording))
    return f"The loss has {n} operations, and {listed(parts)} were not looked for: check fewer steps." if parts else ""
