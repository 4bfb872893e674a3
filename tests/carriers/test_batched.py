"""Arrays with a hidden axis of examples: on every problem of the list, one run for all is a loop over the examples."""

import numpy as np
import pytest
from problems import PROBLEMS

import tinygrad_mb as tg
from tinygrad_mb.carriers import batched
from tinygrad_mb.composites import COMPOSITES
from tinygrad_mb.primitives import PRIMITIVES

M = 3
# NumPy fills an array of its own with what np.full_like is given, whatever that is.
ALONE = [p for p in PROBLEMS if len(p.inputs) > 1 and p.on is not np.full_like]
ONE_EACH = [p for p in {p.on: p for p in PROBLEMS if p.second and p.wrt}.values() if p.inputs[p.wrt[0]].size]


def examples(problem, dtype=np.float64, shape=(M,)):
    """The problem's inputs, each with axes of examples in front: slightly different numbers for each."""
    random = np.random.default_rng(7)
    found = []
    for a in problem.inputs:
        wide = np.broadcast_to(a, shape + a.shape)
        if a.dtype == np.float64:
            wide = (wide * (1 + 0.01 * random.uniform(-1, 1, wide.shape))).astype(dtype)
        found.append(np.array(wide))
    return found


def assert_same(actual, expected, tolerance=1e-12):
    assert type(actual) is np.ndarray
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def loop(function, arrays, hidden):
    """What vmap is to give: the results of calls for one example after the other, stacked."""
    calls = [function(*[a[k] if h else a for a, h in zip(arrays, hidden, strict=True)]) for k in range(M)]
    return [np.stack([np.asarray(part) for part in parts]) for parts in zip(*calls, strict=True)]


def as_tuple(problem):
    return lambda *arrays: (problem.run(*arrays),)


def gradients(problem, arrays):
    """The function that gives the gradients of a weighted sum of the problem's result."""
    shape = np.shape(problem.run(*arrays))
    weights = np.random.default_rng(3).uniform(1, 2, shape)

    def total(*arrays):
        return (problem.run(*arrays) * weights.astype(arrays[problem.wrt[0]].dtype)).sum()

    return total, tg.grad(total, problem.wrt)


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_one_run_is_a_loop(problem):
    arrays, hidden = examples(problem), [True] * len(problem.inputs)
    (actual,) = tg.vmap(as_tuple(problem))(*arrays)
    assert_same(actual, *loop(as_tuple(problem), arrays, hidden))


@pytest.mark.parametrize("problem", ALONE, ids=str)
def test_one_run_is_a_loop_where_the_examples_share_all_but_one_operand(problem):
    wide = examples(problem)
    for k in range(len(wide)):
        arrays = [a if k == j else a[0] for j, a in enumerate(wide)]
        hidden = [k == j for j in range(len(wide))]
        (actual,) = tg.vmap(as_tuple(problem), tuple([0 if h else None for h in hidden]))(*arrays)
        assert_same(actual, *loop(as_tuple(problem), arrays, hidden))


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.wrt], ids=str)
def test_gradients_of_each_example_and_their_sum(problem):
    arrays, hidden = examples(problem), [True] * len(problem.inputs)
    total, gradient = gradients(problem, [a[0] for a in arrays])
    each = tg.vmap(gradient)(*arrays)
    expected = loop(gradient, arrays, hidden)
    for actual, right in zip(each, expected, strict=True):
        assert_same(actual, right)
    # From outside the axis is an ordinary one, and an argument that all share gets the sum.
    outside = tg.grad(lambda *arrays: tg.vmap(total)(*arrays).sum(), problem.wrt)(*arrays)
    for actual, right in zip(outside, expected, strict=True):
        assert_same(actual, right)
    shared = [a[0] for a in arrays]
    positions = tuple([k + 1 for k in problem.wrt])
    summed = tg.grad(lambda scales, *arrays: tg.vmap(lambda s: s * total(*arrays))(scales).sum(), positions)
    for actual, right in zip(summed(np.arange(1.0, M + 1), *shared), gradient(*shared), strict=True):
        assert_same(actual, 6 * right)


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.wrt and p.narrow], ids=str)
def test_narrow_dtypes_stay_narrow(problem):
    arrays = examples(problem, np.float32)
    _, gradient = gradients(problem, [a[0] for a in arrays])
    for k, actual in zip(problem.wrt, tg.vmap(gradient)(*arrays), strict=True):
        assert actual.dtype == np.float32
        assert actual.shape == arrays[k].shape
    (value,) = tg.vmap(as_tuple(problem))(*arrays)
    assert value.dtype == np.asarray(problem.run(*[a[0] for a in arrays])).dtype


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_two_hidden_axes(problem):
    arrays = examples(problem, shape=(2, M))
    run = as_tuple(problem)
    (actual,) = tg.vmap(tg.vmap(run))(*arrays)
    expected = [loop(run, [a[k] for a in arrays], [True] * len(arrays))[0] for k in (0, 1)]
    assert_same(actual, np.stack(expected))
    first, *others = arrays
    if others and problem.on is not np.full_like:  # one operand hides the one axis, the others the other
        first, others = first[:, 0], [a[0] for a in others]
        (actual,) = tg.vmap(lambda x: tg.vmap(lambda *ys: run(x, *ys))(*others))(first)
        expected = [loop(run, [x, *others], [False] + [True] * len(others))[0] for x in first]
        assert_same(actual, np.stack(expected))


@pytest.mark.parametrize("problem", ONE_EACH, ids=str)
def test_second_derivatives(problem):
    """Inside, outside, and one of each."""
    arrays, hidden = examples(problem), [True] * len(problem.inputs)
    total, gradient = gradients(problem, [a[0] for a in arrays])

    def squares(*arrays):
        return sum((g * g).sum() for g in gradient(*arrays))

    twice = tg.grad(squares, problem.wrt)
    expected = loop(twice, arrays, hidden)
    outside = tg.grad(lambda *arrays: tg.vmap(squares)(*arrays).sum(), problem.wrt)

    def of_the_sum(*arrays):
        inner = tg.grad(lambda *arrays: tg.vmap(total)(*arrays).sum(), problem.wrt)
        return sum((g * g).sum() for g in inner(*arrays))

    for found in tg.vmap(twice)(*arrays), outside(*arrays), tg.grad(of_the_sum, problem.wrt)(*arrays):
        for actual, right in zip(found, expected, strict=True):
            scale = max(1.0, abs(right).max())
            assert_same(actual / scale, right / scale, 1e-10)


def test_functions_of_the_table_and_composites_need_no_loop(monkeypatch):
    looped = set()
    loop_over_examples = batched.one_by_one
    monkeypatch.setattr(
        batched, "one_by_one", lambda level, f, *call: (looped.add(f), loop_over_examples(level, f, *call))[1]
    )
    for problem in PROBLEMS:
        arrays = examples(problem)
        tg.vmap(as_tuple(problem))(*arrays)
        for k in range(len(arrays) if problem.on is not np.full_like else 0):
            axes = tuple([0 if k == j else None for j in range(len(arrays))])
            tg.vmap(as_tuple(problem), axes)(*[a if k == j else a[0] for j, a in enumerate(arrays)])
    assert {np.searchsorted} >= looped  # in np.interp, with points of each example's own
    assert not looped & (PRIMITIVES.keys() | COMPOSITES.keys())


def test_the_loop_gives_the_same():
    """Any other function of NumPy works too, and so do the user's own primitives."""
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(M, 3, 3)), rng.normal(size=(M, 3))
    assert_same(tg.vmap(np.linalg.solve)(A, b), np.stack([np.linalg.solve(*ab) for ab in zip(A, b, strict=True)]))
    U, s, Vh = tg.vmap(lambda a: tuple(np.linalg.svd(a)))(A)
    assert_same(U * s[:, None, :] @ Vh, A)
    assert tg.vmap(lambda a: np.linalg.svd(a).S)(A).shape == (M, 3)
    assert_same(tg.vmap(np.fft.fft)(b), np.fft.fft(b))
    assert tg.vmap(lambda x: np.histogram(x, 4, (-3.0, 3.0))[0])(b).dtype == np.histogram(b[0], 4)[0].dtype
    assert tg.vmap(np.linalg.inv)(A[:0]).shape == (0, 3, 3)

    @tg.primitive
    def cube(x, times=1):
        out = np.empty_like(x)
        out[...] = times * x**3
        return out

    tg.defvjp(cube, x=lambda g, x, times: 3 * times * g * x * x)
    assert_same(tg.vmap(cube)(b), b**3)
    assert_same(tg.vmap(tg.grad(lambda x: cube(x, times=2).sum()))(b), 6 * b * b)
    assert_same(tg.vmap(tg.grad(lambda x: tg.grad(lambda x: cube(x).sum())(x).sum()))(b), 6 * b)
