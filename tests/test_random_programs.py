"""Random programs, run by the engine and by its naive twin, and compared after every step."""

import naive_twin as twin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import tinygrad_mb as tg
from tinygrad_mb.errors import ChangedArrayError, GraphFreedError

# The pairs of shapes are random, so that the warning of a column less a vector is no news here.
pytestmark = pytest.mark.filterwarnings("ignore::tinygrad_mb.errors.BroadcastWarning")

SHAPES = [(), (1,), (3,), (2, 3), (3, 1), (2, 1, 3), (1, 1)]
numbers = st.integers(-16, 16).map(lambda k: k / 8)
which = st.integers(0, 1 << 30)

# Each runs on tensors and on arrays of duals; values stay moderate, so that comparisons mean something.
SMOOTH_UNARY = [
    np.tanh, np.sin, np.cos, np.negative,
    lambda x: np.exp(np.sin(x)),
    lambda x: np.log(x * x + 1.0),
    lambda x: np.sqrt(x * x + 0.5),
    lambda x: np.tanh(x) ** 3,
    lambda x: 1.0 / (x * x + 1.0),
    lambda x: x - 0.5,
    lambda x: 2.0 - x,
]  # fmt: skip
SMOOTH_BINARY = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: np.sin(x) * y,
    lambda x, y: x / (y * y + 1.0),
]
VIEWS = [
    lambda x: x.reshape(-1),
    lambda x: x.T,
    lambda x: x[..., None],
    lambda x: x[None],
    lambda x: x[::-1] if x.ndim else x[...],
    lambda x: x[0] if x.ndim else x[()],
    lambda x: x[[0, -1, 0]] if x.ndim else x[None],
    lambda x: x[np.arange(x.shape[0]) % 2 == 0] if x.ndim else x[None],
    lambda x: np.concatenate([x, x[:1]]) if x.ndim else x.reshape(1),
    lambda x: np.stack([x, x], axis=-1),
    lambda x: np.broadcast_to(x, (2, *x.shape)),
    lambda x: x.swapaxes(0, -1) if x.ndim else x.reshape(1, 1),
    lambda x: np.flip(x),
]
REDUCTIONS = [
    lambda x: x.sum(),
    lambda x: np.sum(x, axis=-1) if x.ndim else np.sum(x),
    lambda x: np.mean(x, axis=0, keepdims=True) if x.ndim else x.mean(),
    lambda x: np.cumsum(x, axis=0) if x.ndim else x + 0.0,
    lambda x: np.prod(np.sin(x), axis=-1) if x.ndim else np.sin(x),
]


def fits(x, y):
    try:
        return np.prod(np.broadcast_shapes(x.shape, y.shape)) <= 24
    except ValueError:
        return False


class Value:
    """A value in both worlds, and the inputs (leaves, retained tensors) that its derivative can be asked by."""

    def __init__(self, tensor, duals):
        self.tensor = tensor
        self.duals = twin.box(duals)
        assert self.tensor.shape == self.duals.shape
        assert self.tensor.dtype == np.float64
        np.testing.assert_allclose(tensor.numpy(), twin.values(self.duals), rtol=1e-9, atol=1e-9)


class Programs(RuleBasedStateMachine):
    """A pool of values that grows; backward and gradient compare all derivatives; leaves change in between."""

    @initialize()
    def start(self):
        self.pool = []
        self.inputs = {}  # name: [value, the gradient that should have been accumulated]

    def add(self, tensor, duals):
        if tensor.size and np.abs(tensor.numpy()).max() < 1e3 and tensor.size <= 24 and tensor.ndim <= 4:
            self.pool.append(Value(tensor, duals))
        self.pool = self.pool[-12:]

    def pick(self, k):
        return self.pool[k % len(self.pool)]

    @rule(data=st.data(), shape=st.sampled_from(SHAPES), constant=st.booleans())
    def leaf(self, data, shape, constant):
        size = int(np.prod(shape))
        array = np.array(data.draw(st.lists(numbers, min_size=size, max_size=size))).reshape(shape)
        if constant:
            self.add(tg.Tensor(array), twin.constants(array))
            return
        name = f"leaf{len(self.inputs)}"
        self.add(tg.Tensor(array, requires_grad=True, name=name), twin.inputs(twin.constants(array), name))
        self.inputs[name] = [self.pool[-1], np.zeros(shape)]

    has_values = precondition(lambda self: self.pool)

    @has_values
    @rule(k=which, fn=st.sampled_from(SMOOTH_UNARY + VIEWS + REDUCTIONS))
    def unary(self, k, fn):
        x = self.pick(k)
        self.add(fn(x.tensor), fn(x.duals))

    @has_values
    @rule(k=which, m=which, fn=st.sampled_from(SMOOTH_BINARY))
    def binary(self, k, m, fn):
        x, y = self.pick(k), self.pick(m)
        if fits(x.tensor, y.tensor):
            self.add(fn(x.tensor, y.tensor), fn(x.duals, y.duals))

    @has_values
    @rule(k=which, m=which)
    def matrix_product(self, k, m):
        x, y = self.pick(k), self.pick(m)
        if x.tensor.ndim and y.tensor.ndim and x.tensor.shape[-1] == y.tensor.shape[-2 if y.tensor.ndim > 1 else 0]:
            try:
                duals = x.duals @ y.duals
            except ValueError:
                return
            self.add(x.tensor @ y.tensor, duals)

    @has_values
    @rule(k=which, m=which, sign=st.sampled_from([1, -1]), reduce=st.booleans())
    def extreme(self, k, m, sign, reduce):
        """Largest and smallest values; near ties that rounding could break either way are left out."""
        x, y = self.pick(k), self.pick(m)
        if reduce and x.tensor.ndim:
            gaps = np.abs(np.diff(np.sort(x.tensor.numpy(), axis=0), axis=0))
            tensor = (np.max if sign > 0 else np.min)(x.tensor, axis=0)
            duals = twin.reduce_best(x.duals, 0, sign)
        elif not reduce and fits(x.tensor, y.tensor):
            gaps = np.abs(x.tensor.numpy() - y.tensor.numpy())
            tensor = (np.maximum if sign > 0 else np.minimum)(x.tensor, y.tensor)
            duals = twin.each(lambda a, b: twin.best([a, b], sign), x.duals, y.duals)
        else:
            return
        if not np.any((gaps > 0) & (gaps < 1e-9)):
            self.add(tensor, duals)

    @has_values
    @rule(k=which, m=which, bits=which)
    def choice(self, k, m, bits):
        x, y = self.pick(k), self.pick(m)
        if fits(x.tensor, y.tensor):
            shape = np.broadcast_shapes(x.tensor.shape, y.tensor.shape)
            condition = np.array([bits >> k & 1 for k in range(int(np.prod(shape)))], bool).reshape(shape)
            self.add(np.where(condition, x.tensor, y.tensor), np.where(condition, x.duals, y.duals))

    @has_values
    @rule(k=which, m=which, add=st.booleans())
    def functional_assignment(self, k, m, add):
        x, y = self.pick(k), self.pick(m)
        if x.tensor.ndim and y.tensor.shape in ((), x.tensor.shape[1:]):
            duals = x.duals.copy()
            if add:
                np.add.at(duals, [0, 0], y.duals)
                self.add(x.tensor.at[[0, 0]].add(y.tensor), duals)
            else:
                duals[[0, -1]] = y.duals
                self.add(x.tensor.at[[0, -1]].set(y.tensor), duals)

    @has_values
    @rule(k=which, recording=st.booleans())
    def cut(self, k, recording):
        x = self.pick(k)
        if recording:
            self.add(x.tensor.detach(), twin.constants(twin.values(x.duals)))
        else:
            with tg.no_grad():
                self.add(np.sin(x.tensor), np.sin(twin.constants(twin.values(x.duals))))
        assert not self.pool[-1].tensor.requires_grad

    @has_values
    @rule(k=which)
    def retain(self, k):
        x = self.pick(k)
        if x.tensor.requires_grad:
            name = f"retained{len(self.inputs)}"
            tensor = (x.tensor + 0.0).named(name).retain_grad()
            self.add(tensor, twin.inputs(x.duals, name))
            self.inputs[name] = [self.pool[-1], np.zeros(tensor.shape)]

    def expected(self, x, weights, name):
        total = sum([d * w for d, w in zip(x.duals.ravel(), weights.ravel(), strict=True)], twin.Dual(0.0))
        return twin.slopes(total, name, self.inputs[name][0].tensor.shape).astype(float)

    def weights(self, x):
        return np.arange(1.0, x.tensor.size + 1).reshape(x.tensor.shape) / 4

    @has_values
    @rule(k=which, retain_graph=st.booleans())
    def backward(self, k, retain_graph):
        x = self.pick(k)
        if not x.tensor.requires_grad:
            return
        weights = self.weights(x)
        before = {name: value.tensor.grad for name, (value, _) in self.inputs.items()}
        copies = {name: None if g is None else g.copy() for name, g in before.items()}
        try:
            x.tensor.backward(weights, retain_graph=retain_graph)
        except (GraphFreedError, ChangedArrayError):
            for name, (value, _) in self.inputs.items():
                assert value.tensor.grad is before[name]
            return
        for name, entry in self.inputs.items():
            entry[1] = entry[1] + self.expected(x, weights, name)
            if before[name] is not None:
                np.testing.assert_array_equal(before[name], copies[name])

    @has_values
    @precondition(lambda self: self.inputs)
    @rule(k=which, create_graph=st.booleans())
    def gradient(self, k, create_graph):
        x = self.pick(k)
        if not x.tensor.requires_grad:
            return
        weights = self.weights(x)
        for name, (value, _) in self.inputs.items():
            try:
                g = x.tensor.gradient(value.tensor, gradient=weights, create_graph=create_graph)
            except (GraphFreedError, ChangedArrayError):
                continue
            assert g.shape == value.tensor.shape
            assert g.dtype == np.float64
            expected = self.expected(x, weights, name)
            np.testing.assert_allclose(g.numpy() if create_graph else g, expected, rtol=1e-8, atol=1e-8)
            if not create_graph:
                g[...] = np.nan  # nobody else's array

    @precondition(lambda self: self.inputs)
    @rule(k=which)
    def step(self, k):
        """A leaf changes in place: what was computed from it keeps its derivative, or says that it cannot."""
        name = sorted(self.inputs)[k % len(self.inputs)]
        value, _ = self.inputs[name]
        if value.tensor.is_leaf:
            tensor = value.tensor
            tensor.data[...] = np.sin(tensor.data + 1.0)
            self.pool = [v for v in self.pool if not np.shares_memory(v.tensor.data, tensor.data)]
            self.add(tensor, twin.inputs(twin.constants(tensor.data), name))

    @invariant()
    def gradients_are_what_the_twin_accumulated(self):
        for value, expected in getattr(self, "inputs", {}).values():
            g = value.tensor.grad
            if g is None:
                np.testing.assert_allclose(expected, 0)
                continue
            assert g.shape == value.tensor.shape
            assert g.dtype == np.float64
            np.testing.assert_allclose(g, expected, rtol=1e-8, atol=1e-8)


TestPrograms = Programs.TestCase
TestPrograms.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


# ------------------------------------------------------------------------------------------- second derivatives

instructions = st.lists(
    st.tuples(st.sampled_from(range(len(SMOOTH_UNARY + SMOOTH_BINARY + VIEWS + REDUCTIONS))), which, which),
    min_size=1,
    max_size=8,
)


def execute(program, x):
    """Run a list of instructions on a pool that starts with ``x``; a scalar comes out."""
    pool = [x]
    for number, k, m in program:
        a, b = pool[k % len(pool)], pool[m % len(pool)]
        n = number - len(SMOOTH_UNARY)
        if 0 <= n < len(SMOOTH_BINARY):
            out = SMOOTH_BINARY[n](a, b) if fits(a, b) else a
        else:
            out = (SMOOTH_UNARY + SMOOTH_BINARY + VIEWS + REDUCTIONS)[number](a)
        out = out if isinstance(out, tg.Tensor) else twin.box(out)
        if out.size <= 24 and out.ndim <= 4:
            pool.append(out)
    return np.sum(np.sin(pool[-1]) * pool[len(pool) // 2].sum() + pool[-1])


@settings(max_examples=150, deadline=None)
@given(data=st.data(), shape=st.sampled_from(SHAPES), program=instructions)
def test_hessian_vector_products(data, shape, program):
    size = int(np.prod(shape))
    draw = st.lists(numbers, min_size=size, max_size=size)
    array, direction = (np.array(data.draw(draw)).reshape(shape) for _ in range(2))
    x = tg.Tensor(array, requires_grad=True)
    y = execute(program, x)
    slope = y.gradient(x, create_graph=True)
    product = (slope * direction).sum()
    hvp = product.gradient(x) if product.requires_grad else np.zeros(shape)

    inner = twin.each(lambda v, d: twin.Dual(v, {"along": d}), array, direction)
    expected = execute(program, twin.inputs(twin.constants(inner), "x"))
    gradient = twin.slopes(expected.item() if isinstance(expected, np.ndarray) else expected, "x", shape)
    second = twin.each(lambda s: s.slopes.get("along", 0.0) if isinstance(s, twin.Dual) else 0.0, gradient)
    scale = 1 + np.abs(twin.values(second)).max(initial=0)
    np.testing.assert_allclose(slope.numpy(), twin.values(gradient), rtol=1e-8, atol=1e-8 * scale)
    np.testing.assert_allclose(hvp, twin.values(second), rtol=1e-8, atol=1e-8 * scale)
    assert hvp.shape == shape
    np.testing.assert_allclose(tg.hvp(lambda t: execute(program, t), array, direction), hvp, rtol=1e-12, atol=1e-12)
