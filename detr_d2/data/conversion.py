"""From COCO's panoptic annotations to COCO's detection annotations of things and stuff."""

import os
from typing import Any

import numpy as np
from pycocotools import mask as mask_util

from ..progress import progress
from .masks import boxes_of_masks
from .panoptic_json import read_panoptic_json
from .segment_map import read_segment_masks


def panoptic_to_detection(panoptic_json: str, panoptic_root: str, masks: bool = True) -> dict[str, Any]:
    """Make detection annotations of panoptic ones: a box, and a mask, for each segment.

    Boxes, classes and masks are the targets that ``DetrPanopticDatasetMapper`` makes of the same files,
    but for crowd segments, which keep ``iscrowd``: detectors are not trained on them. Boxes therefore reach
    from the first to the last pixel, (x, y, width, height), without that pixel's own extent.

    Args:
        panoptic_json: annotation file.
        panoptic_root: folder of the segmentation maps.
        masks: whether the annotations have masks, as compressed RLE.

    Returns:
        What an instance annotation file holds: the same images and categories, and annotations with ids
        from 1 on, in the order of the panoptic ones. ``segment_id`` is the id in the segmentation map.

    Raises:
        DataError: the annotations or a segmentation map cannot be used.
        OSError: the annotation file cannot be opened.
    """
    return segments_to_objects(read_panoptic_json(panoptic_json), panoptic_root, masks)


def segments_to_objects(content: dict[str, Any], panoptic_root: str, masks: bool = True) -> dict[str, Any]:
    """As :func:`panoptic_to_detection`, of what :func:`~.panoptic_json.read_panoptic_json` gives.

    Raises:
        DataError: a segmentation map cannot be used.
    """
    images = {image["id"]: image for image in content["images"]}
    annotations: list[dict[str, Any]] = []
    for annotation in progress(content["annotations"], "Maps"):
        path, image = os.path.join(panoptic_root, annotation["file_name"]), images[annotation["image_id"]]
        segments = annotation["segments_info"]
        ids = [segment["id"] for segment in segments]
        segment_masks = read_segment_masks(path, ids, image["height"], image["width"])
        boxes = boxes_of_masks(segment_masks).astype(int).tolist()
        for segment, box, mask in zip(segments, boxes, segment_masks, strict=True):
            made = {
                "id": len(annotations) + 1,
                "image_id": annotation["image_id"],
                "category_id": segment["category_id"],
                "iscrowd": segment.get("iscrowd", 0),
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "area": int(np.count_nonzero(mask)),
                "segment_id": segment["id"],
            }
            if masks:
                rle = mask_util.encode(np.asfortranarray(mask.view(np.uint8)))
                made["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
            annotations.append(made)
    return {
        **{key: content[key] for key in ("info", "licenses", "images", "categories") if key in content},
        "annotations": annotations,
    }
