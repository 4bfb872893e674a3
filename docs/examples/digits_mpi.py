"""Train a classifier of handwritten digits on one process or on several, and get the same numbers.

    python docs/examples/digits_mpi.py
    mpiexec -n 2 python -m mpi4py docs/examples/digits_mpi.py
    mpiexec -n 3 python -m mpi4py docs/examples/digits_mpi.py

All workers draw the same batches from the same seed; of each batch, every worker computes its own shard, and the sums
of all shards are divided once.  The shards are uneven, and the last batch of an epoch has 3 examples only: from four
workers on, some have none of it.  The number of processes changes nothing but the rounding of some additions.
"""

from typing import Any

import numpy as np

from tinygrad_mb import nn, optim
from tinygrad_mb.demo import data
from tinygrad_mb.minibatch import Mean, Sums, Workers, batches

EPOCHS = 3
BATCH = 64


def decay(model: Any) -> Any:
    """A penalty, which is no mean over examples: it is added once to each step's loss, and not once per worker."""
    return 5e-4 * sum(np.square(p).sum() for p in model.parameters())


def main() -> None:
    """Train, and print each epoch's mean loss, accuracy on the test set, and one weight, on worker 0."""
    workers = Workers()
    digits = data.load()
    model = nn.Sequential(nn.Linear(64, 32, rng=0), nn.relu, nn.Linear(32, 10, rng=1))
    optimizer = optim.Adam(model, lr=0.01)
    workers.broadcast(model)

    for epoch in range(1, EPOCHS + 1):
        training = Mean()
        for batch in batches(digits.x_train, digits.y_train, size=BATCH, rng=epoch):
            x, y = workers.shard(*batch)
            sums = Sums(model)
            losses = nn.cross_entropy(model(x), y)
            sums.add(losses)
            sums = workers.sum(sums)
            sums.write_grads(penalty=decay)
            optimizer.step()
            training.add(losses)

        accuracy = Mean()
        x, y = workers.shard(digits.x_test, digits.y_test)
        accuracy.add(model(x).argmax(axis=1) == y)
        training, accuracy = workers.sum(training, accuracy)
        if workers.rank == 0:
            weight = model.layers[0].W.data[20, 3]
            print(f"epoch {epoch}  loss {training.value:.15f}  accuracy {accuracy.value:.4f}  a weight {weight:.15f}")


if __name__ == "__main__":
    main()
