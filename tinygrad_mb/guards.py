"""Notice that a saved array was changed between forward and backward, by whatever route.

A fingerprint of an array of up to 256 KiB is a copy of its bytes: exact, and faster than anything cleverer.  Of a
larger one it is, for each block of 8 KiB, two inner products with fixed random numbers: of the values as numbers,
which sees every change but those that rounding swallows beside a far larger value, and of the bits as integers,
which sees any change of one element and every change of small values.  Blocks with infinities or NaN keep the
array's bytes, since their products say nothing.  Both products come from ``np.einsum``, whose result does not
depend on the number of threads, as that of ``np.dot`` does; the random numbers stay in the processor's cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_EXACT_BYTES = 1 << 18
_BLOCK_BYTES = 8192
_random_numbers: dict[Any, Any] = {}


def fingerprint(array: np.ndarray[Any, Any]) -> Any:
    """A value that differs, for all practical purposes, as soon as the array's contents differ."""
    dtype = array.dtype
    if array.nbytes <= _EXACT_BYTES or dtype.kind != "f" or dtype.itemsize > 8:
        return array.tobytes()
    if not array.flags.c_contiguous:
        array = array.T if array.flags.f_contiguous else np.ascontiguousarray(array)
    flat = array.reshape(-1)
    block = _BLOCK_BYTES // dtype.itemsize
    whole = flat.size // block * block
    blocks = flat[:whole].reshape(-1, block)
    with np.errstate(all="ignore"):
        products = np.einsum("ij,j->i", blocks, _random(dtype))
    if not np.isfinite(products).all():
        return array.tobytes()
    bits = np.einsum("ij,j->i", blocks.view(np.int64), _random(np.dtype(np.int64)))
    return products.tobytes(), bits.tobytes(), flat[whole:].tobytes()


def _random(dtype: np.dtype[Any]) -> Any:
    """Random numbers for the elements of one block: between one and two, or odd integers that all differ."""
    numbers = _random_numbers.get(dtype)
    if numbers is None:
        rng, n = np.random.default_rng(0), _BLOCK_BYTES // dtype.itemsize
        if dtype.kind == "i":
            numbers = (rng.integers(1 << 52, size=n) << 11) + 2 * rng.permutation(n) + 1
        else:
            numbers = rng.uniform(1, 2, n).astype(dtype)
        _random_numbers[dtype] = numbers
    return numbers
