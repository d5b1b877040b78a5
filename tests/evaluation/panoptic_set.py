"""A panoptic data set of any classes, written and registered in Detectron2's standard form."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.coco_panoptic import load_coco_panoptic_json
from detectron2.structures import Boxes, Instances
from PIL import Image

from detr_d2.data import load_dataset
from detr_d2.data.masks import boxes_of_masks
from detr_d2.data.segment_map import read_segment_ids

HEIGHT, WIDTH = 48, 64
Output = tuple[dict[str, Any], dict[str, Any]]


def write_panoptic(
    folder: Path,
    name: str,
    classes: Sequence[tuple[str, bool]],
    images: Sequence[Sequence[int]],
    own_id: Any = lambda number: 10 * number + 3,
) -> None:
    """Write images of vertical stripes and register them, without a json of instances.

    Args:
        classes: name and "is it a thing" of each, by class number.
        images: class numbers of the stripes of each, None for void.
        own_id: of the category of a class number.
    """
    for part in ("images", "maps"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    listed, annotations = [], []
    for image_id, stripes in enumerate(images, start=1):
        ids = np.zeros((HEIGHT, WIDTH), dtype=np.int64)
        segments = []
        for place, number in enumerate(stripes):
            if number is None:
                continue
            segment_id = 1000 * image_id + 7 * place + 5
            left, right = WIDTH * place // len(stripes), WIDTH * (place + 1) // len(stripes)
            ids[:, left:right] = segment_id
            area = HEIGHT * (right - left)
            segments.append({"id": segment_id, "category_id": own_id(number), "iscrowd": 0, "area": area})
        colors = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1).astype(np.uint8)
        Image.fromarray(colors).save(folder / "maps" / f"{image_id}.png")
        Image.fromarray(colors).save(folder / "images" / f"{image_id}.jpg")
        listed.append({"id": image_id, "file_name": f"{image_id}.jpg", "height": HEIGHT, "width": WIDTH})
        annotations.append({"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": segments})
    categories = [
        {"id": own_id(number), "name": text, "isthing": int(isthing)}
        for number, (text, isthing) in enumerate(classes)
    ]
    content = {"images": listed, "annotations": annotations, "categories": categories}
    (folder / "panoptic.json").write_text(json.dumps(content))
    names = [text for text, _ in classes]
    numbers = {
        kind: {own_id(n): n for n, (_, isthing) in enumerate(classes) if isthing == (kind == "thing")}
        for kind in ("thing", "stuff")
    }
    metadata = {
        "panoptic_json": str(folder / "panoptic.json"),
        "panoptic_root": str(folder / "maps"),
        "image_root": str(folder / "images"),
        "evaluator_type": "coco_panoptic_seg",
        "thing_classes": names,
        "stuff_classes": names,
        "thing_dataset_id_to_contiguous_id": numbers["thing"],
        "stuff_dataset_id_to_contiguous_id": numbers["stuff"],
    }
    arguments = (metadata["panoptic_json"], str(folder / "images"), str(folder / "maps"), metadata)
    DatasetCatalog.register(name, lambda: load_coco_panoptic_json(*arguments))
    MetadataCatalog.get(name).set(**metadata)


def perfect_outputs(name: str) -> list[Output]:
    """What a perfect panoptic model gives: segments, and instances of the things, both by class number."""
    outputs = []
    for record in load_dataset(name):
        ids = read_segment_ids(record["pan_seg_file_name"]).astype(np.int32)
        things = [s for s in record["segments_info"] if s["isthing"]]
        masks = np.array([ids == s["id"] for s in things], dtype=bool).reshape(-1, *ids.shape)
        instances = Instances(ids.shape)
        instances.pred_boxes = Boxes(torch.from_numpy(boxes_of_masks(masks)).float())
        instances.scores = torch.ones(len(things))
        instances.pred_classes = torch.tensor([s["category_id"] for s in things], dtype=torch.int64)
        instances.pred_masks = torch.from_numpy(masks)
        segments = [
            {"id": s["id"], "category_id": s["category_id"], "isthing": bool(s["isthing"])}
            for s in record["segments_info"]
        ]
        output = {"instances": instances, "panoptic_seg": (torch.from_numpy(ids), segments)}
        outputs.append((record, output))
    return outputs
