"""Mending the objects of COCO's instance annotations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..formats import Json
from ..formats.builder import bounds
from ..masks import segmentation_faults, split_polygons
from ..preflight.outline import MOST_PIXELS

# Gets a record, in words, and what was done to it.
Tell = Callable[[str, str], None]


def key_of(value: Any) -> int | str | None:
    """What an id is compared by: 1, 1.0 and "1" are the same. None for what cannot be an id."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not str or not value.strip():
        return None
    try:
        return int(value)
    except ValueError:
        return value.strip()


def fix_objects(
    annotations: list[Any],
    images: Mapping[Any, Json | None],
    classes: Mapping[Any, Json],
    tell: Tell,
) -> list[Json]:
    """The objects that can be used, mended.

    Args:
        annotations: of a file; changed in place.
        images, classes: by the keys of the ids that the file has. An image that was left out is None, and
            nothing is said of its objects.
        tell: is told of each change.
    """
    kept: list[Json] = []
    ids: set[int] = set()
    most = max((x["id"] for x in annotations if isinstance(x, dict) and type(x.get("id")) is int), default=0)
    for position, entry in enumerate(annotations):
        if not isinstance(entry, dict):
            tell(f"annotation {position} (counted from 0)", "left out: it is no object")
            continue
        record = f"annotation {entry.get('id')!r:.40} ({position}, counted from 0)"
        of, category = key_of(entry.get("image_id")), classes.get(key_of(entry.get("category_id")))
        if of not in images:
            tell(record, f"left out: there is no image {entry.get('image_id')!r:.40}")
            continue
        image = images[of]
        if image is None:
            continue
        if category is None:
            tell(record, f"left out: there is no category {entry.get('category_id')!r:.40}")
            continue
        entry.update(image_id=image["id"], category_id=category["id"])
        why = _fix_object(entry, image, record, tell)
        if why:
            tell(record, f"left out: {why}")
            continue
        if type(entry.get("id")) is not int or entry["id"] in ids:
            most += 1
            entry["id"] = most
            tell(record, f"has the new id {most}: it had none, or that of another one")
        ids.add(entry["id"])
        kept.append(entry)
    if kept and all(entry.get("iscrowd") for entry in kept):
        tell("annotations", "'iscrowd' is 0 now: all of them were crowds")
        for entry in kept:
            entry["iscrowd"] = 0
    return kept


def _fix_object(entry: Json, image: Json, record: str, tell: Tell) -> str:
    """Mend an object of an image; returns why it cannot be used, or ""."""
    width, height = image["width"], image["height"]
    if "segmentation" in entry:
        _fix_mask(entry, height, width, record, tell)
    if entry.get("iscrowd") not in (0, 1, None) or isinstance(entry.get("iscrowd"), str):
        tell(record, f"'iscrowd' is 0 now, not {entry['iscrowd']!r:.40}")
        entry["iscrowd"] = 0
    if entry.pop("ignore", 0):
        entry["iscrowd"] = 1
        tell(record, "'iscrowd' is 1 now, in place of 'ignore'")
    points = entry.get("keypoints")
    if points and not (isinstance(points, list) and set(map(type, points)) <= {int, float}):
        del entry["keypoints"]
        tell(record, "'keypoints' left out: they are no numbers")
    box = _box(entry.get("bbox"))
    if box is None:
        polygons = entry.get("segmentation")
        if not isinstance(polygons, list):
            return f"its bbox is {entry.get('bbox')!r:.60}"
        x0, y0, x1, y1 = bounds([value for polygon in polygons for value in polygon])
        box = [x0, y0, x1 - x0, y1 - y0]
        tell(record, f"has the box of its polygons, not {entry.get('bbox')!r:.60}")
    x, y, w, h = box
    if w <= 0 or h <= 0:
        return f"its box {box} has no area"
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if x1 <= x0 or y1 <= y0:
        return f"its box {box} lies outside the image"
    # Files round: less than a pixel is left.
    if min(x, y) < -1 or x + w > width + 1 or y + h > height + 1:
        box = [x0, y0, x1 - x0, y1 - y0]
        tell(record, f"its box is {box} now: it reached beyond the image")
        if "segmentation" not in entry:
            entry.pop("area", None)
    entry["bbox"] = box
    return ""


def _box(box: Any) -> list[float] | None:
    """Four numbers that pixels can have, or None."""
    if not isinstance(box, list) or len(box) != 4 or not set(map(type, box)) <= {int, float}:
        return None
    return box if all(math.isfinite(x) and abs(x) < MOST_PIXELS for x in box) else None


def _fix_mask(entry: Json, height: int, width: int, record: str, tell: Tell) -> None:
    """Leave out what cannot be used of a segmentation, and write polygons as Detectron2 reads them."""
    mask = entry["segmentation"]
    if not mask:
        del entry["segmentation"]
        return
    faults = segmentation_faults(mask, height, width)
    if faults.unusable:
        del entry["segmentation"]
        tell(record, f"'segmentation' left out: {faults.why}")
    elif isinstance(mask, list):
        good, bad = split_polygons(mask, height, width)
        entry["segmentation"] = [list(polygon) for polygon in good]
        if bad:
            tell(record, f"polygons left out ({len(bad)}): {faults.why}")
        elif entry["segmentation"] != mask:
            tell(record, "'segmentation' written as a list of polygons")
