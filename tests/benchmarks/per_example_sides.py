"""What the benchmarks of per-example gradients measure of this library, for any losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from side_by_side import Step

Side = Callable[[], Step]


def sides(losses: Callable[..., Any], initial: Callable[[], Any], data: Callable[[], Any]) -> tuple[Side, Side, Side]:
    """The gradient of each example, only their norms, and the gradient of the mean loss."""

    def tinygrad_mb() -> Step:
        import tinygrad_mb as tg

        params, batch = initial(), data()
        return lambda: tg.per_example_grads(losses, params, *batch)

    def norms() -> Step:
        from tinygrad_mb.minibatch import example_gradients

        params, batch = initial(), data()
        return lambda: example_gradients(losses, params, *batch).norms()

    def batch_gradient() -> Step:
        import tinygrad_mb as tg

        params, batch = initial(), data()
        gradient = tg.grad(lambda *args: losses(*args).mean())
        return lambda: gradient(params, *batch)

    return tinygrad_mb, norms, batch_gradient
