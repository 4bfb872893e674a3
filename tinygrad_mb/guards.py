"""Notice that a saved array was changed between forward and backward, by whatever route.

A fingerprint of an array of up to 64 KiB is a copy of its bytes: exact.  Of a larger one it is the sum of
its bits taken as integers, which no change of a single element leaves as it was, together with its inner
products with fixed random numbers, which no plausible rearrangement leaves as they were.  Both run at the
speed of memory, and the products' random vector is short enough to stay in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_EXACT_BYTES = 1 << 16
_BLOCK = 1024
_BITS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}
_random_vectors: dict[Any, Any] = {}


def fingerprint(array: np.ndarray[Any, Any]) -> Any:
    """A value that differs, for all practical purposes, as soon as the array's contents differ."""
    bits = _BITS.get(array.itemsize)
    if array.nbytes <= _EXACT_BYTES or bits is None or array.dtype.kind != "f":
        return array.tobytes()
    if not array.flags.c_contiguous:
        array = array.T if array.flags.f_contiguous else np.ascontiguousarray(array)
    flat = array.reshape(-1)
    total = np.add.reduce(flat.view(bits), dtype=bits)
    rest = flat.size % _BLOCK
    with np.errstate(all="ignore"):
        products = flat[: flat.size - rest].reshape(-1, _BLOCK).dot(_random_vector(array.dtype))
    return total, products.tobytes(), flat[flat.size - rest :].tobytes()


def _random_vector(dtype: Any) -> Any:
    vector = _random_vectors.get(dtype)
    if vector is None:
        vector = np.random.default_rng(0).uniform(1, 2, _BLOCK).astype(dtype)
        _random_vectors[dtype] = vector
    return vector
