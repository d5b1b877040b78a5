"""Detectron2's own keys: what is said of those that detr_d2 does not honor, and what others must be."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from detectron2.config import CfgNode, get_cfg

from .errors import ConfigError, require

_LOGGER = logging.getLogger(__name__)

# Something is asked for that would change results, and is not there.
_REFUSED: dict[str, str] = {
    "MODEL.KEYPOINT_ON": "there are no keypoints: set it to False",
    "MODEL.LOAD_PROPOSALS": "DETR has no proposals: set it to False",
    "DATASETS.PROPOSAL_FILES_TRAIN": "DETR has no proposals: leave it empty",
    "DATASETS.PROPOSAL_FILES_TEST": "DETR has no proposals: leave it empty",
    "TEST.AUG.ENABLED": "there is no test-time augmentation: set it to False",
    "TEST.PRECISE_BN.ENABLED": "statistics of batch norm are those of training: set it to False",
    "MODEL.ROI_HEADS.NUM_CLASSES": "the number of classes is MODEL.DETR.NUM_CLASSES",
    "MODEL.RETINANET.NUM_CLASSES": "the number of classes is MODEL.DETR.NUM_CLASSES",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES": "the number of classes is MODEL.DETR.NUM_CLASSES",
}

# Nothing comes of it. A name of a section stands for all keys below it.
_WITHOUT_EFFECT: dict[str, str] = {
    "VIS_PERIOD": "training images are not drawn; detr-d2 draw draws results",
    "GLOBAL.HACK": "nothing reads it",
    "INPUT.MASK_FORMAT": "masks are read in whatever format they are annotated",
    "TEST.KEYPOINT_OKS_SIGMAS": "there are no keypoints",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": "scores are cut at MODEL.DETR.TEST.INSTANCE_SCORE_THRESHOLD",
    "MODEL.RETINANET.SCORE_THRESH_TEST": "scores are cut at MODEL.DETR.TEST.INSTANCE_SCORE_THRESHOLD",
    **dict.fromkeys(
        (
            "MODEL.PROPOSAL_GENERATOR",
            "MODEL.ANCHOR_GENERATOR",
            "MODEL.RPN",
            "MODEL.ROI_HEADS",
            "MODEL.ROI_BOX_HEAD",
            "MODEL.ROI_BOX_CASCADE_HEAD",
            "MODEL.ROI_MASK_HEAD",
            "MODEL.ROI_KEYPOINT_HEAD",
            "MODEL.SEM_SEG_HEAD",
            "MODEL.PANOPTIC_FPN",
            "MODEL.RETINANET",
        ),
        "DETR has no such part",
    ),
}


def refuse_unsupported_keys(cfg: CfgNode) -> None:
    """Refuse what Detectron2 would do, and detr_d2 does not.

    Args:
        cfg: a config with Detectron2's keys. Models of other architectures have parts of their own, which are
            not looked at.

    Raises:
        ConfigError: names the key and what to do.
    """
    for key, value in _changed(cfg):
        if key in _REFUSED:
            raise ConfigError(f"{key} is {value!r}, but {_REFUSED[key]}")


def warn_of_keys_without_effect(cfg: CfgNode) -> None:
    """Say once, of all keys that differ from Detectron2's defaults and change nothing, what they are."""
    said: list[str] = []
    for key, value in _changed(cfg):
        names = [
            key.rsplit(".", depth)[0] for depth in range(key.count(".") + 1)
        ]  # and those of its sections
        section = next((name for name in names if name in _WITHOUT_EFFECT), None)
        if section is not None and key not in _REFUSED:
            said.append(f"{key} {value!r} ({_WITHOUT_EFFECT[section]})")
    if cfg.SOLVER.get("OPTIMIZER") == "ADAMW" and cfg.SOLVER.NESTEROV:
        said.append("SOLVER.NESTEROV True (it is SGD's, and SOLVER.OPTIMIZER is ADAMW)")
    if said:
        _LOGGER.warning("Without effect: %s", "; ".join(said))


def detections_limit(cfg: CfgNode) -> int:
    """TEST.DETECTIONS_PER_IMAGE: detections of an image that inference gives at most, and AP counts.

    Raises:
        ConfigError: it is not positive.
    """
    limit: int = cfg.TEST.DETECTIONS_PER_IMAGE
    require(limit >= 1, "TEST.DETECTIONS_PER_IMAGE", limit, "at least 1")
    return limit


def _changed(cfg: CfgNode) -> Iterator[tuple[str, object]]:
    """Keys of the model's own kind whose values are not Detectron2's defaults, with their values."""
    is_detr = cfg.MODEL.META_ARCHITECTURE == "Detr"
    for key, default in leaves(get_cfg()):
        node: object = cfg
        for name in key.split("."):
            node = node.get(name, default) if isinstance(node, CfgNode) else default
        of_parts = key.startswith("MODEL.") and key.count(".") > 1
        if _as_lists(node) != _as_lists(default) and (is_detr or not of_parts):
            yield key, node


def _as_lists(value: object) -> object:
    """A value as YAML gives it back: a config that was written and read again has lists for tuples."""
    return [_as_lists(one) for one in value] if isinstance(value, list | tuple) else value


def leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """The keys of a config, or of a YAML file's content, with their values."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
