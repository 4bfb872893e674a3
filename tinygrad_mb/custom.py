"""Functions of one's own as primitives: one node in the graph, with derivative rules of their own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

import numpy as np

from .autodiff import Hidden, Recorded, coerce, record
from .primitives import declare, is_own

Function = TypeVar("Function", bound=Callable[..., Any])


def plain_arrays(fn: Callable[..., Any], key: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Let a function that needs plain arrays hand a call with a carrier among its arguments over to that carrier.

    The carrier knows it by ``key``, the function that users call.
    """

    @functools.wraps(fn)
    def run(*args: Any) -> Any:
        carrier = first_hidden(args)
        return fn(*args) if carrier is None else carrier.call(key or run, args)

    return run


def first_hidden(args: Any) -> Any:
    """A carrier among arguments, or inside tuples and lists of them; None if there is none."""
    for arg in args:
        if type(arg) is not np.ndarray:
            if isinstance(arg, Hidden):
                return arg
            if type(arg) in (tuple, list) and (found := first_hidden(arg)) is not None:
                return found
    return None


@overload
def primitive(fn: Function, /) -> Function: ...
@overload
def primitive(*, variadic: bool = ...) -> Callable[[Function], Function]: ...
def primitive(fn: Any = None, /, *, variadic: bool = False) -> Any:
    """Make a function of arrays a primitive: on Tensors, a call is recorded as one node.

    The parameters without a default are the arrays, and the others are options; with ``variadic=True`` the
    first parameter is a sequence of any number of arrays.  The function itself computes with plain arrays;
    give it its derivatives with ``defvjp``.

    >>> import numpy as np, tinygrad_mb as tg
    >>> @tg.primitive
    ... def swish(x, beta=1.0):
    ...     return x / (1 + np.exp(-beta * x))
    >>> tg.defvjp(swish, x=lambda g, x, out, beta: g * (beta * out + (1 - beta * out) / (1 + np.exp(-beta * x))))
    >>> x = tg.Tensor(0.0, requires_grad=True)
    >>> swish(x).gradient(x)
    array(0.5)
    """
    if fn is None:
        return functools.partial(primitive, variadic=variadic)
    return _declared(fn, variadic, plain=not is_own(fn))


def plain_primitive(fn: Any = None, /, *, variadic: bool = False) -> Any:
    """``primitive`` for a function of our own that needs plain arrays, as users' functions are taken to do."""
    if fn is None:
        return functools.partial(plain_primitive, variadic=variadic)
    return _declared(fn, variadic, plain=True)


def _declared(fn: Any, variadic: bool, plain: bool) -> Any:
    signature = inspect.signature(fn)
    arrays = 1 if variadic else sum(p.default is p.empty for p in signature.parameters.values())

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        values = op.bind(*args, **kwargs)
        for name, value in zip(options, values[arrays:], strict=True) if options else ():
            if isinstance(value, Recorded):
                raise TypeError(
                    f"{op.name}: the option {name} is a Tensor, and options are constants: declare {name} without a "
                    f"default to make it an array, or pass {name}.numpy()"
                )
        for value in values[0] if variadic else values[:arrays]:
            if isinstance(value, Recorded):
                return record(op, values, type(value))
        return run(*values)

    run = plain_arrays(fn, call) if plain else fn
    op = declare(
        call, signature, run if is_own(fn) else _checked(run), arrays=arrays, variadic=variadic, name=fn.__name__
    )
    options = op.names[arrays:]
    return call


def _checked(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A user's function that cannot write into its arrays, and whose result is an array, and a view.

    As a view, the engine does not take the result for an array that is its own.
    """

    @functools.wraps(fn)
    def run(*args: Any) -> Any:
        out = fn(*[_read_only(arg) for arg in args])
        if isinstance(out, Recorded):
            raise TypeError(f"{fn.__name__} returned a Tensor: a primitive computes with the plain arrays that it gets")
        out = coerce(out)
        return out.view() if isinstance(out, np.ndarray) else out

    return run


def _read_only(value: Any) -> Any:
    if type(value) is list:
        return [_read_only(part) for part in value]
    if type(value) is np.ndarray:
        value = value.view()
        value.setflags(write=False)
    return value
