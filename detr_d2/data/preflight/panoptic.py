"""A look at COCO's panoptic annotations as their file has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..panoptic_classes import panoptic_classes, says_isthing
from ..segment_map import LARGEST_ID, VOID
from .columns import Columns
from .findings import Report
from .maps import look_at_maps
from .objects import look_at_crowds
from .outline import (
    Where,
    id_type,
    look_at_ids,
    look_at_names,
    look_at_outline,
    look_at_references,
    look_at_sizes,
)

_NEEDED = {
    "categories": ("id", "name"),
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "file_name", "segments_info"),
}
_NUMBERS = "thing_dataset_id_to_contiguous_id", "stuff_dataset_id_to_contiguous_id"

Json = dict[str, Any]


@dataclass(frozen=True)
class Segments:
    """The N segments of a file's annotations.

    Attributes:
        listed: as the file has them.
        owners: (N,) int64, positions of their annotations.
        where: what to call a segment, by its position.
    """

    listed: list[Json]
    owners: np.ndarray
    where: Where


def look_at_panoptic(
    report: Report,
    content: Any,
    image_root: str,
    panoptic_root: str,
    metadata: Mapping[str, Any] | None = None,
) -> Columns | None:
    """Look at what a file of panoptic annotations holds, and at its segmentation maps.

    Args:
        report: gets the findings, and the classes.
        content: of the file, parsed.
        image_root, panoptic_root: folders of the images and of the maps.
        metadata: of the data set. Where they number no classes these are numbered by
            :func:`~..panoptic_classes.panoptic_classes`, as of DATASETS.COCO_PANOPTIC.

    Returns:
        the images that have annotations, in this order, and their segments; None where there is an error
        that keeps them from being read. Boxes are NaN, because segments get theirs from the maps, and no
        segment is a crowd, because all are trained on.
    """
    segments = look_at_panoptic_json(report, content)
    if segments is None:
        return None
    numbers = _look_at_classes(report, content["categories"], metadata or {})
    if numbers is None:
        return None
    classes = np.array([numbers.get(x["category_id"], -1) for x in segments.listed], dtype=np.int64)
    if (classes < 0).any():
        first = segments.where(int(np.argmax(classes < 0)))
        report.add("unnumbered-category", first, int((classes < 0).sum()))
        return None
    images = {image["id"]: image for image in content["images"]}
    annotations = content["annotations"]
    annotated = [images[annotation["image_id"]] for annotation in annotations]
    for annotation in annotations:
        file = annotation["file_name"]
        if os.path.isabs(file) or ".." in file.split("/"):
            report.add("map-elsewhere", f"{file!r:.60} (image {annotation['image_id']!r:.40})")
    sizes = np.array([(image["width"], image["height"]) for image in annotated], dtype=np.float64)
    look_at_maps(
        report,
        [os.path.join(panoptic_root, annotation["file_name"]) for annotation in annotations],
        sizes,
        lambda position: [int(segment["id"]) for segment in annotations[position]["segments_info"]],
        panoptic_root,
    )
    return Columns(
        files=[os.path.join(image_root, image["file_name"]) for image in annotated],
        sizes=sizes,
        boxes=np.full((len(classes), 4), np.nan),
        owners=segments.owners,
        classes=classes,
        crowd=np.zeros(len(classes), dtype=bool),
        where=segments.where,
    )


def look_at_panoptic_json(report: Report, content: Any) -> Segments | None:
    """The segments of panoptic annotations, parsed; None where they cannot be read.

    Of ``isthing`` and of the maps nothing is looked at.
    """
    if not look_at_outline(report, content, _NEEDED):
        return None
    categories, images = (look_at_ids(report, content[key], key) for key in ("categories", "images"))
    look_at_names(report, content["categories"])
    look_at_sizes(report, content["images"])
    annotations = content["annotations"]
    if not annotations:
        report.add("outline", "the list 'annotations' is empty; it needs an entry for each image")
    if report.errors:
        return None

    def name_of(number: int) -> str:
        annotation = annotations[number]
        return f"annotation {number} (image {annotation['image_id']!r:.40}, {annotation['file_name']!r:.60})"

    owners = look_at_references(report, [x["image_id"] for x in annotations], "image_id", images, name_of)
    _look_at_annotations(report, annotations, owners, name_of)
    segments = _look_at_segments(report, annotations, name_of)
    ids = [segment["category_id"] for segment in segments.listed]
    classes = look_at_references(report, ids, "category_id", categories, segments.where)
    crowd = look_at_crowds(report, segments.listed, segments.where) & (classes >= 0)
    if len(crowd) and crowd.all():
        report.add("all-crowd-segments", segments.where(0), len(crowd))
    crowds, counts = np.unique(np.stack([segments.owners, classes])[:, crowd], axis=1, return_counts=True)
    for number in np.unique(crowds[0, counts > 1]).tolist():
        report.add("several-crowds", name_of(number))
    for position in np.setdiff1d(np.arange(len(content["images"])), owners).tolist():
        image = content["images"][position]
        report.add("image-without-annotation", f"image {image['id']!r} ({image['file_name']})")
    return None if report.errors else segments


def _look_at_annotations(report: Report, annotations: list[Json], owners: np.ndarray, where: Where) -> None:
    """One annotation an image, with a map of its own.

    Args:
        owners: (A,) positions of their images; -1 where there is none.
    """
    seen: set[int] = set()
    files: set[str] = set()
    for number, (annotation, owner) in enumerate(zip(annotations, owners.tolist(), strict=True)):
        if owner in seen:
            report.add("repeated-annotation", where(number))
        elif owner >= 0:
            seen.add(owner)
        file = annotation["file_name"]
        if not isinstance(file, str) or not file:
            report.add("record", f"{where(number)}: 'file_name' must be the name of its map")
        elif file in files:
            report.add("repeated-map", where(number))
        else:
            files.add(file)


def _look_at_segments(report: Report, annotations: list[Json], where: Where) -> Segments:
    """The segments that have what they need; ids have to be colors, and unique within an image."""
    listed: list[Json] = []
    owners: list[int] = []
    for number, annotation in enumerate(annotations):
        segments = annotation["segments_info"]
        seen: set[int] = set()
        if not isinstance(segments, list):
            report.add("record", f"{where(number)}: 'segments_info' must be a list, got {segments!r:.40}")
            continue
        for position, segment in enumerate(segments):
            if not isinstance(segment, dict) or "id" not in segment or "category_id" not in segment:
                words = f"segment {position} of {where(number)} needs 'id' and 'category_id': {segment!r:.60}"
                report.add("record", words)
                continue
            color = segment["id"]
            if id_type(color) != "number" or not VOID < color <= LARGEST_ID:
                words = f"segment {position} of {where(number)} has the id {color!r:.40}"
                report.add("bad-segment-id", words)
            elif color in seen:
                report.add("repeated-segment-id", f"segment {color!r} of {where(number)}")
            else:
                seen.add(color)
            listed.append(segment)
            owners.append(number)
    return Segments(
        listed,
        np.array(owners, dtype=np.int64),
        lambda position: f"segment {listed[position]['id']!r:.40} of {where(owners[position])}",
    )


def _look_at_classes(
    report: Report, categories: list[Json], metadata: Mapping[str, Any]
) -> dict[Any, int] | None:
    """Contiguous numbers by category id; None where there is an error."""
    names = {category["id"]: category["name"] for category in categories}
    if all(key in metadata for key in _NUMBERS):
        things, stuff = (metadata[key] for key in _NUMBERS)
        shared = sorted(set(things.values()) & set(stuff.values()))
        if shared:
            ids = [key for numbers in (things, stuff) for key in numbers if numbers[key] == shared[0]]
            report.add("shared-class-numbers", f"{shared[0]}, of the categories {ids}", len(shared))
            return None
        listed = metadata.get("stuff_classes")
    else:
        for category in categories:
            if not says_isthing(category):
                has = repr(category["isthing"])[:40] if "isthing" in category else "nothing"
                report.add("bad-isthing", f"category {category['id']!r} ({category['name']!r:.60}) has {has}")
        if report.errors:
            return None
        classes = panoptic_classes(categories)
        (things, stuff), listed = (classes[key] for key in _NUMBERS), classes["thing_classes"]
    numbers = {**stuff, **things}
    report.things = set(things.values())
    report.classes = list(
        listed or [names.get(key, str(key)) for key in sorted(numbers, key=lambda key: numbers[key])]
    )
    return numbers
