"""Layouts of ImageNet ResNets, which become the backbone of a detector."""

from __future__ import annotations

from .layout import Layout
from .names import under
from .resnet import DETECTRON2, TORCHVISION

_BACKBONE = ("backbone.stem.conv1.weight", "backbone.res2.0.conv1.weight", "backbone.res5.0.conv1.weight")

TORCHVISION_RESNET = Layout(
    name="torchvision",
    description="torchvision's ResNet",
    names=under("", "backbone", TORCHVISION),
    required=_BACKBONE,
    writable=False,
)

DETECTRON2_RESNET = Layout(
    name="detectron2-imagenet",
    description="Detectron2's ImageNetPretrained/torchvision ResNet",
    names=under("", "backbone", DETECTRON2),
    required=_BACKBONE,
    writable=False,
)
