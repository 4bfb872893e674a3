"""``vmap``: a function of one example as a function of many."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .autodiff import Recorded, bare, coerce, data_of
from .carriers.hidden import Carrier
from .carriers.hiding import hide, reveal
from .carriers.randomness import CHOICES, draws, is_generator, watched
from .errors import ShapeError, argument_names, describe
from .modes import hiding, new_level
from .pytrees import Nest


def vmap(fn: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, randomness: str = "error") -> Callable[..., Any]:
    """The function that does for a whole axis of examples what ``fn`` does for one of them, in one run.

    ``in_axes`` says which axis of each argument holds the examples: an integer, None for an argument that all
    examples share, or a tuple with one of these, or a nest of them, for each argument; an integer or None stands for
    all arrays of a nest.  Keyword arguments have the examples along axis 0.  ``out_axes`` says in the same way where
    the results have them.  A result that is the same for all examples is repeated for each.

    ``fn`` may use NumPy's functions, operators and methods of arrays, this library's functions and transforms, and
    ``vmap`` itself; it may not branch on values, nor write into arrays.  Tensors give tensors, through which
    gradients flow, and arrays give arrays.

    ``randomness`` says what a ``np.random.Generator`` among the arguments gives inside: "different" numbers for each
    example, the "same" for all, or an "error".  Numbers drawn from elsewhere, which are the same for all, are an
    error too, unless that is asked for.

    Raises ``ShapeError`` for sizes that differ and for results of different shapes, ``ValueError`` where nothing is
    mapped or ``in_axes`` does not fit the arguments, ``TypeError`` for what needs plain numbers.

    >>> import numpy as np, tinygrad_mb as tg
    >>> def loss(w, x, y):
    ...     return 0.5 * (x @ w - y) ** 2
    >>> w, X, y = np.array([1.0, -2.0]), np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([-1.0, 1.0])
    >>> tg.vmap(loss, in_axes=(None, 0, 0))(w, X, y)
    array([2., 0.])
    >>> tg.vmap(tg.grad(loss), in_axes=(None, 0, 0))(w, X, y)
    array([[-2., -4.],
           [ 0.,  0.]])
    """
    if randomness not in CHOICES:
        raise ValueError(f"vmap: randomness is one of {', '.join(map(repr, CHOICES))}, not {randomness!r}")

    def run(*args: Any, **kwargs: Any) -> Any:
        inputs = Nest((args, kwargs))
        axes = [*_spread(in_axes, args, "in_axes", "the arguments"), *_spread(0, kwargs, "in_axes", "")]
        m, places = _sizes(inputs, axes, _names(fn, args, inputs))
        level = new_level()
        with watched((fn, args, kwargs), level, m, randomness), hiding(level):
            leaves = [
                draws(x) if is_generator(x) else x if axis is None else hide(x, level, axis)
                for x, axis in zip(places, axes, strict=True)
            ]
            args, kwargs = inputs.fill(leaves, whole=True)
            result = fn(*args, **kwargs)
        out = Nest(result)
        shown = _spread(out_axes, result, "out_axes", "the results")
        taken = {_owner(x) for x in [*places, *[x for x in out.leaves if isinstance(x, Recorded)]]}
        return out.fill([
            _shown(x, level, m, axis, path, taken) for x, axis, path in zip(out.leaves, shown, out.paths, strict=True)
        ])  # fmt: skip

    return functools.update_wrapper(run, fn) if hasattr(fn, "__name__") else run


def _spread(axes: Any, tree: Any, keyword: str, what: str) -> list[Any]:
    """One axis, or None, for each leaf of a nest."""
    if axes is None or (isinstance(axes, (int, np.integer)) and not isinstance(axes, bool)):
        return [axes] * len(Nest(tree).leaves)
    if isinstance(axes, dict) and isinstance(tree, dict) and axes.keys() == tree.keys():
        return [k for key, part in tree.items() for k in _spread(axes[key], part, keyword, f"{what}[{key!r}]")]
    if isinstance(axes, (tuple, list)) and isinstance(tree, (tuple, list)) and len(axes) == len(tree):
        pairs = enumerate(zip(axes, tree, strict=True))
        return [k for i, (part, sub) in pairs for k in _spread(part, sub, keyword, f"{what}[{i}]")]
    size = f" of {len(tree)}" if isinstance(tree, (tuple, list, dict)) else ""
    raise ValueError(
        f"vmap: {keyword} has {axes!r} for {what}, a {type(tree).__name__}{size}: it must be an integer, None, or a "
        "nest of them of the same structure"
    )


def _names(fn: Any, args: Sequence[Any], inputs: Nest) -> list[str]:
    """How messages call the arguments' leaves: ``params.W``."""
    names, found = argument_names(fn), []
    for path in inputs.paths:
        kind, _, path = path.partition(".")
        first, _, rest = path.partition(".")
        if kind == "0":
            first = names[int(first)] if int(first) < len(names) else f"argument {first}"
        found.append(f"{first}.{rest}" if rest else first)
    return found


def _sizes(inputs: Nest, axes: list[Any], names: list[str]) -> tuple[int, list[Any]]:
    """The number of examples, and the leaves as arrays where they are mapped."""
    sizes: dict[str, int] = {}
    leaves: list[Any] = []
    for k, (x, axis, name) in enumerate(zip(inputs.leaves, axes, names, strict=True)):
        if axis is not None and not is_generator(x):
            x = x if isinstance(x, Recorded) else coerce(x)
            ndim = len(data_of(x).shape)
            if not -ndim <= axis < ndim:
                raise ShapeError(
                    f"vmap: {describe(x, name)} has no axis {axis} of examples: if all examples share it, in_axes must "
                    "have None for it, and a keyword argument must go by position"
                )
            axes[k] = axis % ndim
            sizes[name] = data_of(x).shape[axis]
        leaves.append(x)
    if not sizes:
        raise ValueError("vmap: no argument has an axis of examples: in_axes must name one for at least one array")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ShapeError(f"vmap: the axes of examples must be of one size, and {listed}")
    return next(iter(sizes.values())), leaves


def _shown(x: Any, level: int, m: int, axis: int | None, path: str, taken: set[int]) -> Any:
    """A result with the examples along ``axis``; an array is the caller's own, and not one of those ``taken``."""
    name = f"the result {path}".strip()
    if axis is None:
        hidden = data_of(x)
        if isinstance(hidden, Carrier) and hidden._level == level:
            raise ValueError(f"vmap: out_axes has None for {name}, which is not the same for all examples")
        return x
    x = x if isinstance(x, Recorded) else coerce(x)
    ndim = len(data_of(x).shape) + 1
    if not -ndim <= axis < ndim:
        raise ShapeError(f"vmap: out_axes has {axis} for {name}, {describe(x)}: it has no such axis with the examples")
    out = reveal(x, level, m, axis % ndim)
    if type(out) is np.ndarray:
        if not out.flags.writeable or _owner(out) in taken:
            out = out.copy()
        taken.add(_owner(out))
    return out


def _owner(x: Any) -> int:
    """Which array has the numbers that another one shows."""
    x = bare(data_of(x))
    while isinstance(x, np.ndarray) and x.base is not None:
        x = x.base
    return id(x)
