"""The checkers as assertions, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .derivations import check_derivation
from .gradcheck import gradcheck

_NOT_GIVEN: Final = object()  # None is what a function without `return` gives


def assert_gradients(fn: Callable[..., Any], *inputs: Any, hand: Any = _NOT_GIVEN, **options: Any) -> None:
    """Raise ``AssertionError``, with the checker's report as its message, unless the gradients of ``fn`` are right.

    Without ``hand``, the gradients that the engine computes are compared with differences: ``inputs`` and ``options``
    are those of ``gradcheck``.  With ``hand``, a function or a nest of arrays that a person derived, ``fn`` is a loss
    function and ``inputs`` are ``params, *batch``: the gradients by hand are compared with those of the engine, and
    ``options`` are those of ``check_derivation``.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.assert_gradients(np.tanh, np.array([0.5, -1.0]))
    >>> def loss(params, x, y):
    ...     return np.square(x @ params["w"] - y)
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]), np.array([1.0, 2.0, 4.0])
    >>> params = {"w": np.array([0.5, -0.5])}
    >>> tg.assert_gradients(loss, params, x, y, hand={"w": 2 * x.T @ (x @ params["w"] - y) / 3})
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    if hand is _NOT_GIVEN:
        gradcheck(fn, *inputs, **options).assert_ok()
    else:
        check_derivation(fn, inputs[0], hand, *inputs[1:], **options).assert_ok()
