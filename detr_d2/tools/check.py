"""Look at a data set: ``detr-d2 check PATH``, or ``detr-d2 check JSON IMAGES [MAPS]`` of one json alone.

It prints what training and evaluation print before they start. The exit status is 0 where nothing stops
them, and 2 where something does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from ..atomic import write_file
from ..data.formats import DataSet, read_data_set
from ..data.image_file import MAX_PIXELS
from ..data.own import fix_data_set, look_at_data_set, statistics, table
from ..data.preflight import Needs, Report, check_instances, check_panoptic
from ..data.preflight.findings import stop_at_errors
from ..errors import ConfigError, named
from ..report.data_pictures import sample_sheet, statistics_plot
from ..visualization import write_picture
from .command import CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "check",
        "Look for what is wrong with a data set, and print it as a table: of a folder in COCO's, YOLO's, "
        "Pascal VOC's or labelme's format all splits, against each other too; of a json in COCO's format, "
        "with the folder of its images, this alone. Exit status: 0 where nothing stops a training, 2 where "
        "something does.",
        [
            "my/data",
            "my/data --pictures looked",
            "my/data --fix mended",
            "train.json images --classes 3",
            "panoptic.json images maps --masks",
        ],
    )
    parser.add_argument("path", metavar="PATH", help="folder of a data set, its data.yaml, or a json")
    parser.add_argument("images", metavar="IMAGES", nargs="?", help="of a json: folder of the images")
    parser.add_argument("maps", metavar="MAPS", nargs="?", help="folder of the segmentation maps (panoptic)")
    parser.add_argument(
        "--panoptic", action="store_true", help="of a folder with both, COCO's panoptic annotations"
    )
    fix = (
        "write a json for each split of PATH to this new folder, without what is wrong, and the list of what "
        "was done, changes.txt; the images stay where they are"
    )
    parser.add_argument("--fix", metavar="OUT", help=fix)
    pictures = (
        "write plots of what PATH is made of, statistics.png, and some of its images with their annotations, "
        "samples.png, to this folder"
    )
    parser.add_argument("--pictures", metavar="OUT", help=pictures)
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
        DataError: the data set has errors, which --fix does not mend; says the first one.
        ConfigError: --fix or --pictures of a json with its folder, or --fix to a folder that is not empty.
    """
    panoptic = args.panoptic or args.maps is not None
    needs = Needs(args.classes, args.queries, args.detections, args.masks, panoptic, args.max_pixels)
    if args.images is None:
        _check_data_set(args, needs)
        return
    if args.fix is not None or args.pictures is not None:
        raise ConfigError("--fix and --pictures take a data set by its PATH alone: leave IMAGES out")
    report = Report(args.path)
    if args.maps is None:
        check_instances(report, args.images, needs)
    else:
        check_panoptic(report, args.images, args.maps, needs)
    print(report.table())
    stop_at_errors([report])


def _check_data_set(args: argparse.Namespace, needs: Needs) -> None:
    """Look at all splits of what lies at a path."""
    data = read_data_set(args.path, args.panoptic)
    between = look_at_data_set(data, needs)
    print(table(data, between))
    print(f"\n{statistics(data.splits)}")
    if args.pictures is not None:
        _write_pictures(data, args.pictures)
    if args.fix is not None:
        _write_mended(data, needs, args.fix)
        return
    stop_at_errors([*(split.report for split in data.splits), between])


def _write_pictures(data: DataSet, folder: str) -> None:
    """Write the pictures of the splits without errors."""
    figure, sheet = statistics_plot(data), sample_sheet(data)
    if figure is None or sheet is None:
        print("\nNo pictures: all splits have errors.")
        return
    with named(f"--pictures {folder}"):
        write_file(os.path.join(folder, "statistics.png"), lambda file: figure.savefig(file, format="png"))
    write_picture(sheet, os.path.join(folder, "samples.png"))
    print(f"\nWrote statistics.png and samples.png to {folder}.")


def _write_mended(data: DataSet, needs: Needs, folder: str) -> None:
    """Write mended annotations; nothing where they still have errors."""
    with named(f"--fix {folder}"):
        if os.path.isdir(folder) and os.listdir(folder):
            raise ConfigError(f"--fix {folder}: the folder is not empty: name a new one")
    mended, changes = fix_data_set(data, needs.max_pixels)
    between = look_at_data_set(mended, needs)
    stop_at_errors([*(split.report for split in mended.splits), between])
    with named(f"--fix {folder}"):
        for split in mended.splits:
            for image in split.content["images"]:
                image["file_name"] = os.path.relpath(image["file_name"], folder)
            _write(folder, f"{split.name}.json", json.dumps(split.content))
        _write(folder, "changes.txt", "".join(f"{change}\n" for change in changes))
    print(f"\nWrote {len(mended.splits)} json files to {folder}; changes.txt lists {len(changes):,} changes.")


def _write(folder: str, name: str, text: str) -> None:
    write_file(os.path.join(folder, name), lambda file: file.write(text.encode()))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), check, argv)


if __name__ == "__main__":
    sys.exit(main())
