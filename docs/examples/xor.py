"""XOR with numbers only, to see which example's inputs go into a hidden unit's error term.

A 2-2-1 net in which every weight is a tensor without axes, so that nothing can hide in a matrix product.  One round
of gradients is computed twice, example by example and as a batch, and every error term is printed.  Then the net
is trained until it has learnt XOR.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import tinygrad_mb as tg

EXAMPLES = [((0.0, 0.0), 0.0), ((0.0, 1.0), 1.0), ((1.0, 0.0), 1.0), ((1.0, 1.0), 0.0)]
START = {
    "w11": 0.8, "w12": -0.6, "b1": 0.1,  # hidden unit 1
    "w21": -0.5, "w22": 0.9, "b2": 0.2,  # hidden unit 2
    "v1": 0.7, "v2": 0.4, "c": -0.1,  # output
}  # fmt: skip

Weights = dict[str, tg.Tensor]


def new_weights() -> Weights:
    """The nine weights as scalar tensors."""
    return {name: tg.Tensor(value, requires_grad=True, name=name) for name, value in START.items()}


def forward(w: Weights, x: tuple[float, float], example: int) -> dict[str, tg.Tensor]:
    """The net on one example; the values before the hidden units and the output keep their gradients, the deltas."""
    z1 = (w["w11"] * x[0] + w["w12"] * x[1] + w["b1"]).named(f"z1[ex {example}]").retain_grad()
    z2 = (w["w21"] * x[0] + w["w22"] * x[1] + w["b2"]).named(f"z2[ex {example}]").retain_grad()
    f = (w["v1"] * np.tanh(z1) + w["v2"] * np.tanh(z2) + w["c"]).named(f"f[ex {example}]").retain_grad()
    return {"z1": z1, "z2": z2, "f": f}


def loss_of(f: tg.Tensor, y: float) -> tg.Tensor:
    """Half the squared error of one example."""
    return 0.5 * (f - y) ** 2


def one_by_one(w: Weights) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Run backward once per example; the gradients add up in ``.grad``.

    Returns, for each example, the deltas and what the example added to each weight's gradient.
    """
    deltas, added = [], []
    for example, (x, y) in enumerate(EXAMPLES, start=1):
        before = {name: float(t.grad) if t.grad is not None else 0.0 for name, t in w.items()}
        values = forward(w, x, example)
        loss_of(values["f"], y).backward()
        deltas.append({name: float(t.grad) for name, t in values.items()})
        added.append({name: float(t.grad) - before[name] for name, t in w.items()})
    return deltas, added


def as_batch(w: Weights) -> list[dict[str, float]]:
    """Run backward once, from the mean of the four losses; return the deltas of each example."""
    values = [forward(w, x, example) for example, (x, _) in enumerate(EXAMPLES, start=1)]
    losses = [loss_of(v["f"], y) for v, (_, y) in zip(values, EXAMPLES, strict=True)]
    (sum(losses) / len(losses)).backward()
    return [{name: float(t.grad) for name, t in v.items()} for v in values]


def train(w: Weights, rate: float = 0.5, steps: int = 300) -> Iterator[float]:
    """Gradient descent: backward once per example, then one step with the mean; yields each step's mean loss."""
    for _ in range(steps):
        total = 0.0
        for example, (x, y) in enumerate(EXAMPLES, start=1):
            loss = loss_of(forward(w, x, example)["f"], y)
            loss.backward()
            total += loss.item()
        for t in w.values():
            t.data[...] -= rate * t.grad / len(EXAMPLES)
            t.grad = None
        yield total / len(EXAMPLES)


def table(head: str, names: list[str], rows: list[tuple[str, dict[str, float]]]) -> None:
    """Print one line for each of ``rows``: what it is, then its numbers."""
    print(f"{head:<16}" + "".join(f"{name:>9}" for name in names))
    for label, numbers in rows:
        print(f"{label:<16}" + "".join(f"{numbers[name] + 0.0:9.4f}" for name in names))  # + 0.0 turns -0 into 0
    print()


def main() -> None:
    """Print both ways beside each other, then train."""
    labels = [f"ex {i}  x = {x[0]:.0f}, {x[1]:.0f}" for i, (x, _) in enumerate(EXAMPLES, start=1)]

    alone = new_weights()
    deltas, added = one_by_one(alone)
    print("ONE EXAMPLE AT A TIME: backward runs four times\n")
    table("deltas of", ["f", "z1", "z2"], list(zip(labels, deltas, strict=True)))
    total = {name: float(t.grad) for name, t in alone.items()}
    mean = {name: value / len(EXAMPLES) for name, value in total.items()}
    rows = [*zip(labels, added, strict=True), ("sum, in .grad", total), ("mean = sum / 4", mean)]
    table("added to .grad", list(START), rows)

    batch = new_weights()
    batch_deltas = as_batch(batch)
    gradient = {name: float(t.grad) for name, t in batch.items()}
    print("AS A BATCH: backward runs once, from the mean of the four losses\n")
    table("deltas of", ["f", "z1", "z2"], list(zip(labels, batch_deltas, strict=True)))
    table("in .grad", list(START), [("the batch", gradient)])

    print("THE SAME GRADIENTS, to the last digits\n")
    print(f"{'':<6}{'mean of the four':>20}{'one batch':>20}")
    for name in START:
        print(f"{name:<6}{mean[name]:20.14f}{gradient[name]:20.14f}")

    x1 = [x[0] for x, _ in EXAMPLES]
    each = [d["z1"] * x for d, x in zip(deltas, x1, strict=True)]
    wrong = sum(d["z1"] for d in deltas) / 4 * sum(x1) / 4
    print("\nTHE GRADIENT OF w11, by hand\n")
    print(f"right: each delta of z1 times the x1 of its own example, then the mean   {sum(each) / 4:8.4f}")
    print(f"WRONG: the mean delta of z1 times the mean x1                            {wrong:8.4f}")

    print("\nTRAINING\n")
    weights = new_weights()
    for step, loss in enumerate(train(weights)):
        if step in (0, 10, 30, 100, 150, 299):
            print(f"step {step:>3}   mean loss {loss:.6f}")
    print()
    for example, (x, y) in enumerate(EXAMPLES, start=1):
        answer = round(forward(weights, x, example)["f"].item(), 4)
        print(f"{labels[example - 1]}   wanted {y:.0f}   got {answer + 0.0:.4f}")


if __name__ == "__main__":
    main()
