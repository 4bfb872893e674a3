"""The modes that change what an operation records; each thread and each async task has its own."""

from __future__ import annotations

from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import Any, NamedTuple, Self


class Mode(NamedTuple):
    """What the engine looks at, once, for every recorded operation."""

    grad: bool = True
    anomaly: bool = False
    scope: str = ""


_mode: ContextVar[Mode] = ContextVar("tinygrad_mb_mode", default=Mode())  # noqa: B039 - a tuple cannot change
current = _mode.get


class _ModeSwitch(ContextDecorator):
    """Replaces some fields of the mode inside a ``with`` block or a decorated function."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields
        self._tokens: list[Token[Mode]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_mode.set(current()._replace(**self._fields)))
        return self

    def __exit__(self, *exc: object) -> None:
        _mode.reset(self._tokens.pop())

    def _recreate_cm(self) -> Self:
        # A decorated function may run in several threads at once: each call gets its own switch.
        fresh = type(self).__new__(type(self))
        _ModeSwitch.__init__(fresh, **self._fields)
        return fresh


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

    def __enter__(self) -> Self:
        outer = current().scope
        self._fields = {"scope": f"{outer}/{self._name}" if outer else self._name}
        return super().__enter__()

    def _recreate_cm(self) -> Self:
        return type(self)(self._name)
