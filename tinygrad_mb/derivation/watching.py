"""What a user's functions call their values: a look at their local variables as they run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

_NOT_USERS = (str(Path(__file__).parents[1]), str(Path(np.__file__).parent))


@contextmanager
def watch_locals(see: Callable[[str, Any], None]) -> Iterator[None]:
    """Show ``see`` the local variables of the user's functions, by name, line by line as they run."""

    def look(frame: FrameType, event: str, arg: Any) -> Any:
        if not is_users(frame):
            return None
        arguments = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        for name, value in frame.f_locals.items():
            if name.isidentifier() and name[0] != "_" and name not in arguments:
                see(name, value)
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)


def is_users(frame: FrameType) -> bool:
    """Whether a frame is of the user's own code: not of this package, of NumPy, or of the standard library."""
    if frame.f_code.co_filename.startswith(_NOT_USERS):
        return False
    return frame.f_globals.get("__name__", "").partition(".")[0] not in sys.stdlib_module_names - {"__main__"}
