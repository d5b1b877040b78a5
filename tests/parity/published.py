"""The published detector with random weights, and its names in our state dict.

``PUBLISHED_DETR`` names a folder that holds a clone of github.com/facebookresearch/detr (29901c5). None of
it is part of this project, so these tests are skipped without it, and say so.
"""

from __future__ import annotations

import os
import re

import pytest
from torch import nn

from benchmarks.published_detr import build_published_detector, build_published_panoptic

FOLDER = os.environ.get("PUBLISHED_DETR", "")

requires_published_detr = pytest.mark.skipif(
    not FOLDER, reason="PUBLISHED_DETR names no clone of github.com/facebookresearch/detr"
)


def build_detector(num_classes: int, dilation: bool) -> nn.Module:
    """ResNet-50 DETR with random weights and random frozen batch-norm statistics; no download."""
    return build_published_detector(FOLDER, num_classes, dilation)


def build_panoptic(num_classes: int, dilation: bool) -> nn.Module:
    """The same with a mask head."""
    return build_published_panoptic(FOLDER, num_classes, dilation)


def our_name(name: str) -> str:
    """The name in our state dict of a parameter of the published detector."""
    name = name.removeprefix("detr.").replace("backbone.0.body.", "backbone.")
    name = re.sub(r"^backbone\.(conv1|bn1)", r"backbone.stem.\1", name)
    name = re.sub(r"layer(\d)", lambda m: f"res{int(m[1]) + 1}", name)
    name = name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
    return re.sub(r"bn(\d)", r"conv\1.norm", name)
