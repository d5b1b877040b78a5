"""Write a data set of any known format in COCO's: ``detr-d2 make-coco PATH --output OUT``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..data.formats import DataSet, label_maps, read_data_set
from ..data.own import look_at_data_set, statistics, table
from ..data.own.write_coco import Form, write_instances
from ..data.own.write_panoptic import write_labels, write_objects
from ..data.preflight import Needs
from ..data.preflight.findings import stop_at_errors
from ..errors import ConfigError, named
from .command import CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "make-coco",
        "Write a json in COCO's format for each split of a data set: of a folder with images/ and masks/, "
        "which has an image file for each object's mask (masks/IMAGE_CLASS_NUMBER.png), or of YOLO's, Pascal "
        "VOC's, labelme's or COCO's own format. Masks keep their form, and files of masks become RLE. "
        "Segments of panoptic annotations become objects, with --panoptic objects become segments. A folder "
        "with images/, labels/ (a map of category ids for each image) and categories.json becomes panoptic.",
        [
            "my/data --output my/coco",
            "my/data --output my/coco --polygons",
            "my/data --output my/coco --panoptic",
        ],
    )
    parser.add_argument(
        "path", metavar="PATH", help="folder of the data set, or the file that it starts from"
    )
    parser.add_argument("--output", required=True, metavar="OUT", help="folder to write the json files to")
    form = parser.add_mutually_exclusive_group()
    for option, value, text in (
        (
            "--polygons",
            Form.POLYGONS,
            "all masks as polygons along the edges of their pixels, holes included",
        ),
        ("--rle", Form.RLE, "all masks as compressed RLE"),
        ("--boxes", Form.NONE, "no masks"),
    ):
        form.add_argument(
            option, dest="form", action="store_const", const=value, default=Form.AS_IS, help=f"write {text}"
        )
    panoptic = "write objects as panoptic segments; where several cover a pixel, the smallest has it"
    form.add_argument("--panoptic", action="store_true", help=panoptic)
    return parser


def make_coco(args: argparse.Namespace) -> None:
    """Write the files and say so.

    Raises:
        DataError: the data set has errors; nothing is written.
        ConfigError: --panoptic of a data set that is panoptic.
    """
    path = Path(args.path).expanduser()
    if label_maps.lies_at(path):
        _of_maps(path, args.output)
        return
    data = read_data_set(args.path)
    if data.is_panoptic and args.panoptic:
        raise ConfigError(f"{args.path} has panoptic annotations already: leave --panoptic out")
    between = look_at_data_set(data, Needs(masks=args.panoptic))
    reports = [*(split.report for split in data.splits), between]
    if any(report.findings for report in reports):
        print(f"{table(data, between)}\n")
    stop_at_errors(reports)
    _keep_sources(data, args.output)
    print(statistics(data.splits))
    with named(f"--output {args.output}"):
        if args.panoptic:
            files = write_objects(data.splits, args.output)
        else:
            files = [write_instances(split, args.output, args.form) for split in data.splits]
    _tell(files)


def _keep_sources(data: DataSet, output: str) -> None:
    """Refuse to write over what is read.

    Raises:
        ConfigError: it would be.
    """
    for split in data.splits:
        target = os.path.join(output, f"{split.name}.json")
        if os.path.exists(target) and os.path.samefile(target, split.report.source):
            raise ConfigError(f"--output {output}: {target} is read, and would be overwritten: name another")


def _of_maps(path: Path, output: str) -> None:
    """Write panoptic annotations of maps of classes."""
    categories = label_maps.read_categories(path)
    splits = label_maps.read_splits(path)
    with named(f"--output {output}"):
        _tell(write_labels(splits, categories, output))


def _tell(files: Sequence[str]) -> None:
    for file in files:
        print(f"Wrote {file}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), make_coco, argv)


if __name__ == "__main__":
    sys.exit(main())
