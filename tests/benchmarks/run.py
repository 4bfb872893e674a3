"""Measure this library, NumPy by hand and the peers, and print the tables of ``docs/benchmarks.md``.

    python tests/benchmarks/run.py [small_net digits_net scalars ...]

Every side runs on one thread; peers that are not installed are left out.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
VARIABLES = dict.fromkeys(THREADS, "1")
STEPS = {
    "small_net": 100, "digits_net": 20, "scalars": 1, "chain": 1, "per_example_net": 3, "per_example_lenet": 2
}  # fmt: skip
PEERS = {"torch": "torch", "torch_nn": "torch", "torch_func": "torch", "autograd": "autograd", "mygrad": "mygrad"}
NAMES = {
    "tinygrad_mb": "tinygrad_mb, operators",
    "tinygrad_mb_nn": "tinygrad_mb, nn layers",
    "norms": "tinygrad_mb, only the gradients' norms",
    "batch_gradient": "tinygrad_mb, the gradient of the mean loss",
    "numpy_readable": "NumPy by hand, readable",
    "numpy_buffers": "NumPy by hand, no allocation",
    "torch": "PyTorch, operators",
    "torch_nn": "PyTorch, nn layers",
    "torch_func": "PyTorch, torch.func.vmap(grad)",
    "autograd": "HIPS autograd",
    "mygrad": "MyGrad",
    "floats": "Python floats, forward only",
}


def main() -> None:
    """Run the benchmarks named on the command line, or all of them."""
    if "OPENBLAS_CORETYPE" in os.environ or any(os.environ.get(k) != v for k, v in VARIABLES.items()):
        environment = {**os.environ, **VARIABLES}
        environment.pop("OPENBLAS_CORETYPE", None)  # a pinned core type may mean old kernels
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)
    from side_by_side import compare, table

    print(f"Python {platform.python_version()}, one thread each:", ", ".join(versions()), "\n")
    for name in sys.argv[1:] or STEPS:
        module = importlib.import_module(name)
        sides = {}
        for side in NAMES:
            make = getattr(module, side, None)
            if make is not None and (side not in PEERS or installed(PEERS[side])):
                sides[NAMES[side]] = make()
        if installed("torch"):
            importlib.import_module("torch").set_num_threads(1)
        reference = next(NAMES[side] for side in ("torch", "torch_func", "tinygrad_mb") if NAMES[side] in sides)
        rows = compare(sides, reference, inner=STEPS[name], seconds=float(os.environ.get("SECONDS_EACH", 6)))
        print(table(module.__doc__.strip(), rows, reference))


def versions() -> list[str]:
    """The packages that take part."""
    return [f"{p} {importlib.metadata.version(p)}" for p in ("numpy", *dict.fromkeys(PEERS.values())) if installed(p)]


def installed(package: str) -> bool:
    """Whether a peer is there."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
