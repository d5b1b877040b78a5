"""From config keys to the parts of :class:`~detr_d2.modeling.detr.Detr`; every key is checked here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from detectron2.config import CfgNode
from torch import nn

from .criterion import LossWeights, SetCriterion
from .matcher import HungarianMatcher
from .position_encoding import LearnedPositionEncoding, SinePositionEncoding
from .transformer import Transformer

# What MODEL.DETR.POSITION_EMBEDDING may name.
POSITION_ENCODINGS: dict[str, Callable[[CfgNode], nn.Module]] = {
    "sine": lambda cfg: SinePositionEncoding(cfg.MODEL.DETR.HIDDEN_DIM, cfg.MODEL.DETR.POSITION_TEMPERATURE),
    "learned": lambda cfg: LearnedPositionEncoding(cfg.MODEL.DETR.HIDDEN_DIM),
}


def detr_arguments(cfg: CfgNode) -> dict[str, Any]:
    """Constructor arguments of ``Detr``, without the backbone.

    Raises:
        ValueError: a key has an unknown value, or two keys contradict each other; names the keys.
    """
    check_config(cfg)
    detr = cfg.MODEL.DETR
    return {
        "in_feature": detr.IN_FEATURE,
        "position_encoding": POSITION_ENCODINGS[detr.POSITION_EMBEDDING](cfg),
        "transformer": Transformer(
            channels=detr.HIDDEN_DIM,
            heads=detr.NHEADS,
            encoder_layers=detr.ENC_LAYERS,
            decoder_layers=detr.DEC_LAYERS,
            feedforward=detr.DIM_FEEDFORWARD,
            dropout=detr.DROPOUT,
            pre_norm=detr.PRE_NORM,
        ),
        "criterion": SetCriterion(
            num_classes=detr.NUM_CLASSES,
            num_queries=detr.NUM_OBJECT_QUERIES,
            matcher=HungarianMatcher(detr.COST_CLASS, detr.COST_L1, detr.COST_GIOU),
            weights=LossWeights(detr.CLASS_WEIGHT, detr.L1_WEIGHT, detr.GIOU_WEIGHT),
            no_object_weight=detr.NO_OBJECT_WEIGHT,
            per_process=detr.LOSS_NORMALIZATION == "per_process",
        ),
        "hidden_dim": detr.HIDDEN_DIM,
        "num_classes": detr.NUM_CLASSES,
        "num_queries": detr.NUM_OBJECT_QUERIES,
        "query_groups": detr.QUERY_GROUPS,
        "position_in_content": detr.POSITION_IN_CONTENT,
        "encoder_loss_weight": detr.ENCODER_LOSS_WEIGHT,
        "deep_supervision": detr.DEEP_SUPERVISION,
        "metrics_period": detr.METRICS_PERIOD,
        "pixel_mean": cfg.MODEL.PIXEL_MEAN,
        "pixel_std": cfg.MODEL.PIXEL_STD,
        "input_format": cfg.INPUT.FORMAT,
    }


def check_config(cfg: CfgNode) -> None:
    """Refuse values that cannot be built, with the key's name.

    Raises:
        ValueError: as said.
    """
    detr, resnets = cfg.MODEL.DETR, cfg.MODEL.RESNETS

    def require(holds: bool, key: str, value: object, rule: str) -> None:
        if not holds:
            raise ValueError(f"{key} is {value!r}, but must be {rule}")

    for key in (
        "NUM_CLASSES",
        "NUM_OBJECT_QUERIES",
        "QUERY_GROUPS",
        "HIDDEN_DIM",
        "NHEADS",
        "DEC_LAYERS",
        "DIM_FEEDFORWARD",
    ):
        require(detr[key] >= 1, f"MODEL.DETR.{key}", detr[key], "at least 1")
    for key in ("ENC_LAYERS", "METRICS_PERIOD"):
        require(detr[key] >= 0, f"MODEL.DETR.{key}", detr[key], "0 or more")
    for key in ("CLASS_WEIGHT", "L1_WEIGHT", "GIOU_WEIGHT", "NO_OBJECT_WEIGHT", "ENCODER_LOSS_WEIGHT"):
        require(detr[key] >= 0, f"MODEL.DETR.{key}", detr[key], "0 or more")
    require(0 <= detr.DROPOUT < 1, "MODEL.DETR.DROPOUT", detr.DROPOUT, "in [0, 1)")
    temperature = detr.POSITION_TEMPERATURE
    require(temperature > 1, "MODEL.DETR.POSITION_TEMPERATURE", temperature, "larger than 1")
    heads = f"divisible by MODEL.DETR.NHEADS ({detr.NHEADS})"
    require(detr.HIDDEN_DIM % detr.NHEADS == 0, "MODEL.DETR.HIDDEN_DIM", detr.HIDDEN_DIM, heads)
    require(detr.HIDDEN_DIM % 4 == 0, "MODEL.DETR.HIDDEN_DIM", detr.HIDDEN_DIM, "divisible by 4")
    require(
        detr.POSITION_EMBEDDING in POSITION_ENCODINGS,
        "MODEL.DETR.POSITION_EMBEDDING",
        detr.POSITION_EMBEDDING,
        f"one of {sorted(POSITION_ENCODINGS)}",
    )
    modes = ("joint", "per_process")
    require(
        detr.LOSS_NORMALIZATION in modes,
        "MODEL.DETR.LOSS_NORMALIZATION",
        detr.LOSS_NORMALIZATION,
        f"one of {modes}",
    )
    require(
        len(cfg.MODEL.PIXEL_MEAN) == len(cfg.MODEL.PIXEL_STD) == 3,
        "MODEL.PIXEL_MEAN and MODEL.PIXEL_STD",
        (list(cfg.MODEL.PIXEL_MEAN), list(cfg.MODEL.PIXEL_STD)),
        "three numbers each",
    )
    require(cfg.INPUT.FORMAT in ("RGB", "BGR"), "INPUT.FORMAT", cfg.INPUT.FORMAT, '"RGB" or "BGR"')
    require(not cfg.MODEL.MASK_ON, "MODEL.MASK_ON", True, "False: this version has no mask head yet")
    require(
        not detr.FROZEN_WEIGHTS,
        "MODEL.DETR.FROZEN_WEIGHTS",
        detr.FROZEN_WEIGHTS,
        '"": only mask heads are trained on a frozen detector, and this version has none yet',
    )
    if "resnet" in cfg.MODEL.BACKBONE.NAME:
        require(
            detr.IN_FEATURE in resnets.OUT_FEATURES,
            "MODEL.DETR.IN_FEATURE",
            detr.IN_FEATURE,
            f"one of MODEL.RESNETS.OUT_FEATURES {list(resnets.OUT_FEATURES)}",
        )
