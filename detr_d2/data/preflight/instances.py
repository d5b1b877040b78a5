"""A look at COCO's instance annotations as their file has them, before Detectron2 loads them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from .columns import Columns
from .findings import Report
from .objects import look_at_boxes_form, look_at_crowds, look_at_masks, look_at_unsupported
from .outline import look_at_ids, look_at_names, look_at_outline, look_at_references, look_at_sizes

_NEEDED = {
    "categories": ("id", "name"),
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
}


def look_at_instances(report: Report, content: Any, image_root: str, masks: bool) -> Columns | None:
    """Look at what a file of instance annotations holds.

    Args:
        report: gets the findings and the names of the classes.
        content: of the file, parsed, with or without :func:`~.objects.forget_sound_polygons`.
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

    def name_of(position: int) -> str:
        return f"annotation {annotations[position]['id']!r:.40}"

    def where(position: int) -> str:
        image = content["images"][owners[position]]
        return f"{name_of(position)} (image {image['id']!r}, {image['file_name']})"

    owners, classes = (
        look_at_references(report, [annotation[key] for annotation in annotations], key, known, name_of)
        for key, known in (("image_id", images), ("category_id", numbers))
    )
    kept = (owners >= 0) & (classes >= 0)
    if not kept.all():  # the rest is looked at without them
        annotations = [annotations[position] for position in np.flatnonzero(kept)]
        owners, classes = owners[kept], classes[kept]
    boxes, sound = look_at_boxes_form(report, [annotation["bbox"] for annotation in annotations], where)
    crowd = look_at_crowds(report, annotations, where)
    look_at_unsupported(report, annotations, where)
    sound &= look_at_masks(report, annotations, sizes[owners], ~crowd & masks, where, masks, of_json=True)
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
