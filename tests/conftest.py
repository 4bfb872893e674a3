"""Settings for every test, doctests included, and fixtures: wrong derivative rules, and a browser."""

import functools
import os

import pytest

# Before NumPy is loaded: products of small matrices on two BLAS threads are slower than on one, and much slower where
# several test processes share the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture
def spoil():
    """Replaces rules until the test is over: ``spoil(op, position, make)`` with ``make`` of the right rule."""
    from tinygrad_mb.primitives import defvjp

    before = []

    def replace(op, position, make):
        rule = op.rules[position]
        before.append((op, rule))
        defvjp(op.key, **{rule.name: functools.wraps(rule.fn)(make(rule.fn))})

    yield replace
    for op, rule in before:
        defvjp(op.key, **{rule.name: rule.fn})


@pytest.fixture(scope="module")
def browser():
    """A Chromium without a window."""
    from pages import chromium

    yield from chromium()


@pytest.fixture
def load(browser, tmp_path):
    """Opens the page of a drawing."""
    from pages import opener

    yield from opener(browser, tmp_path)
