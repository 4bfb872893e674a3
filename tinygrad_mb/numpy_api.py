"""The fate of every NumPy function that Tensors can meet.

Each function that NumPy lets a carrier override has exactly one fate: it is a **primitive** with derivative rules,
a **composite** of primitives, **not differentiable** (it tells about values and has no derivative worth the name),
or **refused**.  A refused function raises and names what to use instead; nothing falls through to object arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .autodiff import Hidden, Recorded, as_array, record, wrap
from .composites import COMPOSITES, numpy_functions, reductions
from .errors import NotDifferentiableError
from .primitives import PRIMITIVES, refuse_argument
from .vjps import special

Function = Callable[..., Any]

# What these return says something about the values, the shape or the dtype; where it is a floating-point number, it is
# flat almost everywhere.  They run on plain data.
NOT_DIFFERENTIABLE: frozenset[Function] = frozenset(
    numpy_functions(
        # comparisons, logic, bits, integers
        "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor logical_not "
        "bitwise_and bitwise_or bitwise_xor bitwise_count invert left_shift right_shift gcd lcm "
        "isfinite isinf isnan signbit isneginf isposinf isreal isrealobj iscomplex iscomplexobj "
        "all any allclose isclose array_equal array_equiv isin in1d count_nonzero "
        # steps
        "sign floor ceil trunc rint fix round around floor_divide angle imag spacing "
        "_core.umath.imag _core.umath.real "  # since NumPy 2.5; of complex numbers alone
        # places
        "argmax argmin nanargmax nanargmin argsort lexsort argpartition argwhere nonzero flatnonzero searchsorted "
        "digitize ix_ diag_indices_from tril_indices_from triu_indices_from unravel_index ravel_multi_index "
        # facts about shapes, dtypes and memory
        "ndim shape size can_cast common_type min_scalar_type result_type may_share_memory shares_memory "
        "einsum_path linalg.matrix_rank zeros_like ones_like empty_like "
        # text and files
        "array2string array_repr array_str save savez savez_compressed savetxt"
    )
)  # fmt: skip

_LATER = "It is not supported yet."
_VALUES = "Its result is not differentiated: call it on the values, t.numpy()."
_CREATION = "Make a plain array without like=, and wrap it: Tensor(array)."
_AT = "Tensors are never written into: use t.at[index].set(values), or np.where."
_COMPLEX = "Its result may be complex. Use NumPy's function of the same name, which stays real."

# For each function, by its full name, the nearest thing that works.
REFUSED: dict[str, str] = {
    f"numpy.{name}": advice
    for names, advice in {
        "copyto place put putmask put_along_axis fill_diagonal": _AT,
        "array asarray asanyarray ascontiguousarray asfortranarray require": _CREATION,
        "arange empty eye full identity ones tri zeros": _CREATION,
        "frombuffer fromfile fromfunction fromiter fromstring genfromtxt loadtxt": _CREATION,
        "apply_along_axis apply_over_axes": "Use NumPy's own axis= arguments, or np.stack of the results for slices.",
        "piecewise": "Use np.where or np.select.",
        "insert": "Use np.concatenate with slices of the tensor.",
        "trim_zeros": "Slice the tensor: t[first:last].",
        "unwrap": "Add what it changes: t + (np.unwrap(t.numpy()) - t.numpy()).",
        "nanmedian nanquantile nanpercentile": "Choose the numbers first: np.median(t[~np.isnan(t)]).",
        "histogram histogram2d histogramdd histogram_bin_edges": _VALUES,
        "unique unique_all unique_counts unique_inverse unique_values": _VALUES,
        "intersect1d setdiff1d setxor1d union1d": _VALUES,
        "poly polyadd polyder polydiv polyfit polyint polymul polysub roots": "np.polyval is supported; "
        "np.convolve multiplies polynomials.",
        "polynomial.polynomial.polyval2d polynomial.polynomial.polygrid2d": "np.polyval is supported.",
        "polynomial.polynomial.polyvalnd": "np.polyval is supported.",
        "sort_complex": "Use np.sort.",
        "i0": "Its derivative needs the Bessel function I1, which NumPy lacks: make a primitive of your own with "
        "@primitive and defvjp.",
        "nextafter": "Its step has no derivative: call it on the values, t.numpy().",
        "linalg.cholesky linalg.det linalg.eig linalg.eigh linalg.eigvals linalg.eigvalsh linalg.lstsq": _LATER,
        "linalg.qr linalg.slogdet linalg.solve linalg.svd linalg.svdvals linalg.tensorsolve linalg.cond": _LATER,
        "linalg.inv linalg.pinv linalg.tensorinv": _LATER,
        "packbits unpackbits": "Tensors hold numbers, not bits.",
        "isnat busday_count busday_offset is_busday datetime_as_string": "Tensors hold numbers, not dates.",
        "isalpha isalnum isdecimal isdigit islower isnumeric isspace istitle isupper startswith endswith": "",
        "str_len count find rfind index rindex": "",
    }.items()
    for name in names.split()
}  # fmt: skip

# Whole families, some of which NumPy does not load until they are used, by the start of their names.
REFUSED_FAMILIES: dict[str, str] = {
    "numpy.fft.": "Fourier transforms are not supported yet.",
    "numpy.lib.scimath.": _COMPLEX,
    "numpy.lib._scimath_impl.": _COMPLEX,
    "numpy.lib.recfunctions.": "Tensors hold numbers, not records.",
    "numpy.strings.": "Tensors hold numbers, not strings.",
    "numpy.char.": "Tensors hold numbers, not strings.",
    "numpy._": "Tensors hold numbers, not strings.",  # NumPy's private ufuncs for strings
}

# What a binary ufunc's methods are as functions.
REDUCE: dict[np.ufunc, Function] = {
    np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min, np.logaddexp: special.logsumexp,
}  # fmt: skip
ACCUMULATE: dict[np.ufunc, Function] = {np.add: np.cumsum, np.multiply: np.cumprod}


def full_name(function: Function) -> str:
    """``numpy.linalg.svd`` for that function, ``numpy.add`` for that ufunc: a key of ``REFUSED``."""
    if isinstance(function, np.ufunc):
        return f"numpy.{function.__name__}"
    return f"{function.__module__}.{function.__name__}"


def advice(function: Function) -> str | None:
    """What to use instead of a refused function; None for one that is not declared as refused."""
    name = full_name(function)
    if name in REFUSED:
        return REFUSED[name] or "Tensors hold numbers, not strings."
    return next((text for start, text in REFUSED_FAMILIES.items() if name.startswith(start)), None)


def call_function(function: Function, args: Sequence[Any], kwargs: dict[str, Any], cls: type[Recorded]) -> Any:
    """What ``function`` does when an argument is a Tensor."""
    if ("where" in kwargs or "initial" in kwargs) and function in reductions.MASKABLE:
        return reductions.masked(function, args, kwargs)  # type: ignore[no-untyped-call]
    op = PRIMITIVES.get(function)
    if op is not None:
        return record(op, op.bind(*args, **kwargs), cls)
    composite = COMPOSITES.get(function)
    if composite is not None:
        return composite(*args, **kwargs)
    if function in NOT_DIFFERENTIABLE:
        return constant(function(*unwrap(args), **unwrap(kwargs)), cls)
    if isinstance(function, np.ufunc) and getattr(np, function.__name__, None) is not function and not advice(function):
        raise NotDifferentiableError(
            f"{function.__name__}, which is not one of NumPy's functions, does not work on Tensors yet: give it its "
            f"derivative with defvjp({function.__name__}, x=lambda g, x: ...), or make a primitive that calls it."
        )
    name = full_name(function).replace("numpy", "np", 1)
    raise NotDifferentiableError(f"{name} does not work on Tensors. {advice(function) or ''}".strip())


def call_ufunc(ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: dict[str, Any], cls: type[Recorded]) -> Any:
    """What a universal function, or one of its methods, does when an argument is a Tensor."""
    out = kwargs.pop("out", None)
    if out is not None and any(array is not None for array in out):
        raise _written_into(ufunc, method, inputs, out)
    if method == "__call__":
        if ufunc not in NOT_DIFFERENTIABLE:
            kwargs = _less_defaults(ufunc.__name__, kwargs, ("axis",))
        return call_function(ufunc, inputs, kwargs, cls)
    kwargs = _less_defaults(f"{ufunc.__name__}.{method}", kwargs, ("axis", "keepdims", "initial", "where"))
    if method == "reduce" and ufunc in REDUCE:
        return REDUCE[ufunc](inputs[0], **{"axis": 0, **kwargs})
    if method == "accumulate" and ufunc in ACCUMULATE:
        return ACCUMULATE[ufunc](inputs[0], **{"axis": 0, **kwargs})
    if method == "outer":
        x, y = (as_array(a) for a in inputs)
        return ufunc(x.reshape(x.shape + (1,) * y.ndim), y, **kwargs)
    hint = "Use t.at[index].add(values)." if method == "at" else "Use NumPy's functions on whole arrays."
    raise NotDifferentiableError(f"np.{ufunc.__name__}.{method} does not work on Tensors. {hint}")


def _written_into(ufunc: np.ufunc, method: str, inputs: Sequence[Any], out: tuple[Any, ...]) -> NotDifferentiableError:
    """``array += tensor``, or ``out=`` in plain words."""
    name = f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method}"
    if inputs and any(array is inputs[0] for array in out):
        return NotDifferentiableError(
            f"{name}: an array cannot take a Tensor's values in place, since they would lose their derivatives. "
            "Write `a = a + t` for `a += t`, or use t.numpy() for the values alone."
        )
    return NotDifferentiableError(f"{name}: out= is not supported. Tensors are never written into: use the result.")


def _less_defaults(name: str, kwargs: dict[str, Any], supported: tuple[str, ...]) -> dict[str, Any]:
    """The keywords of a ufunc's call less those that say nothing; raises for those that Tensors do not support."""
    kept = {}
    for key, value in kwargs.items():
        if key in supported:
            kept[key] = value
        elif (key, value) not in (("casting", "same_kind"), ("subok", True)):
            refuse_argument(name, key, value)
    return kept


def unwrap(value: Any) -> Any:
    """The same nest of arguments with plain data in the place of Tensors."""
    if isinstance(value, Recorded):
        data = value._data
        if type(data) is np.ndarray:
            data = data.view()
            data.setflags(write=False)  # neither an ``out`` argument nor a result is a way to change a tensor
        return data
    if isinstance(value, dict):
        return {key: unwrap(v) for key, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)([unwrap(v) for v in value])
    return value


def constant(value: Any, cls: type[Recorded]) -> Any:
    """A result without derivative: floating-point arrays as Tensors, so that calculations go on; the rest as it is."""
    if isinstance(value, (np.ndarray, np.generic, Hidden)) and value.dtype.kind == "f":
        return wrap(cls, value)
    return value
