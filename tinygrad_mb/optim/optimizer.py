"""What all optimizers share: the list of parameters, the walk over them, their state."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..arraylike import Array
from ..errors import describe
from ..pytrees import Nest
from ..tensor import Tensor

_BLOCK = 1 << 15  # elements that are updated at a time: their arrays stay in the processor's cache


class Optimizer:
    """The walk over the parameters; subclasses say how one is updated.

    ``slots`` names the arrays that are kept for each parameter, all of its shape and zero at the start, and
    ``settings`` the attributes that ``state_dict`` includes.
    """

    slots: tuple[str, ...] = ()
    settings: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")

    def __init__(self, params: Any, lr: float, weight_decay: float) -> None:
        self.params = _parameters(type(self).__name__, params)
        self.lr = self._number("lr", lr)
        self.weight_decay = self._number("weight_decay", weight_decay)
        tensors = self.params.values()
        self._steps = dict.fromkeys(self.params, 0)
        self._state = {path: {slot: np.zeros_like(p.data) for slot in self.slots} for path, p in self.params.items()}
        rooms = {p.dtype: np.empty(min(_BLOCK, max(q.size for q in tensors)), p.dtype) for p in tensors}
        self._scratch = {
            path: rooms[p.dtype][: p.size].reshape(p.shape if p.size <= _BLOCK else -1)
            for path, p in self.params.items()
        }

    def step(self) -> None:
        """Change each parameter in place; one whose ``grad`` is None stays as it is, and so does its state."""
        for path, parameter in self.params.items():
            grad = parameter.grad
            if grad is None:
                continue
            self._steps[path] += 1
            arrays = (parameter._data, grad, *self._state[path].values())
            scratch = self._scratch[path]
            if grad.size <= _BLOCK:
                self._update(self._steps[path], scratch, *arrays)
                continue
            access: Any = [["readonly"] if array is grad else ["readwrite"] for array in arrays]
            with np.nditer(arrays, ["external_loop", "buffered"], access, buffersize=_BLOCK) as blocks:
                for block in blocks:
                    self._update(self._steps[path], scratch[: block[0].size], *block)

    def _update(self, t: int, scratch: Array, data: Array, grad: Array, *state: Array) -> None:
        """Change ``data`` and the state in the ``t``-th step; ``scratch`` is of their shape, ``grad`` read only."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.params.values():
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The settings, and for each parameter's path the number of its steps and copies of its arrays."""
        return {
            "settings": {name: getattr(self, name) for name in self.settings},
            "state": {path: {"steps": self._steps[path], **copy.deepcopy(self._state[path])} for path in self.params},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave.

        Raises ``ValueError``, and changes nothing, if the parameters or the arrays kept for them are others.
        """
        settings, arrays = state["settings"], state["state"]
        problems = [f"missing: {path}" for path in self.params if path not in arrays]
        problems += [f"unexpected: {path}" for path in arrays if path not in self.params]
        if set(settings) != set(self.settings):
            problems.append(f"settings: {sorted(settings)}, not {sorted(self.settings)}")
        for path in self.params.keys() & arrays.keys():
            wanted = {"steps": (), **{slot: array.shape for slot, array in self._state[path].items()}}
            found = {name: np.shape(value) for name, value in arrays[path].items()}
            if found != wanted:
                problems.append(f"{path}: {found} does not fit {wanted}")
        if problems:
            raise ValueError(f"load_state_dict of {type(self).__name__}:\n  " + "\n  ".join(problems))
        for name, value in settings.items():
            setattr(self, name, value)
        for path, slots in self._state.items():
            self._steps[path] = int(arrays[path]["steps"])
            for slot, array in slots.items():
                array[...] = arrays[path][slot]

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in self.settings)
        return f"{type(self).__name__}({len(self.params)} parameters, {settings})"

    def _number(self, name: str, value: Any, below: float = math.inf) -> float:
        """The setting as a Python number, which leaves the parameters' dtype alone."""
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{type(self).__name__}: {name} must be a number, not {value!r:.60}") from None
        if not 0 <= number < below:
            limit = "at least 0 and finite" if below == math.inf else f"at least 0 and below {below:g}"
            raise ValueError(f"{type(self).__name__}: {name} must be {limit}, not {number!r}")
        return number


def _parameters(operation: str, params: Any) -> dict[str, Tensor]:
    """The tensors in a module or a nest by path, each once; raises for what cannot be trained."""
    nest = Nest(params)
    found: dict[int, tuple[str, Tensor]] = {}
    for path, leaf in zip(nest.paths, nest.leaves, strict=True):
        place = f"parameter {path}" if path else "params"
        if not isinstance(leaf, Tensor):
            raise TypeError(
                f"{operation} wants a Module, or a nest of lists, tuples and dicts of Tensors: {place} is a "
                f"{type(leaf).__name__}"
            )
        if not leaf.is_leaf:
            raise ValueError(f"{operation}: {place}, {describe(leaf)}, was computed: only leaves can be trained")
        if not leaf.requires_grad:
            raise ValueError(f"{operation}: {place}, {describe(leaf)}, needs requires_grad=True to be trained")
        found.setdefault(id(leaf), (path, leaf))
    if not found:
        raise ValueError(f"{operation}: there are no parameters in {params!r:.60}")
    return dict(found.values())
