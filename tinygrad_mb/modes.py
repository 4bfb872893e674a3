"""The modes that change what an operation records; each thread and each async task has its own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from itertools import count
from typing import Any, NamedTuple, Self, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


class Mode(NamedTuple):
    """What the engine looks at, once, for every recorded operation."""

    grad: bool = True
    anomaly: bool = False
    scope: str = ""
    level: int = 0  # of the hidden axes of examples that one is inside of, the innermost; 0 for none
    values: bool = False  # nodes keep their values, and the lines that made them, for those who read the graph


_levels = count(1)


def new_level() -> int:
    """The level of a hidden axis: one that is opened later lies further inside, and its number is higher."""
    return next(_levels)


class _Entered(Mode):
    """A mode that remembers which switch set it, and what held before."""

    setter: _ModeSwitch
    outer: Mode


mode_variable: ContextVar[Mode] = ContextVar("tinygrad_mb_mode", default=Mode())  # noqa: B039 - a tuple cannot change
current = mode_variable.get


@functools.lru_cache(maxsize=1024)
def inside(mode: Mode, name: str) -> Mode:
    """``mode`` in a scope called ``name``."""
    return Mode(mode.grad, mode.anomaly, f"{mode.scope}/{name}" if mode.scope else name, *mode[3:])


class _ModeSwitch:
    """Replaces some fields of the mode inside a ``with`` block or a decorated function.

    It keeps no state of its own, so that one switch can serve several threads and calls at once.
    """

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def _change(self, outer: Mode) -> dict[str, Any]:
        return self._fields

    def __enter__(self) -> Self:
        outer = current()
        mode = _Entered(*outer._replace(**self._change(outer)))
        mode.setter, mode.outer = self, outer
        mode_variable.set(mode)
        return self

    def __exit__(self, *exc: object) -> None:
        mode = current()
        if not isinstance(mode, _Entered) or mode.setter is not self:
            raise RuntimeError(
                f"a {type(self).__name__} block was left before a block that was entered after it, or in another "
                "task or thread: was one of them inside a generator? Leave such blocks before each yield."
            )
        mode_variable.set(mode.outer)

    def __call__(self, fn: Function) -> Function:
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise TypeError(
                f"{type(self).__name__} cannot decorate {fn.__qualname__}, a generator: its body runs after the call "
                "has returned. Write a `with` block inside it, and leave the block before each yield."
            )
        if inspect.iscoroutinefunction(fn):

            @functools.wraps(fn)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await fn(*args, **kwargs)

            return cast("Function", run_async)

        @functools.wraps(fn)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return fn(*args, **kwargs)

        return cast("Function", run)


class no_grad(_ModeSwitch):
    """Record nothing inside the block; usable as a context manager or a decorator.

    >>> import tinygrad_mb as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(grad=False)


class enable_grad(_ModeSwitch):
    """Record again inside a block that stands in a ``no_grad`` block.

    >>> import tinygrad_mb as tg
    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.no_grad(), tg.enable_grad():
    ...     y = w * 2
    >>> y.requires_grad
    True
    """

    def __init__(self) -> None:
        super().__init__(grad=True)


class detect_anomaly(_ModeSwitch):
    """Stop at the first NaN or infinity, naming the operation and the line of user code that made it.

    Raises ``FloatingPointError`` in the forward pass at the operation itself, and in backward with
    the line of the operation whose derivative rule made the value.  Slows recording down.

    >>> import numpy as np, tinygrad_mb as tg
    >>> x = tg.Tensor([0.0, 1.0], requires_grad=True, name="x")
    >>> with tg.detect_anomaly(), np.errstate(all="ignore"):
    ...     np.log(x)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FloatingPointError: log made 1 value that is not finite ...
    """

    def __init__(self) -> None:
        super().__init__(anomaly=True)


class hiding(_ModeSwitch):
    """Work inside of the hidden axis of examples with this level: tensors made here keep it in their gradients."""

    def __init__(self, level: int) -> None:
        super().__init__(level=level)


class keep_values(_ModeSwitch):
    """Let every node keep its value and its line, in ``node.extras``: the graph of a whole calculation, to be read."""

    def __init__(self) -> None:
        super().__init__(values=True)


class scope(_ModeSwitch):
    """Give the operations recorded inside the block a common box, ``name``, in pictures and messages.

    Scopes nest: ``scope("encoder")`` inside ``scope("model")`` is ``model/encoder``.

    >>> import tinygrad_mb as tg
    >>> w = tg.Tensor([1.0], requires_grad=True)
    >>> with tg.scope("model"), tg.scope("encoder"):
    ...     y = w * 2
    >>> y.node.scope
    'model/encoder'
    """

    def __init__(self, name: str) -> None:
        self._name = name
        super().__init__()

    def _change(self, outer: Mode) -> dict[str, Any]:
        return {"scope": inside(outer, self._name).scope}
