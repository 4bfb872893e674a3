"""Problems about indexing and choosing."""

import operator

import numpy as np

from tinygrad_mb.vjps import indexing

from .posing import CENTRAL, apart, choice, problem, real

rows, mask = np.array([2, 0, 2, -1]), np.array([True, False, True])
INDICES = {
    "2": 2, "-1": -1, "1,2": (1, 2), "1:": slice(1, None), "::-2": slice(None, None, -2), "...": ..., "None": None,
    "..., None, 1": (..., None, 1), ":, 1:3, None": (slice(None), slice(1, 3), None), "0:0": slice(0, 0),
    "rows": rows, "list": [0, 0, 1], "rows 2d": rows.reshape(2, 2), ":, rows": (slice(None), rows),
    "rows, rows": (rows, rows), "rows, 1": (rows, 1), "rows, :, 0": (rows, slice(None), 0),
    "0, :, rows": (0, slice(None), rows % 2),
    "rows, None, rows": (rows, None, rows), "mask": mask, "mask, rows": (mask, np.array([3, 1])),
    "..., mask": (slice(None), ..., np.array([True, False])),
    "mask 2d": np.arange(12).reshape(3, 4) % 3 == 0, "True": True, "empty": np.array([], int), "int array": np.array(1),
    "tuple of one": (rows,), "uint8": rows.astype(np.uint8) % 3,
}  # fmt: skip
for name, index in INDICES.items():
    problem(operator.getitem, real(3, 4, 2), run=lambda x, i=index: operator.getitem(x, i), note=f" {name}")
problem(operator.getitem, real(5), run=lambda x: x[rows], note=" vector")
problem(operator.getitem, real(), run=lambda x: x[...], note=" 0d")
problem(operator.getitem, real(), run=lambda x: x[None], note=" 0d")
for name, index in {"rows": rows, "1:, rows": (slice(1, None), rows), "rows, rows": (rows, rows)}.items():
    shape = np.empty((3, 4))[index].shape
    problem(
        indexing.scatter_add, real(*shape), run=lambda v, i=index: indexing.scatter_add(v, i, (3, 4)), note=f" {name}"
    )
    problem(
        indexing.put,
        real(3, 4),
        real(*shape),
        run=lambda x, v, i=index: indexing.put(x, v, i),
        **CENTRAL,
        note=f" {name}",
    )
problem(indexing.put, real(3, 4), real(4), run=lambda x, v: indexing.put(x, v, slice(0, 2)), **CENTRAL)
problem(indexing.put, real(3, 4), real(), run=lambda x, v: indexing.put(x, v, np.eye(3, 4, dtype=bool)), **CENTRAL)
problem(np.where, choice, real(2, 3), real(2, 3), wrt=(1, 2))
problem(np.where, choice, real(3), real(2, 1), wrt=(1, 2))
problem(np.where, choice, real(3), run=lambda c, x: np.where(c, x, 0), wrt=(1,))
problem(indexing.where, choice, real(), real(3), wrt=(1, 2))
problem(np.take, real(3, 4), run=lambda x: np.take(x, [0, 5, 5]))
problem(np.take, real(3, 4), run=lambda x: np.take(x, [[0, 3], [3, 1]], axis=1))
problem(np.take, real(3, 4), run=lambda x: np.take(x, 1, axis=0))
problem(np.take, real(4), run=lambda x: np.take(x, [-9, 2, 7], mode="clip"))
problem(np.take, real(4), run=lambda x: np.take(x, [-9, 2, 7], mode="wrap"))
problem(np.take_along_axis, real(3, 4), run=lambda x: np.take_along_axis(x, np.array([[0, 3], [1, 1], [2, 0]]), 1))
problem(np.take_along_axis, real(3, 2), run=lambda x: np.take_along_axis(x, np.array([5, 0, 0]), None))
problem(np.compress, real(3, 4), run=lambda x: np.compress([True, False, True], x, 0))
problem(np.extract, real(2, 3), run=lambda x: np.extract(choice, x))
problem(np.choose, real(3), real(3), run=lambda x, y: np.choose([1, 0, 1], [x, y]))
problem(np.select, apart(4), apart(4), run=lambda x, y: np.select([x > 0, y > 0], [x * y, y], 7.0), **CENTRAL)
for axis in None, 0, -1:
    problem(np.sort, apart(3, 4), run=lambda x, a=axis: np.sort(x, a), **CENTRAL, note=f" {axis}")
    problem(
        np.partition, apart(3, 4), run=lambda x, a=axis: np.partition(x, 2, a), **CENTRAL, narrow=False, note=f" {axis}"
    )
problem(np.clip, apart(2, 3), run=lambda x: np.clip(x, -0.5, 0.4), **CENTRAL)
problem(np.clip, apart(2, 3), real(3) - 2, real() + 2, **CENTRAL)
problem(np.clip, apart(4), run=lambda x: np.clip(x, None, 0.3), **CENTRAL)
problem(
    np.clip, apart(4), run=lambda x: np.clip(x, min=0.3) if hasattr(np, "unstack") else np.clip(x, 0.3, None), **CENTRAL
)
problem(np._core.umath.clip, apart(4), run=lambda x: np._core.umath.clip(x, -0.5, 0.5), **CENTRAL)
