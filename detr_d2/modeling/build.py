"""From config keys, which are checked here, to the parts of :class:`~detr_d2.modeling.detr.Detr`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from torch import nn

from ..classes import thing_classes
from ..detectron2_keys import detections_limit
from ..errors import ConfigError, require
from .auxiliary import AUXILIARIES
from .box_regression import BOX_REGRESSIONS
from .class_losses import CLASS_LOSSES
from .criterion import LossWeights, SetCriterion
from .decoders import DECODERS
from .fusion import AddedFeatures
from .inference import Inference
from .mask_criterion import MaskCriterion
from .matcher import HungarianMatcher
from .position_encoding import LearnedPositionEncoding, SinePositionEncoding
from .preprocessing import Normalize
from .segmentation import MaskHead, check_mask_widths
from .starts import EncoderStart, LearnedStart
from .transformer import Transformer

# What MODEL.DETR.POSITION_EMBEDDING may name.
POSITION_ENCODINGS: dict[str, Callable[[CfgNode], nn.Module]] = {
    "sine": lambda cfg: _sine(cfg, centered=False),
    "sine_centered": lambda cfg: _sine(cfg, centered=True),
    "learned": lambda cfg: LearnedPositionEncoding(cfg.MODEL.DETR.HIDDEN_DIM),
}
# What MODEL.DETR.FREEZE may name, and the modules of each.
FREEZABLE = {
    "backbone": ("backbone",),
    "encoder": ("input_proj", "fuse", "position_encoding", "transformer.encoder"),
    "decoder": ("query_embed", "transformer.decoder"),
}
# Keys of MODEL.DETR with their least value.
_LEAST = (
    ("NUM_CLASSES NUM_OBJECT_QUERIES HIDDEN_DIM NHEADS DEC_LAYERS DIM_FEEDFORWARD", 1, "at least 1"),
    ("ENC_LAYERS METRICS_PERIOD", 0, "0 or more"),
    ("CLASS_WEIGHT L1_WEIGHT GIOU_WEIGHT MASK_WEIGHT DICE_WEIGHT NO_OBJECT_WEIGHT", 0, "0 or more"),
)
# Keys of MODEL.DETR with the names that they may give.
_NAMES: dict[str, Collection[str]] = {
    "BOX_REGRESSION": BOX_REGRESSIONS,
    "CLASS_LOSS": CLASS_LOSSES,
    "DECODER": DECODERS,
    "POSITION_EMBEDDING": POSITION_ENCODINGS,
    "LOSS_NORMALIZATION": ("joint", "per_process"),
}


def detr_arguments(cfg: CfgNode, features: Mapping[str, ShapeSpec]) -> dict[str, Any]:
    """Constructor arguments of ``Detr``, without the backbone.

    Args:
        cfg: the config.
        features: the feature maps that the backbone gives, by name.

    Raises:
        ConfigError: a key has an unknown value, or two keys contradict each other; names the keys.
    """
    check_config(cfg)
    detr = cfg.MODEL.DETR
    rule = f"one that the backbone gives, {list(features)} (a ResNet: MODEL.RESNETS.OUT_FEATURES)"
    require(detr.IN_FEATURE in features, "MODEL.DETR.IN_FEATURE", detr.IN_FEATURE, rule)
    decoder = DECODERS[detr.DECODER]
    class_loss = CLASS_LOSSES[detr.CLASS_LOSS].from_config(cfg)
    box_regression = BOX_REGRESSIONS[detr.BOX_REGRESSION]()
    auxiliary = {name: AUXILIARIES[name].from_config(cfg) for name in detr.AUXILIARY}
    copies = max((one.copies for one in auxiliary.values()), default=1)
    # In this order, in which the initial weights are drawn.
    return {
        "position_encoding": POSITION_ENCODINGS[detr.POSITION_EMBEDDING](cfg),
        "transformer": Transformer(decoder.encoder.from_config(cfg), decoder.from_config(cfg)),
        "mask_head": build_mask_head(cfg, features) if cfg.MODEL.MASK_ON else None,
        "input_proj": nn.Conv2d(features[detr.IN_FEATURE].channels, detr.HIDDEN_DIM, kernel_size=1),
        "fuse": build_fusion(cfg, features),
        "query_embed": decoder.queries.from_config(cfg, copies),
        "start": EncoderStart(detr.ENCODER.STARTS, class_loss) if detr.ENCODER.STARTS else LearnedStart(),
        "criterion": SetCriterion(
            num_classes=detr.NUM_CLASSES,
            num_queries=detr.NUM_OBJECT_QUERIES,
            matcher=HungarianMatcher(
                detr.COST_CLASS, detr.COST_L1, detr.COST_GIOU, class_loss, box_regression
            ),
            weights=LossWeights(detr.CLASS_WEIGHT, detr.L1_WEIGHT, detr.GIOU_WEIGHT),
            class_loss=class_loss,
            box_regression=box_regression,
            per_process=detr.LOSS_NORMALIZATION == "per_process",
            deep_supervision=detr.DEEP_SUPERVISION and not detr.FROZEN_WEIGHTS,
            metrics_period=detr.METRICS_PERIOD,
        ),
        # A frozen detector learns nothing, but has as many queries as where it was trained.
        "auxiliary": {} if detr.FROZEN_WEIGHTS else auxiliary,
        "inference": Inference(
            instances_on=detr.TEST.INSTANCE_ON,
            panoptic_on=detr.TEST.PANOPTIC_ON,
            things=thing_classes(cfg),
            score_threshold=detr.TEST.INSTANCE_SCORE_THRESHOLD,
            mask_threshold=detr.TEST.MASK_THRESHOLD,
            panoptic_score_threshold=detr.TEST[class_loss.panoptic_threshold],
            panoptic_min_area=detr.TEST.PANOPTIC_MIN_AREA,
            mask_chunk=detr.TEST.MASK_CHUNK,
            class_loss=class_loss,
            limit=detections_limit(cfg),
        ),
        "in_feature": detr.IN_FEATURE,
        "normalize": Normalize(cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD),
        "frozen": bool(detr.FROZEN_WEIGHTS),
        "frozen_parts": [module for part in detr.FREEZE for module in FREEZABLE[part]],
    }


def build_fusion(cfg: CfgNode, features: Mapping[str, ShapeSpec]) -> dict[str, AddedFeatures]:
    """What adds MODEL.DETR.FUSE_FEATURES of a backbone to MODEL.DETR.IN_FEATURE.

    Raises:
        ConfigError: the backbone does not give them, one is named twice, or strides are no multiples.
    """
    detr, key = cfg.MODEL.DETR, "MODEL.DETR.FUSE_FEATURES"
    names, wanted = tuple(detr.FUSE_FEATURES), features[detr.IN_FEATURE].stride
    others = [name for name in features if name != detr.IN_FEATURE]
    rule = f"some of {others}, each once: what the backbone gives (a ResNet: MODEL.RESNETS.OUT_FEATURES) "
    rule += f"beside MODEL.DETR.IN_FEATURE {detr.IN_FEATURE!r}"
    require(set(names) <= set(others) and len(set(names)) == len(names), key, names, rule)
    fusion = {}
    for name in names:
        stride = features[name].stride
        rule = f"of strides that divide the {wanted} of MODEL.DETR.IN_FEATURE, or are multiples of it"
        require(stride % wanted == 0 or wanted % stride == 0, key, names, rule)
        fusion[name] = AddedFeatures(features[name].channels, detr.HIDDEN_DIM, stride, wanted)
    return fusion


def _sine(cfg: CfgNode, centered: bool) -> SinePositionEncoding:
    return SinePositionEncoding(cfg.MODEL.DETR.HIDDEN_DIM, cfg.MODEL.DETR.POSITION_TEMPERATURE, centered)


def build_mask_head(cfg: CfgNode, features: Mapping[str, ShapeSpec]) -> MaskHead:
    """The mask head for MODEL.DETR.MASK_FEATURES of a backbone.

    Raises:
        ConfigError: the backbone does not give them, or not from coarse to fine.
    """
    detr = cfg.MODEL.DETR
    names, stride = tuple(detr.MASK_FEATURES), features[detr.IN_FEATURE].stride
    for i, name in enumerate(names):
        if name not in features:
            raise ConfigError(
                f"MODEL.DETR.MASK_FEATURES has {name!r}, but the backbone gives {', '.join(features)}: "
                "with MODEL.MASK_ON let it give this one too (a ResNet: MODEL.RESNETS.OUT_FEATURES), or take "
                "it out"
            )
        # With a dilated last stage the first map may be of the transformer's own stride.
        finer = features[name].stride <= stride if i == 0 else features[name].stride < stride
        if not finer:
            raise ConfigError(
                f"MODEL.DETR.MASK_FEATURES is {names}, but must go from coarse to fine, starting from "
                f"MODEL.DETR.IN_FEATURE {detr.IN_FEATURE!r}: {name!r} has stride {features[name].stride}, "
                f"after one of {stride}"
            )
        stride = features[name].stride
    criterion = MaskCriterion(
        detr.NUM_OBJECT_QUERIES, detr.MASK_WEIGHT, detr.DICE_WEIGHT, detr.MASK_LOSS_ON_PADDING
    )
    channels = {name: features[name].channels for name in names}
    return MaskHead(detr.HIDDEN_DIM, detr.NHEADS, channels, criterion)


def check_config(cfg: CfgNode) -> None:
    """Refuse values that cannot be built, with the key's name.

    Raises:
        ConfigError: as said.
    """
    detr = cfg.MODEL.DETR
    for keys, least, rule in _LEAST:
        for key in keys.split():
            require(detr[key] >= least, f"MODEL.DETR.{key}", detr[key], rule)
    for key, known in _NAMES.items():
        require(detr[key] in known, f"MODEL.DETR.{key}", detr[key], f"one of {sorted(known)}")
    refining = sorted(name for name, kind in DECODERS.items() if kind.refines)
    require(
        detr.BOX_REGRESSION == "absolute" or detr.DECODER in refining,
        "MODEL.DETR.BOX_REGRESSION",
        detr.BOX_REGRESSION,
        f'"absolute" where MODEL.DETR.DECODER is none of {refining}: there is no box to change',
    )
    starts, most = detr.ENCODER.STARTS, detr.NUM_OBJECT_QUERIES - 1
    rule = f"0 to MODEL.DETR.NUM_OBJECT_QUERIES - 1 ({most})"
    require(0 <= starts <= most, "MODEL.DETR.ENCODER.STARTS", starts, rule)
    rule = f'0 where MODEL.DETR.DECODER is none of {refining}, or MODEL.DETR.AUXILIARY lists no "encoder"'
    learned = detr.DECODER in refining and "encoder" in detr.AUXILIARY
    require(learned or not starts, "MODEL.DETR.ENCODER.STARTS", starts, rule)
    listed, known = tuple(detr.AUXILIARY), sorted(AUXILIARIES)
    once = len(set(listed)) == len(listed)
    require(once and set(listed) <= set(known), "MODEL.DETR.AUXILIARY", listed, f"some of {known}, each once")
    parts = tuple(detr.FREEZE)
    require(set(parts) <= set(FREEZABLE), "MODEL.DETR.FREEZE", parts, f"some of {', '.join(FREEZABLE)}")
    require(0 <= detr.DROPOUT < 1, "MODEL.DETR.DROPOUT", detr.DROPOUT, "in [0, 1)")
    for key in ("POSITION_TEMPERATURE", "QUERY_TEMPERATURE"):
        require(detr[key] > 1, f"MODEL.DETR.{key}", detr[key], "larger than 1")
    heads = f"divisible by MODEL.DETR.NHEADS ({detr.NHEADS})"
    require(detr.HIDDEN_DIM % detr.NHEADS == 0, "MODEL.DETR.HIDDEN_DIM", detr.HIDDEN_DIM, heads)
    require(detr.HIDDEN_DIM % 4 == 0, "MODEL.DETR.HIDDEN_DIM", detr.HIDDEN_DIM, "divisible by 4")
    require(
        len(cfg.MODEL.PIXEL_MEAN) == len(cfg.MODEL.PIXEL_STD) == 3,
        "MODEL.PIXEL_MEAN and MODEL.PIXEL_STD",
        (list(cfg.MODEL.PIXEL_MEAN), list(cfg.MODEL.PIXEL_STD)),
        "three numbers each",
    )
    check_mask_config(cfg)


def check_mask_config(cfg: CfgNode) -> None:
    """Refuse values of masks and of what inference gives that cannot be had, with the key's name.

    Raises:
        ConfigError: as said.
    """
    masks_on, detr, test = cfg.MODEL.MASK_ON, cfg.MODEL.DETR, cfg.MODEL.DETR.TEST
    panoptic = [kind.panoptic_threshold for kind in CLASS_LOSSES.values()]
    for key in ("INSTANCE_SCORE_THRESHOLD", "MASK_THRESHOLD", *panoptic):
        require(0 <= test[key] <= 1, f"MODEL.DETR.TEST.{key}", test[key], "in [0, 1]")
    require(test.MASK_CHUNK >= 1, "MODEL.DETR.TEST.MASK_CHUNK", test.MASK_CHUNK, "at least 1")
    least = test.PANOPTIC_MIN_AREA
    require(least >= 0, "MODEL.DETR.TEST.PANOPTIC_MIN_AREA", least, "0 or more")
    require(
        test.INSTANCE_ON or test.PANOPTIC_ON,
        "MODEL.DETR.TEST.INSTANCE_ON",
        False,
        "True where MODEL.DETR.TEST.PANOPTIC_ON is False: inference would give nothing",
    )
    require(
        masks_on or not detr.FROZEN_WEIGHTS,
        "MODEL.DETR.FROZEN_WEIGHTS",
        detr.FROZEN_WEIGHTS,
        '"" where MODEL.MASK_ON is False: with the detector frozen there is only a mask head to train',
    )
    if masks_on:
        check_mask_widths(detr.HIDDEN_DIM, detr.NHEADS, len(detr.MASK_FEATURES))
    things = thing_classes(cfg)
    if things:
        rule = f"above {max(things)}, the largest number of a thing in the first panoptic one of DATASETS"
        require(max(things) < detr.NUM_CLASSES, "MODEL.DETR.NUM_CLASSES", detr.NUM_CLASSES, rule)
    if test.PANOPTIC_ON:
        require(masks_on, "MODEL.MASK_ON", masks_on, "True where MODEL.DETR.TEST.PANOPTIC_ON is")
        datasets = ", ".join((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)) or "none given"
        require(
            things is not None,
            "MODEL.DETR.TEST.PANOPTIC_ON",
            True,
            f"False: no data set of DATASETS.TRAIN and DATASETS.TEST ({datasets}) has metadata with things "
            "and stuff in one numbering, as coco_2017_train_panoptic has",
        )
