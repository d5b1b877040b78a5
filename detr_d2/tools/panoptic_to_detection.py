"""Make COCO detection annotations of panoptic ones: ``detr-d2 panoptic-to-detection``."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..data import panoptic_to_detection
from ..errors import named
from .command import CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "panoptic-to-detection",
        "Write a COCO instance annotation file with a box and a mask for every panoptic segment, "
        "things and stuff. Train a detector of both on it by naming it in DATASETS.COCO_JSON; a panoptic "
        "model needs no such file, see DATASETS.COCO_PANOPTIC.",
        ["--panoptic-json panoptic_train.json --panoptic-root panoptic_train --output detection_train.json"],
    )
    parser.add_argument("--panoptic-json", required=True, help="panoptic annotation file")
    parser.add_argument("--panoptic-root", required=True, help="folder of its segmentation maps (png)")
    parser.add_argument("--output", required=True, help="json file to write")
    parser.add_argument("--no-masks", action="store_true", help="write boxes alone")
    return parser


def convert(args: argparse.Namespace) -> None:
    """Write the file and say so.

    Args:
        args: what :func:`build_parser` parses.

    Raises:
        UserError: the annotations or maps cannot be used, or the file cannot be written.
    """
    content = panoptic_to_detection(args.panoptic_json, args.panoptic_root, masks=not args.no_masks)
    with named(f"--output {args.output}"):
        Path(args.output).parent.mkdir(parents=True, exist_ok=True)
        Path(args.output).write_text(json.dumps(content))
    print(
        f"Wrote {len(content['annotations'])} annotations of {len(content['images'])} images and "
        f"{len(content['categories'])} categories to {args.output}."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), convert, argv)


if __name__ == "__main__":
    sys.exit(main())
