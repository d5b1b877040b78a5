"""Bare backbones in the place that a model has for them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from detectron2.layers import FrozenBatchNorm2d
from torch import Tensor, nn

from ..errors import CheckpointError
from .layout import Weights

_LOGGER = logging.getLogger(__name__)

_STEM = "stem.conv1.weight"


def place_backbone(weights: Weights, model_keys: Iterable[str], file: str) -> dict[str, Tensor]:
    """Rename a ResNet's weights for a model that has its backbone elsewhere, e.g. inside an FPN.

    Args:
        weights: with names that begin with ``backbone.``.
        model_keys: names in the model that is to hold them.
        file: what holds which weights, for the message.

    Raises:
        CheckpointError: the model has no ResNet of Detectron2's names, or several.
    """
    places = [key[: -len(_STEM)] for key in model_keys if key == _STEM or key.endswith(f".{_STEM}")]
    if len(places) != 1:
        raise CheckpointError(f"{file}, but the model has no ResNet of Detectron2's for it, or several")
    return {places[0] + name.removeprefix("backbone."): value for name, value in weights.items()}


def warn_of_random_frozen_backbone(model: nn.Module, loaded: Iterable[str]) -> None:
    """Say so if parts of the backbone are frozen and no weights were loaded into it."""
    backbone = getattr(model, "backbone", None)
    if backbone is None or any(name.startswith("backbone.") for name in loaded):
        return
    frozen = any(not parameter.requires_grad for parameter in backbone.parameters())
    if frozen or any(isinstance(module, FrozenBatchNorm2d) for module in backbone.modules()):
        _LOGGER.warning(
            "Parts of the backbone are frozen at random weights and will not learn: set MODEL.WEIGHTS to "
            "ImageNet weights (detectron2://ImageNetPretrained/torchvision/R-50.pkl, or torchvision's .pth), "
            'or train all of it with MODEL.BACKBONE.FREEZE_AT 0 MODEL.RESNETS.NORM "BN"'
        )
