"""Every NumPy function has exactly one declared fate, and does what it says."""

import contextlib
import importlib
import inspect
import io

import numpy as np
import pytest
from numpy.testing.overrides import get_overridable_numpy_array_functions, get_overridable_numpy_ufuncs

from tinygrad_mb import Tensor, errors, no_grad, numpy_api
from tinygrad_mb.composites import COMPOSITES
from tinygrad_mb.primitives import PRIMITIVES

for lazy in "fft", "char", "strings", "polynomial", "lib.recfunctions", "linalg":
    importlib.import_module(f"numpy.{lazy}")
OVERRIDABLE = sorted(
    {*get_overridable_numpy_ufuncs(), *get_overridable_numpy_array_functions()},
    key=lambda function: (numpy_api.full_name(function), id(function)),
)
NEWEST = hasattr(np, "matvec")  # what NumPy before 2.2 lacks, its list of overridable functions lacks, too


def fates(function):
    declared = {
        "primitive": function in PRIMITIVES,
        "composite": function in COMPOSITES,
        "not differentiable": function in numpy_api.NOT_DIFFERENTIABLE,
        "refused": numpy_api.advice(function) is not None,
    }
    return [fate for fate, is_so in declared.items() if is_so]


@pytest.fixture
def t():
    return Tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0]], requires_grad=True, name="t")


# --------------------------------------------------------------------------------------------------- the fates


@pytest.mark.parametrize("function", OVERRIDABLE, ids=numpy_api.full_name)
def test_every_function_has_exactly_one_fate(function):
    assert len(fates(function)) == 1, fates(function)


def test_no_function_is_declared_that_tensors_cannot_meet():
    known = set(OVERRIDABLE)
    assert known >= COMPOSITES.keys() | numpy_api.NOT_DIFFERENTIABLE
    names = {numpy_api.full_name(function) for function in OVERRIDABLE}
    if NEWEST:
        some_versions = {"numpy.in1d", "numpy.polynomial.polynomial.polyvalnd"}
        assert names >= numpy_api.REFUSED.keys() - some_versions
        for start in numpy_api.REFUSED_FAMILIES.keys() - {"numpy.lib._scimath_impl."}:  # its name before NumPy 2.3
            assert any(name.startswith(start) for name in names), start


@pytest.mark.skipif(not NEWEST, reason="some arguments have other names in older versions")
@pytest.mark.parametrize("key", COMPOSITES, ids=numpy_api.full_name)
def test_composites_have_numpys_arguments(key):
    if isinstance(key, np.ufunc) or key is np.pad:  # pad takes its own by **kwargs
        return
    assert inspect.signature(COMPOSITES[key].fn).parameters.keys() <= inspect.signature(key).parameters.keys()


@pytest.mark.parametrize("function", [f for f in OVERRIDABLE if fates(f) == ["refused"]], ids=numpy_api.full_name)
def test_refused_functions_name_themselves_and_say_what_to_do(function, t):
    with pytest.raises(
        errors.NotDifferentiableError, match=rf"np\..*{function.__name__} does not work on Tensors\. .{{9,}}"
    ):
        numpy_api.call_function(function, (t,), {}, Tensor)


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        (lambda t: np.copyto(np.zeros((2, 3)), t), "t.at"),
        (lambda t: np.fill_diagonal(t, 0), "t.at"),
        (lambda t: np.put(t, 0, 1), "t.at"),
        (lambda t: np.zeros(3, like=t), "without like="),
        (lambda t: np.eye(3, like=t), "without like="),
        (lambda t: np.linalg.svd(t), "np.linalg.svd does not work.*not supported yet"),
        (lambda t: np.fft.fft(t), "np.fft.fft does not work.*not supported yet"),
        (lambda t: np.emath.sqrt(t), "stays real"),
        (lambda t: np.piecewise(t, [t > 0], [1]), "np.where"),
        (lambda t: np.insert(t, 0, 1), "np.concatenate"),
        (lambda t: np.unique(t), r"t.numpy\(\)"),
        (lambda t: np.apply_along_axis(np.sum, 0, t), "axis="),
        (lambda t: np.char.equal(t, t), "strings"),
        (lambda t: np.add.at(np.zeros(3), [0], t), r"t.at\[index\].add"),
        (lambda t: np.add.reduceat(t, [0]), "does not work"),
        (lambda t: np.subtract.reduce(t), "does not work"),
        (lambda t: np.isnat(t), "dates"),
    ],
)
def test_refusals_as_users_meet_them(call, advice, t):
    with pytest.raises(errors.NotDifferentiableError, match=advice):
        call(t)


def test_a_function_of_a_newer_numpy_is_refused(t):
    @np._core.overrides.array_function_dispatch(lambda x: (x,), module="numpy")
    def from_the_future(x):
        return x

    with pytest.raises(errors.NotDifferentiableError, match=r"np\.from_the_future does not work on Tensors"):
        from_the_future(t)


# --------------------------------------------------------------------------------------- not differentiable

FLAT = [np.sign, np.floor, np.ceil, np.trunc, np.rint, np.round, np.around, np.fix, np.spacing, np.angle, np.imag,
        np.zeros_like, np.ones_like, lambda t: np.floor_divide(t, 2), lambda t: np.full_like(t, 2)]  # fmt: skip


@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")  # since NumPy 2.5
@pytest.mark.parametrize("function", FLAT)
def test_flat_functions_give_constant_tensors(function, t):
    result = function(t)
    assert isinstance(result, Tensor)
    assert not result.requires_grad
    np.testing.assert_array_equal(result.numpy(), function(t.numpy()))
    assert (result * t).sum().gradient(t).shape == t.shape


ABOUT_VALUES = [
    np.isnan, np.isfinite, np.signbit, np.logical_not, np.argmax, np.argsort, np.nonzero, np.flatnonzero, np.argwhere,
    np.count_nonzero, np.any, np.all, np.ndim, np.shape, np.size, np.result_type, np.array_repr, np.array_str,
    np.array2string, np.iscomplexobj, np.isreal, np.linalg.matrix_rank, np.common_type,
    lambda t: t > 0, lambda t: np.equal(t, 1), lambda t: np.allclose(t, t), lambda t: np.argmin(t, 1),
    lambda t: np.searchsorted(np.arange(3.0), t),
    lambda t: np.digitize(t, [0.0, 1.0]), lambda t: np.isin(t, [1.0]), lambda t: np.isclose(1.0, t),
    lambda t: np.array_equal(t, t), lambda t: np.lexsort(t), lambda t: np.can_cast(t.dtype, float),
]  # fmt: skip


@pytest.mark.parametrize("function", ABOUT_VALUES)
def test_functions_about_values_give_plain_results(function, t):
    result = function(t)
    assert not isinstance(result, Tensor)
    np.testing.assert_equal(result, function(t.numpy()))


def test_memory_and_empty_arrays(t):
    assert np.shares_memory(t, t.data)
    assert np.empty_like(t).shape == t.shape
    assert np.zeros_like(t, dtype=int).dtype == int


def test_values_can_be_saved(t):
    for save, load in (np.save, np.load), (np.savetxt, np.loadtxt), (np.savez, lambda f: np.load(f)["arr_0"]):
        file = io.BytesIO()
        save(file, t)
        file.seek(0)
        np.testing.assert_array_equal(load(file), t.numpy())


# ------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.sum(t, 0, None, None, True),
        lambda t: np.sum(t, axis=1, dtype=None, out=None, keepdims=np._NoValue, initial=np._NoValue, where=np._NoValue),
        lambda t: np.sum(t, where=True),
        lambda t: np.mean(t, None, None, None, True),
        lambda t: np.max(t, 1, None, True),
        lambda t: np.var(t, 0, None, None, 1, True),
        lambda t: np.std(t, 0, None, None, 1, True),
        lambda t: np.prod(t, 0, None, None, True),
        lambda t: np.cumsum(t, 0, None, None),
        lambda t: np.ptp(t, 0, None, True),
        lambda t: np.reshape(t, (3, 2), order="C"),
        lambda t: np.ravel(t, order="K"),
        lambda t: np.copy(t, "K", False),
        lambda t: np.concatenate([t, t], 0, out=None),
        lambda t: np.stack((t, t), axis=1, casting="same_kind"),
        lambda t: np.exp(t, out=None, where=True, casting="same_kind", order="K", dtype=None, subok=True),
        lambda t: np.add(t, t, None),
        lambda t: np.take(t, [0], 1, None, "raise"),
        lambda t: np.dot(t, t.T, None) if NEWEST else np.dot(t, t.T),
        lambda t: np.einsum("ij->j", t, out=None, optimize=True),
        lambda t: np.clip(t, 0, 1, None),
        lambda t: np.median(t, 0, None, False, True),
        lambda t: np.broadcast_to(t, (2, 2, 3), False),
        lambda t: np.diagonal(t, 1, 0, 1),
        lambda t: np.trace(t, 1, 0, 1, None, None),
        lambda t: np.add.reduce(t, None, None, None, True),
        lambda t: np.add.reduce(t),
        lambda t: np.multiply.reduce(t, 1, keepdims=True),
        lambda t: np.maximum.reduce(t, axis=1, initial=0.0),
        lambda t: np.minimum.reduce(t, axis=None),
        lambda t: np.add.reduce(t, axis=1, where=[True, False, True]),
        lambda t: np.logaddexp.reduce(t, axis=1),
        lambda t: np.add.accumulate(t),
        lambda t: np.multiply.accumulate(t, 1),
        lambda t: np.subtract.outer(t, [1.0, 2.0]),
        lambda t: np.multiply.outer(np.arange(2.0), t),
        lambda t: np.meshgrid(t[0], t[1], indexing="ij", copy=False)[0],
        lambda t: np.vecdot(t, t, axis=0) if NEWEST else t[0],
    ],
)  # fmt: skip
def test_arguments_bind_as_numpys(call, t):
    expected, result = call(t.numpy()), call(t)
    assert isinstance(result, Tensor)
    assert result.requires_grad
    assert result.dtype == expected.dtype
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-14, atol=1e-14, strict=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: np.sum(t, out=np.zeros(())), "sum: the argument out=.*use the result"),
        (lambda t: np.sum(t, dtype=np.float32), r"sum: the argument dtype=.*astype"),
        (lambda t: np.exp(t, dtype=np.float32), r"exp: the argument dtype=.*astype"),
        (lambda t: np.exp(t, where=t > 0), "exp: the argument where=.*np.where"),
        (lambda t: np.exp(t, out=np.zeros((2, 3))), "np.exp: out= is not supported"),
        (lambda t: np.equal(t, t, out=np.zeros((2, 3), bool)), "np.equal: out= is not supported"),
        (lambda t: np.add(1, 2, out=t), "np.add: out= is not supported"),
        (lambda t: np.var(t, 0, np.float32), "var: the argument dtype="),
        (lambda t: np.std(t, where=t > 0), "std: the argument where="),
        (lambda t: np.reshape(t, (3, 2), order="F"), "reshape: the argument order='F'.*transpose"),
        (lambda t: np.ravel(t, "F"), "ravel: the argument order='F'"),
        (lambda t: np.concatenate([t, t], dtype=np.float32), "concatenate: the argument dtype="),
        (lambda t: np.einsum("ij->i", t, out=np.zeros(2)), "einsum: the argument out="),
        (lambda t: np.matmul(t, t.T, axes=[(0, 1), (0, 1), (0, 1)]), "matmul: the argument axes="),
        (lambda t: np.add.reduce(t, dtype=np.float32), "add.reduce: the argument dtype="),
        (lambda t: np.add.reduce(t, out=np.zeros(3)), "np.add.reduce: out= is not supported"),
        (lambda t: np.sort(t, order="x"), "sort: the argument order="),
        (lambda t: np.pad(t, 1, "mean"), "pad: mode 'mean'"),
    ],
)
def test_arguments_without_meaning_for_tensors_are_refused(call, message, t):
    with pytest.raises(errors.NotDifferentiableError, match=message):
        call(t)


@pytest.mark.parametrize("spoil", [lambda a, t: np.add(a, t, out=a), lambda a, t: exec("a += t", {"a": a, "t": t})])
def test_an_array_does_not_take_a_tensor_in_place(spoil, t):
    array = np.zeros((2, 3))
    with pytest.raises(errors.NotDifferentiableError, match=r"np.add: an array cannot take.*Write `a = a \+ t`"):
        spoil(array, t)
    assert not array.any()


def test_masked_reductions_need_a_start_where_numpy_does(t):
    with pytest.raises(ValueError, match="where= needs initial="):
        np.max(t, where=t > 0)


def test_lists_of_arrays_numbers_and_tensors_mix(t):
    a = np.ones((2, 3))
    for result in (
        np.concatenate([a, t]), np.stack([t, a]), np.where(a > 0, t, a), np.einsum("ij,kj->ik", a, t),
        np.block([[a, t]]), np.vstack([a, t, [1, 2, 3]]), np.hstack([t, a]), np.select([a > 2, a > 0], [a, t]),
        np.concatenate([t[0], [1.0, 2]]),
    ):  # fmt: skip
        assert result.requires_grad
        assert result.sum().gradient(t).dtype == np.float64


def test_no_function_coerces_a_tensor_that_needs_a_gradient(t):
    for lossy in (
        np.array,
        np.asarray,
        lambda t: np.array([t, t]),
        lambda t: np.mean([t, t]),
        lambda t: np.ones(2) @ [t[0, 0], t[0, 1]],
    ):
        with pytest.raises(TypeError, match="would lose it"):
            lossy(t)


def test_results_are_recorded_or_not_as_the_mode_says(t):
    with no_grad():
        for call in (lambda: np.var(t), lambda: np.sum(t, where=t > 0), lambda: np.median(t), lambda: np.add.reduce(t)):
            assert not call().requires_grad


@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated:DeprecationWarning")  # since NumPy 2.5
@pytest.mark.parametrize("function", [f for f in OVERRIDABLE if fates(f)[0] != "refused"], ids=numpy_api.full_name)
def test_nothing_falls_through_to_object_arrays(function, t):
    """Called with one tensor: a result without objects, or an error."""
    with np.errstate(all="ignore"), contextlib.suppress(TypeError, ValueError):
        result = function(t)
        for part in result if isinstance(result, (tuple, list)) else [result]:
            assert getattr(getattr(part, "dtype", None), "kind", "f") != "O"
