"""Run a loss function and its backward pass on traced arrays: what comes out is the program."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import count
from keyword import iskeyword
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from .. import autodiff
from ..autodiff import Hidden, data_of
from ..carriers.randomness import generators_of, state_of
from ..carriers.traced import Constant, Traced
from ..errors import NotDifferentiableError, describe
from ..graph import Node, ancestors, differentiable_ancestors
from ..modes import enable_grad, keep_values
from ..pytrees import Nest
from ..tensor import Tensor
from .merging import merge_repeats
from .program import Call, Program, Role, Variable


class Writer:
    """Adds the calls made on traced arrays to a program; ``role`` is what their results are."""

    def __init__(self, program: Program, start: int = 0) -> None:
        self.program = program
        self.role: Role = "value"
        self._next = start

    def variable(self, value: Any, role: Role, name: str | None = None) -> Variable:
        """A new variable for a value."""
        self._next += 1
        shape, dtype = getattr(value, "shape", ()), getattr(value, "dtype", None)
        return Variable(self._next - 1, shape, dtype, role, name, value)

    def write(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any], value: Any) -> Variable:
        """Add a call; returns the variable of its result."""
        out = self.variable(value, self.role)
        self.program.calls.append(Call(function, tuple(args), kwargs, out))
        return out

    def mark(self) -> int:
        """A place in the program to come back to."""
        return len(self.program.calls)

    def forget(self, mark: int) -> None:
        """Drop all calls since ``mark``."""
        del self.program.calls[mark:]


def trace(loss_fn: Callable[..., Any], wrt: Any, args: Sequence[Any]) -> Program:
    """The program of ``loss_fn(wrt, *args)`` and of its gradient by ``wrt``.

    Raises ``TracedValueError`` where the function asks for plain numbers, ``RuntimeError`` if it draws random ones.
    """
    program = Program()
    writer = Writer(program)
    first, *others = argument_names(loss_fn, len(args) + 1)
    program.signature = (first, *others)
    nest = Nest(wrt)
    leaves = []
    for path, leaf in zip(nest.paths, nest.leaves, strict=True):
        array = np.array(data_of(leaf))
        if array.dtype.kind != "f":
            raise NotDifferentiableError(
                f"derive: the parameter {path or first} is of dtype {array.dtype}, and gradients are of real "
                "floating-point numbers only: write 1.0 for 1"
            )
        variable = writer.variable(array, "parameter", _free(path, first, program))
        program.inputs.append(variable)
        program.paths[variable] = path
        tensor = Tensor(Traced(array, variable, writer)).named(variable.name or "")
        tensor.requires_grad = True
        program.values[tensor.node] = variable
        leaves.append(tensor)
    program.arguments[first] = nest.fill(program.inputs)
    batch = [_data(arg, name, writer) for arg, name in zip(args, others, strict=True)]
    names: dict[Variable, str] = {}
    with (
        enable_grad(),
        keep_values(),
        _no_randomness((loss_fn, wrt, args)),
        _local_names(names, program.tables),
        _constants(loss_fn, program.tables),
    ):
        loss = loss_fn(nest.fill(leaves, whole=True), *batch)
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        what = describe(loss, "an array") if hasattr(loss, "shape") else repr(loss)
        raise TypeError(
            f"derive: {getattr(loss_fn, '__name__', 'the function')} must return a loss that depends on its first "
            f"argument, and returned {what}"
        )
    with enable_grad(), keep_values():
        total = loss.sum() if loss.shape else loss
    program.summed = bool(loss.shape)
    root = total.node
    for node in ancestors(root):
        value = _innermost(node.extras.value) if node.extras is not None else None
        if isinstance(value, Traced):
            program.values[node] = value.variable
            if node.name:
                names[value.variable] = node.name
    program.loss = program.values[root]
    merge_repeats(program, root, names)
    writer.role = "cotangent"
    seed = _written_one(writer, root)
    found = autodiff.gradient({root: seed}, differentiable_ancestors([root]))
    for node, cotangent in found.items():
        program.cotangents[node] = _variable_of(cotangent, writer)
    for variable, tensor in zip(program.inputs, leaves, strict=False):
        gradient = program.cotangents.get(tensor.node)
        if gradient is None:
            gradient = writer.write(np.zeros_like, (variable,), {}, np.zeros_like(variable.value))
        gradient.role = "result"
        program.outputs[program.paths[variable]] = gradient
    program.loss.role = "result"
    give_names(program, names)
    return program


def argument_names(fn: Callable[..., Any], count: int) -> list[str]:
    """What a function calls its first ``count`` arguments."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except ValueError:
        parameters = []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in parameters if p.kind in kinds][:count]
    defaults = ["params", "x", "y", *[f"data{k}" for k in range(3, count)]]
    return [*names, *[name for name in defaults if name not in names]][:count]


def _free(path: str, argument: str, program: Program) -> str:
    """A path such as ``layers.0.W`` as the name of an input that no other one has: ``layers_0_W``."""
    name = re.sub(r"\W", "_", f"{argument}{path}" if not path or path[0].isdigit() else path)
    taken = {v.name for v in program.inputs} | RESERVED | set(program.signature) - ({name} if not path else set())
    while name in taken or iskeyword(name):
        name += "_"
    return name


def _data(arg: Any, name: str, writer: Writer) -> Any:
    """An argument with traced arrays in the place of its arrays; what is no array stays as it is."""
    nest, leaves, variables = Nest(arg), [], []
    for path, leaf in zip(nest.paths, nest.leaves, strict=True):
        values = data_of(leaf)
        if not isinstance(values, (np.ndarray, np.generic, float)) or np.asarray(values).dtype.kind not in "fiub":
            leaves.append(leaf)
            variables.append(leaf)
            continue
        array = np.array(values)
        variable = writer.variable(array, "data", _free(path, name, writer.program))
        variables.append(variable)
        writer.program.inputs.append(variable)
        writer.program.paths[variable] = f"{name}.{path}" if path else name
        traced = Traced(array, variable, writer)
        leaves.append(Tensor(traced) if isinstance(leaf, Tensor) else traced)
    writer.program.arguments[name] = nest.fill(variables)
    return nest.fill(leaves, whole=True)


def _written_one(writer: Writer, root: Node) -> Traced:
    """The cotangent of the loss."""
    one = np.ones((), root.dtype)
    kwargs = {} if root.dtype == np.float64 else {"dtype": root.dtype}
    return Traced(one, writer.write(np.ones, ((),), kwargs, one), writer)


def _innermost(array: Any) -> Any:
    """What is written down of an array that hides axes of examples."""
    while isinstance(array, Hidden) and not isinstance(array, Traced):
        array = array.dense()._data
    return array


def _variable_of(cotangent: Any, writer: Writer) -> Variable:
    cotangent = _innermost(cotangent)
    if isinstance(cotangent, Traced):
        variable: Variable = cotangent.variable
        return variable
    return writer.write(np.array, (cotangent,), {}, np.asarray(cotangent))


# ---------------------------------------------------------------------------------------------- names


@contextmanager
def _local_names(names: dict[Variable, str], tables: list[tuple[str, Any]]) -> Iterator[None]:
    """Note what the user's functions call the arrays that they have in local variables, as they run."""
    seen: set[tuple[str, int]] = set()

    def look(frame: FrameType, event: str, arg: Any) -> Any:
        if not _is_users(frame):
            return None
        arguments = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        for name, value in frame.f_locals.items():
            traced = data_of(value)
            if isinstance(traced, Traced) and name.isidentifier() and name[0] != "_" and name not in arguments:
                names.setdefault(traced.variable, name)
            elif type(value) is Constant and (name, id(value)) not in seen:
                seen.add((name, id(value)))
                tables.append((name, np.asarray(value)))
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        yield
    finally:
        sys.settrace(before)


_NOT_USERS = (str(Path(__file__).parents[1]), str(Path(np.__file__).parent))


def _is_users(frame: FrameType) -> bool:
    if frame.f_code.co_filename.startswith(_NOT_USERS):
        return False
    return frame.f_globals.get("__name__", "").partition(".")[0] not in sys.stdlib_module_names - {"__main__"}


_PRODUCTS = ("matmul", "linear", "conv2d")
_ACTIVATIONS = ("tanh", "relu", "sigmoid", "softmax", "log_softmax", "cross_entropy", "binary_cross_entropy")
_ROLES = {
    "tanh": "h", "relu": "h", "sigmoid": "h", "softmax": "p", "log_softmax": "logp", "cross_entropy": "losses",
    "squared_error": "losses", "binary_cross_entropy": "losses",
}  # fmt: skip
RESERVED = frozenset({"np", "m", "len", "erf", "i", "j", "gradients"})  # what a printed function uses itself


def give_names(program: Program, names: dict[Variable, str]) -> None:
    """Name the variables: by the user, by the part they play, and cotangents after what they belong to."""
    nodes = sorted(program.values, key=lambda node: node.order)
    users: dict[Node, list[Node]] = {}
    for node in nodes:
        for parent in node.inputs:
            if isinstance(parent, Node):
                users.setdefault(parent, []).append(node)
    taken = {variable.name for variable in program.inputs} | set(program.signature) | RESERVED
    assert program.loss is not None
    wanted = {variable: re.sub(r"\W", "_", name) for variable, name in names.items() if variable.name is None}
    wanted[program.loss] = "loss"
    sums: set[Node] = set()  # products with weights, and what is added to them
    for node in nodes:
        if _op_of(node) in _PRODUCTS or (_op_of(node) == "add" and any(p in sums for p in node.inputs)):
            sums.add(node)
    by_role = {}
    for node in nodes:
        variable = program.values[node]
        if node.op is None or variable in wanted or variable.name is not None:
            continue
        if node in sums:
            if not (len(users.get(node, ())) == 1 and users[node][0] in sums and _op_of(users[node][0]) == "add"):
                by_role[variable] = "z"
        elif node.op.name in _ROLES:
            role = _ROLES[node.op.name]
            by_role[variable] = "probabilities" if role == "p" and "p" in taken else role
        elif any(_op_of(user) in _ACTIVATIONS for user in users.get(node, ())):
            by_role[variable] = "z"
    _number(wanted, taken)
    _number(by_role, taken)
    for path, gradient in program.outputs.items():
        parameter = next(v for v in program.inputs if program.paths[v] == path and v.role == "parameter")
        if gradient.name is None and f"d{parameter.name}" not in taken:
            gradient.name = f"d{parameter.name}"
            taken.add(gradient.name)
    for node in sorted(program.cotangents, key=lambda node: node.order, reverse=True):
        value, cotangent = program.values.get(node), program.cotangents[node]
        if value is not None and value.name and cotangent.name is None and f"d{value.name}" not in taken:
            cotangent.name = f"d{value.name}"
            taken.add(cotangent.name)


def _op_of(node: Any) -> str | None:
    return node.op.name if isinstance(node, Node) and node.op is not None else None


def _number(wanted: dict[Variable, str], taken: set[str | None]) -> None:
    """Give each variable its name; several with one name are numbered."""
    groups: dict[str, list[Variable]] = {}
    for variable in sorted(wanted, key=lambda v: v.index):
        groups.setdefault(wanted[variable], []).append(variable)
    for base, group in groups.items():
        single = len(group) == 1 and base not in taken
        numbered = (f"{base}{'_' if base[-1].isdigit() else ''}{k}" for k in count(1))
        for variable in group:
            variable.name = base if single else next(name for name in numbered if name not in taken)
            taken.add(variable.name)


# --------------------------------------------------------------------------------------- constant arrays


_CREATED_BY = ("eye", "identity", "array", "asarray", "diag")


@contextmanager
def _constants(loss_fn: Callable[..., Any], named: list[tuple[str, Any]]) -> Iterator[None]:
    """Let constant arrays of the user's be indexed by traced ones: those of NumPy's functions and of the closure."""
    cells = [c for c in getattr(loss_fn, "__closure__", None) or () if type(_content(c)) is np.ndarray]
    if cells:
        free = zip(loss_fn.__code__.co_freevars, loss_fn.__closure__ or (), strict=True)
        named += [(name, _content(cell)) for name, cell in free if type(_content(cell)) is np.ndarray]
    names = getattr(loss_fn, "__globals__", {})
    tables = {name: value for name, value in names.items() if type(value) is np.ndarray}
    named += tables.items()
    functions = {name: getattr(np, name) for name in _CREATED_BY}
    for name, function in functions.items():
        setattr(np, name, _indexable(function))
    for cell in cells:
        cell.cell_contents = cell.cell_contents.view(Constant)
    names.update({name: table.view(Constant) for name, table in tables.items()})
    try:
        yield
    finally:
        for name, function in functions.items():
            setattr(np, name, function)
        for cell in cells:
            cell.cell_contents = cell.cell_contents.view(np.ndarray)
        names.update(tables)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None


def _indexable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of NumPy's, whose plain arrays take traced ones as their index where the user calls it."""

    @wraps(function)
    def created(*args: Any, **kwargs: Any) -> Any:
        made = function(*args, **kwargs)
        return made.view(Constant) if type(made) is np.ndarray and _is_users(sys._getframe(1)) else made

    return created


# ---------------------------------------------------------------------------------------- random numbers


@contextmanager
def _no_randomness(call: Any) -> Iterator[None]:
    """Around a call; raises ``RuntimeError`` if it has drawn random numbers, which would be frozen in the program."""
    generators = [*generators_of(call), np.random]
    before = [state_of(generator) for generator in generators]
    yield
    if [state_of(generator) for generator in generators] != before:
        raise RuntimeError(
            "derive: the function draws random numbers, and a program that was written down once would always use the "
            "same ones: draw them outside (a mask of dropout, noise), and pass them as an argument"
        )
