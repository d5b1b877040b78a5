"""A data set's objects as columns, and what can be told from these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .findings import Report

# Boxes are said to leave the image only beyond this many pixels: files round coordinates.
_TOLERANCE = 1.0
# Boxes of a data set are taken for corners where at least this share of them leaves its image otherwise.
_CORNERS_SHARE = 0.02
# Crowds are mentioned from this share of all objects on; COCO has 0.01.
_CROWD_SHARE = 0.2


@dataclass(frozen=True)
class Columns:
    """M images and N objects.

    Attributes:
        files: of the images, with their folder.
        sizes: (M, 2) float64 width and height in pixels; infinite where the annotations have none.
        boxes: (N, 4) float64, absolute (x0, y0, x1, y1).
        owners: (N,) int64, positions of the objects' images.
        classes: (N,) int64 contiguous numbers.
        crowd: (N,) bool.
        where: what to call an object, by its position.
    """

    files: list[str]
    sizes: np.ndarray
    boxes: np.ndarray
    owners: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    where: Callable[[int], str]


def look_at_boxes(report: Report, columns: Columns) -> None:
    """Boxes without area, outside or beyond their image; shares or corners in place of x, y, width, height.

    Crowds are not looked at.
    """
    positions = np.flatnonzero(~columns.crowd)
    boxes, sizes = columns.boxes[positions], columns.sizes[columns.owners[positions]]
    if not len(boxes):
        return
    no_area = (boxes[:, 2:] <= boxes[:, :2]).any(1)
    outside = ~no_area & ((boxes[:, :2] >= sizes) | (boxes[:, 2:] <= 0)).any(1)
    reaching = ((boxes[:, :2] < -_TOLERANCE) | (boxes[:, 2:] > sizes + _TOLERANCE)).any(1)
    beyond = ~no_area & ~outside & reaching
    for kind, found in (("no-area", no_area), ("outside", outside), ("beyond", beyond)):
        if found.any():
            report.add(kind, _box_words(columns, int(positions[np.argmax(found)])), int(found.sum()))

    first = _box_words(columns, int(positions[0]))
    if (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= 2).all() and (_widths(boxes) <= 1).all():
        report.add("box-shares", first, len(boxes))
    # As COCO's x, y, w, h; for corners these are x0, y0, x1, y1.
    corners = np.concatenate([boxes[:, :2], _widths(boxes)], axis=1)
    fits = (corners[:, 2:] > corners[:, :2]) & (corners[:, 2:] <= sizes + _TOLERANCE)
    if fits.all() and (beyond | outside).mean() >= _CORNERS_SHARE:
        report.add("box-corners", first, len(boxes))


def _widths(boxes: np.ndarray) -> np.ndarray:
    """(N, 2) widths and heights."""
    return boxes[:, 2:] - boxes[:, :2]


def _box_words(columns: Columns, position: int) -> str:
    x0, y0, x1, y1 = (round(value, 2) for value in columns.boxes[position].tolist())
    return f"{columns.where(position)}: x {x0:g} to {x1:g}, y {y0:g} to {y1:g}"


def look_at_counts(
    report: Report, columns: Columns, num_queries: int | None, num_detections: int | None
) -> None:
    """Crowds, classes without objects, and images with more objects than can be found or scored.

    Args:
        report: has the classes' names.
        columns: of the data set.
        num_queries: MODEL.DETR.NUM_OBJECT_QUERIES; None looks at no such limit.
        num_detections: TEST.DETECTIONS_PER_IMAGE; None likewise.
    """
    crowds, objects = int(columns.crowd.sum()), len(columns.crowd)
    report.images, report.objects = len(columns.files), objects
    if not objects:
        if not report.errors:  # which may be why
            report.add("no-objects", columns.files[0], len(columns.files))
        return
    if crowds:
        first = columns.where(int(np.argmax(columns.crowd)))
        if crowds == objects:
            report.add("all-crowd", first, crowds)
        elif crowds > _CROWD_SHARE * objects:
            report.add("many-crowds", first, crowds)
    report.used_classes = set(np.unique(columns.classes).tolist())
    empty = [name for number, name in enumerate(report.classes) if number not in report.used_classes]
    if empty:
        report.add("class-without-objects", ", ".join(map(repr, empty[:5])), len(empty))
    owners, classes = columns.owners[~columns.crowd], columns.classes[~columns.crowd]
    per_image = np.bincount(owners, minlength=len(columns.files))
    # AP's limit is for each class of an image.
    classes_in_all = int(columns.classes.max()) + 1
    of_a_class, counts = np.unique(owners * classes_in_all + classes, return_counts=True)
    per_class = np.zeros_like(per_image)
    np.maximum.at(per_class, of_a_class // classes_in_all, counts)
    for kind, numbers, limit in (
        ("more-than-queries", per_image, num_queries),
        ("more-than-detections", per_class, num_detections),
    ):
        over = numbers > limit if limit is not None else np.zeros(0, dtype=bool)
        if over.any():
            first = columns.files[int(np.argmax(over))]
            report.add(kind, first, int(over.sum()), most=int(numbers.max()), limit=limit)


def look_at_repeated_files(report: Report, files: Sequence[str]) -> None:
    """Images of the same file."""
    if len(set(files)) == len(files):
        return
    seen: set[str] = set()
    for file in files:
        if file in seen:
            report.add("repeated-file", file)
        seen.add(file)
