"""Look at a data set in COCO's format: ``detr-d2 check JSON IMAGES``.

It prints what training and evaluation print before they start. The exit status is 0 where nothing stops
them, and 2 where something does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..data.image_file import MAX_PIXELS
from ..data.preflight import Needs, Report, check_instances, check_panoptic
from ..data.preflight.findings import stop_at_errors
from .command import CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "check",
        "Look for what is wrong with a data set in COCO's format, and print it as a table. Exit status: 0 "
        "where nothing stops a training, 2 where something does.",
        ["train.json images --classes 3", "panoptic.json images maps --masks"],
    )
    parser.add_argument("json", metavar="JSON", help="annotations, of instances or panoptic")
    parser.add_argument("images", metavar="IMAGES", help="folder of the images")
    parser.add_argument("maps", metavar="MAPS", nargs="?", help="folder of the segmentation maps (panoptic)")
    parser.add_argument("--masks", action="store_true", help="every object needs a mask (MODEL.MASK_ON)")
    parser.add_argument("--classes", type=int, metavar="N", help="MODEL.DETR.NUM_CLASSES of the model")
    parser.add_argument("--queries", type=int, metavar="N", help="its MODEL.DETR.NUM_OBJECT_QUERIES")
    limit = "TEST.DETECTIONS_PER_IMAGE (default: %(default)s)"
    parser.add_argument("--detections", type=int, default=100, metavar="N", help=limit)
    pixels = "INPUT.MAX_IMAGE_PIXELS (default: %(default)s)"
    parser.add_argument("--max-pixels", type=int, default=MAX_PIXELS, metavar="N", help=pixels)
    return parser


def check(args: argparse.Namespace) -> None:
    """Print the table.

    Raises:
        DataError: the data set has errors; says the first one.
    """
    needs = Needs(
        args.classes, args.queries, args.detections, args.masks, args.maps is not None, args.max_pixels
    )
    report = Report(args.json)
    if args.maps is None:
        check_instances(report, args.images, needs)
    else:
        check_panoptic(report, args.images, args.maps, needs)
    print(report.table())
    stop_at_errors([report])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), check, argv)


if __name__ == "__main__":
    sys.exit(main())
