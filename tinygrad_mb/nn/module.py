"""Modules: functions that own their parameters, which are known by attribute path."""

from __future__ import annotations

import copy
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from .. import pytrees
from ..arraylike import Array
from ..carriers.hiding import hide
from ..modes import current, inside, mode_variable
from ..primitives import PRIMITIVES
from ..tensor import Tensor
from ..transforms import ARGUMENT

_LEAVES = (None, ARGUMENT, PRIMITIVES[hide])  # what makes a leaf, or stands for one inside a transform


class AttributePath(str):
    """A name that a module gave to a tensor, and that a longer path may replace."""

    __slots__ = ()


class Module:
    """A part of a model: parameters and other modules as attributes, and ``forward``, which uses them.

    The parameters are the tensors with ``requires_grad`` among the attributes, and among those of the modules
    there, also inside lists, tuples and dicts.  Each is known by its path, such as "layers.0.W"; one that is
    reached twice is listed once.  Computed tensors do not count.  Calling a module calls its ``forward`` in a
    scope, so that pictures show a box for each module.

    Transforms take a module as an argument, as a nest of its parameters: ``tg.grad(loss)(model, X, Y)`` calls
    ``loss`` with a copy of the model, and returns a dict from paths to gradients.

    >>> import numpy as np, tinygrad_mb as tg
    >>> class Scale(tg.nn.Module):
    ...     def __init__(self, d):
    ...         self.factor = tg.Tensor(np.ones(d), requires_grad=True)
    ...
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale(3)(np.ones((5, 3))).shape
    (5, 3)
    >>> Scale(3).named_parameters()
    {'factor': Tensor([1., 1., 1.], name='factor', requires_grad=True)}
    """

    training = True
    _label: str | None = None  # what the scope is called: the attribute's name, the class's name for a whole model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes: to be written by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """``forward`` in the module's scope."""
        if self._label is None:
            self._label = type(self).__name__
            self.named_parameters()  # names them, and tells the modules inside what they are called
        token = mode_variable.set(inside(current(), self._label))
        try:
            return self.forward(*args, **kwargs)
        finally:
            mode_variable.reset(token)

    def named_parameters(self) -> dict[str, Tensor]:
        """The parameters by path, in the order of the attributes; those without a name get their path as name."""
        found = {path: tensor for path, tensor in self._tensors() if tensor.requires_grad}
        for path, tensor in found.items():
            name = tensor.name
            if name is None or (type(name) is AttributePath and len(path) > len(name)):
                tensor.name = AttributePath(path)
        return found

    def parameters(self) -> list[Tensor]:
        """The parameters, in the order of the attributes."""
        return list(self.named_parameters().values())

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, Array]:
        """Copies of all tensors by path: of the parameters, and of those that need no gradient."""
        return {path: tensor.numpy() for path, tensor in self._tensors()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Write what ``state_dict`` gave back into the tensors, which keep their dtypes.

        Raises ``ValueError``, and changes nothing, if a tensor is missing, unexpected, or of another shape.

        >>> import tinygrad_mb as tg
        >>> first, second = tg.nn.Linear(3, 2, rng=0), tg.nn.Linear(3, 2, rng=1)
        >>> second.load_state_dict(first.state_dict())
        >>> bool((second.W == first.W).all())
        True
        """
        tensors = dict(self._tensors())
        problems = [f"missing: {path}" for path in tensors if path not in state]
        problems += [f"unexpected: {path}" for path in state if path not in tensors]
        arrays = {path: np.asarray(state[path]) for path in tensors if path in state}
        for path, array in arrays.items():
            tensor = tensors[path]
            if array.shape != tensor.shape or not np.can_cast(array.dtype, tensor.dtype, "same_kind"):
                problems.append(f"{path}: {array.shape} {array.dtype} does not fit {tensor.shape} {tensor.dtype}")
        if problems:
            raise ValueError(f"load_state_dict of {type(self).__name__}:\n  " + "\n  ".join(problems))
        for path, array in arrays.items():
            tensors[path].data[...] = array

    def train(self, mode: bool = True) -> Self:
        """Set ``training`` of this module and of all modules in it."""
        for module in self._modules({}):
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set ``training`` to False, as for measuring or using a trained model."""
        return self.train(False)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors of this module and of those in it by path, each once; tells the modules what they are called."""
        seen: set[int] = {id(self)}
        return self._walk("", seen)

    def _walk(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
        for path, member in _members(vars(self), ""):
            if id(member) in seen:
                continue
            seen.add(id(member))
            if isinstance(member, Module):
                member._label = path
                yield from member._walk(f"{prefix}{path}.", seen)
            elif member.node.op in _LEAVES:
                yield prefix + path, member

    def _modules(self, seen: dict[int, Module]) -> list[Module]:
        seen[id(self)] = self
        for _, member in _members(vars(self), ""):
            if isinstance(member, Module) and id(member) not in seen:
                member._modules(seen)
        return list(seen.values())

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        return self._describe({path: _summary(member) for path, member in _members(vars(self), "")})

    def _describe(self, members: dict[str, str]) -> str:
        body = "".join(f"\n{path}: {text}" for path, text in members.items()).replace("\n", "\n    ")
        return f"{type(self).__name__}({body}" + ("\n)" if members else ")")


def _members(value: Any, path: str) -> Iterator[tuple[str, Tensor | Module]]:
    """The tensors and modules in a nest of containers, with their paths; not those inside of the modules."""
    if isinstance(value, (Tensor, Module)):
        yield path, value
    elif isinstance(value, (dict, list, tuple)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _members(part, f"{path}.{key}" if path else str(key))


def _summary(member: Tensor | Module) -> str:
    return repr(member) if isinstance(member, Module) else f"{member.shape} {member.dtype}"


def _take_apart(module: Module) -> tuple[dict[str, Any], pytrees.Rebuild]:
    parameters = module.named_parameters()

    def rebuild(filled: dict[str, Any]) -> Module:
        return _replaced(module, {id(t): filled[path] for path, t in parameters.items()}, {})  # type: ignore[no-any-return]

    return dict(parameters), rebuild


def _replaced(value: Any, new: dict[int, Any], copies: dict[int, Any]) -> Any:
    """A copy of a nest of containers and modules with other parameters."""
    if isinstance(value, Tensor):
        return new.get(id(value), value)
    if isinstance(value, Module):
        clone = copies.get(id(value))
        if clone is None:
            clone = copies[id(value)] = copy.copy(value)
            vars(clone).update({key: _replaced(part, new, copies) for key, part in vars(value).items()})
        return clone
    if isinstance(value, dict):
        clone = copy.copy(value)
        clone.update({key: _replaced(part, new, copies) for key, part in value.items()})
        return clone
    if isinstance(value, (list, tuple)):
        parts = [_replaced(part, new, copies) for part in value]
        return value._make(parts) if hasattr(value, "_make") else type(value)(parts)
    return value


pytrees.register(Module, _take_apart)
