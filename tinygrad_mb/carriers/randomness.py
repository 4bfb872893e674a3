"""Random numbers inside vmap: each example's own, or one for all, and never one by oversight."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return"

from __future__ import annotations

import ctypes
import functools
import pickle
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Any

import numpy as np

from ..primitives import is_own
from .batched import Batched, any_at_level, one_by_one

CHOICES = ("error", "different", "same")

# What has a number for each element of the result, so that all examples' numbers can be drawn in one call.
_ELEMENTWISE = frozenset({
    "random", "standard_normal", "standard_exponential", "normal", "uniform", "integers", "exponential", "binomial",
    "poisson", "laplace", "logistic", "lognormal", "gumbel", "beta", "gamma", "standard_gamma", "geometric",
})  # fmt: skip
_SIZE_FIRST = frozenset({"random", "standard_normal", "standard_exponential"})
_ADVICE = (
    "Say vmap(..., randomness='different') for numbers of each example's own, or 'same' for the same numbers for all, "
    "and pass the generator as an argument (tg.nn.dropout takes any); or draw before vmap, and pass the numbers."
)


class Draws:
    """A generator as a function inside vmap sees it.

    level, m    the hidden axis
    randomness  whether numbers are each example's own
    source      the generator, or what an outer vmap made of it
    """

    __slots__ = ("level", "m", "randomness", "source")

    def __init__(self, source: Any, level: int, m: int, randomness: str) -> None:
        self.source = source
        self.level = level
        self.m = m
        self.randomness = randomness

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.source, name)
        if name.startswith("_") or not callable(method):
            raise AttributeError(f"inside vmap a generator has only its distributions, and not .{name}")
        return functools.partial(self._draw, name, method)

    def _draw(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.randomness == "error":
            raise RuntimeError(f"rng.{name}() inside vmap: {_ADVICE}")
        if name in ("shuffle", "permuted") and ("out" in kwargs or name == "shuffle"):
            raise TypeError(f"rng.{name} writes into an array, of which inside vmap there is none: use rng.permutation")
        hidden = any_at_level((args, kwargs), self.level)
        if self.randomness == "same" and not hidden:
            return method(*args, **kwargs)
        if not hidden and name in _ELEMENTWISE:
            if name in _SIZE_FIRST and args:
                return Batched(method(self._wide(args[0]), *args[1:], **kwargs), self.level)
            if "size" in kwargs:
                return Batched(method(*args, **{**kwargs, "size": self._wide(kwargs["size"])}), self.level)
        if self.randomness == "same":
            raise TypeError(
                f"rng.{name}() with arguments of each example's own gives each its own numbers: draw standard numbers, "
                "and scale and shift them"
            )
        marker = Batched(np.zeros(self.m), self.level)  # an argument that every example has
        return one_by_one(self.level, lambda marker, args, kwargs: method(*args, **kwargs), (marker, args, kwargs), {})

    def _wide(self, size: Any) -> tuple[int, ...]:
        return (self.m, *(() if size is None else (size,) if isinstance(size, (int, np.integer)) else size))


def is_generator(x: Any) -> bool:
    """Whether a value draws random numbers."""
    return isinstance(x, (np.random.Generator, Draws))


_open: ContextVar[tuple[tuple[int, int, str, set[int]], ...]] = ContextVar("tinygrad_mb_vmaps", default=())


def draws(rng: Any) -> Any:
    """A generator as what runs inside the current vmaps must see it; outside of any, the generator itself."""
    seen = set()
    inner = rng
    while isinstance(inner, Draws):
        seen.add(inner.level)
        inner = inner.source
    for level, m, randomness, known in _open.get():
        known.add(id(inner))
        if level not in seen:
            rng = Draws(rng, level, m, randomness)
    return rng


@contextmanager
def watched(call: Any, level: int, m: int, randomness: str) -> Iterator[None]:
    """Around a vmap's call, of the function and the arguments given.

    Raises ``RuntimeError`` if it has drawn numbers behind vmap's back, the same for all examples.
    """
    generators = {} if randomness == "same" else {id(g): g for g in [*generators_of(call), np.random]}
    before = {key: state_of(g) for key, g in generators.items()}
    known: set[int] = set()
    token = _open.set((*_open.get(), (level, m, randomness, known)))
    try:
        yield
    finally:
        _open.reset(token)
    for key, g in generators.items():
        if key not in known and state_of(g) != before[key]:
            what = "np.random" if g is np.random else "a generator that the function has from elsewhere"
            raise RuntimeError(f"vmap: {what} was used inside, and gave all examples the same numbers. {_ADVICE}")


_MT19937_BYTES = 2500  # 624 words of 32 bits, and the place among them
_legacy: tuple[bytes, bool] = (b"", False)  # what np.random was last seen to be


def state_of(generator: Any) -> Any:
    """What changes with every draw."""
    if isinstance(generator, np.random.Generator):
        return pickle.dumps(generator.bit_generator.state)
    if isinstance(generator, np.random.RandomState):
        return pickle.dumps(generator.get_state(legacy=False))
    return _state_of_np_random()


def _state_of_np_random() -> tuple[bytes, bool]:
    """The bits' state, read where it lies, and whether a second normal number is left from the draw of a first.

    NumPy tells both, but takes 30 µs to list the words, so it is asked only where the answer may be another.
    """
    global _legacy
    bits = np.random.get_bit_generator()  # type: ignore[attr-defined]
    known = isinstance(bits, np.random.MT19937)
    words = ctypes.string_at(bits.ctypes.state_address, _MT19937_BYTES) if known else pickle.dumps(bits.state)
    if words != _legacy[0] or _legacy[1]:
        _legacy = words, bool(np.random.get_state(legacy=False)["has_gauss"])
    return _legacy


_MOST = 10_000  # objects that are looked at, in the search for generators
_DEPTH = 6
_LEAVES = frozenset((float, int, bool, complex, str, bytes, type(None), np.ndarray, np.float64))


def generators_of(call: Any) -> list[Any]:
    """The generators that a call can reach, the nearest first, by closures, globals that it names, and attributes."""
    found: list[Any] = []
    layer, seen, budget = [call], {id(call)}, iter(range(_MOST))
    for _ in range(_DEPTH):
        below = []
        for part, _ in zip(chain.from_iterable(map(_parts, layer)), budget, strict=False):
            if isinstance(part, (np.random.Generator, np.random.RandomState)):
                found.append(part)
            elif type(part) not in _LEAVES and id(part) not in seen:
                seen.add(id(part))
                below.append(part)
        layer = below
    return found


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif isinstance(value, types.FunctionType):
        for cell in value.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not yet assigned
                continue
        yield from value.__defaults__ or ()
        if not is_own(value):
            yield from [value.__globals__[name] for name in value.__code__.co_names if name in value.__globals__]
    elif isinstance(value, (tuple, list, dict)):
        yield from value.values() if isinstance(value, dict) else value
    elif not isinstance(value, (type, types.ModuleType)):
        yield from getattr(value, "__dict__", {}).values()
