"""Compare training runs: ``detr-d2 compare OUTPUT_DIR OUTPUT_DIR ...``."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import named
from ..visualization import TIME_NOTE, comparison_table, draw_comparison, read_runs
from .command import CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "compare",
        "Draw AP, AP50 and, where runs have them, AP of masks and PQ of several runs against iterations, "
        f"time and images seen, and print them as a table. {TIME_NOTE}",
        ["output/detr output/dab_detr --output comparison.png", "output/* --markdown"],
    )
    run = "OUTPUT_DIR of a run, or its metrics.json; config.yaml lies beside it. The first one is what the "
    run += "others are held against"
    parser.add_argument("runs", nargs="+", metavar="RUN", help=run)
    output = "picture to write (default: comparison.png)"
    parser.add_argument("--output", metavar="FILE", default="comparison.png", help=output)
    parser.add_argument("--title", default="Comparison", help="first line of the picture")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    return parser


def compare(args: argparse.Namespace) -> None:
    """Print the table and draw the picture.

    Raises:
        UserError: a run or the output cannot be used.
    """
    logging.basicConfig(format="%(levelname)s: %(message)s")
    runs = read_runs(args.runs)
    figure = draw_comparison(runs, args.title)
    output = Path(args.output)
    with named(str(output), (OSError, ValueError)):  # Matplotlib's for an ending that it does not know
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output)
    print(comparison_table(runs, args.markdown))
    print(f"\n{TIME_NOTE}\nWrote {output}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), compare, argv)


if __name__ == "__main__":
    sys.exit(main())
