"""Write a data set of any known format in COCO's: ``detr-d2 make-coco PATH --output OUT``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from pycocotools import mask as mask_util

from ..checkpoint.atomic import write_file
from ..data.formats import Json, read_data_set
from ..data.masks import encode, rasterize, segmentation_faults
from ..data.outlines import polygons_of
from ..data.own import look_at_data_set, statistics, table
from ..data.preflight import Needs
from ..data.preflight.findings import stop_at_errors
from ..errors import ConfigError, named
from ..progress import progress
from .command import CommandParser, run_command


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = CommandParser(
        "make-coco",
        "Write a json in COCO's format for each split of a data set: of a folder with images/ and masks/, "
        "which has an image file for each object's mask (masks/IMAGE_CLASS_NUMBER.png), or of YOLO's, Pascal "
        "VOC's, labelme's or COCO's own format. Masks keep their form, and files of masks become RLE.",
        ["my/data --output my/coco", "my/data --output my/coco --polygons"],
    )
    parser.add_argument(
        "path", metavar="PATH", help="folder of the data set, or the file that it starts from"
    )
    parser.add_argument("--output", required=True, metavar="OUT", help="folder to write the json files to")
    form = parser.add_mutually_exclusive_group()
    polygons = "write all masks as polygons along the edges of their pixels, holes included"
    form.add_argument("--polygons", action="store_true", help=polygons)
    form.add_argument("--rle", action="store_true", help="write all masks as compressed RLE")
    return parser


def make_coco(args: argparse.Namespace) -> None:
    """Write the files and say so.

    Raises:
        DataError: the data set has errors; nothing is written.
        ConfigError: it is panoptic.
    """
    data = read_data_set(args.path)
    if data.is_panoptic:
        raise ConfigError(
            f"{args.path} has panoptic annotations: 'detr-d2 panoptic-to-detection' makes instances of them"
        )
    between = look_at_data_set(data, Needs())
    reports = [*(split.report for split in data.splits), between]
    if any(report.findings for report in reports):
        print(f"{table(data, between)}\n")
    stop_at_errors(reports)
    print(statistics(data.splits))
    with named(f"--output {args.output}"):
        for split in data.splits:
            content = {**split.content, "annotations": split.content.get("annotations", [])}
            sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
            for entry in progress(
                content["annotations"], f"Writing {split.name}", len(content["annotations"])
            ):
                _complete(entry, *sizes[entry["image_id"]], polygons=args.polygons, rle=args.rle)
            for image in content["images"]:
                file = os.path.join(split.image_root, image["file_name"])
                image["file_name"] = os.path.relpath(file, args.output)
            text = json.dumps(content)
            path = os.path.join(args.output, f"{split.name}.json")
            write_file(path, lambda file, text=text: file.write(text.encode()))  # type: ignore[misc]
            print(f"Wrote {path}")


def _complete(entry: Json, height: int, width: int, polygons: bool, rle: bool) -> None:
    """Let an annotation have its mask in the wanted form, and ``area`` and ``iscrowd``, which others need."""
    entry.setdefault("iscrowd", 0)
    mask = entry.get("segmentation")
    if not mask or segmentation_faults(mask, height, width).unusable:  # which the table says
        entry.pop("segmentation", None)
        entry.setdefault("area", entry["bbox"][2] * entry["bbox"][3])
        return
    encoded = encode(mask, height, width)
    entry.setdefault("area", int(mask_util.area(encoded)))
    if rle:
        entry["segmentation"] = encoded
    elif polygons and isinstance(mask, dict) and not entry["iscrowd"]:  # crowds are RLE for COCO's tools
        entry["segmentation"] = polygons_of(rasterize(mask, height, width)) or mask


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), make_coco, argv)


if __name__ == "__main__":
    sys.exit(main())
