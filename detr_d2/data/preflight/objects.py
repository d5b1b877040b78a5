"""What the objects of any data set have: boxes, crowds and masks.

It goes column by column: whether a whole column is sound is asked in C, and only where it is not, object by
object. A file of COCO's size takes seconds so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ..masks import are_sound_polygons, segmentation_faults
from .findings import Report
from .outline import MOST_PIXELS, Where, is_length

# What stands for polygons that were found sound while their file was parsed.
SOUND = object()


def forget_sound_polygons() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """An ``object_hook`` for parsing a file of instance annotations: puts :data:`SOUND` for sound polygons.

    Polygons are nearly all that such a file holds: without them it takes a fraction of the memory. Those
    that come before the list of images stay, and are looked at later.
    """
    sizes: dict[Any, tuple[int, int]] = {}

    def look(entry: dict[str, Any]) -> dict[str, Any]:
        try:
            if "segmentation" in entry:
                height, width = sizes[entry["image_id"]]
                if are_sound_polygons(entry["segmentation"], height, width):
                    entry["segmentation"] = SOUND
            elif is_length(entry["height"]) and is_length(entry["width"]):
                sizes[entry["id"]] = int(entry["height"]), int(entry["width"])
        except (KeyError, TypeError):
            pass  # an object of another kind, or one with faults, which are found later
        return entry

    return look


def look_at_boxes_form(report: Report, boxes: Sequence[Any], where: Where) -> tuple[np.ndarray, np.ndarray]:
    """Boxes, (x, y, width, height), have to be four numbers each.

    Returns:
        (N, 4) float64 absolute (x0, y0, x1, y1), and (N,) bool: where the box is one.
    """
    sound = np.ones(len(boxes), dtype=bool)
    xywh = _numbers_of(boxes)
    if xywh is None:
        xywh = np.zeros((len(boxes), 4))
        for position, box in enumerate(boxes):
            numbers = _numbers_of([box])
            if numbers is None:
                sound[position] = False
                report.add("bad-box", f"{where(position)}: {box!r:.60}")
            else:
                xywh[position] = numbers
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1), sound


def _numbers_of(boxes: Sequence[Any]) -> np.ndarray | None:
    """Boxes as (N, 4); None unless each is a list of four finite numbers that pixels can have."""
    if not (set(map(type, boxes)) <= {list, tuple} and set(map(len, boxes)) <= {4}):
        return None
    values = list(chain.from_iterable(boxes))
    if not set(map(type, values)) <= {int, float}:
        return None
    try:
        numbers = np.fromiter(values, dtype=np.float64).reshape(-1, 4)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return numbers if (np.abs(numbers) < MOST_PIXELS).all() else None


def look_at_crowds(report: Report, objects: Sequence[dict[str, Any]], where: Where) -> np.ndarray:
    """``iscrowd`` is 0 or 1, where there is one.

    Returns:
        (N,) bool: which are crowds.
    """
    flags = [entry.get("iscrowd") for entry in objects]
    if not (set(map(type, flags)) <= {int, bool, type(None)} and set(flags) <= {0, 1, None}):
        for position, flag in enumerate(flags):
            if flag is not None and (isinstance(flag, str | list | dict) or flag not in (0, 1)):
                report.add("bad-crowd", f"{where(position)}: {flag!r:.60}")
                flags[position] = None
    return np.fromiter(map(bool, flags), dtype=bool, count=len(flags))


def look_at_unsupported(report: Report, annotations: Sequence[dict[str, Any]], where: Where) -> None:
    """``ignore`` is 0, and keypoints, which Detectron2 reads too, are numbers."""
    for position, annotation in enumerate(annotations):
        if annotation.get("ignore", 0) != 0:
            report.add("ignore", where(position))
        points = annotation.get("keypoints")
        if points and not (isinstance(points, list) and set(map(type, points)) <= {int, float}):
            report.add("bad-keypoints", where(position))


def look_at_masks(
    report: Report,
    annotations: Sequence[dict[str, Any]],
    sizes: np.ndarray,
    needed: np.ndarray,
    where: Where,
    masks: bool,
    of_json: bool,
) -> np.ndarray:
    """Segmentations have to be of use, and to be there where they are needed.

    Args:
        sizes: (N, 2) width and height of each object's image; without one masks are only counted.
        needed: (N,) bool: which objects are trained on with their mask.
        masks: whether masks are read at all. If not, one of no use is only said.
        of_json: whether Detectron2 reads the segmentations from a json: it takes fewer forms, and leaves out
            objects without a polygon of three points.

    Returns:
        (N,) bool: which objects are left after that.
    """
    left = np.ones(len(annotations), dtype=bool)
    with_mask = 0
    for position, annotation in enumerate(annotations):
        mask = annotation.get("segmentation")
        if mask is SOUND:
            with_mask += 1
            continue
        if mask is None or (of_json and not mask):
            if needed[position]:
                report.add("no-mask", where(position))
            continue
        if of_json and not _can_be_read(mask):
            report.add(
                "bad-segmentation",
                f"{where(position)}: write polygons as lists [x0, y0, x1, y1, x2, y2, ...]",
            )
            left[position] = False
            continue
        if not np.isfinite(sizes[position]).all():
            with_mask += 1
            continue
        width, height = map(int, sizes[position])
        faults = segmentation_faults(mask, height, width)
        if faults.unusable:
            polygons = isinstance(mask, list)
            harmless = of_json and not masks and not polygons and _can_be_loaded(mask, height, width)
            kind = "no-good-polygon" if polygons else "useless-mask" if harmless else "bad-segmentation"
            report.add(kind, f"{where(position)}: {faults.why}")
            if of_json and not harmless:
                left[position] = polygons and any(len(x) >= 6 and len(x) % 2 == 0 for x in mask)
            continue
        with_mask += 1
        if faults.bad_parts:
            report.add("bad-polygon", f"{where(position)}: {faults.why}", faults.bad_parts)
    if needed.any() and not with_mask:
        report.add("no-masks", where(int(np.argmax(needed))), len(annotations))
    return left


def _can_be_loaded(rle: Any, height: int, width: int) -> bool:
    """Whether Detectron2 can load an RLE that is of no use: it hands counts that are no text to C code."""
    if not isinstance(rle, dict) or "size" not in rle:
        return False
    counts = rle.get("counts")
    if isinstance(counts, list) and rle["size"] == [height, width]:
        return set(map(type, counts)) <= {int} and all(0 <= count < 2**32 for count in counts)
    return isinstance(counts, str)


def _can_be_read(segmentation: Any) -> bool:
    """Whether Detectron2 reads a segmentation from a json: it takes no flat list, and no list of points."""
    if not isinstance(segmentation, list):
        return True
    if not set(map(type, segmentation)) <= {list}:
        return False
    return not (len(segmentation) >= 3 and set(map(len, segmentation)) == {2})
