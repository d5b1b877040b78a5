"""Size of a config's model: ``detr-d2 complexity --config-file FILE``."""

import argparse
import sys
from collections.abc import Sequence

from ..config_file import read_config
from ..modeling.complexity import USUAL_SIZE, model_complexity
from .command import CONFIG_HELP, CommandParser, run_command

WHAT_COUNTS = """\
Counted are all parameters, frozen ones too (the constants of frozen batch norms are none), and the
multiply-adds of one image's inference in convolutions and matrix products, those inside attention included.
Not counted are normalization, activations, softmax, resizing and post-processing. A mask head makes the
masks of all queries here."""


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "complexity",
        f"Count parameters, and the multiply-adds of one image's inference. {WHAT_COUNTS}",
        ["--config-file COCO-Detection/detr_R_50.yaml --size 800 1066"],
    )
    parser.add_argument("--config-file", required=True, metavar="FILE", help=CONFIG_HELP)
    parser.add_argument(
        "--size",
        nargs=2,
        type=_pixels,
        default=USUAL_SIZE,
        metavar=("H", "W"),
        help="of the image after resizing, in pixels (default: 800 1066)",
    )
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="changes to the config")
    return parser


def _pixels(text: str) -> int:
    if not text.isdecimal() or int(text) < 32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 32 pixels")
    return int(text)


def count(args: argparse.Namespace) -> None:
    """Print the figures.

    Raises:
        UserError: the config cannot be used.
    """
    height, width = args.size
    complexity = model_complexity(read_config(args.config_file, args.opts), (height, width))
    print(f"{args.config_file}, an image of {height} x {width} pixels:")
    print(f"parameters     {complexity.parameters / 1e6:10.2f} M  ({complexity.parameters})")
    print(f"multiply-adds  {complexity.multiply_adds / 1e9:10.2f} G  ({complexity.multiply_adds})")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), count, argv)


if __name__ == "__main__":
    sys.exit(main())
