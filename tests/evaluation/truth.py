"""The ground truth of a data set as predictions, loaded as a trainer loads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.structures import Boxes, BoxMode, Instances
from PIL import Image

from detr_d2.data import load_dataset
from detr_d2.data.masks import rasterize

HEIGHT, WIDTH = 48, 64
CLASSES = ("circle", "square", "triangle")


def sound(**changes: Any) -> dict[str, Any]:
    """A COCO json with two images of 48 x 64 pixels and three squares with polygons in each.

    Args:
        changes: lists that replace those of the json.
    """
    annotations = []
    for image in (1, 2):
        for category in (1, 2, 3):
            x, y, size = 20 * category - 16, 6 + 4 * image, 8 + 2 * category
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": category,
                    "iscrowd": 0,
                    "bbox": [x, y, size, size],
                    "area": size**2,
                    "segmentation": [[x, y, x + size, y, x + size, y + size, x, y + size]],
                }
            )
    images = [{"id": i, "file_name": f"val{i}.png", "height": HEIGHT, "width": WIDTH} for i in (1, 2)]
    categories = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories, **changes}


def register(name: str, folder: Path, content: Mapping[str, Any]) -> None:
    """Write a json and register it as Detectron2's users do, once more where the name is there already."""
    forget(name)
    (folder / f"{name}.json").write_text(json.dumps(content))
    for image in content["images"]:
        Image.new("RGB", (image["width"], image["height"])).save(folder / image["file_name"])
    register_coco_instances(name, {}, str(folder / f"{name}.json"), str(folder))


def register_records(name: str, records: Sequence[dict[str, Any]], **metadata: Any) -> None:
    """Register records that come from no file."""
    forget(name)
    DatasetCatalog.register(name, lambda: [dict(record) for record in records])
    MetadataCatalog.get(name).set(evaluator_type="coco", **metadata)


def forget(name: str) -> None:
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)
    MetadataCatalog.pop(name, None)


def objects_as_instances(record: dict[str, Any], masks: bool = True) -> Instances:
    """What a perfect model gives for a record: everything but the crowds, with the score 1."""
    found = [a for a in record["annotations"] if not a.get("iscrowd", 0)]
    size = record["height"], record["width"]
    instances = Instances(size)
    boxes = [BoxMode.convert(list(a["bbox"]), a["bbox_mode"], BoxMode.XYXY_ABS) for a in found]
    instances.pred_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.scores = torch.ones(len(found))
    instances.pred_classes = torch.tensor([a["category_id"] for a in found], dtype=torch.int64)
    if masks:
        pixels = [rasterize(a["segmentation"], *size) for a in found]
        instances.pred_masks = torch.from_numpy(np.array(pixels, dtype=bool).reshape(-1, *size))
    return instances


def evaluate_truth(evaluator: Any, name: str, masks: bool = True) -> dict[str, dict[str, float]]:
    """The results of a data set's own objects."""
    evaluator.reset()
    for record in load_dataset(name):
        evaluator.process([record], [{"instances": objects_as_instances(record, masks)}])
    return evaluator.evaluate()
