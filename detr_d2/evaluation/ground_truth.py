"""The objects of a data set as COCO's tools can score them, whatever they come from.

pycocotools takes an annotation of the id 0 for unmatched, needs ``area`` and ``iscrowd`` of every object, and
reads a list of polygons as its first one looks. So everything is numbered anew and completed here.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.data import Metadata
from pycocotools import mask as mask_util

from ..data.masks import encode
from ..errors import DataError
from .annotated import read_annotated

Record = dict[str, Any]

# What is larger, in square pixels, pycocotools passes over.
_LARGEST_AREA = 1e10


@dataclass(frozen=True)
class GroundTruth:
    """What predictions are compared with.

    Attributes:
        source: the file or data set, for messages.
        images: COCO's records of the images: ``id`` from 1 on, ``file_name``, ``height`` and ``width``.
        image_numbers: from the data set's image ids to those numbers.
        category_ids: from the class numbers of the things, ascending, to the data set's category ids.
        names: of all classes, by class number; None where the data set does not tell.
        objects: COCO's annotations: ``id`` from 1 on; ``category_id`` is the place of the class in
            ``category_ids``, from 1 on. Where masks are compared each has a ``segmentation``, RLE or None.
    """

    source: str
    images: Sequence[Record]
    image_numbers: Mapping[Hashable, int]
    category_ids: Mapping[int, Hashable]
    names: Sequence[str] | None
    objects: Sequence[Record]

    @property
    def category_numbers(self) -> dict[Hashable, int]:
        """From the data set's category ids to their places in ``category_ids``, from 1 on."""
        return {own: place for place, own in enumerate(self.category_ids.values(), start=1)}

    @property
    def class_names(self) -> list[str] | None:
        """Names of the categories, by place."""
        return None if self.names is None else [str(self.names[number]) for number in self.category_ids]

    def annotations(self, task: str) -> list[Record]:
        """Copies of the objects for COCO's tools, which write into them.

        Args:
            task: "bbox" or "segm". In "segm" an object without a usable mask is a crowd as large as its box,
                so that what is predicted there counts neither for nor against the model.
        """
        if task == "bbox":
            return [{k: v for k, v in entry.items() if k != "segmentation"} for entry in self.objects]
        entries = [dict(entry) for entry in self.objects]
        for entry in entries:
            if entry["segmentation"] is None:
                image = self.images[entry["image_id"] - 1]
                box = _filled_box(entry["bbox"], image["height"], image["width"])
                entry.update(iscrowd=1, segmentation=box)
        return entries


def load_ground_truth(dataset_name: str, metadata: Metadata, masks: bool) -> GroundTruth:
    """The ground truth of a registered data set, read as :func:`~.annotated.read_annotated` says.

    ``iscrowd`` is 0 where it is missing. ``area`` is that of the mask, or else of the box, where it is no
    number above 0.

    Args:
        metadata: of the data set.
        masks: whether masks are compared; they are made only then.

    Raises:
        DataError: the annotations cannot be used; names the file and the annotation.
    """
    annotated = read_annotated(dataset_name, metadata, masks)
    source = annotated.source
    images, image_numbers = [], {}
    for number, image in enumerate(annotated.images, start=1):
        where = f"{source}: image {image['id']!r} ({image.get('file_name')})"
        image_numbers[image["id"]] = number
        images.append({**image, "id": number, **_size(image, where if masks else None)})
    places = {number: place for place, number in enumerate(annotated.category_ids, start=1)}
    objects: list[Record] = []
    for annotation in annotated.annotations:
        image_number = image_numbers[annotation["image_id"]]
        box, area = list(map(float, annotation["bbox"])), _number(annotation.get("area"))
        has_area = 0 < area <= _LARGEST_AREA
        mask = _mask(annotation, images[image_number - 1]) if masks or not has_area else None
        entry = {
            "id": len(objects) + 1,
            "image_id": image_number,
            "category_id": places[annotation["category_id"]],
            "iscrowd": int(bool(annotation.get("iscrowd", 0))),
            "bbox": box,
            "area": area if has_area else _area(box, mask),
        }
        objects.append({**entry, "segmentation": mask} if masks else entry)
    return GroundTruth(source, images, image_numbers, annotated.category_ids, annotated.names, objects)


def _size(image: Record, where: str | None) -> dict[str, int]:
    """Height and width of an image, which COCO's tools ask for; 0 where unknown and not needed.

    Args:
        where: the beginning of a message, where they are needed.
    """
    size = {}
    for key in ("height", "width"):
        number = _number(image.get(key))
        known = 1 <= number < math.inf and number % 1 == 0
        if where is not None and not known:
            raise DataError(
                f"{where}: its {key!r} must be a whole number of pixels, got {image.get(key)!r:.60}"
            )
        size[key] = int(number) if known else 0
    return size


def _mask(annotation: Record, image: Record) -> Record | None:
    """The RLE of an annotation; None where it has no mask that can be used, or one without a pixel."""
    segmentation = annotation.get("segmentation")
    if not isinstance(segmentation, np.ndarray) and not segmentation:
        return None
    try:
        rle = encode(segmentation, image["height"], image["width"])
    except ValueError:
        return None
    return rle if mask_util.area(rle) else None


def _area(box: Sequence[float], mask: Record | None) -> float:
    """The area of a mask, or else of a box, in square pixels."""
    if mask is not None:
        return float(mask_util.area(mask))
    width, height = (max(length, 0.0) for length in box[2:])
    return min(width * height, _LARGEST_AREA)


def _filled_box(box: Sequence[float], height: int, width: int) -> Record:
    """The RLE of the pixels of a box (x, y, width, height)."""
    mask = np.zeros((height, width), dtype=bool)
    left, right = (round(min(max(x, 0), width)) for x in (box[0], box[0] + box[2]))
    top, bottom = (round(min(max(y, 0), height)) for y in (box[1], box[1] + box[3]))
    mask[top:bottom, left:right] = True
    return encode(mask, height, width)


def _number(value: Any) -> float:
    """A number as such, anything else as NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
