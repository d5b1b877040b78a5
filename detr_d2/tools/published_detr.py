"""Imports the published DETR from a clone of it, as an oracle and as an opponent in benchmarks."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torchvision
from torch import Tensor

from ..modeling import Targets


def import_published(folder: str, module: str) -> ModuleType:
    """Import ``module``, such as ``models.detr``, of the clone in ``folder``.

    Args:
        folder: a clone of github.com/facebookresearch/detr (29901c5 is what detr_d2 is compared with).

    Raises:
        FileNotFoundError: ``folder`` holds no clone.
    """
    path = Path(folder).resolve()
    if not (path / "models" / "detr.py").is_file():
        raise FileNotFoundError(
            f"{folder} is not a clone of github.com/facebookresearch/detr: no models/detr.py"
        )
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    # Its util.misc reads only three characters of the version, so that 0.29 counts as older than 0.7.
    version, torchvision.__version__ = torchvision.__version__, "0.9"
    try:
        return importlib.import_module(module)
    finally:
        torchvision.__version__ = version


def build_published_criterion(folder: str, num_classes: int) -> Any:
    """Its matcher and set criterion with the published weights; losses come back unweighted."""
    matcher = import_published(folder, "models.matcher").HungarianMatcher(
        cost_class=1, cost_bbox=5, cost_giou=2
    )
    return import_published(folder, "models.detr").SetCriterion(
        num_classes, matcher=matcher, weight_dict={}, eos_coef=0.1, losses=["labels", "boxes"]
    )


def as_published_targets(targets: Targets) -> list[dict[str, Tensor]]:
    """A dict of unpadded labels and boxes for each image."""
    return [
        {"labels": targets.labels[i, :count], "boxes": targets.boxes[i, :count]}
        for i, count in enumerate(targets.counts)
    ]


def as_published_outputs(logits: Tensor, boxes: Tensor) -> dict[str, Any]:
    """(L, B, N, C + 1) logits and (L, B, N, 4) boxes as the dict that its model returns."""
    layers = [{"pred_logits": x, "pred_boxes": y} for x, y in zip(logits, boxes, strict=True)]
    return {**layers[-1], "aux_outputs": layers[:-1]}
