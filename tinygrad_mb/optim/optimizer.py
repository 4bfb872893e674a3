"""What all optimizers share: the parameters with their state, and the walk over them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..arraylike import Array
from ..errors import describe
from ..pytrees import Nest
from ..tensor import Tensor


class _Trained:
    """A parameter, its path, the number of its steps, the arrays kept for it, and room for intermediate results."""

    __slots__ = ("path", "room", "state", "steps", "tensor")

    def __init__(self, path: str, tensor: Tensor, slots: tuple[str, ...], room: Array) -> None:
        self.path = path
        self.tensor = tensor
        self.steps = 0
        self.state = {slot: np.zeros_like(tensor.data) for slot in slots}
        self.room = room[: tensor.size].reshape(tensor.shape)


class Optimizer:
    """The walk over the parameters; subclasses say how one is updated.

    ``slots`` names the arrays that are kept for each parameter, all of its shape and zero at the start, and
    ``settings`` the attributes that ``state_dict`` includes.
    """

    slots: tuple[str, ...] = ()
    settings: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")

    def __init__(self, params: Any, lr: float, weight_decay: float) -> None:
        self.lr = self._number("lr", lr)
        self.weight_decay = self._number("weight_decay", weight_decay)
        tensors = _trainable(type(self).__name__, params)
        size = max(tensor.size for tensor in tensors.values())
        self._groups: dict[Any, list[_Trained]] = {tensor.dtype: [] for tensor in tensors.values()}
        rooms = {dtype: np.empty(size, dtype) for dtype in self._groups}
        self._trained = [_Trained(path, p, self.slots, rooms[p.dtype]) for path, p in tensors.items()]
        for trained in self._trained:
            self._groups[trained.tensor.dtype].append(trained)
        self._factors: dict[Any, tuple[tuple[float, ...], list[Array]]] = {}

    def step(self) -> None:
        """Change each parameter in place; one whose ``grad`` is None stays as it is, and so does its state.

        Raises ``RuntimeError`` if no parameter has a gradient.
        """
        changed = False
        for dtype, group in self._groups.items():
            steps = 0
            for trained in group:
                tensor = trained.tensor
                grad = tensor._node.grad  # type: ignore[union-attr]  # a leaf that requires gradients has a node
                if grad is None:
                    continue
                changed = True
                trained.steps += 1
                if trained.steps != steps:
                    steps = trained.steps
                    numbers = self._as_arrays(self._numbers(steps), dtype)
                self._update(numbers, trained.room, tensor._data, grad, *trained.state.values())
        if not changed:
            raise RuntimeError(
                f"{type(self).__name__}.step(): none of the {len(self._trained)} parameters has a gradient. Call "
                "backward() on a loss first; if the model has got new tensors since, make the optimizer anew."
            )

    def _as_arrays(self, numbers: tuple[float, ...], dtype: Any) -> list[Array]:
        """Numbers as arrays without axes, which NumPy multiplies by faster than by Python's own; the last are kept."""
        last, arrays = self._factors.get(dtype, ((), []))
        if last != numbers:
            arrays = [np.array(number, dtype) for number in numbers]
            self._factors[dtype] = (numbers, arrays)
        return arrays

    def _numbers(self, t: int) -> tuple[float, ...]:
        """The factors of the ``t``-th step; ``_update`` gets them as arrays without axes, of the parameter's dtype."""
        raise NotImplementedError

    def _update(self, numbers: list[Array], room: Array, data: Array, grad: Array, *state: Array) -> None:
        """Change ``data`` and the state in place; ``room`` is of their shape, and ``grad`` is not to be changed."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for trained in self._trained:
            trained.tensor.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The settings, and for each parameter's path the number of its steps and copies of the arrays kept for it."""
        return {
            "settings": {name: getattr(self, name) for name in self.settings},
            "state": {
                t.path: {"steps": t.steps, **{slot: array.copy() for slot, array in t.state.items()}}
                for t in self._trained
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` gave.

        Raises ``ValueError``, and changes nothing, if the settings, the parameters or the arrays kept are others.
        """
        settings, found = state["settings"], state["state"]
        paths = {trained.path for trained in self._trained}
        problems = [f"missing: {path}" for path in paths if path not in found]
        problems += [f"unexpected: {path}" for path in found if path not in paths]
        if set(settings) != set(self.settings):
            problems.append(f"settings: {sorted(settings)}, not {sorted(self.settings)}")
        for trained in self._trained:
            shapes = {name: np.shape(value) for name, value in found.get(trained.path, {"steps": 0}).items()}
            wanted = {"steps": (), **dict.fromkeys(trained.state, trained.tensor.shape)}
            if trained.path in found and shapes != wanted:
                problems.append(f"{trained.path}: {shapes}, not {wanted}")
        if problems:
            raise ValueError(f"load_state_dict of {type(self).__name__}:\n  " + "\n  ".join(problems))
        for name, value in settings.items():
            setattr(self, name, value)
        for trained in self._trained:
            trained.steps = int(found[trained.path]["steps"])
            for slot, array in trained.state.items():
                array[...] = found[trained.path][slot]

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in self.settings)
        return f"{type(self).__name__}({len(self._trained)} parameters, {settings})"

    def _number(self, name: str, value: Any, below: float = math.inf) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{type(self).__name__}: {name} must be a number, not {value!r:.60}") from None
        if not 0 <= number < below:
            limit = "at least 0 and finite" if below == math.inf else f"at least 0 and below {below:g}"
            raise ValueError(f"{type(self).__name__}: {name} must be {limit}, not {number!r}")
        return number


def _trainable(operation: str, params: Any) -> dict[str, Tensor]:
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
