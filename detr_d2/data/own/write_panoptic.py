"""Writing a data set as COCO's panoptic annotations: a json and a folder of maps for each split."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...atomic import write_file
from ...errors import DataError
from ...progress import progress
from ..formats import Json, Split
from ..formats.coco_classes import labelled
from ..formats.label_maps import LabelledSplit, read_labels
from ..masks import rasterize, segmentation_faults
from ..painting import divide_classes, paint_objects
from ..segment_map import write_segment_ids

# The segment ids of an image, (H, W), and COCO's segments of these.
Map = tuple[np.ndarray, list[Json]]


def write_objects(splits: Sequence[Split], folder: str) -> list[str]:
    """Write objects as segments of things; where several cover a pixel, the smallest has it.

    Args:
        splits: sound, of instances.
        folder: to write to.

    Returns:
        the paths of the json files.

    Raises:
        DataError: an object has no mask; nothing is written.
    """
    for split in splits:
        _check_masks(split)
    return [_write_objects(split, folder) for split in splits]


def _check_masks(split: Split) -> None:
    sizes = {image["id"]: (image["height"], image["width"]) for image in split.content["images"]}
    for entry in labelled(split.content):
        mask = entry.get("segmentation")
        if not mask or segmentation_faults(mask, *sizes[entry["image_id"]]).unusable:
            raise DataError(
                f"{split.report.source}: annotation {entry['id']} of image {entry['image_id']} has no mask "
                "to be painted: panoptic annotations need one of each object"
            )


def _write_objects(split: Split, folder: str) -> str:
    entries: dict[object, list[Json]] = {image["id"]: [] for image in split.content["images"]}
    for entry in labelled(split.content):
        entries[entry["image_id"]].append(entry)

    def paint(image: Json) -> Map:
        size, objects = (image["height"], image["width"]), entries[image["id"]]
        return paint_objects(objects, (rasterize(x["segmentation"], *size) for x in objects), *size)

    categories = [{**category, "isthing": 1} for category in split.content["categories"]]
    return _write(folder, split.name, split.image_root, split.content["images"], categories, paint)


def write_labels(splits: Sequence[LabelledSplit], categories: Sequence[Json], folder: str) -> list[str]:
    """Write maps of classes as segments, see :func:`~..painting.divide_classes`.

    Returns:
        the paths of the json files.

    Raises:
        DataError: a map cannot be used; nothing is written.
    """
    known = {category["id"] for category in categories}
    for split in splits:
        for image, file in zip(split.images, split.maps, strict=True):
            read_labels(file, image, known)
    return [_write_labels(split, categories, folder) for split in splits]


def _write_labels(split: LabelledSplit, categories: Sequence[Json], folder: str) -> str:
    known = {category["id"] for category in categories}
    map_of = {image["id"]: file for image, file in zip(split.images, split.maps, strict=True)}

    def divide(image: Json) -> Map:
        return divide_classes(read_labels(map_of[image["id"]], image, known), categories)

    return _write(folder, split.name, split.root, split.images, list(categories), divide)


def _write(
    folder: str,
    name: str,
    root: str,
    images: Sequence[Json],
    categories: list[Json],
    map_of: Callable[[Json], Map],
) -> str:
    """Write ``panoptic_NAME.json`` and its maps, named as the images, or by their ids where names repeat."""
    maps = os.path.join(folder, f"panoptic_{name}")
    os.makedirs(maps, exist_ok=True)
    repeated = len({Path(image["file_name"]).stem for image in images}) < len(images)
    annotations, listed = [], []
    for image in progress(images, f"Writing {name}", len(images)):
        file = f"{image['id'] if repeated else Path(image['file_name']).stem}.png"
        ids, segments = map_of(image)
        write_segment_ids(os.path.join(maps, file), ids)
        annotations.append({"image_id": image["id"], "file_name": file, "segments_info": segments})
        source = os.path.join(root, image["file_name"])
        listed.append({**image, "file_name": os.path.relpath(source, folder)})
    path = os.path.join(folder, f"panoptic_{name}.json")
    text = json.dumps({"images": listed, "annotations": annotations, "categories": categories})
    write_file(path, lambda file: file.write(text.encode()))
    return path
