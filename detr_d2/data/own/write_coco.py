"""Writing a data set of instances as COCO's json files."""

from __future__ import annotations

import json
import os
from enum import Enum

from pycocotools import mask as mask_util

from ...atomic import write_file
from ...progress import progress
from ..conversion import segments_to_objects
from ..formats import Json, Split
from ..masks import encode, rasterize, segmentation_faults
from ..outlines import polygons_of
from ..panoptic_json import in_one_form


class Form(Enum):
    """Of the masks that are written."""

    AS_IS = "as they are"
    POLYGONS = "polygons"
    RLE = "RLE"
    NONE = "boxes alone"


def write_instances(split: Split, folder: str, form: Form) -> str:
    """Write a split's json, and return its path.

    Segments of panoptic annotations become objects, stuff too.

    Args:
        split: sound.
        folder: to write to; images are named from there.
        form: of the masks. Crowds are RLE, also where that is POLYGONS, for COCO's tools.
    """
    if split.is_panoptic:
        content = segments_to_objects(in_one_form(split.content, split.report.source), split.maps_root)
    else:
        content = {**split.content, "annotations": split.content.get("annotations", [])}
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    entries = content["annotations"]
    for entry in progress(entries, f"Writing {split.name}", len(entries)):
        _complete(entry, *sizes[entry["image_id"]], form)
    return write_json(folder, split, content)


def write_json(folder: str, split: Split, content: Json) -> str:
    """Write COCO's lists as the json of a split, with its images named from the folder; return its path."""
    images = [{**image, "file_name": _name_from(folder, split, image)} for image in content["images"]]
    path = os.path.join(folder, f"{split.name}.json")
    text = json.dumps({**content, "images": images})
    write_file(path, lambda file: file.write(text.encode()))
    return path


def _name_from(folder: str, split: Split, image: Json) -> str:
    return os.path.relpath(os.path.join(split.image_root, image["file_name"]), folder)


def _complete(entry: Json, height: int, width: int, form: Form) -> None:
    """Let an annotation have its mask in the wanted form, and ``area`` and ``iscrowd``, which others need."""
    entry.setdefault("iscrowd", 0)
    mask = entry.get("segmentation")
    if not mask or segmentation_faults(mask, height, width).unusable:  # which the table says
        entry.pop("segmentation", None)
        entry.setdefault("area", entry["bbox"][2] * entry["bbox"][3])
        return
    encoded = encode(mask, height, width)
    entry.setdefault("area", int(mask_util.area(encoded)))
    if form is Form.NONE:
        del entry["segmentation"]
    elif form is Form.RLE:
        entry["segmentation"] = encoded
    elif form is Form.POLYGONS and isinstance(mask, dict) and not entry["iscrowd"]:
        entry["segmentation"] = polygons_of(rasterize(mask, height, width)) or mask
