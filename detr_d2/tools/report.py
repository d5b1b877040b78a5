"""Write a page on a training: ``detr-d2 report OUTPUT_DIR``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..config_file import read_config
from ..engine.setup import make_ready
from ..errors import UserError
from ..report import write_report
from .command import CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "report",
        "Write one page on a training or an evaluation, from the files in its OUTPUT_DIR: curves, average "
        "precision in parts, errors by kind with what they cost, the worst images, data, config and versions."
        " A training writes it by itself when it ends (TEST.REPORT).",
        ["output/demo", "output/demo --output demo.html"],
    )
    parser.add_argument("run", metavar="OUTPUT_DIR", help="folder of the run, with its config.yaml")
    parser.add_argument("--output", metavar="FILE", help="page to write (default: OUTPUT_DIR/report.html)")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="changes to the run's config")
    return parser


def report(args: argparse.Namespace) -> None:
    """Write the page and say so.

    Raises:
        UserError: the folder, its config or a data set's registration cannot be used.
    """
    folder = Path(args.run)
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder} has no config.yaml: name the OUTPUT_DIR of a training or an evaluation")
    cfg = read_config(str(folder / "config.yaml"), args.opts)
    make_ready(cfg)
    file = write_report(cfg, folder, args.output)
    print(f"Wrote {file} ({file.stat().st_size / 1e6:.1f} MB).")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), report, argv)


if __name__ == "__main__":
    sys.exit(main())
