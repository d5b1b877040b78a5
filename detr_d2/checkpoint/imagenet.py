"""ImageNet weights of torchvision's ResNets, under the names of Detectron2's ResNet."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from detectron2.layers import FrozenBatchNorm2d
from torch import nn

_LOGGER = logging.getLogger(__name__)

_STEM = "stem.conv1.weight"
# Of the classifier and of batch norms' counters there is nothing in a detector's backbone.
_UNUSED = re.compile(r"(^|\.)(fc\.(weight|bias)|num_batches_tracked)$")


def imagenet_backbone(state: Mapping[str, Any], model_keys: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rename a bare ResNet's weights to those of the backbone of a model.

    Two layouts are known: torchvision's own (``conv1``, ``bn1``, ``layer1.0.downsample.0``, ...) and
    Detectron2's ``ImageNetPretrained/torchvision`` files (``stem.conv1``, ``res2.0.shortcut``, ...
    without the name of the module that holds the backbone). Classifier and counters are left out.

    Args:
        state: weights by name.
        model_keys: names in the model that is to hold them, e.g. its state dict.

    Returns:
        weights by the model's names, or None where ``state`` has neither layout or the model has no
        ResNet of Detectron2's names, or several.
    """
    if "conv1.weight" in state and "layer1.0.conv1.weight" in state:
        renamed = {_from_torchvision(name): value for name, value in state.items()}
    elif _STEM in state and "res2.0.conv1.weight" in state:
        renamed = dict(state)
    else:
        return None
    prefixes = [name[: -len(_STEM)] for name in model_keys if name == _STEM or name.endswith("." + _STEM)]
    if len(prefixes) != 1:
        return None
    return {prefixes[0] + name: value for name, value in renamed.items() if not _UNUSED.search(name)}


def _from_torchvision(name: str) -> str:
    """One name of torchvision's ResNet in Detectron2's words."""
    name = re.sub(r"^layer(\d)\.", lambda match: f"res{int(match[1]) + 1}.", name)
    name = name.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
    name = re.sub(r"(^|\.)bn(\d)\.", r"\1conv\2.norm.", name)
    return name if name.startswith("res") else f"stem.{name}"


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
