"""Derivatives of plain functions: functions in, functions out, to any order and in any nesting.

Every transform calls the function with fresh tensors in the place of the arrays, and walks the graph that this
records.  Results are plain arrays, unless something outside of the call could still ask for their derivative:
then they are tensors.  That is so when an argument is a tensor that requires gradients, or when the function uses
such a tensor that it has from elsewhere, so that transforms nest in both ways, closures included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from . import autodiff, errors
from .autodiff import data_of
from .carriers.hiding import hide, reveal
from .carriers.operators import Operators
from .graph import Node, differentiable_ancestors, leaf_mode
from .modes import current, enable_grad, new_level
from .primitives import declare, defvjp
from .pytrees import Nest
from .tensor import Tensor

_ROWS = 512  # of a Jacobian, that are computed in one walk


def _view(x: Any) -> Any:
    return x.view() if isinstance(x, np.ndarray) else x


ARGUMENT = declare(_view, "x", name="argument")
defvjp(_view, x=lambda g: g)


class Argument(Node):
    """A leaf that a transform made for one of its calls: nothing outside of the call holds it.

    ``running`` is true until the function has returned: what is computed later has no derivative by it.
    """

    __slots__ = ("running",)
    running: bool


class _Call:
    """One call of a function, with fresh tensors (``inputs``) in the place of the arrays in the arguments ``argnums``.

    ``open`` says that something outside of the call could still ask for derivatives of what comes out of it: an
    output depends on a tensor requiring gradients that is not one of the inputs.
    """

    def __init__(
        self, fn: Callable[..., Any], args: Sequence[Any], argnums: Iterable[int], kwargs: dict[str, Any] | None = None
    ) -> None:
        recording = current().grad
        names = errors.argument_names(fn)
        args = list(args)
        self.nests: dict[int, Nest] = {}
        self.inputs: list[Tensor] = []
        with enable_grad():
            for k in argnums:
                if k in self.nests:
                    raise ValueError(f"argnums names argument {k} twice")
                if not -len(args) <= k < len(args):
                    raise ValueError(f"argnums names argument {k}, and the function is called with {len(args)}")
                nest = self.nests[k] = Nest(args[k])
                default = names[k] if 0 <= k < len(names) else f"argument {k}"
                fresh = [fresh_argument(x, path or default) for x, path in zip(nest.leaves, nest.paths, strict=True)]
                self.inputs += fresh
                args[k] = nest.fill(fresh, whole=True)
            self.out = Nest(fn(*args, **(kwargs or {})))
        self.nodes = [t.node for t in self.inputs]
        finish(self.inputs)
        oldest = min([node.order for node in self.nodes], default=0)
        roots = [out.node for out in self.out.leaves if _is_tracked(out)]
        self.open = recording and any(
            node.order < oldest or (node.op is None and type(node) is not Argument)
            for node in differentiable_ancestors(roots, oldest)
        )

    def value(self) -> Any:
        """What the function returned: tensors where something outside could differentiate them, else arrays."""
        leaves = self.out.leaves
        return self.out.fill([out.data if isinstance(out, Tensor) and not self.open else out for out in leaves])

    def pull(self, cotangents: Sequence[Any], create_graph: bool) -> list[Any]:
        """The cotangents of all inputs for cotangents of all leaves of the output."""
        return _gradient(self.out.leaves, cotangents, self.nodes, create_graph)

    def pull_each(self, out: Any, cotangents: Any) -> list[Any]:
        """The cotangents of all inputs for each of several cotangents (n, *shape) of one leaf of the output: (n, ...).

        It is one walk, in which the axis of length n is hidden.
        """
        level, n = new_level(), len(cotangents)
        found = _gradient([out], [hide(cotangents, level)], self.nodes, self.open)
        shown = [reveal(c, level, n) for c in found]
        return [np.array(c) if isinstance(c, np.ndarray) else c for c in shown]  # two inputs may share one

    def split(self, leaves: Sequence[Any]) -> list[Any]:
        """Values for all inputs as nests, one for each argument."""
        nests, start = [], 0
        for nest in self.nests.values():
            nests.append(nest.fill(leaves[start : start + len(nest.leaves)]))
            start += len(nest.leaves)
        return nests


def fresh_argument(x: Any, name: str) -> Tensor:
    """A tensor for a call of a function, in the place of an array or of a tensor that it depends on."""
    if _is_tracked(x):
        return autodiff.record_unary(ARGUMENT, x, Tensor).named(x.name or name)
    tensor = Tensor(x)
    tensor._node = node = Argument(None, (), (), None, (), None, tensor.shape, tensor.dtype, leaf_mode())
    node.running = True
    tensor.named(name).requires_grad = True
    return tensor


def finish(arguments: Iterable[Tensor]) -> None:
    """Say that the function has returned to which these arguments were given."""
    for node in [t.node for t in arguments]:
        if isinstance(node, Argument):
            node.running = False


def _is_tracked(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _gradient(outs: Sequence[Any], cotangents: Sequence[Any], nodes: list[Node], create_graph: bool) -> list[Any]:
    """The cotangents of ``nodes`` for cotangents of ``outs``; zeros for nodes that no output depends on."""
    seeds: dict[Node, Any] = {}
    with enable_grad():
        for out, ct in zip(outs, cotangents, strict=True):
            if _is_tracked(out):
                ct = Tensor(ct) if create_graph and not isinstance(ct, Tensor) else ct
                seeds[out.node] = seeds[out.node] + ct if out.node in seeds else ct
        found = autodiff.gradient(seeds, nodes, Tensor if create_graph else None) if seeds and nodes else {}
    return [found[n] if n in found else np.zeros(n.shape, n.dtype) for n in nodes]


def value_and_grad(fn: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., tuple[Any, Any]]:
    """A function that returns the value of ``fn``, a scalar, and its gradient.

    ``argnums`` says by which arguments, each an array or a nest (tuple, list, dict) of arrays; the gradient has the
    nest's structure, and is a tuple of gradients if ``argnums`` is a tuple.

    Raises ``ShapeError`` if ``fn`` does not return one number, ``TypeError`` if it returns None.

    >>> import numpy as np, tinygrad_mb as tg
    >>> def loss(params, x, y):
    ...     return np.square(x @ params["w"] - y).mean()
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 2.0])
    >>> value, grads = tg.value_and_grad(loss)({"w": np.zeros(2)}, x, y)
    >>> value, grads
    (array(2.5), {'w': array([ -7., -10.])})
    """
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)

    def run(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call = _Call(fn, args, numbers, kwargs)
        outs = call.out.leaves
        if len(outs) != 1 or np.shape(data_of(outs[0])) != ():
            if not outs:
                raise TypeError(f"grad(): {_name(fn)} returned nothing to differentiate. Does it end with `return`?")
            what = errors.describe(outs[0], "an array") if len(outs) == 1 else f"{len(outs)} arrays"
            raise errors.ShapeError(
                f"grad() wants a function that returns one number, and {_name(fn)} returned {what}: reduce the losses "
                "of the examples with .sum() or .mean(), or use jacobian() or vjp()"
            )
        grads = call.split(call.pull([np.ones((), np.result_type(data_of(outs[0])))], call.open))
        return call.value(), tuple(grads) if isinstance(argnums, tuple) else grads[0]

    return run


def grad(fn: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """A function that returns the gradient of ``fn``, as ``value_and_grad`` does without the value.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.grad(np.tanh)(0.0)
    array(1.)
    >>> tg.grad(tg.grad(tg.grad(np.sin)))(0.0)
    array(-1.)
    """
    run = value_and_grad(fn, argnums)
    return lambda *args, **kwargs: run(*args, **kwargs)[1]


def vjp(fn: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """The value of ``fn(*primals)``, and the function that takes a cotangent of it back to the arguments.

    The cotangent has the structure and the shapes of the value; what comes back is a tuple with one nest for each
    argument, None for an argument that is not of floating-point numbers.

    Raises ``ValueError`` for a cotangent of another structure, ``ShapeError`` for one of another shape.

    >>> import numpy as np, tinygrad_mb as tg
    >>> y, pull = tg.vjp(np.multiply, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    >>> pull(np.array([1.0, 10.0]))
    (array([ 3., 40.]), array([ 1., 20.]))
    """
    floating = [k for k, x in enumerate(primals) if all(_is_floating(leaf) for leaf in Nest(x).leaves)]
    call = _Call(fn, primals, floating)

    def pull(cotangent: Any) -> tuple[Any, ...]:
        outs = call.out.leaves
        cts = [_fit(ct, o, "cotangent") for ct, o in zip(call.out.match(cotangent, "a cotangent"), outs, strict=True)]
        tracked = current().grad and any(_is_tracked(ct) for ct in cts)
        found = dict(zip(floating, call.split(call.pull(cts, call.open or tracked)), strict=True))
        return tuple(found.get(k) for k in range(len(primals)))

    return call.value(), pull


def jvp(fn: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """The value of ``fn(*primals)``, and its directional derivative along ``tangents``.

    Each tangent has the structure and the shapes of its primal; arguments without one (None, or past the end of
    ``tangents``) are constants.  There is one table of derivatives, for vjps: a cotangent's way back is linear in
    the cotangent, and the vjp of that linear map is the jvp (J. Townsend, "A new trick for calculating Jacobian
    vector products", 2017).

    Raises ``ValueError`` for tangents of another structure, ``ShapeError`` for other shapes.

    >>> import numpy as np, tinygrad_mb as tg
    >>> value, slope = tg.jvp(np.square, (np.array([1.0, 2.0]),), (np.array([1.0, 0.5]),))
    >>> value, slope
    (array([1., 4.]), array([2., 2.]))
    """
    if len(tangents) > len(primals):
        raise ValueError(f"jvp: {len(tangents)} tangents for {len(primals)} arguments")
    moving = [k for k, tangent in enumerate(tangents) if tangent is not None]
    call = _Call(fn, primals, moving)
    directions = [t for k in moving for t in call.nests[k].match(tangents[k], f"the tangent of argument {k}")]
    directions = [_fit(t, x, "tangent") for t, x in zip(directions, call.inputs, strict=True)]
    outs = call.out.leaves
    dummies = [
        fresh_argument(np.zeros(np.shape(data_of(out)), np.result_type(data_of(out))), "cotangent") for out in outs
    ]
    tracked = current().grad and any(_is_tracked(t) for t in directions)
    with enable_grad():
        along = _inner(call.pull(dummies, True), directions)
    slopes = _gradient([along], [np.ones(())], [d.node for d in dummies], call.open or tracked)
    return call.value(), call.out.fill(slopes)


def jacobian(fn: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """A function that returns the Jacobian of ``fn``: for each output, its derivatives by every input.

    For an array of shape ``s`` as output and one of shape ``t`` as input it has the shape ``s + t``; nests give
    nests of outputs, each a nest of inputs.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.jacobian(np.square)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)

    def run(*args: Any, **kwargs: Any) -> Any:
        call = _Call(fn, args, numbers, kwargs)
        blocks = []
        for out in call.out.leaves:
            shape = np.shape(data_of(out))
            n, dtype = math.prod(shape), np.result_type(data_of(out))
            parts = [
                call.pull_each(out, np.eye(rows := min(_ROWS, n - k), n, k, dtype).reshape(rows, *shape))
                for k in range(0, max(n, 1), _ROWS)
            ]
            columns = parts[0] if len(parts) == 1 else [np.concatenate(c) for c in zip(*parts, strict=True)]
            nests = call.split([c.reshape(shape + x.shape) for c, x in zip(columns, call.inputs, strict=True)])
            blocks.append(tuple(nests) if isinstance(argnums, tuple) else nests[0])
        return call.out.fill(blocks)

    return run


def hessian(fn: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """A function that returns the second derivatives of ``fn``, a scalar: the Jacobian of its gradient.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
    array([[6., 2.],
           [2., 0.]])
    """
    return jacobian(grad(fn, argnums), argnums)


def hvp(fn: Callable[..., Any], params: Any, vector: Any, *batch: Any) -> Any:
    """The Hessian of ``fn(params, *batch)``, a scalar, by ``params``, times ``vector``; no matrix is ever formed.

    ``vector`` and the result have the structure and the shapes of ``params``.

    >>> import numpy as np, tinygrad_mb as tg
    >>> tg.hvp(lambda x: x[0] ** 2 * x[1], np.array([1.0, 3.0]), np.array([1.0, 0.0]))
    array([6., 2.])
    """
    nest = Nest(params)
    direction = [_fit(v, x, "vector") for v, x in zip(nest.match(vector, "the vector"), nest.leaves, strict=True)]

    def slope(params: Any, *batch: Any) -> Any:
        return _inner(Nest(grad(fn)(params, *batch)).leaves, direction)

    return grad(slope)(params, *batch)


def _is_floating(x: Any) -> bool:
    return np.result_type(data_of(x)).kind == "f"


def _inner(xs: Sequence[Any], ys: Sequence[Any]) -> Any:
    return sum([(x * y).sum() for x, y in zip(xs, ys, strict=True)])


def _fit(value: Any, like: Any, what: str) -> Any:
    """A cotangent or tangent as an array of the dtype of ``like``; raises ``ShapeError`` unless the shapes agree."""
    like = data_of(like)
    if isinstance(value, Operators):
        value = value.astype(np.result_type(like))
    elif not isinstance(value, Tensor):
        value = np.asarray(value, dtype=np.result_type(like))
    if value.shape != np.shape(like):
        raise errors.ShapeError(
            f"a {what} of shape {value.shape} was given for an array of shape {np.shape(like)}: they must be equal"
        )
    return value


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", "the function")
