"""The command line."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from . import __version__
from .userfile import UserFileError, opened

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with the arguments ``argv``; return the exit code.

    0 means success, 1 that something is not as it should be, 2 that nothing was done: the arguments were wrong, or
    there is an error in a person's file.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        code: int = arguments.run(arguments)
    except UserFileError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"tinygrad-mb: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinygrad-mb",
        description="Reverse-mode automatic differentiation of mini-batches on NumPy.",
    )
    parser.add_argument("--version", action="version", version=f"tinygrad_mb {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_demo(commands)
    _add_check(commands)
    _add_derive(commands)
    _add_draw(commands)
    return parser


def _add_demo(commands: Commands) -> None:
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
    demo.set_defaults(run=_demo)


def _add_check(commands: Commands) -> None:
    check = commands.add_parser(
        "check",
        help="compare gradients that were derived by hand with the true ones, and say what is wrong",
        description=(
            "Runs a Python file that defines loss(params, x, y), or with other names for the arguments; values for "
            "params, x and y; and hand_gradients(params, x, y), which returns the gradients by params as derived by "
            "hand. Compares them with the gradients of loss, and says what is wrong with those that are not right."
        ),
        epilog="The exit code is 0 if all are right, 1 if not, and 2 if the file could not be checked.",
    )
    check.add_argument("file", type=Path, metavar="FILE", help="such as my_derivation.py")
    check.set_defaults(run=_check)


def _add_derive(commands: Commands) -> None:
    derive = commands.add_parser(
        "derive",
        help="print the derivation of a loss function's gradients",
        description=(
            "Runs a Python file that defines loss(params, x, y), or with other names for the arguments, and values "
            "for params, x and y. Prints the derivation of the gradients by params, step by step."
        ),
    )
    derive.add_argument("file", type=Path, metavar="FILE", help="such as my_derivation.py")
    forms = derive.add_mutually_exclusive_group()
    for form, what in (("text", "as formulas (the default)"), ("latex", "in LaTeX"), ("numpy", "as a NumPy function")):
        forms.add_argument(f"--{form}", dest="form", action="store_const", const=form, default="text", help=what)
    derive.set_defaults(run=_derive)


def _add_draw(commands: Commands) -> None:
    draw = commands.add_parser(
        "draw",
        help="draw the graph of a loss function, as a page to look around in or as a picture",
        description=(
            "Runs a Python file that defines loss(params, x, y), or with other names for the arguments, and values "
            "for params, x and y. Draws the graph of the loss, with the places where backward adds up what the "
            "examples contribute."
        ),
    )
    draw.add_argument("file", metavar="FILE[:FUNCTION]", help="such as my_model.py, or my_model.py:my_loss")
    draw.add_argument(
        "-o", "--out", type=Path, default=Path("graph.html"), metavar="PATH",
        help="the picture: .html, .svg, .png, .pdf or .dot (%(default)s)",
    )  # fmt: skip
    draw.add_argument("--view", choices=("forward", "backward", "both"), default="forward", help="(%(default)s)")
    draw.add_argument("--example", type=int, metavar="I", help="show the numbers of one example, from 0 on")
    draw.add_argument("--depth", type=int, metavar="N", help="how many levels of modules are unfolded")
    for what in ("values", "grads"):
        draw.add_argument(f"--{what}", choices=("numbers", "heat"), help=f"show the {what} of all arrays so")
    draw.set_defaults(run=_draw)


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


def _check(arguments: argparse.Namespace) -> int:
    from .checking.derivations import check_derivation

    with opened(arguments.file, to_check=True) as file:
        report = check_derivation(file.loss, file.params, file.hand, *file.batch)
    _say(str(report))
    return 0 if report.ok else 1


def _derive(arguments: argparse.Namespace) -> int:
    from .derivation.derive import derive

    with opened(arguments.file) as file:
        derivation = derive(file.loss, file.params, *file.batch)
    _say(getattr(derivation, arguments.form)())
    return 0


def _draw(arguments: argparse.Namespace) -> int:
    from .drawing import draw
    from .drawing.render import RenderError

    path, function = Path(arguments.file), "loss"
    if not path.is_file() and ":" in arguments.file:
        name, _, function = arguments.file.rpartition(":")
        path = Path(name)
    options = {key: getattr(arguments, key) for key in ("view", "example", "depth", "values", "grads")}
    with opened(path, function=function) as file:
        arrays = () if file.params is None else (file.params, *file.batch)
        drawing = draw(file.loss, *arrays, **options)
    try:
        saved = drawing.save(arguments.out)
    except RenderError as error:
        saved = drawing.save(arguments.out.with_suffix(".dot"))
        print(f"tinygrad-mb: {error}", file=sys.stderr)
    except ValueError as error:
        print(f"tinygrad-mb: {error}", file=sys.stderr)
        return 2
    _say(str(saved))
    return 0 if saved == arguments.out else 1


def _say(text: str) -> None:
    """Print text also where the terminal has no Greek letters."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    print(text.rstrip())
