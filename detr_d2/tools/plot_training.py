"""Draw the curves of a training run: ``python -m detr_d2.tools.plot_training OUTPUT_DIR``."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ..visualization import draw_training_curves, read_metrics


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m detr_d2.tools.plot_training",
        description="Draw losses, average precision and learning rate of a run from its metrics.json.",
    )
    parser.add_argument("run", metavar="RUN", help="OUTPUT_DIR of the run, or its metrics.json")
    parser.add_argument(
        "--output", metavar="FILE", help="picture to write (default: training_curves.png beside metrics.json)"
    )
    parser.add_argument("--title", help="first line of the picture (default: the folder's name)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments; None takes the process's own.

    Returns:
        Exit status: 0, or 2 where the run or the output cannot be used.
    """
    args = build_parser().parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    run = Path(args.run)
    folder = run if run.is_dir() else run.parent
    output = Path(args.output) if args.output else folder / "training_curves.png"
    try:
        metrics = read_metrics(run)
        figure = draw_training_curves(metrics, args.title or f"Training of {folder.resolve().name}")
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {output} ({max(metrics.by_iteration) + 1} iterations).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
