"""Predictions for a panoptic data set that are its ground truth, changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances

from detr_d2.data.segment_map import read_segment_ids

from .panoptic_cases import perturbed

Samples = list[tuple[dict[str, Any], dict[str, Any]]]


def changed_predictions(name: str, seed: int = 0) -> Samples:
    """Inputs and outputs of a model for each image: changed segments, and the things among them."""
    rng = np.random.default_rng(seed)
    metadata = MetadataCatalog.get(name)
    things = sorted(metadata.thing_dataset_id_to_contiguous_id.values())
    categories = list(range(len(metadata.stuff_classes)))
    samples = []
    for record in DatasetCatalog.get(name):
        ids = read_segment_ids(record["pan_seg_file_name"]).astype(np.int64)
        ids, segments = perturbed(rng, ids, record["segments_info"], categories)
        for segment in segments:
            segment["isthing"] = segment["category_id"] in things
        output = {
            "panoptic_seg": (torch.from_numpy(ids).int(), segments),
            "instances": _instances(rng, ids, [s for s in segments if s["isthing"]]),
        }
        samples.append(({"file_name": record["file_name"], "image_id": record["image_id"]}, output))
    return samples


def _instances(rng: np.random.Generator, ids: np.ndarray, segments: list[dict[str, Any]]) -> Instances:
    masks = torch.from_numpy(np.stack([ids == s["id"] for s in segments] or [np.zeros_like(ids, dtype=bool)]))
    masks = masks[: len(segments)]
    boxes = []
    for mask in masks:
        y, x = torch.nonzero(mask, as_tuple=True)
        boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
    instances = Instances(ids.shape)
    instances.pred_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.scores = torch.from_numpy(rng.choice(np.linspace(0, 1, 6), len(segments)))  # some are equal
    instances.pred_classes = torch.tensor([s["category_id"] for s in segments], dtype=torch.int64)
    instances.pred_masks = masks
    return instances
