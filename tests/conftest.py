"""Fixtures that several layers' tests share: a tiny model's config, batches for it, and small shapes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import detr_d2

# isort: split
from detectron2.config import CfgNode, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BitMasks, Boxes, Instances

from detr_d2.shapes import ShapesConfig, ShapesSize, register_shapes, write_shapes


def make_tiny_config() -> CfgNode:
    """A DETR of some 100,000 parameters: slim ResNet at stride 16, 2 + 2 layers, 10 queries, 3 classes."""
    cfg = get_cfg()
    detr_d2.add_detr_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "Detr"
    cfg.MODEL.WEIGHTS = ""
    cfg.MODEL.BACKBONE.NAME = "build_slim_resnet_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.RESNETS.DEPTH = 18
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = 8
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 8
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res4"]
    cfg.MODEL.DETR.IN_FEATURE = "res4"
    cfg.TEST.REPORT = False  # takes seconds
    cfg.TRACKING.PICTURES = 0
    cfg.MODEL.DETR.NUM_CLASSES = 3
    cfg.MODEL.DETR.NUM_OBJECT_QUERIES = 10
    cfg.MODEL.DETR.HIDDEN_DIM = 32
    cfg.MODEL.DETR.NHEADS = 4
    cfg.MODEL.DETR.ENC_LAYERS = 2
    cfg.MODEL.DETR.DEC_LAYERS = 2
    cfg.MODEL.DETR.DIM_FEEDFORWARD = 64
    return cfg


def make_mask_config() -> CfgNode:
    """The same with a mask head at strides 16, 8 and 4, which needs twice the channels."""
    cfg = make_tiny_config()
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4"]
    cfg.MODEL.DETR.MASK_FEATURES = ("res3", "res2")
    cfg.MODEL.DETR.HIDDEN_DIM = 64
    cfg.MODEL.DETR.NHEADS = 8
    return cfg


def make_input(height: int, width: int, num_objects: int, num_classes: int = 3) -> dict[str, Any]:
    """One element of a training batch: a random image with random boxes inside it."""
    corners = torch.rand(num_objects, 2, 2) * torch.tensor([width, height])
    low, high = corners.amin(1), corners.amax(1)
    instances = Instances((height, width))
    instances.gt_boxes = Boxes(torch.cat([low, high + 1.0], dim=1))
    instances.gt_classes = torch.randint(num_classes, (num_objects,))
    return {
        "file_name": f"random-{height}x{width}.png",
        "image": torch.randint(0, 256, (3, height, width), dtype=torch.uint8),
        "height": height,
        "width": width,
        "instances": instances,
    }


def make_mask_input(height: int, width: int, num_objects: int, num_classes: int = 3) -> dict[str, Any]:
    """The same with masks: the ellipses in the boxes."""
    x = make_input(height, width, num_objects, num_classes)
    boxes = x["instances"].gt_boxes.tensor
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    grid = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"), -1) + 0.5
    distance = ((grid - center[:, None, None]) / half[:, None, None]).square().sum(-1)  # N x H x W
    x["instances"].gt_masks = BitMasks(distance <= 1)
    return x


@pytest.fixture
def mask_config() -> CfgNode:
    return make_mask_config()


@pytest.fixture
def tiny_config() -> CfgNode:
    return make_tiny_config()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_log_handler_stays() -> Iterator[None]:
    """What a command or trainer sets up writes to the streams of its own test, which are closed then."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "detr_d2")]
    before = [(list(logger.handlers), logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, propagate) in zip(loggers, before, strict=True):
        logger.handlers[:], logger.propagate = handlers, propagate


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shapes without crowds, registered as small_train, small_val, and their panoptic forms."""
    root = tmp_path_factory.mktemp("shapes") / "small"
    write_shapes(root, ShapesConfig(), ShapesSize(train=40, val=25))
    register_shapes(root, prefix="small")
    return root


@pytest.fixture(scope="session")
def crowd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shapes with crowds, registered as crowded_train and so on."""
    root = tmp_path_factory.mktemp("shapes") / "crowded"
    write_shapes(root, ShapesConfig(crowd=True, seed=3), ShapesSize(train=40, val=25))
    register_shapes(root, prefix="crowded")
    return root


@pytest.fixture
def catalog() -> Iterator[None]:
    """Forget, afterwards, the data sets that a test registers."""
    before = set(DatasetCatalog.list())
    yield
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.pop(name, None)
