"""What tests/minibatch/test_workers.py runs under mpiexec: ``python on_workers.py <name of a function> <directory>``.

Each worker pickles what the function returns, or the error that it raised, to the directory.
"""

import pickle
import sys
import time
from pathlib import Path

import numpy as np

import tinygrad_mb as tg
from tinygrad_mb.minibatch import Mean, Sums, Workers

M = 11
# Where each worker's shard ends, for several ways to cut: uneven ones, and ones with nothing in them.
CUTS = {
    1: [[M]],
    2: [[5, M], [10, M], [0, M], [M, M]],
    3: [[3, 7, M], [1, 2, M], [0, 6, M], [M, M, M], [0, 0, M], [4, 4, M]],
}


def net(dtype):
    rng = np.random.default_rng(0)
    return {
        "W1": rng.normal(size=(3, 4)).astype(dtype),
        "b1": rng.normal(size=4).astype(dtype),
        "w2": rng.normal(size=4).astype(dtype),
    }


def token_losses(p, x):
    return np.square(np.tanh(x @ p["W1"] + p["b1"]) @ p["w2"])


def different_cuts(workers):
    """Sums over tokens with weights, and two metrics, for each way to cut; and what workers alone have nothing of."""
    rng = np.random.default_rng(1)
    x, weights = rng.normal(size=(M, 5, 3)), rng.integers(0, 3, size=(M, 5)) / 2
    results = []
    for dtype in (np.float64, np.float32):
        for stops in CUTS[workers.size]:
            mine = slice(([0, *stops])[workers.rank], stops[workers.rank])
            sums, plain, positive = Sums(net(dtype), unit="token"), Mean(), Mean()
            if mine.start < mine.stop or stops[0] == 0:  # or else this worker never adds anything
                sums.add(token_losses, x[mine].astype(dtype), weights=weights[mine])
                plain.add(x[mine, 0, 0])
                positive.add(x[mine, 0, 1] > 0)
            total, plain, positive = workers.sum(sums, plain, positive)
            loss, gradient = total.value_and_grad(penalty=lambda p: 0.1 * np.square(p["W1"]).sum())
            results.append((loss, gradient, total.count, plain.value, plain.count, positive.value))
    return results


def shards(workers):
    X = np.arange(14).reshape(7, 2)
    return workers.shard(X), workers.shard(X[:1], X[:1, 0]), workers.shard(X[:0]), workers.shard(list(range(4)))


def messages(workers):
    """The errors of sums that do not belong together, which every worker must get."""
    odd = workers.rank == workers.size - 1
    found = []
    for sums in (
        Sums({"w": np.ones(2 + odd)}),
        Sums({"w": np.ones(2)} | ({"b": 1.0} if odd else {})),
        Sums({"w": np.ones(2)}, unit="token" if odd else "example"),
        Mean() if odd else Sums({"w": np.ones(2)}),
        Sums({"w": np.ones(2) + 1e-16 + 2.5e-16 * odd}),
    ):
        try:
            workers.sum(sums)
        except ValueError as error:
            found.append(str(error))
        else:
            found.append("no error")
    try:
        workers.broadcast({"w": np.ones(2 + odd)})
    except ValueError as error:
        found.append(str(error))
    try:
        workers.broadcast(np.ones(2)) if odd else workers.sum(Mean())
    except ValueError as error:
        found.append(str(error).partition(": ")[2])
    return found


def broadcast(workers):
    """Parameters that differ, until worker 0 has given its own to all."""
    model = tg.nn.Sequential(tg.nn.Linear(2, 3, rng=workers.rank), np.tanh, tg.nn.Linear(3, 1, rng=workers.rank))
    model.shift = tg.Tensor(np.full(3, float(workers.rank)))  # as running means are: no parameter
    arrays = {"b": np.full(2, workers.rank, np.float16), "a": np.full((), float(workers.rank))}
    arrays = arrays if workers.rank else dict(reversed(arrays.items()))
    workers.broadcast(model)
    workers.broadcast(arrays)
    sums = Sums(model)
    sums.add(model(np.ones((1, 2)))[:, 0])
    workers.sum(sums).write_grads()
    return model.state_dict(), arrays, [p.grad for p in model.parameters()]


def one_fails(workers):
    """One worker fails, and the others wait for it."""
    if workers.rank == workers.size - 1:
        raise RuntimeError("this worker fails")
    return workers.sum(Mean())


def one_ends(workers):
    """One worker has nothing to do, and forgets that the others sum."""
    return workers.sum(Mean()) if workers.rank < workers.size - 1 else None


def one_exits(workers):
    """One worker ends in a way that is no exception."""
    return workers.sum(Mean()) if workers.rank < workers.size - 1 else sys.exit(3)


def one_sleeps(workers):
    """One worker is late, and the others wait for it."""
    time.sleep(0.2 * workers.rank)
    mean = Mean()
    mean.add(np.full(workers.rank, 2.0))
    return workers.sum(mean).count


def part_of_them(workers):
    """A communicator of one's own: two groups, of the even and the odd workers."""
    from mpi4py import MPI

    group = Workers(MPI.COMM_WORLD.Split(workers.rank % 2, workers.rank))
    mean = Mean()
    mean.add([float(workers.rank)])
    return repr(group), group.sum(mean).value


if __name__ == "__main__":
    _, name, directory = sys.argv
    workers = Workers()
    result = globals()[name](workers)
    Path(directory, f"{workers.rank}.pickle").write_bytes(pickle.dumps(result))
