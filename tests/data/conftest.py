"""Small data sets: COCO files written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import detr_d2

# isort: split
from detectron2.config import CfgNode, get_cfg
from detectron2.structures import BoxMode


@pytest.fixture
def data_config() -> CfgNode:
    """Defaults of detr_d2 with small images and no worker processes."""
    cfg = get_cfg()
    detr_d2.add_detr_config(cfg)
    cfg.SEED = 7
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    cfg.INPUT.MIN_SIZE_TRAIN = (96, 112, 128)
    cfg.INPUT.MIN_SIZE_TEST = 128
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.TYPE = "absolute_range"
    cfg.INPUT.CROP.SIZE = [80, 120]
    cfg.INPUT.CROP.RESIZE_SHORTEST_EDGE = (100, 120)
    return cfg


@pytest.fixture
def coco_folder(tmp_path: Path) -> Path:
    """A folder with images/wide.png (60 x 40) and images/high.png (40 x 60), and a sound train.json."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (60, 40), (200, 30, 30)).save(tmp_path / "images" / "wide.png")
    Image.new("RGB", (40, 60), (30, 30, 200)).save(tmp_path / "images" / "high.png")
    write_json(tmp_path, sound_coco())
    return tmp_path


def sound_coco() -> dict[str, Any]:
    """COCO annotations of two images with an object each; the second one's class is the second."""
    return {
        "images": [
            {"id": 1, "file_name": "wide.png", "width": 60, "height": 40},
            {"id": 2, "file_name": "high.png", "width": 40, "height": 60},
        ],
        "annotations": [
            {"id": 11, "image_id": 1, "category_id": 5, "bbox": [10, 5, 20, 15], "area": 300, "iscrowd": 0},
            {"id": 12, "image_id": 2, "category_id": 9, "bbox": [0, 0, 40, 60], "area": 2400, "iscrowd": 0},
        ],
        "categories": [{"id": 5, "name": "cup"}, {"id": 9, "name": "jug"}],
    }


def write_json(folder: Path, content: Any) -> None:
    """Write ``content`` as the folder's train.json."""
    (folder / "train.json").write_text(json.dumps(content))


@pytest.fixture
def change_coco(coco_folder: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """Rewrite train.json after a change to its sound content; returns its path."""

    def change(edit: Callable[[dict[str, Any]], object]) -> Path:
        content = sound_coco()
        edit(content)
        write_json(coco_folder, content)
        return coco_folder / "train.json"

    return change


@pytest.fixture
def record(coco_folder: Path) -> dict[str, Any]:
    """A record in Detectron2's format of the wide image, with one object."""
    return {
        "file_name": str(coco_folder / "images" / "wide.png"),
        "image_id": 1,
        "width": 60,
        "height": 40,
        "annotations": [make_annotation([10, 5, 20, 15])],
    }


def make_annotation(bbox: list[float], **entries: Any) -> dict[str, Any]:
    return {"bbox": bbox, "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "iscrowd": 0, **entries}


@pytest.fixture
def annotation() -> Callable[..., dict[str, Any]]:
    """Makes annotations from (x, y, width, height)."""
    return make_annotation


def write_segment_map(path: Path, ids: np.ndarray) -> None:
    """Write an (H, W) array of segment ids as COCO's png file."""
    colors = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], axis=-1)
    Image.fromarray(colors.astype(np.uint8)).save(path)


def segment_ids() -> np.ndarray:
    """The segments of the hand-made panoptic image: (40, 60), 5 left, 300 a column, 70000 below, void."""
    ids = np.zeros((40, 60), dtype=np.int64)
    ids[2:20, 3:25] = 5
    ids[4:30, 40:41] = 300
    ids[30:40] = 70000
    return ids


@pytest.fixture
def panoptic_folder(tmp_path: Path) -> Path:
    """A folder with images/one.jpg (60 x 40), maps/one.png and a sound panoptic.json."""
    for folder in ("images", "maps"):
        (tmp_path / folder).mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "images" / "one.jpg")
    write_segment_map(tmp_path / "maps" / "one.png", segment_ids())
    (tmp_path / "panoptic.json").write_text(json.dumps(sound_panoptic()))
    return tmp_path


def sound_panoptic() -> dict[str, Any]:
    """Panoptic annotations of one image; category 7 is a thing and 9 is stuff."""
    segments = [
        {"id": 5, "category_id": 7, "iscrowd": 0},
        {"id": 300, "category_id": 7, "iscrowd": 0},
        {"id": 70000, "category_id": 9, "iscrowd": 0},
    ]
    return {
        "images": [{"id": 31, "file_name": "one.jpg", "width": 60, "height": 40}],
        "annotations": [{"image_id": 31, "file_name": "one.png", "segments_info": segments}],
        "categories": [{"id": 7, "name": "cup", "isthing": 1}, {"id": 9, "name": "table", "isthing": 0}],
    }


@pytest.fixture
def panoptic_record(panoptic_folder: Path) -> dict[str, Any]:
    """The record of the hand-made panoptic image, in Detectron2's format, of classes 0 (thing) and 1."""
    return {
        "file_name": str(panoptic_folder / "images" / "one.jpg"),
        "image_id": 31,
        "pan_seg_file_name": str(panoptic_folder / "maps" / "one.png"),
        "segments_info": [
            {"id": 5, "category_id": 0, "iscrowd": 0, "isthing": True},
            {"id": 300, "category_id": 0, "iscrowd": 0, "isthing": True},
            {"id": 70000, "category_id": 1, "iscrowd": 0, "isthing": False},
        ],
        "width": 60,
        "height": 40,
    }
