"""Draw the curves of a training run: ``detr-d2 plot OUTPUT_DIR``."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import named
from ..visualization import draw_training_curves, read_metrics
from .command import CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "plot",
        "Draw losses, average precision and learning rate of a run from its metrics.json.",
        ["output --output curves.png"],
    )
    parser.add_argument("run", metavar="RUN", help="OUTPUT_DIR of the run, or its metrics.json")
    output = "picture to write (default: training_curves.png beside metrics.json)"
    parser.add_argument("--output", metavar="FILE", help=output)
    parser.add_argument("--title", help="first line of the picture (default: the folder's name)")
    return parser


def plot(args: argparse.Namespace) -> None:
    """Draw the curves and say so.

    Raises:
        UserError: the run or the output cannot be used.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s")
    run = Path(args.run)
    folder = run if run.is_dir() else run.parent
    output = Path(args.output) if args.output else folder / "training_curves.png"
    metrics = read_metrics(run)
    figure = draw_training_curves(metrics, args.title or f"Training of {folder.resolve().name}")
    with named(str(output), (OSError, ValueError)):  # Matplotlib's for an ending that it does not know
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output)
    print(f"Wrote {output} ({max(metrics.by_iteration) + 1} iterations).")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), plot, argv)


if __name__ == "__main__":
    sys.exit(main())
