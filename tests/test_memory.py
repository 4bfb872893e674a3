"""Memory and depth: what is kept alive and for how long, deep and wide graphs, and loops that do not grow."""

import gc
import subprocess
import sys
import textwrap
import tracemalloc
import weakref

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.autodiff import FEW


def parameter(data, name=None):
    return tg.Tensor(data, requires_grad=True, name=name)


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ------------------------------------------------------------------------------------------ what is kept alive


X = parameter([1.0, 2.0])


@pytest.mark.parametrize(
    ("operation", "kept"),
    [
        (lambda x, a: x + a, False),
        (lambda x, a: x - a, False),
        (lambda x, a: a - x, False),
        (lambda x, a: np.concatenate([x, a]), False),
        (lambda x, a: np.stack([a, x]), False),
        (lambda x, a: x.at[:].add(a), False),
        (lambda x, a: x.at[:].set(a), False),
        (lambda x, a: x * a, True),
        (lambda x, a: x @ a, True),
        (lambda x, a: x / a, True),
        (lambda x, a: np.maximum(x, a), True),
    ],
)
def test_an_operand_that_no_rule_names_is_not_kept(operation, kept, no_collector):
    array = np.array([3.0, 4.0])
    watcher = weakref.ref(array)
    loss = operation(X, array).sum()
    del array
    assert (watcher() is not None) == kept
    loss.gradient(X)


@pytest.mark.parametrize(
    ("operation", "kept"),
    [
        (lambda h: h + 1.0, False),
        (lambda h: h.sum(), False),
        (lambda h: h.reshape(1, -1), False),
        (lambda h: -h, False),
        (lambda h: np.exp(h), False),  # its rule names its own result
        (lambda h: np.tanh(h), False),
        (lambda h: h * h, True),
        (lambda h: np.sin(h), True),
    ],
)
def test_an_intermediate_value_lives_only_if_a_rule_reads_it(operation, kept, no_collector):
    x = parameter(np.linspace(0.1, 1, FEW + 1))
    h = x + 0.5  # an operation that saves nothing
    value = weakref.ref(h._data)
    y = operation(h)
    is_view = isinstance(y._data, np.ndarray) and y._data.base is not None
    del h
    assert (value() is not None) == (kept or is_view)
    y.gradient(x, gradient=np.ones(y.shape))


@pytest.mark.parametrize("size", [1, FEW, FEW + 1])
def test_few_numbers_are_remembered_by_the_node_of_their_result(size, no_collector):
    """For pictures, which are drawn after backward; they die with the graph, and are no copies."""
    x = parameter(np.ones(size))
    h = x + 0.5
    y = h + 1.0
    value = weakref.ref(h._data)
    del h
    y.backward(np.ones(size))
    assert (value() is not None) == (size <= FEW)
    del y
    assert value() is None


def test_an_operand_of_few_numbers_is_remembered_by_a_copy(no_collector):
    array = np.ones(3)
    y = parameter(np.ones(3)) + array
    array[:] = 7.0
    (constant,) = [node for node in y.node.inputs if node.plan is None]
    np.testing.assert_array_equal(constant.value, np.ones(3))
    long = parameter(np.ones(FEW + 1)) + np.ones(FEW + 1)
    assert [node.value for node in long.node.inputs if node.plan is None] == [None]


def test_only_the_operands_of_the_wanted_gradients_are_saved(no_collector):
    w, data = parameter(np.ones((2, 3))), np.ones((4, 2))
    out = data @ w
    saved = out.node.saved
    assert [array is data for array in saved] == [True]  # for dL/dw alone; w is not needed
    assert len((tg.Tensor(data) @ w.detach() @ parameter(np.ones((3, 1)))).node.saved) == 1


def test_backward_frees_saved_arrays_and_retain_graph_does_not(no_collector):
    x = parameter(np.linspace(0.1, 1, FEW + 1))
    h = np.exp(x)
    value = weakref.ref(h._data)
    loss = (h * h).sum()
    del h
    loss.backward(retain_graph=True)
    assert value() is not None
    loss.gradient(x)
    assert value() is not None
    loss.backward()
    assert value() is None
    assert loss.node.inputs[0].inputs[0].op.name == "exp"  # the structure is still there


def test_backward_frees_as_it_goes():
    size, depth = 1 << 17, 12
    x = parameter(np.linspace(0.1, 1, size))
    h = x
    for _ in range(depth):
        h = np.sin(h)
    loss = h.sum()
    del h
    tracemalloc.start()
    loss.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Without freeing, a dozen saved values would stay beside the cotangents, a copy of the leaf, and its gradient.
    assert peak < 5 * 8 * size


def test_a_node_dies_with_its_tensor(no_collector):
    x = parameter([1.0, 2.0])
    h = np.tanh(x * 2)
    loss = (h * h).sum()
    tensors = [weakref.ref(t) for t in (h, loss)]
    arrays = [weakref.ref(h._data)]
    loss.backward()
    del h, loss
    assert [r() for r in (*tensors, *arrays)] == [None] * 3
    assert gc.collect() == 0


def test_an_error_in_backward_keeps_nothing(no_collector):
    def run():
        x = parameter(np.ones(3))
        x.register_hook(lambda g: g[:1])
        loss = (x * 2).sum()
        watcher = weakref.ref(x)
        try:
            loss.backward()
        except ValueError as error:
            message = str(error)
        return watcher, message

    watcher, message = run()
    assert "hook" in message
    assert watcher() is None


def test_hooks_and_retained_gradients_make_no_cycles(no_collector):
    x = parameter([1.0])
    h = (x * 2).retain_grad()
    h.register_hook(lambda g: None)
    (h * h).sum().backward()
    watcher = weakref.ref(h)
    del h
    assert watcher() is None


# ---------------------------------------------------------------------------------------------------- loops


def train(steps, parameters, x, y):
    w1, b1, w2 = parameters
    for _ in range(steps):
        with tg.scope("net"):
            hidden = np.tanh(x @ w1 + b1).retain_grad()
        loss = np.square(hidden @ w2 - y).mean()
        loss.backward()
        for p in parameters:
            p.data -= 0.01 * p.grad
            p.grad = None


def test_a_hundred_steps_of_training_grow_nothing(no_collector):
    rng = np.random.default_rng(0)
    parameters = [parameter(rng.normal(size=shape)) for shape in ((2, 16), (16,), (16, 1))]
    x, y = rng.normal(size=(64, 2)), rng.normal(size=(64, 1))
    train(5, parameters, x, y)
    objects = len(gc.get_objects())
    tracemalloc.start()
    train(5, parameters, x, y)
    assert gc.collect() == 0  # also empties Python's own lists of freed tuples, which count as memory
    before, _ = tracemalloc.get_traced_memory()
    train(100, parameters, x, y)
    grown = len(gc.get_objects()) - objects
    assert gc.collect() == 0
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown <= 5
    assert after - before < 2000  # 20 bytes for each step


def test_second_derivatives_in_a_loop_grow_nothing(no_collector):
    w = parameter(np.ones((3, 3)))

    def step():
        loss = np.tanh(w @ w).sum()
        slope = loss.gradient(w, create_graph=True)
        (slope * slope).sum().gradient(w)

    step()
    objects = len(gc.get_objects())
    for _ in range(20):
        step()
    assert abs(len(gc.get_objects()) - objects) <= 5


# ---------------------------------------------------------------------------------------------------- depth


def run(program):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_a_chain_of_a_million_additions():
    """Forward, backward and release, within the usual recursion limit and stack, without the garbage collector."""
    out = run("""
        import gc, sys, threading
        import tinygrad_mb as tg
        tg.Tensor(0.0)
        gc.collect()  # what importing left behind
        gc.disable()

        def chain():
            x = tg.Tensor(0.5, requires_grad=True)
            y = x
            for _ in range(1_000_000):
                y = y + x
            y.backward()
            node = y.node
            print(y.item(), x.grad.item())
            del y, node
            print("released")

        threading.stack_size(1 << 20)  # one megabyte: no recursion, in C neither
        thread = threading.Thread(target=chain)
        thread.start()
        thread.join()
        print(gc.collect())
    """)
    assert out.split() == ["500000.5", "1000001.0", "released", "0"]


def test_a_deep_chain_of_gradients_of_gradients():
    out = run("""
        import tinygrad_mb as tg
        x = tg.Tensor(1.0, requires_grad=True)
        y = x
        for _ in range(20_000):
            y = y * x
        slope = y.gradient(x, create_graph=True)
        print(float(slope), float(slope.gradient(x)))
        del y, slope
        print("released")
    """)
    assert out.split() == ["20001.0", f"{20001.0 * 20000.0}", "released"]


def test_a_wide_graph():
    x = parameter(1.0)
    parts = [x * float(k) for k in range(20_000)]
    total = np.stack(parts).sum()
    assert total.gradient(x) == sum(range(20_000))
    same = parameter([1.0, 2.0])
    y = same * 0.0
    for _ in range(5_000):
        y = y + same
    np.testing.assert_array_equal(y.sum().gradient(same), [5000, 5000])


def test_every_node_is_visited_once():
    """Counted, not timed: the number of paths doubles with each level, and the work does not."""

    def visits(depth):
        x = parameter(1.0)
        calls = 0

        def count(g):
            nonlocal calls
            calls += 1

        y = x
        for _ in range(depth):
            y = y * 0.5 + y * 0.5
            y.register_hook(count)
        y.backward()
        assert x.grad == 1
        return calls

    assert visits(100) == 100
    assert visits(1000) == 1000
