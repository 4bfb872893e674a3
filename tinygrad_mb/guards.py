"""Notice that a saved array was changed between forward and backward, by whatever route.

A fingerprint of an array of up to 256 KiB is a copy of its bytes: exact, and faster than anything cleverer.  A
larger one is laid out as a table of 64-bit integers, its bits, and the fingerprint is the sum of each row and of each
column.  It is integer arithmetic, so that nothing is rounded: no change of a single element leaves the sums as they
were, nor does an exchange of two different ones, and a shuffle or a sort moves the sums themselves.  It takes two
passes at the speed of memory, and does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import errors

if TYPE_CHECKING:
    from .graph import Node

_EXACT_BYTES = 1 << 18
_ROW = 1021  # prime, so that patterns in the data, such as one-hot rows, do not fall into step with it


def fingerprint(array: np.ndarray[Any, Any]) -> Any:
    """A value that differs, for all practical purposes, as soon as the array's contents differ."""
    if array.nbytes <= _EXACT_BYTES:
        return array.tobytes()
    if not array.flags.c_contiguous:
        array = array.T if array.flags.f_contiguous else np.ascontiguousarray(array)
    octets = array.reshape(-1).view(np.uint8)
    whole = octets.size // (8 * _ROW) * (8 * _ROW)
    table = octets[:whole].view(np.int64).reshape(-1, _ROW)
    rows, columns = np.add.reduce(table, 1), np.add.reduce(table, 0)
    return rows.tobytes(), columns.tobytes(), octets[whole:].tobytes()


def verify(nodes: Iterable[Node]) -> None:
    """Raise ``ChangedArrayError`` if an array that one of the nodes saved is not what it was.

    Raises ``GraphFreedError`` where an earlier backward has freed what the rules need.
    """
    known: dict[int, Any] = {}
    for node in nodes:
        if node.saved is None:
            raise errors.graph_freed(node)
        if node.guards is not None:
            for array, before, position in node.guards:
                if type(before) is bytes:
                    now = array.tobytes()
                elif (now := known.get(id(array))) is None:  # large, and perhaps saved by many nodes
                    now = known[id(array)] = fingerprint(array)
                if now != before:
                    raise errors.array_changed(node, position, array)
