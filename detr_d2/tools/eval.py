"""Evaluate a trained model: ``detr-d2 eval``."""

import sys
from collections.abc import Sequence

from .command import CommandParser, run_command
from .train import run_parser, start


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = run_parser(
        "eval",
        "Evaluate a model on the data sets of DATASETS.TEST.",
        [
            "--config-file Shapes-Detection/detr_tiny.yaml --weights output/model_final.pth",
            "--config-file COCO-Detection/detr_R_50.yaml --weights detr://detr_R_50 --device cpu",
        ],
    )
    parser.set_defaults(eval_only=True)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), start, argv)


if __name__ == "__main__":
    sys.exit(main())
