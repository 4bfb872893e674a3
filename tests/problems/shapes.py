"""Problems about shapes, joining and splitting."""

import numpy as np

from tinygrad_mb.vjps import shapes

from .posing import problem, real

for shape in (6,), (3, -1), -1, (2, 1, 3):
    problem(np.reshape, real(2, 3), run=lambda x, s=shape: np.reshape(x, s))
problem(np.reshape, real(), run=lambda x: np.reshape(x, (1, 1)))
problem(np.reshape, real(0, 3), run=lambda x: np.reshape(x, (3, 0)), note=" empty")
problem(np.ravel, real(2, 3))
for axes in None, (2, 0, 1), [1, 0, 2], (-1, 0, 1):
    problem(np.transpose, real(2, 3, 4), run=lambda x, a=axes: np.transpose(x, a), note=f" {axes}")
problem(np.swapaxes, real(2, 3, 4), run=lambda x: np.swapaxes(x, 0, -1))
problem(np.moveaxis, real(2, 3, 4), run=lambda x: np.moveaxis(x, 0, -1))
problem(np.moveaxis, real(2, 3, 4), run=lambda x: np.moveaxis(x, [0, 2], [1, 0]))
problem(np.rollaxis, real(2, 3, 4), run=lambda x: np.rollaxis(x, 2))
problem(np.rollaxis, real(2, 3, 4), run=lambda x: np.rollaxis(x, 0, 3))
problem(np.matrix_transpose, real(2, 3, 4))
problem(np.linalg.matrix_transpose, real(3, 4))
problem(np.squeeze, real(1, 3, 1))
problem(np.squeeze, real(1, 3, 1), run=lambda x: np.squeeze(x, -1))
problem(np.expand_dims, real(2, 3), run=lambda x: np.expand_dims(x, (0, -1)))
for function in np.atleast_1d, np.atleast_2d, np.atleast_3d:
    for shape in (), (3,), (2, 3), (1, 2, 3):
        problem(function, real(*shape))
problem(np.atleast_1d, real(), real(2), run=lambda x, y: np.atleast_1d(x, y)[0])
problem(np.broadcast_to, real(3), run=lambda x: np.broadcast_to(x, (2, 3)))
problem(np.broadcast_to, real(2, 1), run=lambda x: np.broadcast_to(x, (4, 2, 3)))
problem(np.broadcast_to, real(), run=lambda x: np.broadcast_to(x, (2,)))
problem(np.broadcast_arrays, real(3), real(2, 1), run=lambda x, y: np.broadcast_arrays(x, y)[1])
problem(np.repeat, real(2, 3), run=lambda x: np.repeat(x, 2))
problem(np.repeat, real(2, 3), run=lambda x: np.repeat(x, 3, axis=0))
problem(np.repeat, real(2, 3), run=lambda x: np.repeat(x, [1, 0, 2], axis=-1))
for reps in 2, (2, 1), (2, 1, 3), ():
    problem(np.tile, real(2, 3), run=lambda x, r=reps: np.tile(x, r), note=f" {reps}")
for axis in None, 0, -1, (0, 1):
    problem(np.flip, real(2, 3), run=lambda x, a=axis: np.flip(x, a), note=f" {axis}")
problem(np.fliplr, real(2, 3))
problem(np.flipud, real(2, 3))
for k in -1, 0, 1, 2, 3:
    problem(np.rot90, real(2, 3, 2), run=lambda x, k=k: np.rot90(x, k, (0, 2)), note=f" {k}")
for shift, axis in (2, None), (-1, 1), ((1, 2), (0, 1)), ([1, 2], [0, 1]), (1, (0, 1)):
    problem(np.roll, real(2, 3), run=lambda x, s=shift, a=axis: np.roll(x, s, a), note=f" {shift} {axis}")
for mode in "constant", "edge", "reflect", "symmetric", "wrap":
    for widths in 1, (1, 2), ((0, 1), (2, 0)):
        problem(np.pad, real(3, 4), run=lambda x, w=widths, m=mode: np.pad(x, w, m), note=f" {mode} {widths}")
problem(np.pad, real(3), run=lambda x: np.pad(x, 2, constant_values=7.0))
problem(shapes.pad, real(2, 3), run=lambda x: shapes.pad(x, ((1, 0), (0, 2)), 1.5))
for function in np.tril, np.triu:
    for k in -1, 0, 2:
        problem(function, real(2, 3, 4), run=lambda x, f=function, k=k: f(x, k), note=f" {k}")
for offset in -1, 0, 2, 5:
    problem(np.diagonal, real(3, 4), run=lambda x, k=offset: np.diagonal(x, k), note=f" {offset}")
    problem(np.trace, real(3, 4), run=lambda x, k=offset: np.trace(x, k), exact=False, note=f" {offset}")
problem(np.diagonal, real(2, 3, 4), run=lambda x: np.diagonal(x, 1, -1, 0))
problem(np.linalg.diagonal, real(2, 3, 3), run=lambda x: np.linalg.diagonal(x, offset=1))
problem(np.linalg.trace, real(2, 3, 3), exact=False)
for shape, k in ((3,), 0), ((2,), -1), ((2,), 2), ((3, 4), 1):
    problem(np.diag, real(*shape), run=lambda x, k=k: np.diag(x, k), note=f" {k}")
problem(np.diagflat, real(2, 2), run=lambda x: np.diagflat(x, 1))
problem(np.resize, real(2, 2), run=lambda x: np.resize(x, (2, 3)))
problem(np.delete, real(2, 3), run=lambda x: np.delete(x, [0, 2], 1))
problem(np.delete, real(5), run=lambda x: np.delete(x, slice(1, 3)))
problem(np.meshgrid, real(2), real(3), run=lambda x, y: np.meshgrid(x, y)[1])
problem(np.meshgrid, real(2), real(3), run=lambda x, y: np.meshgrid(x, y, indexing="ij", sparse=True)[0])
for axis, size in (None, (2, 2)), (1, 2), (-1, 3):
    problem(
        np.lib.stride_tricks.sliding_window_view,
        real(3, 4),
        note=f" {axis} {size}",
        run=lambda x, n=size, a=axis: np.lib.stride_tricks.sliding_window_view(x, n, a),
    )


for axis in 0, 1, -1:
    problem(np.concatenate, real(2, 3), real(2, 3), run=lambda x, y, a=axis: np.concatenate([x, y], a), note=f" {axis}")
    problem(np.stack, real(2, 3), real(2, 3), run=lambda x, y, a=axis: np.stack((x, y), a), note=f" {axis}")
problem(np.concatenate, real(2, 3), real(2), run=lambda x, y: np.concatenate([x, y], None), note=" None")
problem(np.concatenate, real(2, 3), real(0, 3), run=lambda x, y: np.concatenate([x, y]), note=" empty")
problem(np.concatenate, real(3), run=lambda x: np.concatenate([x, x, [1.0, 2.0]]), note=" with a list")
problem(np.stack, real(), real(), run=lambda x, y: np.stack([x, y]))
problem(np.vstack, real(3), real(2, 3), run=lambda x, y: np.vstack([x, y]))
problem(np.hstack, real(2, 3), real(2, 1), run=lambda x, y: np.hstack([x, y]))
problem(np.hstack, real(), real(3), run=lambda x, y: np.hstack([x, y]))
problem(np.dstack, real(2, 3), real(2, 3), run=lambda x, y: np.dstack([x, y]))
problem(np.column_stack, real(3), real(3, 2), run=lambda x, y: np.column_stack([x, y]))
problem(np.append, real(2, 3), real(2), run=lambda x, y: np.append(x, y))
problem(np.append, real(2, 3), real(1, 3), run=lambda x, y: np.append(x, y, 0))
problem(np.block, real(2, 2), real(2, 1), run=lambda x, y: np.block([[x, y], [np.zeros((1, 2)), 1.0]]))
problem(np.block, real(2), run=lambda x: np.block([x, x * x]))
problem(np.array_split, real(7), run=lambda x: np.array_split(x, 3)[1])
problem(np.array_split, real(2, 7), run=lambda x: np.array_split(x, [1, 4], -1)[2])
problem(np.split, real(2, 4), run=lambda x: np.split(x, 2, 1)[0])
problem(np.hsplit, real(2, 4), run=lambda x: np.hsplit(x, 2)[1])
problem(np.vsplit, real(4, 2), run=lambda x: np.vsplit(x, [1, 3])[1])
problem(np.dsplit, real(2, 1, 4), run=lambda x: np.dsplit(x, 2)[1])
if hasattr(np, "unstack"):
    problem(np.unstack, real(2, 3), run=lambda x: np.unstack(x, axis=1)[2])
