"""The published detector with random weights, and its names in our state dict.

``PUBLISHED_DETR`` names a folder that holds a clone of github.com/facebookresearch/detr (29901c5). None of
it is part of this project, so these tests are skipped without it, and say so.
"""

from __future__ import annotations

import os
import re
from types import SimpleNamespace

import pytest
from torch import nn

from detr_d2.tools.published_detr import import_published

FOLDER = os.environ.get("PUBLISHED_DETR", "")

requires_published_detr = pytest.mark.skipif(
    not FOLDER, reason="PUBLISHED_DETR names no clone of github.com/facebookresearch/detr"
)


def build_detector(num_classes: int, dilation: bool) -> nn.Module:
    """ResNet-50 DETR with random weights and random frozen batch-norm statistics; no download."""
    backbone = import_published(FOLDER, "models.backbone")
    backbone.is_main_process = lambda: False  # it would fetch ImageNet weights
    args = SimpleNamespace(
        backbone="resnet50",
        dilation=dilation,
        lr_backbone=0.0,
        masks=False,
        position_embedding="sine",
        hidden_dim=256,
        dropout=0.1,
        nheads=8,
        dim_feedforward=2048,
        enc_layers=6,
        dec_layers=6,
        pre_norm=False,
    )
    model = import_published(FOLDER, "models.detr").DETR(
        backbone.build_backbone(args),
        import_published(FOLDER, "models.transformer").build_transformer(args),
        num_classes=num_classes,
        num_queries=100,
        aux_loss=True,
    )
    for name, buffer in model.named_buffers():
        if name.endswith(("bn1.weight", "bn2.weight", "bn3.weight", "running_var", "downsample.1.weight")):
            nn.init.uniform_(buffer, 0.5, 1.0)
        elif "body" in name:
            nn.init.normal_(buffer, std=0.1)
    return model.eval()


def our_name(name: str) -> str:
    """The name in our state dict of a parameter of the published detector."""
    name = name.replace("backbone.0.body.", "backbone.")
    name = re.sub(r"^backbone\.(conv1|bn1)", r"backbone.stem.\1", name)
    name = re.sub(r"layer(\d)", lambda m: f"res{int(m[1]) + 1}", name)
    name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    return re.sub(r"bn(\d)", r"conv\1.norm", name)
