"""Generate the sample data set "shapes": ``detr-d2 shapes``.

It is written to the folder ``shapes`` below $DETECTRON2_DATASETS (default ``./datasets``), where the
data sets shapes_train, shapes_val, shapes_train_panoptic and shapes_val_panoptic are registered.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import fields

from ..errors import named
from ..shapes import ShapesConfig, ShapesSize, shapes_root, write_shapes
from .command import CommandParser, run_command


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Says defaults, and leaves the examples as they are."""


def build_parser() -> CommandParser:
    """The command's arguments; every default comes from ``ShapesConfig`` and ``ShapesSize``."""
    size, config = ShapesSize(), ShapesConfig()
    parser = CommandParser(
        "shapes",
        'Generate the sample data set "shapes", unless it is there with the same arguments.',
        ["", "--train 200 --val 50 --output datasets/shapes"],
        formatter_class=_Formatter,
    )
    parser.add_argument("--output", default=shapes_root(), help="folder to write")
    parser.add_argument("--train", type=int, default=size.train, help="number of training images")
    parser.add_argument("--val", type=int, default=size.val, help="number of validation images")
    parser.add_argument("--height", type=int, default=config.height, help="pixels")
    parser.add_argument("--width", type=int, default=config.width, help="pixels")
    parser.add_argument("--min-half-width", type=float, default=config.min_half_width, help="pixels")
    parser.add_argument("--max-half-width", type=float, default=config.max_half_width, help="pixels")
    parser.add_argument("--max-things", type=int, default=config.max_things, help="most things in an image")
    parser.add_argument("--crowd", action="store_true", help="add crowd segments to half of the images")
    parser.add_argument("--seed", type=int, default=config.seed, help="another seed, other images")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="processes that draw")
    return parser


def generate(args: argparse.Namespace) -> None:
    """Write the data set and say so.

    Raises:
        UserError: arguments or a folder that cannot be used.
    """
    start = time.perf_counter()
    config = ShapesConfig(**{field.name: getattr(args, field.name) for field in fields(ShapesConfig)})
    with named(f"--output {args.output}"):
        written = write_shapes(args.output, config, ShapesSize(args.train, args.val), args.processes)
    if written:
        seconds = time.perf_counter() - start
        print(f"Wrote {args.train} + {args.val} images to {args.output} in {seconds:.1f} s.")
    else:
        print(f"{args.output} is up to date.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), generate, argv)


if __name__ == "__main__":
    sys.exit(main())
