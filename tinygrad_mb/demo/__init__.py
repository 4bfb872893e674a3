"""``tinygrad-mb demo``: train on real data, show that the batch's gradient is what it should be, draw the graph."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import __version__, draw, nn
from ..drawing.render import RenderError
from . import data, identity, training
from .data import Array
from .identity import Row

ACCURACY = 0.97  # what the trained model must reach on the test set

Say = Callable[..., None]


def run(seed: int, out: Path, as_json: bool = False, quiet: bool = False) -> int:
    """Run the demonstration; return 0, or 1 if the accuracy or a row of the table is not as it should be.

    The picture goes to the directory ``out``, which is made if need be.  Raises ``OSError`` if that cannot be.
    """
    out.mkdir(parents=True, exist_ok=True)
    say: Say = _silent if as_json else print
    explain: Say = _silent if as_json or quiet else print

    dataset = data.load()
    if dataset.synthetic:
        say("NOT the handwritten digits: scikit-learn is missing, and a synthetic set of clusters takes their place.")
        say('For the digits: pip install "tinygrad_mb[demo]"')
    explain(f"data      {dataset.name}: {len(dataset.y_train)} to train on, {len(dataset.y_test)} to test on")
    explain(
        f"model     64 -> {training.HIDDEN} relu -> 10, cross-entropy, SGD in batches of {training.BATCH}, seed {seed}"
    )
    model = training.new_model(seed)
    trained = training.train(model, dataset, seed, show_progress=not (as_json or quiet))
    explain(f"training  {training.EPOCHS} epochs, {trained.steps} steps, {trained.seconds:.1f} s")
    say(f"accuracy  {100 * trained.accuracy:.1f} % on the test set")

    x, y = dataset.x_test[: training.BATCH], dataset.y_test[: training.BATCH]
    rows = identity.rows(model, x, y, seed)
    _tell(rows, len(y), say, explain)
    picture, page, advice = _pictures(model, x, y, out)
    say(f"picture   {picture}, the graph of this loss")
    say(f"page      {page}, the same, played step by step in a browser" if page else f"          {advice}")

    failures = [f"{row.key}: an error of {row.error:.1e} is not as it should be" for row in rows if not row.passed]
    if not trained.accuracy >= ACCURACY:
        failures.append(f"a test accuracy of {trained.accuracy:.4f} is less than {ACCURACY}")
    for failure in failures:
        print(f"FAILED    {failure}", file=sys.stderr)
    if as_json:
        print(json.dumps({
            "version": __version__,
            "seed": seed,
            "data": {"name": dataset.name, "synthetic": dataset.synthetic,
                     "train": len(dataset.y_train), "test": len(dataset.y_test)},
            "training": {"epochs": training.EPOCHS, "steps": trained.steps, "batch": training.BATCH,
                         "seconds": trained.seconds, "loss": trained.loss},
            "accuracy": trained.accuracy,
            "identity": {row.key: {"error": row.error, "tolerance": row.tolerance, "passed": row.passed}
                         for row in rows},
            "picture": str(picture),
            "page": page and str(page),
            "passed": not failures,
        }))  # fmt: skip
    return 1 if failures else 0


def _silent(*_: Any) -> None:
    pass


def _tell(rows: list[Row], m: int, say: Say, explain: Say) -> None:
    """Print the table: one line for each way to the gradient."""
    explain(f"\nThe gradient of the mean loss of {m} test examples, by one backward, compared with:\n")
    width = max(len(row.text) for row in rows)
    for row in rows:
        say(f"  {row.text:<{width}}  {row.error:8.1e}  {_verdict(row)}")
    explain("\nFigures: max |a - b| / max |b|, b being the gradient by backward; the largest of the 4 parameters.")
    explain("Each example keeps its own activations and errors; only what they add to a shared weight is averaged.\n")


def _verdict(row: Row) -> str:
    if row.tolerance is None:
        return f"wrong by {100 * row.error:.0f} %"
    if not row.passed:
        return "DISAGREES"
    return "agrees" if row.error else "agrees to the last bit"


def _pictures(model: nn.Sequential, x: Array, y: Array, out: Path) -> tuple[Path, Path | None, str]:
    """Draw the graph of the batch's loss, as a picture and as a page; without a layout engine, DOT and advice."""

    def loss(model: Any, x: Any, labels: Any) -> Any:
        return nn.cross_entropy(model(x), labels).named("losses").mean().named("loss")

    drawing = draw(loss, model, x, y)
    try:
        return drawing.save(out / "loss.svg"), drawing.save(out / "loss.html"), ""
    except RenderError as error:
        return drawing.save(out / "loss.dot"), None, str(error)
