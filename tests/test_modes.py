"""no_grad, enable_grad, scope and detect_anomaly: nested, decorating, in threads, in tasks, and in generators."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinygrad_mb as tg
from tinygrad_mb.modes import Mode, current, keep_values


def records():
    return (tg.Tensor([1.0], requires_grad=True) * 2).requires_grad


# ------------------------------------------------------------------------------------------------ nesting


def test_nested_blocks():
    assert records()
    with tg.no_grad():
        assert not records()
        with tg.enable_grad():
            assert records()
            with tg.no_grad():
                assert not records()
            assert records()
        assert not records()
    assert records()


def test_an_exception_restores_the_mode():
    with pytest.raises(ZeroDivisionError), tg.no_grad(), tg.scope("s"):
        raise ZeroDivisionError
    assert records()
    assert current() == Mode()


def test_a_leaf_made_without_recording_still_requires_gradients():
    with tg.no_grad():
        w = tg.Tensor([1.0], requires_grad=True)
        assert w.requires_grad
        y = w * w
    assert y.node.op is None
    np.testing.assert_array_equal((w * w).sum().gradient(w), [2])


def test_what_is_not_recorded_is_constant():
    w = tg.Tensor([3.0], requires_grad=True)
    with tg.no_grad():
        half = w * 0.5
    np.testing.assert_array_equal((w * half).sum().gradient(w), [1.5])


def test_backward_and_gradient_work_inside_no_grad():
    w = tg.Tensor([3.0], requires_grad=True)
    loss = (w * w * w).sum()
    with tg.no_grad():
        slope = loss.gradient(w, create_graph=True)
        assert slope.requires_grad
        assert not records()
        np.testing.assert_array_equal(slope.gradient(w, gradient=[1.0]), [18])
        loss.backward()
    np.testing.assert_array_equal(w.grad, [27])


def test_one_switch_used_many_times():
    switch = tg.no_grad()
    with switch:
        with switch:
            assert not records()
        assert not records()
    assert records()
    with switch:
        assert not records()
    assert records()


# ----------------------------------------------------------------------------------------------- decorators


def test_decorators():
    @tg.no_grad()
    def silent(depth):
        """A docstring."""
        return silent(depth - 1) if depth else records()

    @tg.enable_grad()
    def loud():
        return records()

    assert silent(3) is False
    assert silent.__doc__ == "A docstring."
    with tg.no_grad():
        assert loud()
    assert records()


def test_a_decorated_method():
    class Model:
        @tg.no_grad()
        def predict(self, x):
            return records(), x

    assert Model().predict(7) == (False, 7)


def test_a_decorated_coroutine_runs_in_its_mode():
    @tg.no_grad()
    async def silent():
        before = records()
        await asyncio.sleep(0)
        return before, records()

    async def main():
        return await silent(), records()

    assert asyncio.run(main()) == ((False, False), True)


def test_generators_cannot_be_decorated():
    with pytest.raises(TypeError, match=r"no_grad cannot decorate .*batches, a generator.*`with` block inside"):

        @tg.no_grad()
        def batches():
            yield 1

    with pytest.raises(TypeError, match="a generator"):

        @tg.scope("s")
        async def stream():
            yield 1


# --------------------------------------------------------------------------------- threads, tasks, generators


def test_threads_have_modes_of_their_own():
    inside, done, seen = threading.Event(), threading.Event(), []

    def silent():
        with tg.no_grad():
            inside.set()
            done.wait(10)
            seen.append(records())

    thread = threading.Thread(target=silent)
    thread.start()
    inside.wait(10)
    assert records()
    done.set()
    thread.join()
    assert seen == [False]
    with tg.no_grad(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(records).result()


def test_one_switch_in_many_threads():
    switch, barrier = tg.no_grad(), threading.Barrier(8)

    @tg.no_grad()
    def decorated():
        return records()

    def work(k):
        results = []
        for _ in range(50):
            barrier.wait()
            with switch:
                results.append(records() or decorated())
            results.append(not records())
        return any(results)

    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(work, range(8)))


def test_tasks_have_modes_of_their_own():
    async def silent(order):
        with tg.no_grad(), tg.scope("silent"):
            for _ in range(5):
                await asyncio.sleep(0)
                order.append(("silent", records(), current().scope))

    async def loud(order):
        for _ in range(5):
            await asyncio.sleep(0)
            order.append(("loud", records(), current().scope))

    async def main():
        order = []
        await asyncio.gather(silent(order), loud(order), silent(order))
        return order

    order = asyncio.run(main())
    assert {entry for entry in order if entry[0] == "silent"} == {("silent", False, "silent")}
    assert {entry for entry in order if entry[0] == "loud"} == {("loud", True, "")}


def test_a_generator_may_use_a_block_between_its_yields():
    def values():
        for _ in range(2):
            with tg.no_grad():
                inside = records()
            yield inside

    for inside in values():
        assert not inside
        assert records()


def test_blocks_left_in_the_wrong_order_are_noticed():
    def leaking():
        with tg.no_grad():
            yield

    generator = leaking()
    next(generator)
    block = tg.enable_grad()
    block.__enter__()
    with pytest.raises(RuntimeError, match="no_grad block was left before a block that was entered after it"):
        generator.close()
    block.__exit__()
    tg.modes.mode_variable.set(tg.modes.Mode())  # the generator's own block can no longer be left
    assert records()


# -------------------------------------------------------------------------------------------------- scopes


def test_scopes_nest_and_are_written_down():
    x = tg.Tensor([1.0], requires_grad=True)
    with tg.scope("model"):
        a = x * 2
        with tg.scope("layer"):
            b = a * 2
        c = b * 2
    assert [t.node.scope for t in (x, a, b, c, c * 2)] == ["", "model", "model/layer", "model", ""]

    @tg.scope("f")
    def f(depth):
        return f(depth - 1) if depth else (x * 2).node.scope

    assert f(2) == "f/f/f"


# ------------------------------------------------------------------------------------------ detect_anomaly


def anomalous_log(x):
    return np.log(x)  # the line to be found


def test_the_first_nan_or_infinity_of_the_forward_pass_is_named():
    x = tg.Tensor([1.0, 0.0, -1.0], requires_grad=True, name="x")
    with np.errstate(all="ignore"), tg.detect_anomaly():
        np.exp(x)
        with pytest.raises(FloatingPointError) as caught:
            anomalous_log(x)
    for part in ("log made 2 values that are not finite (of 3)", "x (3,) float64", __file__, "# the line to be found"):
        assert part in str(caught.value)
    with np.errstate(all="ignore"):
        anomalous_log(x)


def test_the_first_nan_or_infinity_of_backward_is_named_with_its_forward_line():
    x = tg.Tensor([1.0, 0.0], requires_grad=True, name="x")
    with np.errstate(all="ignore"), tg.detect_anomaly():
        loss = np.sqrt(x).named("root").sum()  # the line of the root
        for call in (lambda: loss.gradient(x), loss.backward):
            with pytest.raises(FloatingPointError) as caught:
                call()
            for part in ("in backward", "'x'", "1 value that is", "made by sqrt", __file__, "# the line of the root"):
                assert part in str(caught.value)


def test_backward_of_a_graph_recorded_without_detection():
    x = tg.Tensor([1.0, 0.0], requires_grad=True, name="x")
    loss = np.sqrt(x).sum()
    with np.errstate(all="ignore"), tg.detect_anomaly(), pytest.raises(FloatingPointError, match="unknown line"):
        loss.backward()


def test_scalars_and_what_carries_no_gradient_are_watched_too():
    x = tg.Tensor(0.0, requires_grad=True)
    with np.errstate(all="ignore"), tg.detect_anomaly():
        with pytest.raises(FloatingPointError, match="divide made 1 value"):
            1 / x
        with tg.no_grad(), pytest.raises(FloatingPointError, match="log made 1 value"):
            np.log(x)
        with pytest.raises(FloatingPointError, match="divide made 1 value"):
            tg.Tensor([1.0]) / tg.Tensor([0.0])


def test_derivatives_that_stay_outer_products_are_looked_at():
    w, x = np.full((2, 3), 1e-308), np.full((4, 2), 100.0)
    losses = lambda w, x: np.square(x @ (w * 1e308)).sum(axis=1)  # noqa: E731
    with (
        np.errstate(all="ignore"),
        tg.detect_anomaly(),
        pytest.raises(FloatingPointError, match="derivative of multip"),
    ):
        tg.per_example_grads(losses, w, x)


def test_values_are_kept_where_a_reader_wants_them_and_nowhere_else():
    x, c = tg.Tensor(np.arange(20.0), requires_grad=True), np.arange(20.0)
    with keep_values():
        y = x * c
    np.testing.assert_array_equal(y.node.value, np.arange(20.0) ** 2)
    for node in y.node.inputs:
        np.testing.assert_array_equal(node.value, np.arange(20.0))
    assert "y = x * c" in y.node.extras.where
    z = x + c
    assert z.node.extras is None
    assert z.node.value is None
