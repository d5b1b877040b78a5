"""A look at the records of a data set that was registered in Python, without an annotation file."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from ..masks import segmentation_faults
from ..records import corners
from .columns import Columns
from .files import missing_files
from .findings import Report
from .instances import is_box, look_at_flags
from .outline import id_type, is_length

_SIZE = ("width", "height")
_NO_BOX = (np.nan,) * 4  # segments get theirs from the maps


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
        the objects; None where there is an error that keeps them from being read.
    """
    if not records:
        report.add("no-images", "it has no record")
        return None
    maps = [x["pan_seg_file_name"] for x in records if isinstance(x, dict) and "pan_seg_file_name" in x]
    for file in missing_files(maps):
        report.add("missing-map", file, root="the folder of the maps")
    sizes = np.full((len(records), 2), np.inf)
    image_ids: set[Any] = set()
    found: list[tuple[tuple[float, ...], int, int, bool]] = []
    names: list[str] = []
    with_mask = 0
    for position, record in enumerate(records):
        if not isinstance(record, dict) or not isinstance(record.get("file_name"), str | os.PathLike):
            report.add("record", f"record {position} (counted from 0) has no file_name: {record!r:.60}")
            continue
        file = os.fspath(record["file_name"])
        if evaluated and "image_id" not in record:
            report.add("no-image-id", file)
        _look_at_image_id(report, record, image_ids)
        if "width" in record and "height" in record:
            if not all(is_length(_plain(record[key])) for key in _SIZE):
                report.add("bad-size", f"{file}: {record['width']!r:.20}, {record['height']!r:.20}")
                continue
            sizes[position] = record["width"], record["height"]
        listed = record.get("annotations", ())
        if not isinstance(listed, Sequence) or isinstance(listed, str):
            report.add("record", f"the annotations of {file} are no list: {listed!r:.60}")
            continue
        for number, segment in enumerate(() if "annotations" in record else record.get("segments_info", ())):
            if not isinstance(segment, dict) or not {"id", "category_id"} <= segment.keys():
                report.add("record", f"segment {number} (from 0) of {file} needs 'id' and 'category_id'")
                continue
            found.append((_NO_BOX, position, int(segment["category_id"]), False))
            names.append(f"segment {number} (counted from 0) of {file}")
        for number, annotation in enumerate(listed):
            where = f"annotation {number} (counted from 0) of {file}"
            lacking = [
                key
                for key in ("bbox", "bbox_mode", "category_id")
                if not isinstance(annotation, dict) or key not in annotation
            ]
            if lacking:
                report.add("record", f"{where} has no {' and no '.join(lacking)}")
                continue
            box = _box(annotation)
            if box is None:
                report.add("bad-box", f"{where}: {annotation['bbox']!r:.60}")
                continue
            category = annotation["category_id"]
            most = len(report.classes) if evaluated and report.classes else math.inf
            if not isinstance(category, int | np.integer) or not 0 <= category < most:
                report.add("unlisted-category", f"{where}: {category!r:.40}")
                continue
            (crowd,) = look_at_flags(report, [annotation], lambda _, where=where: where).tolist()  # type: ignore[misc]
            found.append((box, position, int(annotation["category_id"]), crowd))
            names.append(where)
            if annotation.get("segmentation") is None:
                if masks and not crowd:
                    report.add("no-mask", where)
            elif np.isfinite(sizes[position]).all():
                with_mask += _look_at_mask(report, annotation["segmentation"], sizes[position], where)
            else:
                with_mask += 1
    if masks and found and not with_mask and not maps:
        report.add("no-masks", names[0], len(found))
    if any(not isinstance(record, dict) or "file_name" not in record for record in records):
        return None
    boxes, owners, classes, crowds = zip(*found, strict=True) if found else ((), (), (), ())
    return Columns(
        files=[os.fspath(record["file_name"]) for record in records],
        sizes=sizes,
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        owners=np.array(owners, dtype=np.int64),
        classes=np.array(classes, dtype=np.int64),
        crowd=np.array(crowds, dtype=bool),
        where=names.__getitem__,
    )


def _look_at_image_id(report: Report, record: dict[str, Any], known: set[Any]) -> None:
    """Ids of images have to be unique where there are some; evaluation needs them."""
    if "image_id" not in record:
        return
    number = record["image_id"]
    number = _plain(number)
    if not id_type(number):
        report.add("bad-id", f"image_id {number!r:.40} of {record['file_name']}")
    elif number in known:
        report.add("repeated-image-id", f"image_id {number!r} of {record['file_name']}")
    else:
        known.add(number)


def _plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _box(annotation: dict[str, Any]) -> tuple[float, float, float, float] | None:
    """(x0, y0, x1, y1), or None for what is no box."""
    box = annotation["bbox"]
    values = box.tolist() if isinstance(box, np.ndarray) else box
    if not is_box(values) or annotation["bbox_mode"] not in (BoxMode.XYWH_ABS, BoxMode.XYXY_ABS):
        return None
    return corners({**annotation, "bbox": values})


def _look_at_mask(report: Report, segmentation: Any, size: np.ndarray, where: str) -> bool:
    """Whether a segmentation can be used."""
    width, height = size.astype(int).tolist()
    faults = segmentation_faults(segmentation, height, width)
    if faults.unusable:
        kind = "no-good-polygon" if isinstance(segmentation, list) else "bad-segmentation"
        report.add(kind, f"{where}: {faults.why}")
    elif faults.bad_parts:
        report.add("bad-polygon", f"{where}: {faults.why}", faults.bad_parts)
    return not faults.unusable
