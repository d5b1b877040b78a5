"""A look at COCO's panoptic annotations as their file has them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..panoptic_classes import panoptic_classes, says_isthing
from ..segment_map import LARGEST_ID, VOID
from .columns import Columns
from .findings import Report
from .maps import look_at_maps
from .outline import id_type, look_at_ids, look_at_names, look_at_outline, look_at_sizes

_NEEDED = {
    "categories": ("id", "name"),
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("image_id", "file_name", "segments_info"),
}
_NUMBERS = "thing_dataset_id_to_contiguous_id", "stuff_dataset_id_to_contiguous_id"

Json = dict[str, Any]


def look_at_panoptic(
    report: Report,
    content: Any,
    image_root: str,
    panoptic_root: str,
    metadata: Mapping[str, Any] | None = None,
) -> Columns | None:
    """Look at what a file of panoptic annotations holds, and at its segmentation maps.

    Args:
        report: gets the findings and the names of the classes.
        content: of the file, parsed.
        image_root, panoptic_root: folders of the images and of the maps.
        metadata: of the data set. Where they number no classes these are numbered by
            :func:`~..panoptic_classes.panoptic_classes`, as of DATASETS.COCO_PANOPTIC.

    Returns:
        the images that have annotations, in this order, and their segments; None where there is an error
        that keeps them from being read. Boxes are NaN, because segments get theirs from the maps, and no
        segment is a crowd, because all are trained on.
    """
    if not look_at_panoptic_json(report, content):
        return None
    numbers = _look_at_classes(report, content["categories"], metadata or {})
    if numbers is None:
        return None
    images = {image["id"]: image for image in content["images"]}
    annotations = content["annotations"]
    annotated = [images[annotation["image_id"]] for annotation in annotations]
    where = _names_of(annotations)
    classes = np.array(
        [numbers.get(s["category_id"], -1) for a in annotations for s in a["segments_info"]], dtype=np.int64
    )
    if (classes < 0).any():
        report.add("unnumbered-category", where(int(np.argmax(classes < 0))), int((classes < 0).sum()))
        return None
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
    counts = [len(annotation["segments_info"]) for annotation in annotations]
    return Columns(
        files=[os.path.join(image_root, image["file_name"]) for image in annotated],
        sizes=sizes,
        boxes=np.full((len(classes), 4), np.nan),
        owners=np.repeat(np.arange(len(counts)), counts),
        classes=classes,
        crowd=np.zeros(len(classes), dtype=bool),
        where=where,
    )


def look_at_panoptic_json(report: Report, content: Any) -> bool:
    """Whether panoptic annotations, parsed, can be read; of ``isthing`` and the maps nothing is looked at."""
    if not look_at_outline(report, content, _NEEDED):
        return False
    categories, images = (look_at_ids(report, content[key], key) for key in ("categories", "images"))
    look_at_names(report, content["categories"])
    look_at_sizes(report, content["images"])
    if not content["annotations"]:
        report.add("outline", "the list 'annotations' is empty; it needs an entry for each image")
    if not report.errors:
        annotated = _look_at_annotations(report, content["annotations"], images, categories)
        for image in content["images"]:
            if image["id"] not in annotated:
                report.add("image-without-annotation", f"image {image['id']!r} ({image['file_name']})")
    return not report.errors


def _look_at_classes(
    report: Report, categories: list[Json], metadata: Mapping[str, Any]
) -> dict[Any, int] | None:
    """Contiguous numbers by category id; None where there is an error."""
    if all(key in metadata for key in _NUMBERS):
        things, stuff = (metadata[key] for key in _NUMBERS)
        shared = sorted(set(things.values()) & set(stuff.values()))
        if shared:
            ids = [
                category
                for numbers in (things, stuff)
                for category in numbers
                if numbers[category] == shared[0]
            ]
            report.add("shared-class-numbers", f"{shared[0]}, of the categories {ids}", len(shared))
            return None
        names = {category["id"]: category["name"] for category in categories}
        numbers = {**stuff, **things}
        report.classes = list(metadata.get("stuff_classes", ())) or [
            names.get(category, str(category)) for category in sorted(numbers, key=lambda key: numbers[key])
        ]
        return numbers
    for category in categories:
        if not says_isthing(category):
            has = repr(category["isthing"])[:40] if "isthing" in category else "nothing"
            report.add("bad-isthing", f"category {category['id']!r} ({category['name']!r:.60}) has {has}")
    if report.errors:
        return None
    classes = panoptic_classes(categories)
    report.classes = classes["thing_classes"]
    return {category: number for key in _NUMBERS for category, number in classes[key].items()}


def _look_at_annotations(
    report: Report, annotations: list[Json], images: Mapping[Any, int], categories: Mapping[Any, int]
) -> set[Any]:
    """One annotation an image, with the name of a map and a list of segments; returns the images' ids."""
    seen: set[Any] = set()
    files: set[str] = set()
    segments, crowds = 0, 0
    for number, annotation in enumerate(annotations):
        image_id, file, listed = annotation["image_id"], annotation["file_name"], annotation["segments_info"]
        where = f"annotation {number} (image {image_id!r:.40}, {file!r:.60})"
        if _refers(report, image_id, images, "image_id", "unlisted-image", where):
            if image_id in seen:
                report.add("repeated-annotation", where)
            seen.add(image_id)
        if not isinstance(file, str) or not file:
            report.add("record", f"{where}: 'file_name' must be the name of its map")
        elif file in files:
            report.add("repeated-map", where)
        else:
            files.add(file)
        if not isinstance(listed, list):
            report.add("record", f"{where}: 'segments_info' must be a list, got {listed!r:.40}")
            continue
        segments += len(listed)
        crowds += _look_at_segments(report, listed, categories, where)
    if segments and crowds == segments:
        report.add("all-crowd-segments", f"annotation 0 (image {annotations[0]['image_id']!r})", segments)
    return seen


def _look_at_segments(report: Report, segments: list[Any], categories: Mapping[Any, int], where: str) -> int:
    """The segments of an image; returns how many are crowds."""
    seen: set[int] = set()
    crowds: Counter[Any] = Counter()
    for position, segment in enumerate(segments):
        if not isinstance(segment, dict) or "id" not in segment or "category_id" not in segment:
            report.add(
                "record", f"segment {position} of {where} needs 'id' and 'category_id': {segment!r:.60}"
            )
            continue
        number, category, crowd = segment["id"], segment["category_id"], segment.get("iscrowd")
        if id_type(number) != "number" or not VOID < number <= LARGEST_ID:
            report.add("bad-segment-id", f"segment {position} of {where} has the id {number!r:.40}")
        elif number in seen:
            report.add("repeated-segment-id", f"segment {number!r} of {where}")
        else:
            seen.add(number)
        # Words are made where they are needed alone: COCO has more than a million segments.
        known = type(category) in (int, str) and category in categories
        if not known:
            what = f"segment {number!r:.40} of {where}"
            known = _refers(report, category, categories, "category_id", "unlisted-category", what)
        if crowd is not None and (type(crowd) not in (int, float, bool) or crowd not in (0, 1)):
            report.add("bad-crowd", f"segment {number!r:.40} of {where}: {crowd!r:.40}")
        elif crowd and known:
            crowds[category] += 1
    if any(count > 1 for count in crowds.values()):
        report.add("several-crowds", where)
    return crowds.total()


def _refers(
    report: Report, value: Any, known: Mapping[Any, int], key: str, unlisted: str, where: str
) -> bool:
    """Whether a value is one of the ids that are listed."""
    kind, listed = id_type(value), next(iter(known))
    if kind and kind == id_type(listed):
        if value in known:
            return True
        some = ", ".join(repr(number) for number in list(known)[:10])
        report.add(unlisted, f"{where} has the {key} {value!r:.40} (listed are {some:.80})")
    elif kind:
        report.add("mixed-ids", f"{where} has the {key} {value!r:.40}; listed are ids such as {listed!r:.40}")
    else:
        report.add("bad-id", f"{where} has the {key} {value!r:.40}")
    return False


def _names_of(annotations: list[Json]) -> Callable[[int], str]:
    """What to call a segment, by its position among those of all annotations."""
    ends = np.cumsum([len(annotation["segments_info"]) for annotation in annotations])

    def where(position: int) -> str:
        owner = int(np.searchsorted(ends, position, side="right"))
        annotation = annotations[owner]
        segments = annotation["segments_info"]
        segment = segments[position - int(ends[owner]) + len(segments)]
        return f"segment {segment['id']!r} (image {annotation['image_id']!r}, {annotation['file_name']})"

    return where
