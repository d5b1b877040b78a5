from typing import Any

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model

from detr_d2 import add_detr_config
from detr_d2.errors import ConfigError
from detr_d2.modeling.build import detr_arguments
from detr_d2.modeling.class_losses import CrossEntropy, SigmoidFocal
from detr_d2.modeling.inference import Inference
from detr_d2.modeling.position_encoding import LearnedPositionEncoding

from ..conftest import make_mask_config, make_mask_input, make_tiny_config


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL.DETR.NUM_CLASSES", 0, "MODEL.DETR.NUM_CLASSES is 0, but must be at least 1"),
        ("MODEL.DETR.NUM_OBJECT_QUERIES", 0, "MODEL.DETR.NUM_OBJECT_QUERIES is 0"),
        ("MODEL.DETR.DEC_LAYERS", 0, "MODEL.DETR.DEC_LAYERS is 0"),
        ("MODEL.DETR.ENC_LAYERS", -1, "MODEL.DETR.ENC_LAYERS is -1"),
        ("MODEL.DETR.HIDDEN_DIM", 33, r"MODEL.DETR.HIDDEN_DIM is 33, .*MODEL.DETR.NHEADS \(4\)"),
        ("MODEL.DETR.NHEADS", 5, r"MODEL.DETR.HIDDEN_DIM is 32, .*MODEL.DETR.NHEADS \(5\)"),
        ("MODEL.DETR.DROPOUT", 1.0, "MODEL.DETR.DROPOUT is 1.0"),
        ("MODEL.DETR.NO_OBJECT_WEIGHT", -0.1, "MODEL.DETR.NO_OBJECT_WEIGHT is -0.1"),
        ("MODEL.DETR.POSITION_EMBEDDING", "cosine", "POSITION_EMBEDDING is 'cosine', .*'learned', 'sine'"),
        ("MODEL.DETR.POSITION_TEMPERATURE", 0.5, "POSITION_TEMPERATURE is 0.5"),
        ("MODEL.DETR.QUERY_TEMPERATURE", 1.0, "QUERY_TEMPERATURE is 1.0"),
        ("MODEL.DETR.CLASS_LOSS", "softmax", "MODEL.DETR.CLASS_LOSS is 'softmax', .*'focal'"),
        ("MODEL.DETR.TEST.SIGMOID_PANOPTIC_SCORE_THRESHOLD", 2.0, "SIGMOID_PANOPTIC_SCORE_THRESHOLD is 2.0"),
        ("TEST.DETECTIONS_PER_IMAGE", 0, "TEST.DETECTIONS_PER_IMAGE is 0"),
        ("MODEL.DETR.LOSS_NORMALIZATION", "sum", "LOSS_NORMALIZATION is 'sum', .*'joint', 'per_process'"),
        ("MODEL.DETR.IN_FEATURE", "res5", r"IN_FEATURE is 'res5', .*\['res4'\]"),
        ("MODEL.DETR.FROZEN_WEIGHTS", "x.pth", "FROZEN_WEIGHTS is 'x.pth', .*MODEL.MASK_ON is False"),
        ("MODEL.MASK_ON", True, "MODEL.DETR.HIDDEN_DIM is 32"),
        ("MODEL.DETR.MASK_WEIGHT", -1.0, "MODEL.DETR.MASK_WEIGHT is -1.0"),
        ("MODEL.DETR.TEST.MASK_CHUNK", 0, "TEST.MASK_CHUNK is 0, but must be at least 1"),
        ("MODEL.DETR.TEST.MASK_THRESHOLD", 1.5, r"TEST.MASK_THRESHOLD is 1.5, but must be in \[0, 1\]"),
        ("MODEL.DETR.TEST.PANOPTIC_SCORE_THRESHOLD", -0.1, "TEST.PANOPTIC_SCORE_THRESHOLD is -0.1"),
        ("MODEL.DETR.TEST.INSTANCE_SCORE_THRESHOLD", 2.0, "TEST.INSTANCE_SCORE_THRESHOLD is 2.0"),
        ("MODEL.DETR.TEST.PANOPTIC_MIN_AREA", -1, "TEST.PANOPTIC_MIN_AREA is -1"),
        ("MODEL.DETR.TEST.INSTANCE_ON", False, "TEST.INSTANCE_ON is False, .*would give nothing"),
        ("MODEL.DETR.TEST.PANOPTIC_ON", True, "MODEL.MASK_ON is False, .*where MODEL.DETR.TEST.PANOPTIC_ON"),
        ("MODEL.PIXEL_STD", [1.0], "MODEL.PIXEL_STD"),
    ],
)
def test_values_that_cannot_be_built_are_refused_with_the_keys_name(
    key: str, value: Any, message: str
) -> None:
    cfg = make_tiny_config()
    cfg.merge_from_list([key, value])
    with pytest.raises(ValueError, match=message):
        build_model(cfg)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MODEL.DETR.MASK_FEATURES", ("res3", "res1"), "MASK_FEATURES has 'res1', .* gives res2, res3, res4"),
        (
            "MODEL.DETR.MASK_FEATURES",
            ("res2", "res3"),
            "coarse to fine, .*'res3' has stride 8, after one of 4",
        ),
        ("MODEL.DETR.MASK_FEATURES", ("res3", "res3"), "coarse to fine"),
        ("MODEL.DETR.NHEADS", 4, r"MODEL.DETR.NHEADS \(4\), by 8"),
        ("MODEL.DETR.HIDDEN_DIM", 32, r"HIDDEN_DIM is 32, .*MODEL.MASK_ON .*divisible by 64"),
        ("MODEL.DETR.TEST.PANOPTIC_ON", True, r"PANOPTIC_ON is True, .*no data set .*\(none given\)"),
    ],
)
def test_masks_that_cannot_be_had_are_refused_with_the_keys_name(key: str, value: Any, message: str) -> None:
    cfg = make_mask_config()
    cfg.merge_from_list([key, value])
    with pytest.raises(ValueError, match=message):
        build_model(cfg)


def test_panoptic_segmentation_needs_things_and_stuff_in_one_numbering() -> None:
    cfg = make_mask_config()
    cfg.MODEL.DETR.TEST.PANOPTIC_ON = True
    for name in ("coco_2017_val", "coco_2017_val_100_panoptic_separated"):
        cfg.DATASETS.TRAIN = (name,)
        with pytest.raises(
            ValueError, match=rf"PANOPTIC_ON is True, .*\({name}\) has metadata with things and stuff"
        ):
            build_model(cfg)
    cfg.DATASETS.TRAIN = ("coco_2017_val_panoptic",)
    with pytest.raises(ValueError, match="MODEL.DETR.NUM_CLASSES is 3, but must be above 79"):
        build_model(cfg)
    cfg.MODEL.DETR.NUM_CLASSES = 133
    assert build_model(cfg).inference.things == list(range(80))


def test_things_are_those_of_the_first_panoptic_data_set_with_or_without_masks() -> None:
    cfg = make_tiny_config()
    cfg.DATASETS.TRAIN = ("coco_2017_train",)
    cfg.DATASETS.TEST = ("coco_2017_val_100_panoptic_separated",)
    assert build_model(cfg).inference.things is None
    cfg.DATASETS.TEST = ("shapes_val_panoptic", "coco_2017_val_panoptic")
    assert build_model(cfg).inference.things == [0, 1, 2]
    cfg.DATASETS.TRAIN = ("coco_2017_train_panoptic",)
    cfg.MODEL.DETR.NUM_CLASSES = 133
    assert build_model(cfg).inference.things == list(range(80))


@pytest.mark.parametrize(("things", "stuff"), [([0, 1, 2], []), ([], [0, 1, 2])])
def test_a_panoptic_data_set_may_have_things_alone_or_stuff_alone(
    things: list[int], stuff: list[int]
) -> None:
    name = "build_tests_panoptic"
    MetadataCatalog.get(name).set(
        thing_dataset_id_to_contiguous_id={n: n for n in things},
        stuff_dataset_id_to_contiguous_id={n: n for n in stuff},
    )
    cfg = make_mask_config()
    cfg.MODEL.DETR.TEST.PANOPTIC_ON = True
    cfg.DATASETS.TEST = (name,)
    try:
        model = build_model(cfg).eval()
    finally:
        MetadataCatalog.remove(name)
    assert model.inference.things == things
    ((result,),) = [model([{"image": torch.zeros(3, 32, 32)}])]
    assert bool(len(result["instances"])) == bool(things)
    assert all(segment["isthing"] == bool(things) for segment in result["panoptic_seg"][1])


def test_a_feature_map_that_a_backbone_of_ones_own_does_not_give_is_refused_with_the_keys_name() -> None:
    maps = {"p4": ShapeSpec(channels=8, stride=16), "p5": ShapeSpec(channels=8, stride=32)}
    with pytest.raises(ValueError, match=r"MODEL.DETR.IN_FEATURE is 'res4', .*\['p4', 'p5'\]"):
        detr_arguments(make_mask_config(), maps)


def test_every_mask_key_reaches_the_part_that_it_names() -> None:
    cfg = make_mask_config()
    detr, test = cfg.MODEL.DETR, cfg.MODEL.DETR.TEST
    detr.MASK_FEATURES = ("res2",)
    detr.MASK_WEIGHT, detr.DICE_WEIGHT, detr.MASK_LOSS_ON_PADDING = 1.5, 2.5, True
    detr.FROZEN_WEIGHTS = "any.pth"
    test.INSTANCE_SCORE_THRESHOLD, test.MASK_THRESHOLD, test.PANOPTIC_SCORE_THRESHOLD = 0.1, 0.2, 0.3
    test.PANOPTIC_MIN_AREA, test.MASK_CHUNK, test.INSTANCE_ON, test.PANOPTIC_ON = 5, 6, False, True
    cfg.DATASETS.TRAIN = ("shapes_train_panoptic",)
    model = build_model(cfg)
    assert model.mask_head.in_features == ("res2",)
    assert model.mask_head.adapter1.in_channels == 8
    assert model.bbox_attention.heads == 8
    criterion = model.mask_head.criterion
    assert (criterion.mask_weight, criterion.dice_weight, criterion.on_padding) == (1.5, 2.5, True)
    assert criterion.num_queries == 10
    assert model.frozen
    assert model.inference == Inference(
        instances_on=False,
        panoptic_on=True,
        things=[0, 1, 2],
        score_threshold=0.1,
        mask_threshold=0.2,
        panoptic_score_threshold=0.3,
        panoptic_min_area=5,
        mask_chunk=6,
        class_loss=CrossEntropy(0.1),
        limit=100,
    )


def test_focal_keys_reach_the_model() -> None:
    cfg = make_mask_config()
    detr = cfg.MODEL.DETR
    detr.CLASS_LOSS, detr.FOCAL.ALPHA, detr.FOCAL.GAMMA, detr.TEST.PANOPTIC_ON = "focal", 0.4, 1.5, True
    detr.TEST.SIGMOID_PANOPTIC_SCORE_THRESHOLD, cfg.TEST.DETECTIONS_PER_IMAGE = 0.2, 7
    cfg.DATASETS.TRAIN = ("shapes_train_panoptic",)
    model = build_model(cfg)
    focal = SigmoidFocal(0.4, 1.5)
    assert model.class_embed.out_features == 3
    assert model.criterion.class_loss == model.criterion.matcher.class_loss == focal
    assert model.inference.class_loss == focal
    assert (model.inference.limit, model.inference.panoptic_score_threshold) == (7, 0.2)


@pytest.mark.parametrize(("key", "value"), [("ALPHA", 0.0), ("ALPHA", 1.0), ("GAMMA", -1.0)])
def test_focal_keys_are_checked(key: str, value: float) -> None:
    cfg = make_tiny_config()
    cfg.MODEL.DETR.CLASS_LOSS, cfg.MODEL.DETR.FOCAL[key] = "focal", value
    with pytest.raises(ConfigError, match=f"MODEL.DETR.FOCAL.{key} is {value}"):
        build_model(cfg)


def test_the_mask_head_takes_any_backbones_stages_by_name() -> None:
    """Channels and strides are what the backbone says."""
    cfg = make_mask_config()
    cfg.MODEL.RESNETS.OUT_FEATURES = ["stem", "res3", "res4"]
    cfg.MODEL.RESNETS.STEM_OUT_CHANNELS = 16
    cfg.MODEL.DETR.MASK_FEATURES = ("res3", "stem")
    model = build_model(cfg)
    assert (model.mask_head.adapter1.in_channels, model.mask_head.adapter2.in_channels) == (16, 16)
    losses = model([make_mask_input(64, 96, 2)])
    assert losses["loss_mask"].isfinite()


def test_all_costs_zero_is_refused() -> None:
    cfg = make_tiny_config()
    cfg.MODEL.DETR.COST_CLASS = cfg.MODEL.DETR.COST_L1 = cfg.MODEL.DETR.COST_GIOU = 0.0
    with pytest.raises(ValueError, match="MODEL.DETR.COST"):
        build_model(cfg)


def test_every_model_key_reaches_the_part_that_it_names() -> None:
    cfg = make_tiny_config()
    detr = cfg.MODEL.DETR
    detr.ENC_LAYERS, detr.DEC_LAYERS, detr.DIM_FEEDFORWARD, detr.DROPOUT, detr.PRE_NORM = 1, 3, 48, 0.25, True
    detr.POSITION_EMBEDDING, detr.NO_OBJECT_WEIGHT = "learned", 0.3
    detr.CLASS_WEIGHT, detr.L1_WEIGHT, detr.GIOU_WEIGHT = 1.5, 2.5, 3.5
    detr.COST_CLASS, detr.COST_L1, detr.COST_GIOU = 4.5, 5.5, 6.5
    detr.LOSS_NORMALIZATION, detr.DEEP_SUPERVISION, detr.METRICS_PERIOD = "per_process", False, 7
    model = build_model(cfg)
    assert len(model.transformer.encoder.layers) == 1
    assert len(model.transformer.decoder.layers) == 3
    layer = model.transformer.decoder.layers[0]
    assert layer.linear1.out_features == 48
    assert layer.dropout.p == layer.self_attn.dropout == 0.25
    assert layer.self_attn.heads == 4
    assert layer.pre_norm
    assert isinstance(model.position_encoding, LearnedPositionEncoding)
    criterion, matcher = model.criterion, model.criterion.matcher
    assert (criterion.weights.class_, criterion.weights.l1, criterion.weights.giou) == (1.5, 2.5, 3.5)
    assert (matcher.class_cost, matcher.l1_cost, matcher.giou_cost) == (4.5, 5.5, 6.5)
    assert criterion.class_loss == CrossEntropy(0.3)
    assert criterion.per_process
    assert not criterion.deep_supervision
    assert criterion.metrics_period == 7
    assert model.query_embed.weight.shape == (10, 32)
    assert model.class_embed.out_features == 4


def test_defaults_are_the_published_model() -> None:
    cfg = get_cfg()
    add_detr_config(cfg)
    cfg.MODEL.META_ARCHITECTURE = "Detr"
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.BACKBONE.NAME = "build_detr_resnet_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res5"]
    model = build_model(cfg)
    # Published R50: 458 entries, 41.52 million parameters; 80 classes leave out 11 rows of 257 numbers.
    assert len(model.state_dict()) == 458
    numbers = sum(p.numel() for p in model.parameters())
    assert round((numbers + 11 * 257) / 1e6, 2) == 41.52
