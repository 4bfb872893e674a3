"""Maxima that go back as means do, and kernels of convolutions that are turned around."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..graph import Node
from .candidates import Candidate, at_edges, edges_of
from .recordings import Recording, operation
from .walks import Array, Pull


def maxima(recording: Recording) -> Iterator[Candidate]:
    """Maxima whose arguments all get a share, and not the largest one everything."""
    evenly: list[tuple[int, int, Any]] = []
    wholly: list[tuple[int, int, Any]] = []
    for k, position, node, _ in edges_of(recording):
        if operation(node).name in ("max", "min", "max_pool2d") and not _overlaps(node):
            evenly.append((k, position, lambda r: lambda g, top, saved: _spread(g, top) / _count(top)))
            wholly.append((k, position, lambda r: lambda g, top, saved: _spread(g, top)))
    claim = "the error terms of a maximum"
    yield from at_edges(23, f"{claim} are shared evenly by all arguments, as those of a mean", recording, evenly)
    yield from at_edges(23, f"{claim} go to all arguments, not to the largest alone", recording, wholly)


def _count(node: Node) -> float:
    """How many arguments each result of a maximum has."""
    if operation(node).name == "max_pool2d":
        return float(np.prod(node.params[0]))
    return float(np.prod(node.inputs[0].shape)) / float(np.prod(node.shape))


def _overlaps(node: Node) -> bool:
    """Whether a maximum is taken over windows that overlap, or reach beyond the image."""
    return operation(node).name == "max_pool2d" and (node.params[1] != node.params[0] or node.params[2] != (0, 0))


def _spread(g: Array, node: Node) -> Array:
    """A cotangent at all arguments of a maximum."""
    shape = node.inputs[0].shape
    if operation(node).name != "max_pool2d":
        axes = node.params[0]
        axes = tuple(range(len(shape))) if axes is None else tuple(np.atleast_1d(axes) % len(shape))
        return np.broadcast_to(np.expand_dims(g, axes) if g.ndim < len(shape) else g, shape)
    high, wide = node.params[0]
    tiles = g.repeat(high, axis=-2).repeat(wide, axis=-1)
    rest = [(0, n - used) for n, used in zip(shape, tiles.shape, strict=True)]  # what no window covers
    return np.pad(tiles, rest)


def kernels(recording: Recording) -> Iterator[Candidate]:
    """Kernels of convolutions that are turned around in a gradient, or that are not where they should be."""
    of_kernel: list[tuple[int, int, Any]] = []
    of_image: list[tuple[int, int, Any]] = []
    for k, position, node, pull in edges_of(recording):
        if operation(node).name == "conv2d" and node.plan is not None:
            if position == 1:
                of_kernel.append((k, position, lambda r, pull=pull: _turned(pull)))
            elif position == 0 and 1 in node.plan.saves:
                at = node.plan.saves.index(1)
                of_image.append((k, position, lambda r, pull=pull, at=at: _of_turned(pull, at)))
    yield from at_edges(12, "the gradient of a kernel is turned around", recording, of_kernel)
    yield from at_edges(12, "the error terms go back through a kernel that is turned around", recording, of_image)


def _turned(pull: Pull) -> Pull:
    return lambda g, node, saved: pull(g, node, saved)[..., ::-1, ::-1]


def _of_turned(pull: Pull, at: int) -> Pull:
    return lambda g, node, saved: pull(g, node, (*saved[:at], saved[at][..., ::-1, ::-1], *saved[at + 1 :]))
