"""What a person hands in: called safely, taken apart, and matched with parameters and named tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autodiff import data_of
from ..pytrees import Nest
from ..wording import is_or_are, listed
from .recordings import Recording, nest_of, own
from .reports import entry
from .walks import Array

_PREFIXES = ("d", "d_", "grad_", "delta_", "δ", "δ_", "∂")


class Handed(NamedTuple):
    """A derivation's results on one batch.

    arrays   by the names of parameters and tensors, as they came
    keys     what the person calls them
    loss     the loss, if it was returned as well
    extra    the names that belong to nothing
    narrow   the dtype of an array that is of float32 or less; empty if there is none
    changed  the arguments that were changed in place
    """

    arrays: dict[str, Array]
    keys: dict[str, str]
    loss: Array | None
    extra: list[str]
    narrow: str
    changed: Sequence[str] = ()


def call(hand: Any, recording: Recording) -> Handed:
    """The derivation's results on a recording's batch."""
    if not callable(hand):
        return taken_apart(hand, recording)
    params = recording.nest.fill([own(x) for x in recording.nest.leaves])
    batch = recording.batch.fill([own(x) for x in recording.batch.leaves], whole=True)
    given = hand(params, *batch)
    changed = []
    for nest, before in ((Nest(params), recording.nest), (Nest(batch), recording.batch)):
        for path, x, y in zip(before.paths, nest.leaves, before.leaves, strict=False):
            if not _same(x, y):
                changed.append(
                    (path or "params")
                    if before is recording.nest
                    else f"argument {int(path.partition('.')[0]) + 1} of the batch"
                )
    return taken_apart(given, recording)._replace(changed=changed)


def _same(x: Any, y: Any) -> bool:
    return not isinstance(y, np.ndarray) or (
        np.shape(x) == y.shape and np.array_equal(x, y, equal_nan=y.dtype.kind == "f")
    )


def taken_apart(given: Any, recording: Recording) -> Handed:
    """The results by the names of parameters and named tensors.

    Raises ``TypeError`` for what is no nest of arrays, ``ValueError`` for a sequence of another structure.
    """
    loss = None
    between: Any = {}
    if isinstance(given, tuple) and len(given) in (2, 3) and nest_of(given).paths != recording.nest.paths:
        first = _array(given[0])
        if first.size == 1 and first.dtype.kind in "fiu":
            loss, given = first, given[1:] if len(given) == 3 else given[1]
        if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict):
            given, between = given
    nest = nest_of(given)
    more = Nest(between)
    nest.paths, nest.leaves = nest.paths + more.paths, nest.leaves + more.leaves
    if given is None or not nest.leaves:
        raise TypeError(
            "check_derivation: hand gives no gradients: it returned None. Does the function end with `return`?"
            if given is None else "check_derivation: hand gives no gradients: there is not one array in it"
        )  # fmt: skip
    known = {path: path for path in recording.params} | {name: name for name in recording.named}
    spelled = {_spelled(path, prefix): path for path in known for prefix in _PREFIXES} | {
        f"{path}_grad": path for path in known
    }
    if nest.paths == [""]:
        nest.paths = list(recording.params) if len(recording.params) == 1 else ["the array"]
    arrays: dict[str, Array] = {}
    keys: dict[str, str] = {}
    extra = []
    for path, leaf in zip(nest.paths, nest.leaves, strict=True):
        name = known.get(path) or spelled.get(path)
        if name is None or name in arrays:
            extra.append(path)
            continue
        if callable(leaf):
            raise TypeError(
                f"check_derivation: hand gives a function for {path}, and a gradient is an array. The arguments are "
                "check_derivation(loss_fn, params, hand, *batch)"
            )
        arrays[name], keys[name] = _array(leaf), path
        if arrays[name].dtype.kind not in "fiub":
            raise TypeError(
                f"check_derivation: the gradient by {name} has dtype {arrays[name].dtype}: gradients are real"
            )
    if not arrays and not isinstance(given, dict):
        raise ValueError(
            f"check_derivation: hand gives {type(given).__name__} {nest.paths}, and params has the structure "
            f"{list(recording.params)}: return a dict {{{', '.join([repr(p) + ': ...' for p in recording.params])}}}"
        )
    narrow = [x.dtype for x in arrays.values() if x.dtype.kind == "f" and x.dtype.itemsize < 8]
    narrowest = str(min(narrow, key=lambda dtype: dtype.itemsize)) if narrow else ""
    return Handed({k: x.astype(np.float64) for k, x in arrays.items()}, keys, loss, extra, narrowest)


def _spelled(path: str, prefix: str) -> str:
    before, dot, last = path.rpartition(".")
    return f"{before}{dot}{prefix}{last}"


def _array(x: Any) -> Array:
    try:
        return np.asarray(data_of(x))
    except ValueError:
        return np.asarray(None)


class Fitted(NamedTuple):
    """A gradient in its parameter's shape, and what was wrong with the shape that it had.

    array     the gradient; None where it is not clear how to bring it into the shape
    number    of the mistake in the catalogue; 0 if the shape was right, or is none that a mistake makes
    sentence  about the shape; empty if it was right
    """

    array: Array | None
    number: int = 0
    sentence: str = ""


def fit_shape(name: str, array: Array, recording: Recording, key: str) -> Fitted:
    """A gradient, which the person calls ``key``, brought into its parameter's shape where it is clear how."""
    true = recording.truth[name]
    shape, m = true.shape, recording.m
    if array.shape == shape:
        return Fitted(array)
    says = f"{key if key != name else f'The gradient by {name}'} has shape {array.shape}, and {name} has shape {shape}"
    if array.ndim == len(shape) + 1 and array.shape[0] == m and array.shape[1:] == shape:
        return Fitted(array.sum(axis=0), 10, f"{says}: it has a row for each of the {m} examples, and the sum of "
                                             "these is missing (`.sum(axis=0)`).")  # fmt: skip
    if array.ndim == len(shape) == 2 and array.shape == shape[::-1]:
        return Fitted(array.T, 12, f"{says}: it is transposed, or the factors of a product are in the wrong order.")
    if shape[-1:] == (1,) and array.shape == (*shape[:-1], m):
        return Fitted(array.sum(axis=-1, keepdims=True), 20, f"{says}: its last axis has a column for each target; it "
                      "comes from an array (m, m), where predictions (m, 1) met targets (m,).")  # fmt: skip
    if array.size == true.size and [n for n in array.shape if n > 1] == [n for n in shape if n > 1]:
        return Fitted(
            array.reshape(shape), 12, f"{says}: the numbers may be right, the shape is not: `.reshape{shape}`."
        )
    if array.ndim > len(shape) and array.shape[array.ndim - len(shape) :] == shape:
        axes = tuple(range(array.ndim - len(shape)))
        return Fitted(array.sum(axis=axes), 10, f"{says}: the sum over the axes {axes} is missing.")
    if array.ndim == len(shape) == 1 and array.shape == (m,):
        return Fitted(
            None, 10, f"{says}: it has a number for each of the {m} examples, so that a sum runs along the wrong axis."
        )
    if array.shape == (m, m) or (array.ndim > len(shape) and array.shape[-1] == m and m not in shape):
        return Fitted(None, 20, f"{says}: its axes of length {m} come from an array (m, m), where a column of "
                                "predictions (m, 1) met a vector of targets (m,).")  # fmt: skip
    return Fitted(None, 0, f"{says}: they must be equal.")


def problems(handed: Handed, recording: Recording) -> list[str]:
    """Sentences about what is not there, what belongs to nothing, what is not finite, and what was changed."""
    out = []
    absent = [name for name in recording.params if name not in handed.arrays]
    if absent:
        out.append(f"No gradient by {listed(absent)} was handed in.")
    if handed.extra:
        known = list(recording.named)
        there = f"the tensors named in the forward pass are {listed(known)}"
        if not known:
            there = "no tensor is named in the forward pass: name it where it is computed, `z = (x @ W).named('z')`"
        out.append(
            f"{listed([repr(e) for e in handed.extra])} {is_or_are(handed.extra)} no gradient by a "
            f"parameter or by a named tensor: the parameters are {listed(list(recording.params))}, and {there}."
        )
    for name, x in handed.arrays.items():
        bad = np.argwhere(~np.isfinite(x))
        if len(bad):
            first = f"{entry(name, bad[0])} = {x[tuple(bad[0])]}"
            out.append(
                f"The gradient by {name} has {len(bad)} of {x.size} entries that are not finite, the first {first}."
            )
    if handed.changed:
        out.append(
            f"hand changes its arguments in place: {listed(handed.changed)}. What is computed from them after that is "
            "of other numbers."
        )
    return out
