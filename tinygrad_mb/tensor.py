"""Tensor: an array that remembers how it was computed."""

# mypy: disable-error-code="no-untyped-call,no-any-return"

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Self, overload
from weakref import ref

import numpy as np

from . import autodiff, errors, numpy_api
from .arraylike import Array, ArrayLike, Axis
from .at import At
from .autodiff import record_binary, record_unary
from .graph import NO_RULES, Node, leaf, taken_as_constant
from .modes import enable_grad
from .primitives import PRIMITIVES
from .vjps import shapes
from .vjps.indexing import freeze

_ADD = PRIMITIVES[np.add]
_SUBTRACT = PRIMITIVES[np.subtract]
_MULTIPLY = PRIMITIVES[np.multiply]
_DIVIDE = PRIMITIVES[np.divide]
_POWER = PRIMITIVES[np.power]
_REMAINDER = PRIMITIVES[np.remainder]
_MATMUL = PRIMITIVES[np.matmul]
_NEGATIVE = PRIMITIVES[np.negative]
_POSITIVE = PRIMITIVES[np.positive]
_ABSOLUTE = PRIMITIVES[np.absolute]
_SQUARE = PRIMITIVES[np.square]
_SUM = PRIMITIVES[np.sum]
_MEAN = PRIMITIVES[np.mean]
_RESHAPE = PRIMITIVES[np.reshape]
_TRANSPOSE = PRIMITIVES[np.transpose]
_GETITEM = PRIMITIVES[operator.getitem]


class Tensor(ArrayLike):
    """An array that records the operations it takes part in, so that gradients can be computed.

    ``data`` is anything that ``np.asarray`` takes; an array is shared, not copied.  Only floating-point tensors
    can have ``requires_grad=True``.  ``name`` is used in pictures, derivations and error messages.
    NumPy's functions and operators work on tensors as on arrays; comparisons give plain boolean arrays.

    Raises ``NotDifferentiableError`` for data that are not numbers, and for integers or complex numbers that
    are to require gradients.

    >>> import numpy as np, tinygrad_mb as tg
    >>> w = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True, name="w")
    >>> loss = np.sum(np.square(w))
    >>> loss.backward()
    >>> w.grad
    array([2., 4., 6.])
    """

    __slots__ = ("__weakref__",)

    def __init__(self, data: Any, requires_grad: bool = False, name: str | None = None, dtype: Any = None) -> None:
        if isinstance(data, Tensor):
            if data.requires_grad:
                raise TypeError(
                    f"Tensor({errors.describe(data)}) would cut the graph: use the tensor itself, or .detach() it first"
                )
            data = data._data
        array = autodiff.coerce(data)
        if isinstance(array, np.generic):
            array = np.asarray(array)
        if dtype is not None and array.dtype != dtype:
            array = autodiff.coerce(array.astype(dtype))
        self._data = array
        self._node = None
        if name is not None:
            self.name = name
        if requires_grad:
            self.requires_grad = True

    # ------------------------------------------------------------------------------- what it is

    @property
    def data(self) -> Array:
        """The values as an array; of a leaf, the very array, to be changed between steps.

        The values of a computed tensor are read-only: rules of the graph may still need them.
        """
        if isinstance(self._data, np.generic):
            self._data = np.asarray(self._data)
        array = autodiff.bare(self._data)
        if self.is_leaf or type(array) is not np.ndarray:
            return self._data
        array.setflags(write=False)
        return self._data.view() if array is self._data else self._data

    @data.setter
    def data(self, value: Any) -> None:
        if value is self._data:
            return
        node = self._node
        if node is not None and node.op is not None:
            raise TypeError(f"{errors.describe_node(node)}: the data of a computed tensor cannot be replaced")
        array = autodiff.coerce(value)
        array = np.asarray(array) if isinstance(array, np.generic) else array
        if node is not None and (array.shape != node.shape or array.dtype != node.dtype):
            raise errors.ShapeError(
                f"{errors.describe_node(node)} cannot take data of shape {array.shape} and dtype {array.dtype}: "
                f"a tensor in a graph keeps its shape and dtype. Make a new Tensor, or convert the data first."
            )
        self._data = array

    @property
    def grad(self) -> Array | None:
        """The gradient that backward calls have added up; None before the first."""
        node = self._node
        if node is None:
            return None
        if node.grad is None and node.op is not None and (node.extras is None or not node.extras.keeps_grad):
            errors.warn_of_grad_of_computed(node)
        return node.grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is None:
            if self._node is not None:
                self._node.grad = None
            return
        node = self._require_node("a gradient")
        array = value if isinstance(value, autodiff.Hidden) else np.asarray(value, dtype=node.dtype)
        if array.shape != node.shape:
            raise errors.ShapeError(f"{errors.describe_node(node)} cannot have a gradient of shape {array.shape}")
        node.grad = array

    @property
    def requires_grad(self) -> bool:
        """Whether gradients reach this tensor; of a leaf it can be switched, for what is computed from then on."""
        return self._node is not None and self._node.plan is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        node = self.node
        if node.op is not None:
            raise TypeError(f"{errors.describe_node(node)}: only leaves can be switched; use .detach() or no_grad()")
        if value and node.dtype.kind != "f":
            raise errors.NotDifferentiableError(
                f"{errors.describe_node(node)} cannot require a gradient: gradients are of real floating-point numbers "
                f"only. Use dtype=float{', or write 1.0 for 1' if node.dtype.kind in 'iub' else ''}."
            )
        node.plan = NO_RULES if value else None
        if isinstance(self._data, np.generic):
            self._data = np.asarray(self._data)

    @property
    def name(self) -> str | None:
        """The name in pictures, derivations and messages."""
        return self._node.name if self._node is not None else None

    @name.setter
    def name(self, value: str | None) -> None:
        self.node.name = value

    def named(self, name: str) -> Self:
        """Name a tensor where it is computed, and return it.

        >>> import numpy as np, tinygrad_mb as tg
        >>> h = np.tanh(tg.Tensor([0.5], requires_grad=True)).named("h")
        >>> h.name
        'h'
        """
        self.node.name = name
        return self

    @property
    def node(self) -> Node:
        """The tensor's place in the graph, for those who read it."""
        if self._node is None:
            self._node = leaf(self._data.shape, self._data.dtype, False)
            self._node.held = ref(self)
        return self._node

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made by the user, not computed by a recorded operation."""
        return self._node is None or self._node.op is None

    def __repr__(self) -> str:
        hidden = isinstance(self._data, autodiff.Hidden)
        text = repr(self._data) if hidden else np.array2string(np.asarray(self._data), separator=", ", prefix="Tensor(")
        facts = [text]
        if self.dtype not in (np.float64, np.int64, np.bool_):
            facts.append(f"dtype={self.dtype}")
        if self.name:
            facts.append(f"name={self.name!r}")
        if not self.is_leaf:
            facts.append(f"op={self.node.op.name}")  # type: ignore[union-attr]
        elif self.requires_grad:
            facts.append("requires_grad=True")
        return f"Tensor({', '.join(facts)})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.shape == () else format(str(self), spec)

    def __iter__(self) -> Iterator[Tensor]:
        if self.shape == ():
            raise TypeError("iteration over a tensor without axes")
        return (self[i] for i in range(self.shape[0]))

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise TypeError(f"{errors.describe_node(self.node)} is part of a graph: .detach() before a copy or pickle")
        return Tensor, (self._data, self.requires_grad, self.name)

    # ---------------------------------------------------------------------------------- backward

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add the gradient of this scalar to ``.grad`` of every leaf that it was computed from.

        ``gradient`` is the cotangent to start from, of this tensor's shape; a scalar starts from 1.
        The graph's saved arrays are freed on the way, unless ``retain_graph`` is true.

        Raises ``ShapeError`` on a tensor with axes and no ``gradient``, ``GraphFreedError`` on a second backward
        through a freed graph, ``ChangedArrayError`` if a saved array has been changed since.

        >>> import tinygrad_mb as tg
        >>> x = tg.Tensor(3.0, requires_grad=True)
        >>> (x * x).backward()
        >>> x.grad
        array(6.)
        """
        node = self._require_node("backward()")
        autodiff.backward(node, self._seed(gradient, "backward", False), retain_graph)

    @overload
    def gradient(self, wrt: Tensor, /, *, gradient: Any = ..., create_graph: Literal[False] = ...) -> Array: ...
    @overload
    def gradient(self, wrt: Tensor, /, *, gradient: Any = ..., create_graph: Literal[True]) -> Tensor: ...
    @overload
    def gradient(self, *wrt: Tensor, gradient: Any = ..., create_graph: bool = ...) -> Any: ...
    def gradient(self, *wrt: Tensor, gradient: Any = None, create_graph: bool = False) -> Any:
        """The gradients of this scalar for each of ``wrt``: one array, or a tuple of arrays if several are asked for.

        Touches no ``.grad`` and frees nothing.  A tensor that this one does not depend on gets zeros.  With
        ``create_graph`` the gradients are tensors, which can be differentiated again.

        Raises as ``backward`` does, and ``TypeError`` for a tensor that requires no gradient.

        >>> import tinygrad_mb as tg
        >>> x = tg.Tensor(3.0, requires_grad=True)
        >>> slope = (x * x * x).gradient(x, create_graph=True)
        >>> slope.gradient(x)
        array(18.)
        """
        if not wrt:
            raise TypeError("gradient() wants the tensors to differentiate by: loss.gradient(W, b)")
        root = self._require_node("gradient()")
        nodes = [t._require_node("differentiating by a tensor") for t in wrt]
        seed = self._seed(gradient, "gradient", create_graph)
        if create_graph:
            seed = seed if isinstance(seed, Tensor) else Tensor(np.array(seed))
            with enable_grad():
                found = autodiff.gradient({root: seed}, nodes, type(self))
        else:
            found = autodiff.gradient({root: seed}, nodes)
        grads: list[Any] = []
        for node in nodes:
            grad = found.get(node)
            if grad is None:
                if (user := taken_as_constant(root, node)) is not None:
                    raise errors.switched_too_late(node, user)
                grad = np.zeros(node.shape, node.dtype)
                grad = Tensor(grad) if create_graph else grad
            elif any(grad is g for g in grads):
                grad = grad.copy()
            grads.append(grad)
        return grads[0] if len(grads) == 1 else tuple(grads)

    def _require_node(self, what: str) -> Node:
        node = self._node
        if node is None or node.plan is None:
            raise TypeError(
                f"{what} needs a tensor that requires gradients, and {errors.describe(self, 'this one')} does not: "
                "nothing that it was computed from has requires_grad=True, or it was computed inside no_grad(), or "
                "only functions with no derivative (argmax, sign, comparisons, ...) lead to it"
            )
        return node

    def _seed(self, gradient: Any, method: str, create_graph: bool) -> Any:
        if gradient is None:
            if self.shape != ():
                raise errors.ShapeError(
                    f"{method}() starts from one number, not from {errors.describe(self, 'a tensor')}: reduce it with "
                    f".sum() or .mean(), or pass gradient= (the cotangent, of shape {self.shape})"
                )
            return self.dtype.type(1)
        if isinstance(gradient, Tensor) and not create_graph:
            gradient = gradient._data
        if isinstance(gradient, Tensor):
            gradient = gradient if gradient.dtype == self.dtype else gradient.astype(self.dtype)
        else:
            gradient = autodiff.coerce(gradient)
            gradient = gradient if isinstance(gradient, autodiff.Hidden) else np.asarray(gradient)
            if gradient.dtype.kind == "c":
                raise errors.NotDifferentiableError(f"{method}(gradient=...) is complex: cotangents are real numbers")
            gradient = gradient.astype(self.dtype, copy=False)
        if gradient.shape != self.shape:
            raise errors.ShapeError(
                f"{method}(gradient=...) has shape {gradient.shape}, and {errors.describe(self, 'the tensor')} "
                f"has shape {self.shape}: they must be equal"
            )
        return gradient

    def detach(self) -> Tensor:
        """The same values as a constant: nothing flows back through it.

        >>> import tinygrad_mb as tg
        >>> x = tg.Tensor(3.0, requires_grad=True)
        >>> (x * x.detach()).gradient(x)
        array(3.)
        """
        return Tensor(self.data)

    def retain_grad(self) -> Self:
        """Keep this computed tensor's gradient too: after backward, ``h.grad`` is the δ of a hidden layer.

        >>> import numpy as np, tinygrad_mb as tg
        >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
        >>> h = (w * 3).retain_grad()
        >>> np.square(h).sum().backward()
        >>> h.grad
        array([ 6., 12.])
        """
        self._require_node("retain_grad()").note().keeps_grad = True
        return self

    def register_hook(self, hook: Callable[[Any], Any]) -> Callable[[], None]:
        """Call ``hook(cotangent)`` when backward has this tensor's cotangent; if it returns one, that replaces it.

        Returns a function that removes the hook.

        >>> import tinygrad_mb as tg
        >>> x = tg.Tensor(3.0, requires_grad=True)
        >>> remove = x.register_hook(lambda g: g * 10)
        >>> (x * x).gradient(x)
        array(60.)
        """
        hooks = self._require_node("register_hook()").note().hooks
        handle = object()
        hooks[handle] = hook

        def remove() -> None:
            hooks.pop(handle, None)

        return remove

    # --------------------------------------------------------------------------------- operators

    def __add__(self, other: Any) -> Tensor:
        return record_binary(_ADD, self, other, Tensor)

    def __radd__(self, other: Any) -> Tensor:
        return record_binary(_ADD, other, self, Tensor)

    def __sub__(self, other: Any) -> Tensor:
        return record_binary(_SUBTRACT, self, other, Tensor)

    def __rsub__(self, other: Any) -> Tensor:
        return record_binary(_SUBTRACT, other, self, Tensor)

    def __mul__(self, other: Any) -> Tensor:
        return record_binary(_MULTIPLY, self, other, Tensor)

    def __rmul__(self, other: Any) -> Tensor:
        return record_binary(_MULTIPLY, other, self, Tensor)

    def __truediv__(self, other: Any) -> Tensor:
        return record_binary(_DIVIDE, self, other, Tensor)

    def __rtruediv__(self, other: Any) -> Tensor:
        return record_binary(_DIVIDE, other, self, Tensor)

    def __matmul__(self, other: Any) -> Tensor:
        return record_binary(_MATMUL, self, other, Tensor)

    def __rmatmul__(self, other: Any) -> Tensor:
        return record_binary(_MATMUL, other, self, Tensor)

    def __pow__(self, other: Any) -> Tensor:
        if type(other) is int and other == 2:
            return record_unary(_SQUARE, self, Tensor)
        return record_binary(_POWER, self, other, Tensor)

    def __rpow__(self, other: Any) -> Tensor:
        return record_binary(_POWER, other, self, Tensor)

    def __mod__(self, other: Any) -> Tensor:
        return record_binary(_REMAINDER, self, other, Tensor)

    def __rmod__(self, other: Any) -> Tensor:
        return record_binary(_REMAINDER, other, self, Tensor)

    def __neg__(self) -> Tensor:
        return record_unary(_NEGATIVE, self, Tensor)

    def __pos__(self) -> Tensor:
        return record_unary(_POSITIVE, self, Tensor)

    def __abs__(self) -> Tensor:
        return record_unary(_ABSOLUTE, self, Tensor)

    # --------------------------------------------------------------------------- indexing, shapes

    def __getitem__(self, index: Any) -> Tensor:
        return record_unary(_GETITEM, self, Tensor, (freeze(index),))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            f"{errors.describe(self, 'a tensor')} cannot be assigned into: its graph would no longer say how its "
            "values came about. Make a new one: `t = t.at[index].set(value)`, or `.add(value)`; "
            "outside of any graph, write to `t.data[index]`."
        )

    @property
    def at(self) -> At:
        """Functional assignment: ``t.at[index].set(v)`` and ``t.at[index].add(v)`` give new tensors.

        >>> import tinygrad_mb as tg
        >>> t = tg.Tensor([1.0, 2.0, 3.0])
        >>> t.at[0].set(10.0)
        Tensor([10.,  2.,  3.])
        """
        return At(self)

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in reverse order."""
        return record_unary(_TRANSPOSE, self, Tensor, (None,))

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one size may be -1."""
        return record_unary(_RESHAPE, self, Tensor, (shape[0] if len(shape) == 1 else shape,))

    def transpose(self, *axes: Any) -> Tensor:
        """The tensor with its axes in the given order."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return record_unary(_TRANSPOSE, self, Tensor, (order,))

    def astype(self, dtype: Any) -> Tensor:
        """The tensor in another dtype; gradients return in this tensor's own."""
        return shapes.astype(self, dtype)

    def copy(self) -> Tensor:
        """A copy through which gradients flow."""
        return shapes.astype(self, self.dtype)

    # ------------------------------------------------------------------------------- reductions

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The sum over all elements, or along axes."""
        return record_unary(_SUM, self, Tensor, (axis, keepdims))

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The mean over all elements, or along axes."""
        return record_unary(_MEAN, self, Tensor, (axis, keepdims))

    # ------------------------------------------------------------------------- NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            op = PRIMITIVES.get(ufunc)
            if op is not None:
                if op.arrays == 2:
                    return record_binary(op, inputs[0], inputs[1], Tensor)
                return record_unary(op, inputs[0], Tensor)
        return numpy_api.call_ufunc(ufunc, method, inputs, kwargs, Tensor)

    def __array_function__(self, function: Any, types: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        return numpy_api.call_function(function, args, kwargs, Tensor)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.requires_grad:
            raise TypeError(
                f"{errors.describe(self, 'a tensor')} requires a gradient, and turning it into an array would lose it "
                "without a word: use .numpy() or .data for its values, np.stack to join tensors, and NumPy's "
                "functions on the tensor itself for everything else"
            )
        return np.array(self.data, dtype=dtype, copy=copy)


def stop_gradient(x: Any) -> Any:
    """``x`` as a constant: a tensor's ``.detach()``; anything else as it is.

    >>> import tinygrad_mb as tg
    >>> tg.grad(lambda x: x * tg.stop_gradient(x))(3.0)
    array(3.)
    """
    return x.detach() if isinstance(x, Tensor) else x
