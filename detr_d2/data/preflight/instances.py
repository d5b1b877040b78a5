"""A look at COCO's instance annotations as their file has them, before Detectron2 loads them.

It goes column by column: whether a whole column is sound is asked in C, and only where it is not, record by
record. A file of COCO's size takes seconds so.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ..masks import segmentation_faults
from .columns import Columns
from .findings import Report
from .outline import MOST_PIXELS, id_type, look_at_ids, look_at_names, look_at_outline, look_at_sizes

_NEEDED = {
    "categories": ("id", "name"),
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
}

Where = Callable[[int], str]

# Numbers of an object's polygons times the image's longer side, below which its outlines are short.
_SHORT_OUTLINES = 90_000


def look_at_instances(report: Report, content: Any, image_root: str, masks: bool) -> Columns | None:
    """Look at what a file of instance annotations holds.

    Args:
        report: gets the findings and the names of the classes.
        content: of the file, parsed.
        image_root: folder of the images.
        masks: whether the masks are trained on.

    Returns:
        the objects that Detectron2 loads, as far as they are sound; None where there is an error that keeps
        all of them from being read.
    """
    if isinstance(content, dict) and "annotations" not in content:  # images to be tested are published so
        content = {**content, "annotations": []}
    if not look_at_outline(report, content, _NEEDED):
        return None
    categories, images = (look_at_ids(report, content[key], key) for key in ("categories", "images"))
    annotations = content["annotations"]
    look_at_ids(report, annotations, "annotations")
    look_at_names(report, content["categories"])
    sizes = look_at_sizes(report, content["images"])
    if report.errors:
        return None
    # Contiguous numbers follow the ids, as in Detectron2.
    numbers = {category: number for number, category in enumerate(sorted(categories))}
    names = {category["id"]: category["name"] for category in content["categories"]}
    report.classes = [names[category] for category in numbers]

    def where(position: int) -> str:
        annotation = annotations[position]
        file = content["images"][images[annotation["image_id"]]]["file_name"]
        return f"annotation {annotation['id']!r} (image {annotation['image_id']!r}, {file})"

    owners = look_at_references(report, annotations, "image_id", images, "unlisted-image")
    classes = look_at_references(report, annotations, "category_id", numbers, "unlisted-category")
    kept = (owners >= 0) & (classes >= 0)
    if not kept.all():  # the rest is looked at without them
        annotations = [annotations[position] for position in np.flatnonzero(kept)]
        owners, classes = owners[kept], classes[kept]
    boxes, sound = look_at_boxes_form(report, [annotation["bbox"] for annotation in annotations], where)
    crowd = look_at_flags(report, annotations, where)
    sound &= look_at_segmentations(report, annotations, sizes[owners], crowd, where, masks)
    positions = np.flatnonzero(sound)
    return Columns(
        files=[os.path.join(image_root, image["file_name"]) for image in content["images"]],
        sizes=sizes,
        boxes=boxes[sound],
        owners=owners[sound],
        classes=classes[sound],
        crowd=crowd[sound],
        where=lambda position: where(int(positions[position])),
    )


def look_at_references(
    report: Report, annotations: list[dict[str, Any]], key: str, known: dict[Any, int], kind: str
) -> np.ndarray:
    """What annotations name has to be listed.

    Args:
        key: "image_id" or "category_id".
        known: numbers of what is listed, by its id.
        kind: of the finding.

    Returns:
        (N,) int64 numbers; -1 where nothing is named that is listed.
    """
    values = [annotation[key] for annotation in annotations]
    listed = id_type(next(iter(known)))
    if set(map(type, values)) <= {int if listed == "number" else str} and known.keys() >= set(values):
        return np.fromiter(map(known.__getitem__, values), dtype=np.int64, count=len(values))
    numbers = np.full(len(values), -1, dtype=np.int64)
    some = ", ".join(repr(number) for number in list(known)[:5])
    for position, value in enumerate(values):
        this = id_type(value)
        if this == listed and value in known:
            numbers[position] = known[value]
            continue
        where = f"annotation {annotations[position]['id']!r:.40} has the {key} {value!r:.40}"
        if not this:
            report.add("bad-id", where)
        else:
            report.add(kind if this == listed else "mixed-ids", f"{where}; listed are {some:.80}")
    return numbers


def look_at_boxes_form(report: Report, boxes: Sequence[Any], where: Where) -> tuple[np.ndarray, np.ndarray]:
    """Boxes have to be four numbers each.

    Returns:
        (N, 4) float64 absolute (x0, y0, x1, y1), and (N,) bool: where the box is one.
    """
    xywh, sound = np.zeros((len(boxes), 4)), np.ones(len(boxes), dtype=bool)
    if _are_boxes(boxes):
        xywh = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    else:
        for position, box in enumerate(boxes):
            if is_box(box):
                xywh[position] = box
            else:
                sound[position] = False
                report.add("bad-box", f"{where(position)}: {box!r:.60}")
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1), sound


def _are_boxes(boxes: Sequence[Any]) -> bool:
    """Whether all of many values are boxes, as :func:`is_box` says of one."""
    if not (set(map(type, boxes)) <= {list} and set(map(len, boxes)) <= {4}):
        return False
    values = list(chain.from_iterable(boxes))
    if not set(map(type, values)) <= {int, float}:
        return False
    return not values or (
        min(values) > -MOST_PIXELS and max(values) < MOST_PIXELS and sum(values) == sum(values)
    )


def is_box(box: Any) -> bool:
    """Whether a value is four finite numbers of a size that pixels can have."""
    return (
        isinstance(box, list | tuple)
        and len(box) == 4
        and all(type(v) in (int, float) and -MOST_PIXELS < v < MOST_PIXELS for v in box)
    )


def look_at_flags(report: Report, annotations: list[dict[str, Any]], where: Where) -> np.ndarray:
    """``iscrowd`` is 0 or 1, ``ignore`` 0, and keypoints, which Detectron2 reads too, are numbers.

    Returns:
        (N,) bool: which are crowds.
    """
    flags = [annotation.get("iscrowd") for annotation in annotations]
    if not (set(map(type, flags)) <= {int, bool, type(None)} and set(flags) <= {0, 1, None}):
        for position, flag in enumerate(flags):
            if flag is not None and (isinstance(flag, str | list | dict) or flag not in (0, 1)):
                report.add("bad-crowd", f"{where(position)}: {flag!r:.60}")
                flags[position] = None
    for position, annotation in enumerate(annotations):
        if annotation.get("ignore", 0) != 0:
            report.add("ignore", where(position))
        points = annotation.get("keypoints")
        if points and not (isinstance(points, list) and set(map(type, points)) <= {int, float}):
            report.add("bad-keypoints", where(position))
    return np.fromiter(map(bool, flags), dtype=bool, count=len(flags))


def look_at_segmentations(
    report: Report,
    annotations: list[dict[str, Any]],
    sizes: np.ndarray,
    crowd: np.ndarray,
    where: Where,
    masks: bool,
) -> np.ndarray:
    """Segmentations have to be of use, and with ``masks`` to be there.

    Args:
        sizes: (N, 2) width and height of each object's image.
        crowd: (N,) bool.

    Returns:
        (N,) bool: which objects Detectron2 loads. It leaves out those without a polygon of three points.
    """
    loaded = np.ones(len(annotations), dtype=bool)
    with_mask = 0
    widths, heights = sizes.astype(np.int64).T.tolist() if len(sizes) else ([], [])
    for position, annotation in enumerate(annotations):
        segmentation = annotation.get("segmentation")
        if not segmentation:
            if masks and not crowd[position]:
                report.add("no-mask", where(position))
            continue
        polygons = type(segmentation) is list
        if polygons and not _are_lists_of_polygons(segmentation):
            report.add(
                "bad-segmentation",
                f"{where(position)}: write polygons as lists [x0, y0, x1, y1, x2, y2, ...]",
            )
            loaded[position] = False
            continue
        width, height = widths[position], heights[position]
        if polygons and _are_surely_sound(segmentation, max(width, height)):
            with_mask += 1
            continue
        faults = segmentation_faults(segmentation, height, width)
        if faults.unusable:
            harmless = not masks and not polygons and _can_be_loaded(segmentation, height, width)
            kind = "no-good-polygon" if polygons else "useless-mask" if harmless else "bad-segmentation"
            report.add(kind, f"{where(position)}: {faults.why}")
            readable = polygons and any(len(x) >= 6 and len(x) % 2 == 0 for x in segmentation)
            loaded[position] = readable or harmless
            continue
        with_mask += 1
        if faults.bad_parts:
            report.add("bad-polygon", f"{where(position)}: {faults.why}", faults.bad_parts)
    if masks and annotations and not with_mask:
        report.add("no-masks", where(0), len(annotations))
    return loaded


def _are_surely_sound(polygons: list[list[Any]], longer: int) -> bool:
    """Whether nothing can be wrong with polygons; quick, for nearly all are so. The others are looked at.

    Args:
        longer: side of the image, in pixels. Coordinates are within one such length around it here, and few
            enough that outlines are short.
    """
    return sum(map(len, polygons)) * longer < _SHORT_OUTLINES and all(
        len(polygon) >= 6
        and len(polygon) % 2 == 0
        and set(map(type, polygon)) <= {int, float}
        and -longer <= min(polygon)
        and max(polygon) <= 2 * longer
        and not math.isnan(sum(polygon))
        for polygon in polygons
    )


def _can_be_loaded(rle: Any, height: int, width: int) -> bool:
    """Whether Detectron2 can load an RLE that is of no use: it hands counts that are no text to C code."""
    if not isinstance(rle, dict) or "size" not in rle:
        return False
    counts = rle.get("counts")
    if isinstance(counts, list) and rle["size"] == [height, width]:
        return set(map(type, counts)) <= {int} and all(0 <= count < 2**32 for count in counts)
    return isinstance(counts, str)


def _are_lists_of_polygons(segmentation: list[Any]) -> bool:
    """Whether Detectron2 can read a list: it takes no flat one, and none of points in pairs."""
    if not set(map(type, segmentation)) <= {list}:
        return False
    return not (len(segmentation) >= 3 and set(map(len, segmentation)) == {2})
