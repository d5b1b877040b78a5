"""The objects of a data set as COCO's tools can score them, whatever they come from.

pycocotools takes an annotation of the id 0 for unmatched, needs ``area`` and ``iscrowd`` of every object, and
reads a list of polygons as its first one looks. So everything is numbered anew and completed here.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.data import Metadata, MetadataCatalog
from pycocotools import mask as mask_util
from pycocotools.coco import COCO

from ..data import load_dataset, panoptic_to_detection
from ..data.masks import encode
from ..data.preflight import read_instances
from ..data.records import corners, load_records, with_image_sizes
from ..errors import DataError

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

    def coco(self, task: str) -> COCO:
        """What pycocotools compares with, which writes into it.

        Args:
            task: "bbox" or "segm". In "segm" an object without a usable mask is a crowd as large as its box,
                so that what is predicted there counts neither for nor against the model.
        """
        objects = [dict(entry) for entry in self.objects]
        for entry in objects:
            if task == "bbox":
                entry.pop("segmentation", None)
            elif entry["segmentation"] is None:
                image = self.images[entry["image_id"] - 1]
                box = _filled_box(entry["bbox"], image["height"], image["width"])
                entry.update(iscrowd=1, segmentation=box)
        categories = [{"id": place} for place in range(1, len(self.category_ids) + 1)]
        coco = COCO()
        coco.dataset = {"images": self.images, "categories": categories, "annotations": objects}
        coco.createIndex()
        return coco


def load_ground_truth(dataset_name: str, masks: bool) -> GroundTruth:
    """The things of a registered data set.

    They come from ``json_file`` of the metadata; where there is none from ``panoptic_json`` and its maps; and
    else from the data set's records, which are loaded for it each time. Left out is what Detectron2's loader
    leaves out of a json file, objects whose polygons all have fewer than three points, and objects of classes
    that are not numbered as things.

    ``iscrowd`` is 0 where it is missing. ``area`` is that of the mask, or else of the box, where it is no
    number above 0.

    Args:
        masks: whether masks are compared; they are made only then.

    Raises:
        DataError: the annotations cannot be used; names the file or the data set.
    """
    metadata = MetadataCatalog.get(dataset_name)
    source, listed, annotations = _read(dataset_name, metadata, masks)
    category_ids, names = _classes(dataset_name, metadata, annotations)
    places = {number: place for place, number in enumerate(category_ids, start=1)}
    image_numbers = {image["id"]: number for number, image in enumerate(listed, start=1)}
    images = [
        {**image, "id": number, "height": int(image["height"]), "width": int(image["width"])}
        for number, image in enumerate(listed, start=1)
    ]
    objects: list[Record] = []
    for annotation in annotations:
        number = image_numbers[annotation["image_id"]]
        box, area = list(map(float, annotation["bbox"])), annotation.get("area")
        has_area = isinstance(area, int | float | np.number) and 0 < area <= _LARGEST_AREA
        mask = _mask(annotation, images[number - 1]) if masks or not has_area else None
        entry = {
            "id": len(objects) + 1,
            "image_id": number,
            "category_id": places[annotation["category_id"]],
            "iscrowd": int(bool(annotation.get("iscrowd", 0))),
            "bbox": box,
            "area": area if has_area else _area(box, mask),
        }
        objects.append({**entry, "segmentation": mask} if masks else entry)
    return GroundTruth(source, images, image_numbers, category_ids, names, objects)


def _read(dataset_name: str, metadata: Metadata, masks: bool) -> tuple[str, list[Record], list[Record]]:
    """What the annotations come from, the images, and COCO's annotations with class numbers as categories."""
    json_file, panoptic_json = metadata.get("json_file", None), metadata.get("panoptic_json", None)
    if not json_file and not panoptic_json:
        return f"data set {dataset_name!r}", *_of_records(load_dataset(dataset_name))
    if json_file:
        content = read_instances(dataset_name, json_file)
        annotations = [x for x in content.get("annotations", ()) if _is_loaded(x.get("segmentation"))]
    else:
        content = panoptic_to_detection(panoptic_json, metadata.panoptic_root, masks)
        annotations = content["annotations"]
    if metadata.get("thing_classes", None) is None:
        load_records(dataset_name)  # which enters the classes
    numbers = metadata.get("thing_dataset_id_to_contiguous_id", None)
    if numbers is not None:
        annotations = [
            {**x, "category_id": numbers[x["category_id"]]}
            for x in annotations
            if x["category_id"] in numbers
        ]
    return json_file or panoptic_json, content["images"], annotations


def _classes(
    dataset_name: str, metadata: Metadata, annotations: Sequence[Record]
) -> tuple[dict[int, Hashable], Sequence[str] | None]:
    """Class numbers, ascending, with the data set's ids, and the names by number where they are known."""
    names = metadata.get("thing_classes", None)
    numbers = metadata.get("thing_dataset_id_to_contiguous_id", None)
    if numbers is None:
        most = 1 + max((x["category_id"] for x in annotations), default=-1) if names is None else len(names)
        numbers = {number: number for number in range(most)}
    # Of several ids of a class the first.
    category_ids = dict(sorted({number: own for own, number in reversed(numbers.items())}.items()))
    if names is not None and len(names) <= max(category_ids, default=-1):
        raise DataError(
            f"data set {dataset_name!r}: thing_classes of its metadata has {len(names)} names, but "
            f"thing_dataset_id_to_contiguous_id numbers a class {max(category_ids)}. Name every class by its "
            "number"
        )
    return category_ids, names


def _of_records(records: list[Record]) -> tuple[list[Record], list[Record]]:
    """Images and COCO's annotations of records in Detectron2's format."""
    images, annotations = [], []
    for record in with_image_sizes(records, ""):
        image = {key: record[key] for key in ("file_name", "height", "width")}
        images.append({"id": record["image_id"], **image})
        for annotation in record.get("annotations", ()):
            x0, y0, x1, y1 = corners(annotation)
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append({**annotation, "image_id": record["image_id"], "bbox": box})
    return images, annotations


def _is_loaded(segmentation: Any) -> bool:
    """Whether Detectron2's loader takes an object: of polygons it needs one that has three points."""
    if not isinstance(segmentation, list) or not segmentation:
        return True
    return any(len(polygon) % 2 == 0 and len(polygon) >= 6 for polygon in segmentation)


def _mask(annotation: Record, image: Record) -> Record | None:
    """The RLE of an annotation; None where it has no mask that can be used, or one without a pixel."""
    try:
        rle = encode(annotation.get("segmentation"), image["height"], image["width"])
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
