from pathlib import Path

import pytest
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model

from detr_d2 import add_detr_config
from detr_d2.engine import build_optimizer
from detr_d2.engine.optimizer import build_gradient_clipper

CONFIGS = Path(__file__).parent.parent / "configs"

# Every key that a YAML file of the official Detectron2 wrapper sets, with values of the kind used there.
OFFICIAL_WRAPPER = """
MODEL:
  META_ARCHITECTURE: "Detr"
  WEIGHTS: ""
  PIXEL_MEAN: [123.675, 116.280, 103.530]
  PIXEL_STD: [58.395, 57.120, 57.375]
  MASK_ON: False
  RESNETS: {DEPTH: 50, STRIDE_IN_1X1: False, OUT_FEATURES: ["res2", "res3", "res4", "res5"]}
  DETR:
    NUM_CLASSES: 80
    FROZEN_WEIGHTS: ""
    GIOU_WEIGHT: 2.0
    L1_WEIGHT: 5.0
    DEEP_SUPERVISION: True
    NO_OBJECT_WEIGHT: 0.1
    NHEADS: 8
    DROPOUT: 0.1
    DIM_FEEDFORWARD: 2048
    ENC_LAYERS: 6
    DEC_LAYERS: 6
    PRE_NORM: False
    HIDDEN_DIM: 256
    NUM_OBJECT_QUERIES: 100
DATASETS:
  TRAIN: ("coco_2017_train",)
  TEST: ("coco_2017_val",)
SOLVER:
  IMS_PER_BATCH: 64
  BASE_LR: 0.0001
  STEPS: (369600,)
  MAX_ITER: 554400
  OPTIMIZER: "ADAMW"
  BACKBONE_MULTIPLIER: 0.1
  CLIP_GRADIENTS: {ENABLED: True, CLIP_TYPE: "full_model", CLIP_VALUE: 0.01, NORM_TYPE: 2.0}
INPUT:
  MIN_SIZE_TRAIN: (480, 800)
  CROP:
    ENABLED: True
    TYPE: "absolute_range"
    SIZE: (384, 600)
  FORMAT: "RGB"
TEST: {EVAL_PERIOD: 4000}
DATALOADER: {FILTER_EMPTY_ANNOTATIONS: False, NUM_WORKERS: 4}
VERSION: 2
"""


def load(path: Path) -> CfgNode:
    cfg = get_cfg()
    add_detr_config(cfg)
    cfg.merge_from_file(str(path))
    cfg.MODEL.DEVICE = "cpu"
    return cfg


# Parameters as published, in millions, with 80 classes in place of 91.
@pytest.mark.parametrize(
    ("name", "millions", "stride"),
    [
        ("COCO-Detection/detr_R_50.yaml", 41.52, 32),
        ("COCO-Detection/detr_R_50_DC5.yaml", 41.52, 16),
        ("COCO-Detection/detr_R_101.yaml", 60.46, 32),
        ("COCO-Detection/detr_R_101_DC5.yaml", 60.46, 16),
    ],
)
def test_coco_configs_are_the_published_models_and_recipe(name: str, millions: float, stride: int) -> None:
    cfg = load(CONFIGS / name)
    model = build_model(cfg)
    numbers = sum(p.numel() for p in model.parameters())
    assert round((numbers + 11 * 257) / 1e6, 2) == millions
    assert model.backbone.output_shape()["res5"].stride == stride
    frozen = {name for name, p in model.backbone.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(name.startswith(("stem", "res2")) for name in frozen)
    rates = {group["lr"] for group in build_optimizer(cfg, model).param_groups}
    assert sorted(rates) == pytest.approx([1e-5, 1e-4])
    assert all(group["weight_decay"] == 1e-4 for group in build_optimizer(cfg, model).param_groups)
    assert (cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS) == (64, 554400, (369600,))
    assert cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE == 0.1
    assert build_gradient_clipper(cfg) is not None
    assert not cfg.DATALOADER.ASPECT_RATIO_GROUPING
    # Half a gigabyte each.
    assert 1 <= cfg.SOLVER.CHECKPOINTS_KEPT <= 5


# Parameters in millions: as published with 133 classes; 53 rows of 257 less with 80.
@pytest.mark.parametrize(
    ("name", "millions", "stride", "classes"),
    [
        ("COCO-PanopticSegmentation/detr_panoptic_R_50.yaml", 42.87, 32, 133),
        ("COCO-PanopticSegmentation/detr_panoptic_R_50_DC5.yaml", 42.87, 16, 133),
        ("COCO-PanopticSegmentation/detr_panoptic_R_101.yaml", 61.81, 32, 133),
        ("COCO-InstanceSegmentation/detr_segm_R_50.yaml", 42.86, 32, 80),
    ],
)
def test_coco_mask_configs_train_the_published_mask_head_on_a_frozen_detector(
    name: str, millions: float, stride: int, classes: int
) -> None:
    cfg = load(CONFIGS / name)
    model = build_model(cfg)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions
    assert model.criterion.num_classes == classes
    assert model.backbone.output_shape()["res5"].stride == stride
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"bbox_attention", "mask_head"}
    assert model.inference.panoptic_on is (classes == 133)
    assert model.inference.things == (list(range(80)) if classes == 133 else None)
    # 1,848 iterations are an epoch: 25, and 15 before the learning rate falls.
    assert (cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS) == (64, 46200, (27720,))
    assert cfg.MODEL.WEIGHTS == "", "all but the mask head comes from the frozen detector"


def test_the_second_stage_of_panoptic_training_starts_where_the_first_one_ends() -> None:
    folder = CONFIGS / "COCO-PanopticSegmentation"
    second_stages = sorted(folder.glob("detr_panoptic_R_*.yaml"))
    assert len(second_stages) == 3
    for path in second_stages:
        second = load(path)
        first = load(path.with_name(path.name.replace("panoptic_R", "panoptic_boxes_R")))
        assert f"{first.OUTPUT_DIR}/model_final.pth" == second.MODEL.DETR.FROZEN_WEIGHTS
        assert second.OUTPUT_DIR != first.OUTPUT_DIR
        assert not first.MODEL.MASK_ON
        assert first.MODEL.DETR.NUM_CLASSES == 133
        assert first.DATASETS == second.DATASETS
        assert first.MODEL.RESNETS.DEPTH == second.MODEL.RESNETS.DEPTH
        assert (first.SOLVER.MAX_ITER, first.SOLVER.STEPS) == (554400, (369600,))


def test_the_joint_panoptic_config_trains_detector_and_masks_together() -> None:
    joint = load(CONFIGS / "COCO-PanopticSegmentation" / "detr_panoptic_joint_R_50.yaml")
    boxes = load(CONFIGS / "COCO-PanopticSegmentation" / "detr_panoptic_boxes_R_50.yaml")
    assert joint.MODEL.MASK_ON
    assert joint.MODEL.DETR.TEST.PANOPTIC_ON
    assert joint.MODEL.DETR.FROZEN_WEIGHTS == ""
    assert joint.SOLVER == boxes.SOLVER


@pytest.mark.parametrize(
    ("name", "decoder", "millions", "auxiliary"),
    [
        ("conditional_detr_R_50_50ep", "conditional", 43.42, ()),
        ("dab_detr_R_50_50ep", "dab", 43.67, ()),
        ("dn_detr_R_50_50ep", "dab", 43.69, ("denoising",)),
        ("dn_group_detr_R_50_12ep", "dab", 43.7, ("denoising", "groups")),
        ("conditional_detr_R_50_DC5_50ep", "conditional", 43.42, ()),
        ("dab_detr_R_50_DC5_50ep", "dab", 43.67, ()),
        ("dn_detr_R_50_DC5_50ep", "dab", 43.69, ("denoising",)),
        ("rpb_dn_detr_R_50_50ep", "rpb", 41.75, ("denoising",)),
        ("rpb_dn_detr_R_50_12ep", "rpb", 41.75, ("denoising",)),
        ("rpb_dn_detr_R_50_fused_50ep", "rpb", 42.14, ("denoising",)),
        ("rpb_dn_detr_R_50_fused_12ep", "rpb", 42.14, ("denoising",)),
    ],
)
def test_configs_that_converge_sooner(
    name: str, decoder: str, millions: float, auxiliary: tuple[str, ...]
) -> None:
    cfg = load(CONFIGS / "COCO-Detection" / f"{name}.yaml")
    detr, dab = cfg.MODEL.DETR, decoder in ("dab", "rpb")
    class_loss = "matchability_aware" if decoder == "rpb" else "focal"
    assert (decoder, auxiliary, class_loss) == (detr.DECODER, detr.AUXILIARY, detr.CLASS_LOSS)
    assert ((20, 0) if dab else (10000, 0.1)) == (detr.POSITION_TEMPERATURE, detr.DROPOUT)
    assert (2, 1 if dab else 2) == (detr.COST_CLASS, detr.CLASS_WEIGHT)
    schedule = (90000, (82500,)) if "12ep" in name else (375000, (300000,))
    assert (16, *schedule) == (cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS)
    model = build_model(cfg)
    assert model.backbone.output_shape()["res5"].stride == (16 if "DC5" in name else 32)
    assert (model.in_feature, *model.fuse) == (("res4", "res3", "res5") if "fused" in name else ("res5",))
    assert model.query_embed.num_queries == 300
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions


def test_every_config_in_the_repository_builds() -> None:
    names = sorted(CONFIGS.glob("*/*.yaml"))
    assert len(names) >= 5
    for name in names:
        if "R_" not in name.name:  # those are built above
            cfg = load(name)
            if cfg.MODEL.DETR.TEST.PANOPTIC_ON and not cfg.DATASETS.TRAIN:
                cfg.DATASETS.TRAIN = ("shapes_train_panoptic",)  # for the one that users name
            build_model(cfg)


def test_yaml_files_of_the_official_wrapper_load(tmp_path: Path) -> None:
    path = tmp_path / "official.yaml"
    path.write_text(OFFICIAL_WRAPPER)
    cfg = load(path)
    assert cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE == 0.01
    model = build_model(cfg)
    assert len(model.state_dict()) == 458


def test_the_parts_that_help_training_from_scratch_are_off_by_default() -> None:
    cfg = get_cfg()
    add_detr_config(cfg)
    detr = cfg.MODEL.DETR
    assert (detr.POSITION_IN_CONTENT, detr.AUXILIARY, detr.DECODER) == (False, (), "detr")
    assert detr.POSITION_TEMPERATURE == 10000
