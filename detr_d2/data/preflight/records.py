"""A look at the records of a data set that was registered in Python, without an annotation file."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from .columns import Columns
from .files import missing_files
from .findings import Report
from .objects import look_at_boxes_form, look_at_crowds, look_at_masks, look_at_unsupported
from .outline import id_type, is_length

# Entries of a record that list objects, with what each of these needs.
_LISTS = {"annotations": ("bbox", "bbox_mode", "category_id"), "segments_info": ("id", "category_id")}


def look_at_records(
    report: Report, records: list[dict[str, Any]], masks: bool, evaluated: bool = False
) -> Columns | None:
    """Look at records in Detectron2's format.

    Args:
        report: gets the findings; has the names of the classes.
        records: of the data set.
        masks: whether the masks are trained on.
        evaluated: whether they are evaluated, which needs ids of the images.

    Returns:
        the objects; segments have boxes of NaN and are no crowds, because all are trained on. None where
        there is an error that keeps them from being read.
    """
    if not records:
        report.add("no-images", "it has no record")
    named = []
    for position, record in enumerate(records):
        if isinstance(record, dict) and isinstance(record.get("file_name"), str | os.PathLike):
            named.append(record)
        else:
            report.add("record", f"record {position} (counted from 0) has no file_name: {record!r:.60}")
    _look_at_ids(report, named, evaluated)
    for file in missing_files(x["pan_seg_file_name"] for x in named if "pan_seg_file_name" in x):
        report.add("missing-map", file, root="the folder of the maps")
    sizes = _sizes(report, named)
    objects, places = _objects(report, named, len(report.classes) if evaluated else 0)

    def where(position: int) -> str:
        owner, key, number = places[position]
        return _words(named[owner], key, number)

    owners = np.array([owner for owner, _, _ in places], dtype=np.int64)
    segments = np.array([key == "segments_info" for _, key, _ in places], dtype=bool)
    no_box = (0, 0, 0, 0)
    listed = [no_box if segment else _xywh(x) for x, segment in zip(objects, segments, strict=True)]
    boxes, sound = look_at_boxes_form(report, listed, where)
    boxes[segments] = np.nan
    crowd = look_at_crowds(report, objects, where) & ~segments
    look_at_unsupported(report, objects, where)
    needed = ~crowd & ~segments & masks
    look_at_masks(report, objects, sizes[owners], needed, where, masks, of_json=False)
    if len(named) < len(records) or not records:
        return None
    positions = np.flatnonzero(sound)
    return Columns(
        files=[os.fspath(record["file_name"]) for record in records],
        sizes=sizes,
        boxes=boxes[sound],
        owners=owners[sound],
        classes=np.array([int(x["category_id"]) for x in objects], dtype=np.int64)[sound],
        crowd=crowd[sound],
        where=lambda position: where(int(positions[position])),
    )


def _look_at_ids(report: Report, records: list[dict[str, Any]], evaluated: bool) -> None:
    """Ids of images have to be unique where there are some; evaluation needs them."""
    known: set[Any] = set()
    for record in records:
        if "image_id" not in record:
            if evaluated:
                report.add("no-image-id", os.fspath(record["file_name"]))
            continue
        number = _plain(record["image_id"])
        if not id_type(number):
            report.add("bad-id", f"image_id {number!r:.40} of {record['file_name']}")
        elif number in known:
            report.add("repeated-image-id", f"image_id {number!r} of {record['file_name']}")
        else:
            known.add(number)


def _sizes(report: Report, records: list[dict[str, Any]]) -> np.ndarray:
    """(M, 2) float64 width and height of the images; infinite where there is none."""
    sizes = np.full((len(records), 2), np.inf)
    for size, record in zip(sizes, records, strict=True):
        if "width" in record and "height" in record:
            width, height = _plain(record["width"]), _plain(record["height"])
            if is_length(width) and is_length(height):
                size[:] = width, height
            else:
                report.add("bad-size", f"{record['file_name']}: {width!r:.20}, {height!r:.20}")
    return sizes


def _objects(
    report: Report, records: list[dict[str, Any]], num_classes: int
) -> tuple[list[dict[str, Any]], list[tuple[int, str, int]]]:
    """All annotations, or segments, that have what they need, and of each its record, list and number.

    Args:
        num_classes: of a data set that is evaluated; 0 where it is not known.
    """
    objects: list[dict[str, Any]] = []
    places: list[tuple[int, str, int]] = []
    for position, record in enumerate(records):
        key = "annotations" if "annotations" in record else "segments_info"
        most = num_classes if num_classes and key == "annotations" else math.inf
        listed = record.get(key, ())
        if not isinstance(listed, Sequence) or isinstance(listed, str):
            report.add("record", f"the {key} of {record['file_name']} are no list: {listed!r:.60}")
            continue
        for number, entry in enumerate(listed):
            where = _words(record, key, number)
            lacking = [name for name in _LISTS[key] if not isinstance(entry, dict) or name not in entry]
            if lacking:
                report.add("record", f"{where} has no {' and no '.join(lacking)}")
                continue
            category = entry["category_id"]
            if isinstance(category, int | np.integer) and 0 <= category < most:
                objects.append(entry)
                places.append((position, key, number))
            else:
                report.add("unlisted-category", f"{where}: {category!r:.40}")
    return objects, places


def _words(record: dict[str, Any], key: str, number: int) -> str:
    what = "annotation" if key == "annotations" else "segment"
    return f"{what} {number} (counted from 0) of {os.fspath(record['file_name'])}"


def _xywh(entry: dict[str, Any]) -> Any:
    """The box of an annotation as (x, y, width, height), or what is none."""
    box, mode = entry["bbox"], entry["bbox_mode"]
    if isinstance(box, list | tuple | np.ndarray):
        box = [_plain(value) for value in box]
    if mode == BoxMode.XYXY_ABS:
        try:
            x0, y0, x1, y1 = box
            return x0, y0, x1 - x0, y1 - y0
        except (TypeError, ValueError):
            return box
    return box if mode == BoxMode.XYWH_ABS else f"{box!r:.40} with bbox_mode {mode!r:.20}"


def _plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value
