"""A person's file with a derivation: found by a few names, and its errors shown as its own.

The file defines ``loss(params, x, y)``, a value for each of these arguments under the same name, and, to be checked,
``hand_gradients``: a function with the arguments of ``loss``, or the gradients themselves.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

EXAMPLE = """\
import numpy as np

x, y = np.random.default_rng(0).normal(size=(2, 5, 3))  # the batch: the examples stand along the first axis
params = {"W": np.ones((3, 3))}

def loss(params, x, y):
    return np.square(x @ params["W"] - y).sum(axis=1).mean()

def hand_gradients(params, x, y):
    return {"W": 2 * x.T @ (x @ params["W"] - y) / len(x)}
"""


class UserFileError(Exception):
    """What is wrong with a person's file, in words that are ready to be printed."""


class UserFile(NamedTuple):
    """What a file defines.

    loss    the function
    params  the value of its first argument
    batch   those of the others
    hand    the gradients derived by hand, or a function that computes them; None if they were not asked for
    """

    loss: Callable[..., Any]
    params: Any
    batch: tuple[Any, ...]
    hand: Any


@contextmanager
def opened(path: Path, to_check: bool = False, function: str = "loss") -> Iterator[UserFile]:
    """Run a file, and hand over what it defines; ``to_check`` asks for ``hand_gradients``, too.

    ``function`` is the name of the loss function.

    Raises ``UserFileError`` for a file that is not there or lacks a name, and for whatever is raised by the file, by
    the block, or below it in a function of the file.
    """
    if not path.is_file():
        raise UserFileError(f"{path}: there is no such file")
    module = ModuleType("tinygrad_mb_userfile")  # no name that something else could have
    module.__file__ = str(path)
    directory = str(path.resolve().parent)
    sys.path.insert(0, directory)
    sys.modules[module.__name__] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
        yield _read(path, vars(module), to_check, function)
    except UserFileError:
        raise
    except (Exception, SystemExit) as error:
        text = _shown(error, path)
        if text is None:
            raise
        raise UserFileError(text) from error
    finally:
        sys.path.remove(directory)
        del sys.modules[module.__name__]


def _read(path: Path, names: dict[str, Any], to_check: bool, function: str) -> UserFile:
    loss = names.get(function)
    if not callable(loss):
        what = f"it defines no function `{function}`" if loss is None else f"its `{function}` is not a function"
        raise _lacking(path, what)
    arguments = list(inspect.signature(loss).parameters.values())
    wanted = [p.name for p in arguments[1:] if p.name in names or p.default is p.empty]
    for name in [*(["params"] if arguments else []), *wanted, *(["hand_gradients"] if to_check else [])]:
        if name not in names:
            why = f", which `{function}` takes" if name in wanted else ""
            raise _lacking(path, f"it defines no `{name}`{why}")
    batch = tuple([names[name] for name in wanted])
    return UserFile(loss, names.get("params") if arguments else None, batch, names.get("hand_gradients"))


def _lacking(path: Path, what: str) -> UserFileError:
    example = "".join(f"    {line}" if line.strip() else line for line in EXAMPLE.splitlines(keepends=True))
    return UserFileError(f"{path}: {what}. A file with a derivation looks like this:\n\n{example}")


def _shown(error: BaseException, path: Path) -> str | None:
    """An error with the lines of the file that led to it; None if it is none of the file's."""
    told = traceback.TracebackException.from_exception(error)
    told.stack = traceback.StackSummary.from_list([frame for frame in told.stack if frame.filename == str(path)])
    told.__cause__ = told.__context__ = None
    if told.stack or isinstance(error, SyntaxError):
        return "".join(told.format()).rstrip()
    if isinstance(error, (TypeError, ValueError, IndexError, RuntimeError)):  # of what a function was given
        return f"{path}: {error}"
    return None
