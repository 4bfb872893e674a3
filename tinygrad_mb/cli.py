"""The command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with the arguments ``argv``; return the exit code.

    0 means success, 1 that something is not as it should be, 2 that the arguments were wrong.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return _demo(arguments)
    except OSError as error:
        print(f"tinygrad-mb: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinygrad-mb",
        description="Reverse-mode automatic differentiation of mini-batches on NumPy.",
    )
    parser.add_argument("--version", action="version", version=f"tinygrad_mb {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="train on handwritten digits, check a batch's gradient in four ways, draw the graph",
        description=(
            "Trains a small network on the handwritten digits of scikit-learn, in mini-batches. Compares the gradient "
            "of one batch with the mean of its examples' gradients, with a derivation by hand and with central "
            "differences, and shows how wrong it is to average the activations first. Draws the graph of the loss."
        ),
        epilog="The exit code is 1 if a comparison fails or the test accuracy is below 97 %.",
    )
    demo.add_argument("--json", action="store_true", help="print one JSON object with all figures, and nothing else")
    demo.add_argument("--quiet", action="store_true", help="print only the results; no progress bar")
    demo.add_argument(
        "--out", type=Path, default=Path("demo-output"), metavar="DIR", help="where the picture goes (%(default)s)"
    )
    demo.add_argument(
        "--seed",
        type=_seed,
        default=0,
        metavar="N",
        help="of the first weights and of the batches' order (%(default)s)",
    )
    return parser


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if seed < 0:
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 on, not {text!r}")
    return seed


def _demo(arguments: argparse.Namespace) -> int:
    from . import demo  # scikit-learn and the rest are imported only where they are used

    return demo.run(arguments.seed, arguments.out, as_json=arguments.json, quiet=arguments.quiet)
