"""Keys of Detectron2's that nothing honors are refused or said, never passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode

from detr_d2.config_file import read_config
from detr_d2.detectron2_keys import warn_of_keys_without_effect
from detr_d2.engine import DetrTrainer
from detr_d2.errors import ConfigError

DETR = ["MODEL.META_ARCHITECTURE", "Detr"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.KEYPOINT_ON", "True"),
        ("MODEL.LOAD_PROPOSALS", "True"),
        ("DATASETS.PROPOSAL_FILES_TRAIN", "('a.pkl',)"),
        ("DATASETS.PROPOSAL_FILES_TEST", "('a.pkl',)"),
        ("TEST.AUG.ENABLED", "True"),
        ("TEST.PRECISE_BN.ENABLED", "True"),
        ("MODEL.ROI_HEADS.NUM_CLASSES", "3"),
        ("MODEL.RETINANET.NUM_CLASSES", "3"),
    ],
)
def test_what_would_change_results_is_refused(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key):
        read_config("", [*DETR, key, value])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("VIS_PERIOD", "20"),
        ("GLOBAL.HACK", "2.0"),
        ("INPUT.MASK_FORMAT", "bitmask"),
        ("SOLVER.NESTEROV", "True"),
        ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.7"),
        ("MODEL.RPN.NMS_THRESH", "0.5"),
        ("MODEL.PANOPTIC_FPN.COMBINE.OVERLAP_THRESH", "0.7"),
    ],
)
def test_what_has_no_effect_is_said_once(key: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_keys_without_effect(read_config("", [*DETR, key, value]))
    (record,) = caplog.records
    assert key in record.getMessage()


def test_nothing_is_said_of_defaults_and_of_what_is_honored(caplog: pytest.LogCaptureFixture) -> None:
    honored = ["SOLVER.BIAS_LR_FACTOR", "2.0", "SOLVER.WEIGHT_DECAY_BIAS", "0.0", "SEED", "1"]
    sgd = ["SOLVER.OPTIMIZER", "SGD", "SOLVER.NESTEROV", "True", "DATALOADER.REPEAT_THRESHOLD", "0.1"]
    warn_of_keys_without_effect(read_config("", [*DETR, *honored, *sgd]))
    assert not caplog.records


def test_nothing_is_said_of_defaults_that_were_written_and_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """YAML has no tuples."""
    file = tmp_path / "config.yaml"
    file.write_text(read_config("", DETR).dump())
    warn_of_keys_without_effect(read_config(str(file)))
    assert not caplog.records


def test_parts_of_other_models_are_their_own(caplog: pytest.LogCaptureFixture) -> None:
    cfg = read_config("", ["MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "MODEL.ROI_HEADS.NUM_CLASSES", "3"])
    warn_of_keys_without_effect(cfg)
    assert not caplog.records


def test_a_trainer_refuses_them_too(tiny_config: CfgNode, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("detectron2", "detr_d2"):  # found set up, they get no handlers of the trainer's
        caplog.set_level("INFO", logger=name)
    tiny_config.TEST.AUG.ENABLED = True
    with pytest.raises(ConfigError, match=r"TEST\.AUG\.ENABLED"):
        DetrTrainer(tiny_config)
