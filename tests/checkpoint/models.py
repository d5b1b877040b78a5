"""Models of our configs."""

from __future__ import annotations

import torch

import detr_d2

# isort: split
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from torch import nn

from detr_d2.paths import configs_folder


def build_zoo_model(depth: int, panoptic: bool) -> nn.Module:
    """The model of the config for a published checkpoint, with random weights."""
    kind = "COCO-PanopticSegmentation/detr_panoptic" if panoptic else "COCO-Detection/detr"
    cfg = get_cfg()
    detr_d2.add_detr_config(cfg)
    cfg.merge_from_file(str(configs_folder() / f"{kind}_R_{depth}.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    with torch.random.fork_rng():
        return build_model(cfg).eval()
