"""The same pixels as polygons, RLE, bitmasks and panoptic png files: the same targets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.data.datasets.builtin_meta import _get_builtin_metadata
from detectron2.data.datasets.coco_panoptic import load_coco_panoptic_json
from detectron2.structures import BoxMode, Instances
from PIL import Image
from pycocotools import mask as mask_util

from detr_d2.data import DetrDatasetMapper, DetrPanopticDatasetMapper
from detr_d2.data.loader import seeded

COCO = Path(os.environ.get("DETECTRON2_DATASETS", "no data sets")) / "coco"
SEEDS = range(6)


def runs(mask: np.ndarray) -> list[tuple[int, int, int]]:
    """Row, first column and one past the last column of each run of pixels, one row at a time."""
    found = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
        found += [(y, int(start), int(end)) for start, end in edges.reshape(-1, 2)]
    return found


def as_polygons(mask: np.ndarray) -> list[list[float]]:
    """A rectangle around each run of pixels."""
    return [[x0, y, x1, y, x1, y + 1, x0, y + 1] for y, x0, x1 in runs(mask)]


def as_uncompressed_rle(mask: np.ndarray) -> dict[str, Any]:
    columns = np.concatenate([[0], mask.T.ravel().astype(int), [0]])
    counts = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(columns)), [mask.size]])).tolist()
    return {"size": list(mask.shape), "counts": counts}


def as_rle(mask: np.ndarray) -> dict[str, Any]:
    rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


FORMATS = {
    "polygons": as_polygons,
    "RLE": as_rle,
    "RLE as bytes": lambda mask: mask_util.encode(np.asfortranarray(mask.astype(np.uint8))),
    "uncompressed RLE": as_uncompressed_rle,
    "bitmask": lambda mask: mask,
    "bitmask of 0 and 255": lambda mask: mask.astype(np.uint8) * 255,
}


def annotated(record: dict[str, Any], make: Any) -> dict[str, Any]:
    """A panoptic record as a record with annotations, read pixel by pixel with Pillow."""
    red, green, blue = np.asarray(Image.open(record["pan_seg_file_name"])).astype(int).transpose(2, 0, 1)
    ids = red + 256 * green + 65536 * blue
    annotations = []
    for segment in record["segments_info"]:
        mask = ids == segment["id"]
        y, x = np.nonzero(mask)
        annotations.append(
            {
                "bbox": [x.min(), y.min(), x.max(), y.max()],
                "bbox_mode": BoxMode.XYXY_ABS,
                "category_id": segment["category_id"],
                "segmentation": make(mask),
            }
        )
    return {"file_name": record["file_name"], "image_id": record["image_id"], "annotations": annotations}


def targets(mapper_class: type, cfg: CfgNode, record: dict[str, Any], seed: int) -> Instances:
    with seeded(seed):
        return mapper_class(cfg, is_train=True)(record)["instances"]


def assert_same(first: Instances, second: Instances) -> None:
    assert first.image_size == second.image_size
    assert torch.equal(first.gt_classes, second.gt_classes)
    assert torch.equal(first.gt_boxes.tensor, second.gt_boxes.tensor)
    assert torch.equal(first.gt_masks.tensor, second.gt_masks.tensor)


@pytest.fixture
def mask_config(data_config):
    data_config.MODEL.MASK_ON = True
    return data_config


@pytest.mark.parametrize("name", FORMATS)
def test_all_formats_give_the_targets_of_the_panoptic_map(mask_config, shapes_folder, name):
    records = DatasetCatalog.get("small_train_panoptic")
    sizes = set()
    for seed in SEEDS:
        record = records[seed]
        expected = targets(DetrPanopticDatasetMapper, mask_config, record, seed)
        assert len(expected) > 0
        sizes.add(expected.image_size)
        other = annotated(record, FORMATS[name])
        assert_same(targets(DetrDatasetMapper, mask_config, other, seed), expected)
    assert len(sizes) > 2


@pytest.mark.parametrize("name", FORMATS)
def test_an_image_without_annotations_trains(mask_config, record, name):
    record["annotations"] = []
    instances = targets(DetrDatasetMapper, mask_config, record, 0)
    assert instances.gt_masks.tensor.shape == (0, *instances.image_size)
    assert instances.gt_masks.tensor.dtype == torch.bool


@pytest.mark.skipif(not (COCO / "panoptic_train2017").is_dir(), reason="no COCO in DETECTRON2_DATASETS")
def test_all_formats_give_the_same_targets_of_photographs(mask_config):
    mask_config.INPUT.MIN_SIZE_TRAIN = (160, 200)
    mask_config.INPUT.CROP.RESIZE_SHORTEST_EDGE = (240,)
    mask_config.INPUT.CROP.SIZE = [120, 200]
    records = load_coco_panoptic_json(
        str(COCO / "annotations" / "panoptic_train2017.json"),
        str(COCO / "train2017"),
        str(COCO / "panoptic_train2017"),
        _get_builtin_metadata("coco_panoptic_standard"),
    )
    for seed, record in enumerate(records[:4]):
        expected = targets(DetrPanopticDatasetMapper, mask_config, record, seed)
        assert len(expected) > 0
        for make in (as_polygons, as_rle, FORMATS["bitmask"]):
            other = annotated(record, make)
            assert_same(targets(DetrDatasetMapper, mask_config, other, seed), expected)
