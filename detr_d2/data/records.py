"""The records of registered data sets, in Detectron2's format, and what is asked of one."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager

from ..errors import DataError
from .images import image_header
from .json_file import read_json

Records = list[dict[str, Any]]


def load_records(name: str) -> Records:
    """The records of a registered data set; those of panoptic data sets get ``width`` and ``height`` too.

    Nothing is looked at here: :func:`~.preflight.load_dataset` does so before.

    Raises:
        DataError: no such data set, or a file that it is loaded from does not exist.
    """
    check_name(name)
    file = annotation_file(name)
    if file and not PathManager.isfile(file):
        remedy = missing_annotations(file, name)
        raise DataError(f"Data set {name!r}: {file} does not exist. {remedy}")
    try:
        records: Records = DatasetCatalog.get(name)
    except AssertionError as error:
        if not MetadataCatalog.get(name).get("panoptic_json", None):
            raise
        raise DataError(
            f"Data set {name!r}: {error} does not exist. Detectron2's loader takes every image for a .jpg "
            "file named as its map: register data sets of one's own with DATASETS.COCO_PANOPTIC."
        ) from error
    metadata = MetadataCatalog.get(name)
    if not isinstance(records, Sequence) or not all(isinstance(record, dict) for record in records):
        raise DataError(
            f"Data set {name!r} must be loaded as a list of dicts in Detectron2's format; the registered "
            f"function returned a {type(records).__name__}."
        )
    if len(records) and "pan_seg_file_name" in records[0]:
        return with_image_sizes(records, metadata.get("panoptic_json", None) or "")
    return records


def with_image_sizes(records: Records, json_file: str) -> Records:
    """Records with the entries ``width`` and ``height``, which Detectron2 leaves out of panoptic data sets.

    Args:
        records: of a data set. Those that have their sizes stay as they are.
        json_file: the panoptic annotations, whose list of images has the sizes; "" where there are none.

    Returns:
        The same records, or copies with sizes: from the annotations, or else from the image file's header.

    Raises:
        DataError: an image of which the annotations give no size is missing or cannot be decoded.
    """
    if all("width" in record and "height" in record for record in records):
        return records
    sizes: dict[Any, tuple[int, int]] = {}
    if json_file and PathManager.isfile(json_file):
        sizes = {
            image["id"]: (image["width"], image["height"])
            for image in read_json(json_file).get("images", ())
            if image.keys() >= {"id", "width", "height"}
        }
    sized = []
    for record in records:
        if "width" not in record or "height" not in record:
            width, height = sizes.get(record["image_id"]) or image_header(record["file_name"])[:2]
            record = {**record, "width": width, "height": height}
        sized.append(record)
    return sized


def check_name(name: str) -> None:
    """
    Raises:
        DataError: there is no such data set; names those of like names.
    """
    if name not in DatasetCatalog.list():
        near = difflib.get_close_matches(name, sorted(DatasetCatalog.list()), n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise DataError(
            f"There is no data set {name!r}. {hint}Data sets are named in DATASETS.TRAIN and DATASETS.TEST; "
            "register your own with DATASETS.COCO_JSON, DATASETS.COCO_PANOPTIC or "
            "detectron2.data.DatasetCatalog.register."
        )


def annotation_file(name: str) -> str:
    """The json file that a data set is loaded from, or "" where its metadata name none."""
    metadata = MetadataCatalog.get(name)
    return metadata.get("panoptic_json", None) or metadata.get("json_file", None) or ""


def missing_annotations(file: str, name: str = "") -> str:
    """What to do where a data set's annotation file is not there.

    Args:
        file: the annotation file.
        name: of the data set, where it is registered.
    """
    command = MetadataCatalog.get(name).get("generated_by", None) if name else None
    if command:
        return f"Generate it with '{command}', or let DETECTRON2_DATASETS name the folder where it is."
    root = os.path.expanduser(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    if os.path.abspath(file).startswith(os.path.abspath(root) + os.sep):
        return f"Built-in data sets lie below the folder that DETECTRON2_DATASETS names, here {root}."
    return "Correct its path."


def objects_of(record: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """What a record is trained on: its annotations or, in panoptic data sets, its segments."""
    return record["annotations"] if "annotations" in record else record.get("segments_info", ())


def count_objects(record: dict[str, Any]) -> int:
    """How many objects of a record are trained on: crowds are in panoptic data sets alone."""
    if "annotations" not in record:
        return len(objects_of(record))
    return sum(not annotation.get("iscrowd", 0) for annotation in record["annotations"])


def corners(annotation: dict[str, Any]) -> tuple[float, float, float, float]:
    """An annotation's box as absolute (x0, y0, x1, y1)."""
    if annotation["bbox_mode"] == BoxMode.XYWH_ABS:  # COCO's, and far quicker than by way of tensors
        x, y, width, height = annotation["bbox"]
        return x, y, x + width, y + height
    return BoxMode.convert(tuple(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYXY_ABS)
