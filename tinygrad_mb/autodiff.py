"""Record a call; walk the graph backward.

Both halves know a carrier only by what it shares with arrays.  ``Recorded`` is the base of ``Tensor``, so that
this module does not depend on it: the class of a result is handed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from threading import Lock
from typing import Any, TypeVar
from weakref import ref

import numpy as np

from . import anomaly, errors
from .broadcasting import unbroadcast
from .graph import Node, differentiable_ancestors, leaf
from .guards import fingerprint, verify
from .modes import current, hiding
from .primitives import OUT, PRIMITIVES, Primitive, declare, defvjp

ndarray = np.ndarray
_new = object.__new__
_PAIRING = frozenset((np.add, np.subtract, np.multiply, np.divide))  # in a loss, of predictions with targets
_SCALARS = frozenset((float, int, bool, np.float64, np.float32))
_PLAIN = _SCALARS | {ndarray}
_NUMBERS = frozenset((np.float64, np.float32, np.float16, np.longdouble))  # results without axes
_CONTAINERS = frozenset((tuple, list, dict, ndarray))
FEW = 8  # numbers that a node remembers of its value
_accumulating = Lock()  # threads may add to the gradient of the same leaf


class Recorded:
    """An array with its place in the graph: the data, and a node unless nothing is known of it but its data."""

    __slots__ = ("_data", "_node")
    _data: Any
    _node: Node | None


class Hidden:
    """An array of ours below a tensor: one that hides an axis of examples, of several nested ones that of ``_level``.

    Levels are from 1 on; an array with level 0 hides none.
    """

    __slots__ = ("_data", "_level")
    _data: Any
    _level: int
    shape: Any
    dtype: Any

    def call(self, function: Any, args: Any) -> Any:
        """What a function gives for arguments among which this array is."""
        raise NotImplementedError

    def summed(self, level: int) -> Any:
        """The sum over the hidden axis of that level."""
        raise NotImplementedError

    def dense(self) -> Any:
        """The same with its numbers in one array."""
        raise NotImplementedError


def bare(array: Any) -> Any:
    """What is inside of a carrier: an array with all hidden axes in front, or terms; anything else as it is."""
    while isinstance(array, Hidden):
        array = array._data
    return array


R = TypeVar("R", bound=Recorded)


def wrap(cls: type[R], data: Any, node: Node | None = None) -> R:
    """A tensor of class ``cls``: data with a place in the graph, or a constant."""
    tensor = _new(cls)
    tensor._data, tensor._node = data, node
    return tensor


def data_of(value: Any) -> Any:
    """What a tensor holds; anything else as it is."""
    return value._data if isinstance(value, Recorded) else value


def as_array(value: Any) -> Any:
    """An operand as something with a shape and a dtype."""
    return value if hasattr(value, "dtype") else np.asarray(value)


# ---------------------------------------------------------------------------------------------- forward


def record(op: Primitive, values: Sequence[Any], cls: type[R]) -> R:
    """Run ``op`` on ``values``, one for each of its names, and record it where a gradient could be wanted.

    The result is of class ``cls``.  Raises what NumPy raises, with the operands named, and
    ``NotDifferentiableError`` for a result that should carry a gradient and is not real.
    """
    if op.arrays == 1 and not op.variadic and isinstance(values[0], Recorded):
        return record_unary(op, values[0], cls, tuple(values[1:]))
    if op.arrays == 2 == len(values):
        return record_binary(op, values[0], values[1], cls)
    data, nodes, mask, bit = [], [], 0, 1
    arrays = values[0] if op.variadic else values[: op.arrays]
    for value in arrays:
        if isinstance(value, Recorded):
            array, node = value._data, value._node
            if node is not None and node.plan is not None:
                mask += bit
                if node.op is None and node.shape == () and type(array) is ndarray:
                    array = array[()]
        else:
            array, node = value if type(value) in _PLAIN else coerce(value), None
        data.append(array)
        nodes.append(node)
        bit += bit
    params = _frozen(tuple(values[op.arrays :]))
    try:
        out = op.fn(data, *params) if op.variadic else op.fn(*data, *params)
    except Exception as error:
        raise errors.call_failed(op, arrays, params, error) from error
    return _finish(op, cls, arrays, data, tuple(nodes), params, out, mask)


def record_unary(op: Primitive, x: Recorded, cls: type[R], params: tuple[Any, ...] = ()) -> R:
    """``record`` for one array, a tensor, and ``params`` for the other arguments, without its loops."""
    a, node = x._data, x._node
    mask = 0
    if node is not None and node.plan is not None:
        mask = 1
        if node.op is None and node.shape == () and type(a) is ndarray:
            a = a[()]
    if params:
        params = _frozen(params)
    try:
        out = op.fn(a, *params)
    except Exception as error:
        raise errors.call_failed(op, (x,), params, error) from error
    return _finish(op, cls, (x,), (a,), (node,), params, out, mask)


def record_binary(op: Primitive, x: Any, y: Any, cls: type[R]) -> R:
    """``record`` for two arrays and no other argument, without its loops."""
    mask = 0
    if isinstance(x, Recorded):
        a, x_node = x._data, x._node
        if x_node is not None and x_node.plan is not None:
            mask = 1
            if x_node.op is None and x_node.shape == () and type(a) is ndarray:
                a = a[()]
    else:
        a, x_node = x if type(x) in _PLAIN else coerce(x), None
    if isinstance(y, Recorded):
        b, y_node = y._data, y._node
        if y_node is not None and y_node.plan is not None:
            mask += 2
            if y_node.op is None and y_node.shape == () and type(b) is ndarray:
                b = b[()]
    else:
        b, y_node = y if type(y) in _PLAIN else coerce(y), None
    try:
        out = op.fn(a, b)
    except Exception as error:
        raise errors.call_failed(op, (x, y), (), error) from error
    if 0 < mask < 3 and op.key in _PAIRING and len(shape := out.shape) == 2 and shape[0] == shape[1] > 1:
        errors.warn_if_column_meets_vector(op, (x, y), (a, b), mask)
    return _finish(op, cls, (x, y), (a, b), (x_node, y_node), (), out, mask)


def _finish(
    op: Primitive,
    cls: type[R],
    values: Sequence[Any],
    data: Sequence[Any],
    nodes: tuple[Any, ...],
    params: tuple[Any, ...],
    out: Any,
    mask: int,
) -> R:
    """Make the result, and its node if an operand in ``mask`` needs a gradient."""
    result = _new(cls)
    result._data = out
    mode = current()
    grad, checking, _, _, keeping = mode
    if checking:
        anomaly.check_forward(op, values, bare(out))
    if not mask or not grad:
        return _unrecorded(op, values, result, out, mask)
    rules, saves, save, guarded = plan = op.plans.get(mask) or op.plan(mask)
    if not rules:
        return _unrecorded(op, values, result, out, mask)
    dtype = out.dtype
    if dtype.kind != "f":
        raise errors.not_real(op, values, dtype)
    if None in nodes:
        nodes = tuple([_constant(v, a) if n is None else n for v, a, n in zip(values, data, nodes, strict=True)])
    guards = None
    for position in range(len(data)) if op.variadic and guarded else guarded:
        array = data[position]
        if type(array) is not ndarray:
            if type(array) in _SCALARS or not isinstance(array, Hidden):
                continue
            array = bare(array)
        # An intermediate result is the engine's own: only leaves, raw operands and views can change.
        if type(array) is ndarray and (nodes[position].op is None or array.base is not None):
            if guards is None:
                guards = []
            guards.append((array, fingerprint(array), position))
    if saves and saves[0] == OUT and type(out) is ndarray and out.base is not None:
        guards = [*(guards or ()), (out, fingerprint(out), OUT)]
    result._node = node = Node(op, nodes, params, plan, save(data, out), guards, out.shape, dtype, mode)
    if type(out) in _NUMBERS or (type(out) is ndarray and out.size <= FEW and out.base is None):
        node.held = out
    if checking or keeping:
        node.note().where = errors.user_line()
        if keeping:
            node.held = out
            for leaf_node, array in zip(nodes, data, strict=True):
                if isinstance(leaf_node, Node) and leaf_node.op is None:
                    leaf_node.held = array
    return result


def _unrecorded(op: Primitive, values: Sequence[Any], result: R, out: Any, mask: int) -> R:
    result._node = None
    if type(out) is ndarray:
        if out.dtype.kind == "O":
            raise errors.not_real(op, values, out.dtype)
        if mask and out.base is not None:
            out.setflags(write=False)  # a view of a recorded value is not a way to change it
    return result


def _frozen(params: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a rule reads in backward is not the caller's to change."""
    for param in params:
        if type(param) in _CONTAINERS and _mutable(param):
            return deepcopy(params)
    return params


def _mutable(param: Any) -> bool:
    if type(param) is tuple:
        return any(map(_mutable, param))
    return type(param) in (list, dict) or (type(param) is ndarray and param.flags.writeable)


def _constant(value: Any, data: Any) -> Any:
    """What the graph remembers of an operand without a node: a scalar's value, an array's shape."""
    if type(data) in _SCALARS:
        return data
    node = leaf(data.shape, data.dtype, False)
    if isinstance(value, Recorded):
        value._node = node
        node.held = ref(value)
    elif type(data) is ndarray and data.size <= FEW:
        node.held = data.copy()
    return node


def coerce(value: Any) -> Any:
    """A raw operand as an array that operations can use: lists are converted, carriers pass, the rest is refused.

    Raises ``NotDifferentiableError`` for masked arrays and for what is not made of numbers.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise errors.NotDifferentiableError(
            "masked arrays are not supported, since the mask would be lost: use np.where with the mask instead"
        )
    if isinstance(value, ndarray):
        array = value if type(value) is ndarray else value.view(ndarray)
    elif isinstance(value, np.generic) or hasattr(value, "__array_function__"):
        array = value
    else:
        array = np.asarray(value)
    if array.dtype.kind not in "fiubc":
        raise errors.NotDifferentiableError(
            f"an operand of type {type(value).__name__} becomes an array of dtype {array.dtype}; "
            "operands are numbers or arrays of numbers"
        )
    return array


# --------------------------------------------------------------------------------------------- backward


def backward(root: Node, seed: Any, retain_graph: bool) -> None:
    """Add the gradient of ``root`` to every leaf below it, and to every node that keeps its gradient."""
    nodes = differentiable_ancestors([root])
    verify(nodes)
    found = walk(nodes, {root: seed}, free=not retain_graph)
    with _accumulating:
        for node, g in found.items():
            total = g if node.grad is None else node.grad + g
            node.grad = total if isinstance(total, Hidden) else np.asarray(total)


def gradient(seeds: dict[Node, Any], wrt: Sequence[Node], cls: type[Recorded] | None = None) -> dict[Node, Any]:
    """The cotangents of those of the nodes ``wrt`` that the nodes in ``seeds`` depend on; the graph stays as it is.

    With ``cls`` given, the walk itself is recorded, and the gradients are tensors of that class.

    A hidden axis that a node was made outside of is summed over in its cotangent, as axes that broadcasting made are.
    Not so one that no node was made inside of: seeds that hide it stand for several walks, which are kept apart.
    """
    wanted = set(wrt)
    relevant = set(wrt)
    nodes, running = [], []
    for node in reversed(differentiable_ancestors(seeds, oldest=min(node.order for node in wrt))):
        if node.plan and not relevant.isdisjoint([node.inputs[rule.position] for rule in node.plan.rules]):
            running.append(node)
        elif node not in wanted:
            continue
        relevant.add(node)
        nodes.append(node)
    nodes.reverse()
    verify(running)
    levels = [data._level for data in map(data_of, seeds.values()) if isinstance(data, Hidden)]
    if cls is None and not levels:
        return walk(nodes, dict(seeds), wanted, relevant)
    known = max([node.level for node in nodes], default=0)
    if cls is None:
        return walk(nodes, dict(seeds), wanted, relevant, known=known)
    # What is recorded on the way counts as made inside of all hidden axes that it may hide.
    with hiding(max([known, current().level, *levels])):
        found = walk(nodes, dict(seeds), wanted, relevant, cls, known=known)
        taken = {id(seed) for seed in seeds.values()}
        for node, g in found.items():
            if g._node is None or g._node.plan is None:
                found[node] = wrap(cls, _own(g._data))
            elif id(g) in taken:
                found[node] = record_unary(PRIMITIVES[np.positive], g, cls)
            taken.add(id(g))
        return found


def walk(
    nodes: Iterable[Node],
    cotangents: dict[Node, Any],
    wanted: set[Node] | None = None,
    relevant: set[Node] | None = None,
    cls: type[Recorded] | None = None,
    free: bool = False,
    known: int = 1 << 62,
) -> dict[Node, Any]:
    """Visit ``nodes``, newest first: when a node's turn comes, its cotangent is complete.

    The driver, not the rule, sums a cotangent down to its argument's shape, restores its dtype, and adds up the
    contributions of several uses: the first sum makes a buffer of the driver's own, further ones go into it.
    Returned are the cotangents of ``wanted`` nodes, or, if that is None, of leaves and of nodes that keep their
    gradient; they are nobody else's.  ``cls`` is given where the walk itself is to be recorded: what the rules saved
    then takes its place in the graph again.  Hidden axes beyond the level ``known`` are not summed over.
    """
    found: dict[Node, Any] = {}
    owned: set[Node] = set()  # the nodes whose cotangent is an array that nobody else holds
    checking = current().anomaly
    pop, get = cotangents.pop, cotangents.get
    for node in nodes:
        g = pop(node, None)
        if g is None:
            continue
        extras = node.extras
        if extras is not None and extras.hooks:
            g = _run_hooks(node, g)
            owned.discard(node)
        op = node.op
        if (op is None or (extras is not None and extras.keeps_grad)) if wanted is None else node in wanted:
            found[node] = g if node in owned or cls is not None else _own(g)
        if op is None:
            continue
        saved = node.saved if cls is None or node.saved is None else _attach_saved(node, cls)
        inputs = node.inputs
        for position, pull, name, fresh in node.plan.rules:  # type: ignore[union-attr]  # only nodes with a plan get here
            parent = inputs[position]
            if relevant is not None and parent not in relevant:
                continue
            c = pull(g, node, saved)
            if cls is not None and not isinstance(c, Recorded):
                raise errors.plain_cotangent(node, name, c)
            if type(c) not in _PLAIN:
                c = _known_to(parent, c, known, cls)
            try:
                if c.shape != parent.shape:
                    if c.ndim > len(parent.shape) and c.ndim > len(node.shape):
                        raise ValueError
                    c = unbroadcast(c, parent.shape)
                if c.dtype is not parent.dtype and c.dtype != parent.dtype:
                    c = c.astype(parent.dtype)
            except (AttributeError, ValueError):
                raise errors.wrong_cotangent(node, name, c, parent.shape) from None
            if checking:
                anomaly.check_backward(node, name, bare(c))
            before = get(parent)
            if before is None:
                cotangents[parent] = c
                if fresh and parent.op is None and c is not g and type(c) is ndarray and c.base is None:
                    owned.add(parent)
            elif parent not in owned:
                cotangents[parent] = c = before + c
                if type(c) is ndarray:
                    owned.add(parent)
            elif type(c) in _PLAIN:
                before += c
            else:
                cotangents[parent] = before + c
                owned.discard(parent)
        if free:
            node.saved = node.guards = None
    return found


def _known_to(node: Node, c: Any, known: int, cls: type[Recorded] | None) -> Any:
    """A cotangent, summed over the hidden axes up to the level ``known`` that a node was made outside of."""
    hidden, own = data_of(c), node.level
    while isinstance(hidden, Hidden):
        level = hidden._level
        if own < level <= known:
            c = c.summed(level) if cls is None else record_unary(SUMMED, c, cls, (level,))
        elif level <= known and cls is None:
            c = c.dense()
        hidden = hidden._data
    return c


# The hidden axis is gone from the sum, so a cotangent that hides no such axis is right for each example.
SUMMED = declare(Hidden.summed, "x, level", lambda x, level: x.summed(level), name="sum over examples")
defvjp(Hidden.summed, x=lambda g: g)


def attach(cls: type[Recorded], data: Any, node: Any) -> Any:
    """A tensor of class ``cls`` that stands at ``node``; the data itself where the node needs no gradient."""
    if not isinstance(node, Node) or node.plan is None:
        return data
    return wrap(cls, data, node)


def _attach_saved(node: Node, cls: type[Recorded]) -> tuple[Any, ...]:
    assert node.plan is not None
    assert node.saved is not None
    saved = []
    for position, value in zip(node.plan.saves, node.saved, strict=True):
        if position == OUT:
            saved.append(attach(cls, value, node))
        elif node.op is not None and node.op.variadic:
            saved.append([attach(cls, v, n) for v, n in zip(value, node.inputs, strict=True)])
        else:
            saved.append(attach(cls, value, node.inputs[position]))
    return tuple(saved)


def _own(g: Any) -> Any:
    return np.array(g) if isinstance(g, (ndarray, np.generic)) else g


def _run_hooks(node: Node, g: Any) -> Any:
    assert node.extras is not None
    for hook in tuple(node.extras.hooks.values()):
        seen = _own(g)
        if type(seen) is ndarray:
            seen.setflags(write=False)  # a hook answers with a new array
        try:
            replaced = hook(seen)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise errors.hook_writes(node) from error
        if replaced is not None:
            if isinstance(replaced, Recorded) and not isinstance(g, Recorded):
                replaced = replaced._data
            elif not hasattr(replaced, "dtype"):
                replaced = np.asarray(replaced)
            if replaced.shape != node.shape or replaced.dtype.kind not in "fiub":
                raise errors.wrong_hook(node, replaced)
            if isinstance(g, Recorded) and not isinstance(replaced, Recorded):
                replaced = wrap(type(g), replaced)
            g = replaced if replaced.dtype == node.dtype else replaced.astype(node.dtype)
    return g
