"""Rules are pure functions over a closed list: their source is read, and they are run on a carrier that has no more."""

import ast
import operator
from pathlib import Path

import numpy as np
import pytest
from problems import PROBLEMS

import tinygrad_mb
from tinygrad_mb import Tensor
from tinygrad_mb.autodiff import Recorded, record
from tinygrad_mb.primitives import PRIMITIVES
from tinygrad_mb.vjps.closed_list import CREATION, FUNCTIONS, METHODS, PLAIN

SOURCES = {file.stem: ast.parse(file.read_text()) for file in (Path(tinygrad_mb.__file__).parent / "vjps").glob("*.py")}

# ------------------------------------------------------------------------------------------- what the source says


def is_primitive(function):
    return any("primitive" in ast.unparse(decorator) for decorator in function.decorator_list)


def helpers_of(tree):
    """The functions that rules of a module can call: its own and those it imports, primitives and plain ones aside."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not is_primitive(node) and node.name not in PLAIN:
            found[node.name] = node
        elif isinstance(node, ast.ImportFrom) and node.module in SOURCES:
            imported = helpers_of(SOURCES[node.module])
            found |= {alias.name: imported[alias.name] for alias in node.names if alias.name in imported}
    return found


def rules_of(tree):
    """(where it is, the rule's expression) for every rule in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "defvjp":
            for keyword in node.keywords:
                yield f"{ast.unparse(node.args[0])}, {keyword.arg}", keyword.value


def reached_from(rule, helpers):
    """The rule's own source and that of all helpers that it leads to."""
    seen, todo = {}, [rule]
    while todo:
        node = todo.pop()
        for name in ast.walk(node):
            if isinstance(name, ast.Name) and name.id in helpers and name.id not in seen:
                seen[name.id] = helpers[name.id]
                todo.append(helpers[name.id])
    return [rule, *seen.values()]


def numpy_name(node):
    """``where`` for the source ``np.where``."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
        return node.attr
    return None


def faults(source):
    """What a rule may not do, with the offending expression."""
    for node in ast.walk(source):
        name = numpy_name(node)
        if name is not None:
            function = getattr(np, name)
            if not isinstance(function, np.ufunc) and function not in FUNCTIONS | CREATION:
                yield f"np.{name} is not on the closed list"
        if isinstance(node, ast.Attribute) and numpy_name(node.value) is not None:
            yield f"{ast.unparse(node)} is more than a function of NumPy's"
        if isinstance(node, ast.Call) and (name := numpy_name(node.func)) is not None:
            function = getattr(np, name)
            if function in CREATION and len(node.args) < 2 and not any(k.arg == "dtype" for k in node.keywords):
                yield f"{ast.unparse(node)} has no dtype"
            if isinstance(function, np.ufunc) and all(isinstance(a, ast.Constant) for a in node.args):
                yield f"{ast.unparse(node)} is a constant of dtype float64"
            if any(k.arg == "out" for k in node.keywords):
                yield f"{ast.unparse(node)} writes into an array"
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if any(isinstance(target, ast.Subscript) for target in targets):
            yield f"{ast.unparse(node)} assigns into an array"


RULES = [
    (f"{module}: {where}", rule, helpers_of(tree)) for module, tree in SOURCES.items() for where, rule in rules_of(tree)
]


@pytest.mark.parametrize(("rule", "helpers"), [r[1:] for r in RULES], ids=[r[0] for r in RULES])
def test_a_rule_keeps_to_the_closed_list(rule, helpers):
    assert not [fault for source in reached_from(rule, helpers) for fault in faults(source)]


def test_all_rules_are_read():
    assert len(RULES) > 100
    assert {"elementwise: np.add, x", "products: einsum, operands", "indexing: put, v"} <= {
        where for where, *_ in RULES
    }


def test_the_closed_list_has_nothing_that_no_rule_uses():
    sources = [source for _, rule, helpers in RULES for source in reached_from(rule, helpers)]
    sources += [node for tree in SOURCES.values() for node in tree.body if getattr(node, "name", None) in PLAIN]
    reached = [node for source in sources for node in ast.walk(source)]
    used = {getattr(np, name) for name in map(numpy_name, reached) if name is not None}
    assert used >= FUNCTIONS | CREATION
    attributes = {node.attr for node in reached if isinstance(node, ast.Attribute)}
    assert attributes >= METHODS
    names = {node.id for node in reached if isinstance(node, ast.Name)}
    assert names >= PLAIN


@pytest.mark.parametrize(
    "source",
    [
        "lambda g: np.asarray(g)",
        "lambda g: np.array([g, g])",
        "lambda g, x: np.full(x.shape, g)",
        "lambda g, x: g * np.ones(x.shape)",
        "lambda g, x: g.reshape(np.shape(x))",
        "lambda g: g * np.pi",
        "lambda g: g * np.log(2)",
        "lambda g: np.linalg.inv(g)",
        "lambda g, x: np.add.at(x, 0, g)",
        "lambda g, x: np.multiply(g, x, out=g)",
        "lambda g: np.sort(g)",
        "def rule(g):\n    g[0] = 1\n    return g",
        "def rule(g):\n    g[0] += 1\n    return g",
    ],
)
def test_forbidden_things_are_found(source):
    assert list(faults(ast.parse(source)))


# -------------------------------------------------------------------------------- rules on the poorest carrier


class Strict(np.lib.mixins.NDArrayOperatorsMixin, Recorded):
    """An array that can do what is on the closed list, and nothing else; comparisons give one of its kind, too."""

    __slots__ = ()

    def __init__(self, data):
        self._data, self._node = np.asarray(data), None

    shape = property(lambda self: self._data.shape)
    ndim = property(lambda self: self._data.ndim)
    dtype = property(lambda self: self._data.dtype)

    def __getattr__(self, name):
        if name not in METHODS:
            raise AttributeError(f"a rule uses .{name}, which is not on the closed list")
        method = getattr(self._data, name)
        return (lambda *args, **kwargs: Strict(method(*args, **kwargs))) if callable(method) else Strict(method)

    def __getitem__(self, index):
        return record(PRIMITIVES[operator.getitem], (self, index), Strict)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        assert method == "__call__", f"{ufunc.__name__}.{method}"
        assert not kwargs, f"{ufunc.__name__} with {kwargs}"
        return Strict(ufunc(*plain(inputs)))

    def __array_function__(self, function, types, args, kwargs):
        assert function in FUNCTIONS, f"{function.__name__} is not on the closed list"
        return Strict(function(*plain(args), **plain(kwargs)))

    def _refuse(self, *args, **kwargs):
        raise AssertionError("a rule branches on a value, converts a carrier, or assigns into it")

    __bool__ = __float__ = __int__ = __index__ = __len__ = __iter__ = __array__ = __setitem__ = __contains__ = _refuse


def plain(value):
    if isinstance(value, Strict):
        return value._data
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    return type(value)([plain(v) for v in value]) if type(value) in (list, tuple) else value


def strict(value):
    return [strict(v) for v in value] if isinstance(value, (list, tuple)) else Strict(value)


def frozen(value):
    """The same arrays, read-only: a rule that writes into what it is given raises."""
    if isinstance(value, (list, tuple)):
        return [frozen(v) for v in value]
    value = np.array(value)
    value.setflags(write=False)
    return value


@pytest.mark.parametrize("problem", PROBLEMS, ids=str)
def test_rules_run_on_a_carrier_that_has_the_closed_list_only(problem):
    """And give what they give on plain arrays, of which they change none."""
    out = problem.run(*[Tensor(a, requires_grad=k in problem.wrt) for k, a in enumerate(problem.inputs)])
    todo = [out.node]
    while todo:
        node = todo.pop()
        for _, pull, name, _ in node.plan.rules:
            g = frozen(np.random.default_rng(0).uniform(1, 2, node.shape).astype(node.dtype))
            saved = [frozen(s) for s in node.saved]
            expected = pull(g, node, saved)
            carried = pull(strict(g), node, [strict(s) for s in saved])
            assert isinstance(carried, Strict), f"the rule of {node.op.name} for {name} loses the carrier"
            np.testing.assert_allclose(carried._data, expected, rtol=1e-13, atol=1e-13)
        todo += [parent for parent in node.inputs if getattr(parent, "op", None) is not None and parent.plan]


def test_the_strict_carrier_is_strict():
    x = Strict([1.0, 2.0])
    for forbidden in (
        lambda: bool(x > 1), lambda: np.asarray(x), lambda: np.sort(x), lambda: x.copy(), lambda: float(x),
        lambda: np.add.reduce(x), lambda: operator.iadd(x, 1), lambda: operator.setitem(x, 0, 1), lambda: list(x),
    ):  # fmt: skip
        with pytest.raises((AssertionError, AttributeError)):
            forbidden()
