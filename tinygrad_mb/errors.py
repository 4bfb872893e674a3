"""Every message of the engine: what happened, to which operands, what was expected, what to do."""

from __future__ import annotations

import linecache
import os
import re
import sys
import warnings
from collections.abc import Sequence
from itertools import islice
from types import FrameType, MethodType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from .graph import Node
    from .primitives import Primitive


WHERE_HIDDEN = "where examples are hidden (inside vmap or per_example_grads)"
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class ShapeError(ValueError):
    """Operands, parameters or a cotangent whose shapes do not fit together."""


class NotDifferentiableError(TypeError):
    """A NumPy function, an argument of one, or a dtype that the engine does not differentiate."""


class GraphFreedError(RuntimeError):
    """A second backward through a graph whose saved arrays the first one has freed."""


class ChangedArrayError(RuntimeError):
    """An array that backward needs is no longer what it was when the operation was recorded."""


class HiddenAxisError(TypeError):
    """Plain numbers or a plain array were asked of a ``carrier``, which hides an axis of examples."""

    def __init__(self, message: str, carrier: Any) -> None:
        super().__init__(message)
        self.carrier = carrier

    def __reduce__(self) -> Any:
        return HiddenAxisError, (*self.args, self.carrier)


class TracedValueError(TypeError):
    """A plain number or a plain array was asked of a traced one, whose program is to hold for all values."""


class CoupledExamplesError(ValueError):
    """Examples of a batch influence each other's losses, so that none has a gradient of its own; ``how`` says where."""

    def __init__(self, how: str) -> None:
        self.how = how
        super().__init__(
            f"the examples influence each other, so that the gradient of a single one does not exist: {how}. Keep the "
            "examples apart (statistics of a batch as constants, as when a model is used); let the function close over "
            "arrays that all examples share; or compute the losses first: per_example_grads(losses, tensors) gives the "
            "gradients of these losses of this very batch."
        )

    def __reduce__(self) -> Any:
        return CoupledExamplesError, (self.how,)


class BroadcastWarning(UserWarning):
    """A column of predictions (m, 1) and a vector of targets (m,) make an (m, m) array."""


class LostGradientWarning(UserWarning):
    """A tensor that requires a gradient became a plain number, and not by ``float()`` or ``.item()``."""


def argument_names(fn: Any) -> tuple[str, ...]:
    """The names of a function's positional arguments, as many as a call passes; empty where it does not tell."""
    code = getattr(fn, "__code__", None)
    return code.co_varnames[isinstance(fn, MethodType) : code.co_argcount] if code else ()


def describe(value: Any, fallback: str = "") -> str:
    """An operand as a message shows it: its name, shape and dtype, or a scalar's value."""
    name = _name(value) or fallback
    shape = getattr(value, "shape", None)
    if shape is None:
        text = f"{type(value).__name__} {value!r}"
        return f"{name} = {text[:60]}" if name else text[:60]
    dtype = getattr(value, "dtype", "")
    return f"{name + ' ' if name else ''}{tuple(shape)} {dtype}".strip()


def _name(value: Any) -> str | None:
    """What a tensor is called, and ``W.T`` the transpose of a matrix that is called W; None without a name."""
    name, node = getattr(value, "name", None), getattr(value, "node", None)
    if name is None and node is not None and node.op is not None and node.op.name == "transpose":
        matrix = getattr(node.inputs[0], "name", None)
        return f"{matrix}.T" if matrix and len(node.shape) == 2 else None
    return name


def describe_node(node: Node) -> str:
    """A node as a message shows it."""
    made = f", made by {node.op.name}" if node.op and node.name else ""
    place = f" in scope {node.scope}" if node.scope else ""
    label = repr(node.name) if node.name else (f"the result of {node.op.name}" if node.op else "a leaf")
    return f"{label} {node.shape} {node.dtype}{made}{place}"


def operands(op: Primitive, arrays: Sequence[Any], params: Sequence[Any] = ()) -> str:
    """The operands and the other arguments of a call, one phrase each."""
    phrases = [describe(array, name) for name, array in zip(_argument_names(op, len(arrays)), arrays, strict=True)]
    for name, value in zip(op.names[op.arrays :], params, strict=False):
        if value is not None:
            phrases.append(f"{name}={value!r}"[:80])
    return ", ".join(phrases)


def _argument_names(op: Primitive, n: int) -> list[str]:
    """What operands without a name are called; two of an operator are not x and y, which the caller may use."""
    if op.variadic:
        return [f"{op.names[0]}[{i}]" for i in range(n)]
    return ["left", "right"] if op.names[:n] == ("x", "y") else list(op.names[:n])


def coupled_examples(joined: Node, user: Node, examples: int) -> CoupledExamplesError:
    """Where a value made of the data is used by several examples' losses."""
    assert user.op is not None
    if joined.op is None:
        how = f"{user.op.name} uses {describe_node(joined)} for all examples together"
    else:
        options = zip(joined.op.names[joined.op.arrays :], joined.params, strict=False)
        shown = [f"{name}={value!r}" for name, value in options if value is not None and value is not False]
        call = ", ".join(text for text in shown if len(text) < 40)
        shapes = [n.shape for n in joined.inputs if not isinstance(n, (int, float))]
        of = " and ".join(map(str, shapes))
        axes = [k for k, n in enumerate(shapes[0]) if n == examples] if len(shapes) == 1 else []
        along = f" along axis {axes[0]}, that of the examples," if len(axes) == 1 and not call else ""
        one = repr(joined.name) if joined.name else f"one array {joined.shape}" if joined.shape else "one number"
        how = (
            f"{joined.op.name}{f'({call})' if call else ''} of {of}{along} makes {one} of all examples, and "
            f"{user.op.name} gives it to each"
        )
    return CoupledExamplesError(how)


def call_failed(op: Primitive, arrays: Sequence[Any], params: Sequence[Any], error: Exception) -> Exception:
    """NumPy's own exception, enriched: the same type, so that ``except ValueError`` still works."""
    hint = _shape_hint(op, arrays, params) if isinstance(error, ValueError) else ""
    message = str(error).strip().removeprefix(f"{op.name}: ")
    if hint and op.hint is not None:
        message = "the shapes do not fit"  # NumPy's own words are about its internals
    text = f"{op.name}: {message}\n  operands: {operands(op, arrays, params)}" + (f"\n  {hint}" if hint else "")
    if isinstance(error, ValueError) and not isinstance(error, IndexError):
        return ShapeError(text)
    for kind in type(error).__mro__:  # some cannot be made of a text, and their bases can
        try:
            return cast(Exception, kind(text))
        except TypeError:
            continue
    return RuntimeError(text)


def _shape_hint(op: Primitive, arrays: Sequence[Any], params: Sequence[Any]) -> str:
    names = [_name(v) or n for v, n in zip(arrays, _argument_names(op, len(arrays)), strict=True)]
    shapes = [tuple(getattr(v, "shape", ())) for v in arrays]
    if op.hint is not None:
        return op.hint(names, shapes, params)
    if op.variadic or len(arrays) != 2:
        return ""
    (first, second), (a, b) = names, shapes
    if all(m == n or 1 in (m, n) for m, n in zip(a[::-1], b[::-1], strict=False)):
        return ""  # the shapes fit
    for name, shape, other in ((first, a, b), (second, b, a)):
        if len(shape) == 1 and len(other) == 2 and shape[0] == other[0] != other[1]:
            return f"{name} has shape {shape}: did you mean `{name}.reshape({shape[0]}, 1)`?"
        if len(shape) == 2 and shape[1] == 1 and shape[0] == other[-1:][0] and shape[0] != 1:
            return f"{name} has shape {shape}: did you mean `{name}.reshape({shape[0]})`?"
    return "Shapes are matched from the right; sizes must be equal or 1."


def matmul_hint(names: list[str], shapes: list[tuple[int, ...]], params: Sequence[Any]) -> str:
    """Which axes of a matrix product have different sizes, and the transpose that might be meant."""
    (first, second), (a, b) = names, shapes
    if not a or not b:
        return "matmul wants arrays, not scalars: use * to scale."
    axis = -2 if len(b) > 1 else -1
    if a[-1] == b[axis]:
        return f"The leading axes {a[:-2]} and {b[:-2]} must broadcast against each other."
    hint = f"expected {first}.shape[-1] == {second}.shape[{axis}], got {a[-1]} and {b[axis]}."
    if len(b) > 1 and a[-1] == b[-1]:
        return f"{hint} Did you mean `{first} @ {_turned(second, b)}`?"
    if len(a) > 1 and a[-2] == b[axis]:
        return f"{hint} Did you mean `{_turned(first, a)} @ {second}`?"
    return hint


def _turned(name: str, shape: tuple[int, ...]) -> str:
    """The transpose of a matrix, or of the last two axes, as one writes it."""
    if len(shape) > 2:
        return f"{name}.mT"
    return name.removesuffix(".T") if name.endswith(".T") else f"{name}.T"


def linear_hint(names: list[str], shapes: list[tuple[int, ...]], params: Sequence[Any]) -> str:
    """Which sizes of a linear layer differ."""
    (x, W, b), (a, w, v) = names, shapes
    if not a or len(w) != 2 or len(v) != 1:
        return f"expected {x} (..., d), {W} (d, h) and {b} (h,)."
    if a[-1] != w[0]:
        return f"expected {x}.shape[-1] == {W}.shape[0], got {a[-1]} and {w[0]}."
    return f"expected {b}.shape[0] == {W}.shape[1], got {v[0]} and {w[1]}."


def einsum_hint(names: list[str], shapes: list[tuple[int, ...]], params: Sequence[Any]) -> str:
    """Which index of an Einstein sum has two sizes."""
    subscripts = params[0]
    sizes: dict[str, tuple[int, str]] = {}
    for name, shape, term in zip(names, shapes, subscripts.partition("->")[0].split(","), strict=False):
        if len(shape) != len(term):
            return f"{name} has {len(shape)} axes, and its subscripts {term!r} name {len(term)}."
        for label, n in zip(term, shape, strict=True):
            known, where = sizes.setdefault(label, (n, name))
            if n != known and 1 not in (n, known):
                return f"expected one size for {label!r}, got {known} in {where} and {n} in {name}."
    return ""


def graph_freed(node: Node) -> GraphFreedError:
    """Backward came to a node whose saved arrays are gone."""
    return GraphFreedError(
        f"{describe_node(node)}: an earlier backward() has already gone through this graph and freed the arrays "
        "that its rules need. Compute the loss anew, or keep the graph with backward(retain_graph=True); "
        "loss.gradient(...) never frees it."
    )


def array_changed(node: Node, position: int, array: Any) -> ChangedArrayError:
    """A guarded array's fingerprint no longer matches; ``position`` is that of the operand, -1 for the result."""
    assert node.op is not None
    if position < 0:
        kind, name = "result", node.name or "out"
    else:
        kind, names = "operand", _argument_names(node.op, len(node.inputs))
        name = getattr(node.inputs[position], "name", None) or names[position]
    return ChangedArrayError(
        f"{node.op.name}: its {kind} {describe(array, name)} was changed after the operation had used it, so its "
        f"gradient would be wrong ({describe_node(node)}). Change arrays only after backward(), or give the operation "
        f"a copy: `{name}.copy()`."
    )


def warn_if_column_meets_vector(op: Primitive, values: Sequence[Any], data: Sequence[Any], mask: int) -> None:
    """Warn of predictions (m, 1) and constant targets (m,), which broadcasting pairs off to (m, m).

    For sums, products and quotients only if the column is what requires a gradient: a constant column times a vector
    of parameters is a common way to write an outer product.
    """
    shapes: list[tuple[int, ...]] = [getattr(a, "shape", ()) for a in data]
    for k in (0, 1):
        column, vector = shapes[k], shapes[1 - k]
        if len(vector) == 1 and column == (vector[0], 1):
            if op.name != "subtract" and mask != 1 << k:
                continue
            m = vector[0]
            other, name = [_name(values[j]) or _argument_names(op, 2)[j] for j in (k, 1 - k)]
            warnings.warn(
                f"{op.name}: {describe(values[k], other)} and {describe(values[1 - k], name)} make all {m} x {m} "
                f"pairs, of shape {(m, m)}. If each row of {other} belongs to one number in {name}, write "
                f"`{name}.reshape({m}, 1)` or `{other}.reshape({m})`; if all pairs are meant, `{name}[None, :]`.",
                BroadcastWarning,
                stacklevel=_user_frame()[1],
            )


def warn_if_number_loses_gradient(value: Any) -> None:
    """Warn where ``math.exp(t)`` or ``array[i] = t`` take a tensor's number; ``float(t)`` asks for it in plain words.

    Which of them it is, only the text of the calling line tells.
    """
    frame, level = _user_frame()
    first, last, start, end = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    line = linecache.getline(frame.f_code.co_filename, first or frame.f_lineno).encode()
    code = line[start : end if first == last else None].decode(errors="replace").strip()
    if code and "%" not in code and not re.search(r"\bfloat\b", code):  # "%.3f" % t formats the number
        shown = code if code.endswith(")") else line.decode().strip()
        warnings.warn(
            f"`{shown}` takes the number of {describe(value, 'a tensor')}, which requires a gradient, and loses the "
            "derivative. Use NumPy's functions on tensors (np.exp for math.exp), and np.stack or t.at[i].set(...) for "
            "assignment into arrays; if the number alone is meant, t.item().",
            LostGradientWarning,
            stacklevel=level,
        )


def warn_of_grad_of_computed(node: Node) -> None:
    """Warn where ``.grad`` is read from a tensor that never gets one."""
    warnings.warn(
        f"{describe_node(node)} is computed, and only leaves get a .grad: call .retain_grad() on it before backward(), "
        "or use loss.gradient(...). If it is a parameter after an update, `w -= ...` has made a new tensor: write "
        "`w.data -= ...` instead.",
        UserWarning,
        stacklevel=_user_frame()[1],
    )


def _user_frame() -> tuple[FrameType, int]:
    """The innermost frame that is not the engine's own, and the ``stacklevel`` by which the caller warns of it."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and os.path.abspath(frame.f_code.co_filename).startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    return frame, level


def wrong_cotangent(node: Node, name: str, got: Any, expected: tuple[int, ...]) -> ShapeError:
    """A derivative rule returned something that cannot be the gradient of its argument."""
    op = node.op.name if node.op else "leaf"
    return ShapeError(
        f"the derivative rule of {op} for {name!r} returned {describe(got)}; a gradient of {name!r} has shape "
        f"{expected} (or one that broadcasting made of it). The rule is wrong: check its reshape and its sums."
    )


def user_line() -> str:
    """The innermost line of the running program that is not the engine's own: ``file:line: code``."""
    frame, _ = _user_frame()
    file, line = frame.f_code.co_filename, frame.f_lineno
    code = linecache.getline(file, line).strip()
    return f"{file}:{line}: {code}" if code else f"{file}:{line}"


def not_real(op: Primitive, values: Sequence[Any], dtype: Any) -> NotDifferentiableError:
    """A result is made of objects, or should carry a gradient and is no real floating-point number."""
    expected = "tensors are of numbers" if dtype.kind == "O" else "gradients are of real floating-point numbers only"
    return NotDifferentiableError(
        f"{op.name}: the result has dtype {dtype}, and {expected}\n  operands: {operands(op, values)}"
    )


def switched_too_late(node: Node, user: Node) -> TypeError:
    """A gradient by a tensor that was a constant when the graph was recorded."""
    return TypeError(
        f"{describe_node(node)} did not require a gradient yet when it was used for {describe_node(user)}, so that the "
        "graph knows nothing of its derivative: set requires_grad=True first, and compute the loss anew"
    )


def hook_writes(node: Node) -> ValueError:
    """A hook tried to change the cotangent that it was given."""
    return ValueError(
        f"a hook on {describe_node(node)} writes into the cotangent, which others may hold: let it return a new one, "
        "`return 2 * g` for `g *= 2`"
    )


def wrong_hook(node: Node, got: Any) -> ShapeError:
    """A hook returned something that cannot take the cotangent's place."""
    return ShapeError(
        f"a hook on {describe_node(node)} returned {describe(got)}; "
        f"it must return None or a cotangent of shape {node.shape}"
    )


def no_rule(op: Primitive, argument: str) -> NotDifferentiableError:
    """An argument requires a gradient, and nobody has said how it gets one."""
    return NotDifferentiableError(
        f"{op.name}: its argument {argument!r} requires a gradient, and has no derivative rule. Give it one with "
        f"defvjp({op.name}, {argument}=lambda g, ...: ...), or {argument}=None if it is to count as a constant."
    )


def plain_cotangent(node: Node, name: str, got: Any) -> NotDifferentiableError:
    """A rule that was to be recorded lost its graph."""
    return NotDifferentiableError(
        f"the derivative rule of {node.label} for {name!r} was run on tensors, for a second derivative, and returned "
        f"{describe(got, 'a plain value')}: what it computes would be lost. Write it in NumPy functions of g and of "
        "the saved arrays, without math.*, without assignment into arrays, and without .data."
    )
