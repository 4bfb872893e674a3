"""Problems about products and norms."""

import math
import operator

import numpy as np

from tinygrad_mb.vjps import products

from .posing import LOOSE, apart, positive, problem, real

MATRICES = (
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 2)),
    ((3,), (4, 3, 2)),
    ((4, 2, 3), (3,)),
    ((4, 2, 3), (3, 2)),
    ((2, 3), (4, 3, 2)),
    ((4, 2, 3), (4, 3, 2)),
    ((4, 1, 2, 3), (5, 3, 1)),
    ((2, 0), (0, 3)),
)
for left, right in MATRICES:
    problem(np.matmul, real(*left), real(*right))
    if len(left) < 4:
        problem(np.dot, real(*left), real(*right), exact=False)
problem(np.linalg.matmul, real(2, 3), real(3, 2))
for shape, other in ((), ()), ((), (2, 3)), ((2,), ()):
    problem(np.dot, real(*shape), real(*other))
    problem(np.inner, real(*shape), real(*other))
for shape, other in ((3,), (3,)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 3), (4, 3)), ((2, 2, 3), (4, 3)):
    problem(np.inner, real(*shape), real(*other), exact=False)
problem(np.outer, real(2), real(3))
problem(np.outer, real(2, 2), real())
problem(np.linalg.outer, real(2), real(3))
problem(
    np.vdot,
    real(2, 3),
    real(2, 3),
    run=lambda x, y: np.vdot(x, y) if x.dtype.kind == "f" else np.dot(x.ravel(), y.ravel()),
    **LOOSE,
)
for axes in 0, 1, 2, ([0], [1]), ((1, 0), (0, 1)), (1, 0):
    problem(
        np.tensordot,
        real(3, 3),
        real(3, 3),
        run=lambda x, y, a=axes: np.tensordot(x, y, a),
        exact=False,
        note=f" {axes}",
    )
problem(np.tensordot, real(2, 3, 4), real(4, 3, 2), run=lambda x, y: np.tensordot(x, y, ([1, 2], [1, 0])), exact=False)
problem(np.linalg.tensordot, real(2, 3), real(3, 2), run=lambda x, y: np.linalg.tensordot(x, y, axes=1), exact=False)
for subscripts, *shapes_of_operands in (
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij,jk->", (2, 3), (3, 4)), ("ij->ji", (2, 3)),
    ("ij->", (2, 3)), ("ij->i", (2, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)), ("iij->j", (3, 3, 2)),
    ("i,i->", (3,), (3,)),
    ("i,j->ij", (2,), (3,)), ("bij,bjk->bik", (2, 3, 2), (2, 2, 3)), ("...ij,...jk->...ik", (2, 3, 2), (2, 2)),
    ("...i,i", (2, 3), (3,)), ("i...->...", (2, 3)), ("...->...", (2,)), ("ij,jk,kl->il", (2, 3), (3, 2), (2, 3)),
    ("ij,ij->ij", (2, 3), (1, 3)), ("ij,jk->ik", (2, 1), (3, 2)), ("i,ij,j->", (2,), (2, 3), (3,)), (",i->i", (), (3,)),
    ("ij,kj->ik", (0, 3), (2, 3)), ("...i,...i->...", (2, 1, 3), (4, 3)), ("iji->j", (2, 3, 2)),
    ("b i , b i -> b", (2, 3), (2, 3)),
    ("ij,k->k", (2, 3), (2,)), ("ii,i->i", (3, 3), (3,)),
    ("ij->j", (0, 3)), ("i,j->i", (2,), (0,)), ("ij,ij->j", (0, 1), (1, 3)),
):  # fmt: skip
    problem(
        np.einsum,
        *[real(*s) for s in shapes_of_operands],
        exact=False,
        note=f" {subscripts}",
        run=lambda *xs, s=subscripts: np.einsum(s, *xs),
    )
problem(products.einsum, real(2, 3), real(3), run=lambda x, y: products.einsum([x, y], "ij,j->i"))
for name, left, right in (
    ("vecdot", (2, 3), (3,)), ("vecdot", (3,), (3,)), ("linalg.vecdot", (2, 3), (2, 3)), ("matvec", (4, 2, 3), (3,)),
    ("matvec", (2, 3), (4, 3)), ("vecmat", (3,), (4, 3, 2)), ("vecmat", (4, 3), (3, 2)),
):  # fmt: skip
    try:
        function = operator.attrgetter(name)(np)
    except AttributeError:
        continue  # not in this NumPy
    problem(function, real(*left), real(*right), **LOOSE)
if hasattr(np, "vecdot"):
    problem(np.vecdot, real(3, 2), real(3, 2), run=lambda x, y: np.vecdot(x, y, axis=0), **LOOSE)
problem(np.kron, real(2, 3), real(2, 2))
problem(np.kron, real(2), real(2, 2))
for function in np.cross, np.linalg.cross:
    problem(function, real(2, 3), real(2, 3), exact=False)
problem(np.cross, real(3, 2), real(3), run=lambda x, y: np.cross(x, y, axisa=0, axisc=0), exact=False)
for mode in "full", "same", "valid":
    for n, m in (4, 3), (2, 5), (5, 2), (3, 3):
        problem(
            np.convolve, real(n), real(m), run=lambda x, y, mode=mode: np.convolve(x, y, mode), exact=False, note=mode
        )
        problem(
            np.correlate, real(n), real(m), run=lambda x, y, mode=mode: np.correlate(x, y, mode), **LOOSE, note=mode
        )
problem(np.linalg.multi_dot, real(2, 3), real(3, 2), real(2), run=lambda *xs: np.linalg.multi_dot(xs), exact=False)
for n in 1, 2, 5:
    problem(
        np.linalg.matrix_power,
        real(2, 3, 3) / 2,
        run=lambda x, n=n: np.linalg.matrix_power(x, n),
        exact=False,
        note=f" {n}",
    )
for order in None, 2, 1, 3, math.inf, -math.inf, -1:
    problem(
        np.linalg.norm,
        apart(2, 3),
        run=lambda x, o=order: np.linalg.norm(x, o, axis=1),
        **LOOSE,
        note=f" ord={order}",
    )
problem(np.linalg.norm, positive(2, 3), run=lambda x: np.linalg.norm(x, 0.5, axis=0), **LOOSE, note=" ord=0.5")
for order in "fro", 1, -1, math.inf, -math.inf:
    problem(
        np.linalg.norm,
        apart(3, 4),
        run=lambda x, o=order: np.linalg.norm(x, o),
        **LOOSE,
        note=f" matrix ord={order}",
    )
    problem(
        np.linalg.norm,
        apart(2, 3, 2),
        run=lambda x, o=order: np.linalg.norm(x, o, axis=(2, 0), keepdims=True),
        **LOOSE,
        note=f" matrices ord={order}",
    )
for name in "matrix_norm", "vector_norm":
    if hasattr(np.linalg, name):
        problem(getattr(np.linalg, name), real(2, 3, 2), **LOOSE)
