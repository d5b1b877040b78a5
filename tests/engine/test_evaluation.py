"""Losses and pictures of evaluations while a model trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from torch import nn

from detr_d2.data import register_configured
from detr_d2.data.loader import load_training_records
from detr_d2.data.validation import build_validation_loader
from detr_d2.engine import DetrTrainer
from detr_d2.engine.evaluation import joined, prediction_pictures, validation_losses
from detr_d2.errors import ConfigError, DataError

from .helpers import add_masks
from .kill import assert_same_bits


def trained(cfg: CfgNode) -> dict[str, Any]:
    torch.manual_seed(0)
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    return torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth")


def lines_of(cfg: CfgNode) -> list[dict[str, float]]:
    text = (Path(cfg.OUTPUT_DIR) / "metrics.json").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("masks", [False, True])
def test_losses_and_pictures_do_not_change_the_training(training_config: CfgNode, masks: bool) -> None:
    cfg = training_config
    if masks:
        add_masks(cfg)
    cfg.SOLVER.EMA.ENABLED = True
    cfg.MODEL.DETR.AUXILIARY = ("denoising",)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.TEST.EVAL_PERIOD = 4, (), 2
    plain = trained(cfg)
    cfg.OUTPUT_DIR += "_more"
    cfg.TEST.LOSS, cfg.TRACKING.PICTURES = True, 2
    assert_same_bits(trained(cfg), plain)
    evaluated = [line for line in lines_of(cfg) if "bbox/AP" in line]
    assert [line["iteration"] for line in evaluated] == [1, 4]
    terms = {
        "total_loss",
        "loss_ce",
        "loss_bbox",
        "loss_giou",
        *(("loss_mask", "loss_dice") if masks else ()),
    }
    for line in evaluated:
        assert {name for name in line if name.startswith("val/")} == {f"val/{term}" for term in terms}
        assert all(np.isfinite(line[f"val/{term}"]) for term in terms)


def test_the_loss_is_that_of_the_averaged_weights(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.EMA.ENABLED, cfg.TEST.LOSS = True, True
    final = trained(cfg)
    model = DetrTrainer.build_model(cfg)
    model.load_state_dict(final["model"])
    expected = validation_losses(cfg, model)["val"]["total_loss"]
    assert lines_of(cfg)[-1]["val/total_loss"] == pytest.approx(expected, rel=1e-6)


def second_set(cfg: CfgNode, **changes: Any) -> str:
    """The data set once more under another name, with another order of classes."""
    name, file, folder = cfg.DATASETS.COCO_JSON[0]
    content = json.loads(Path(file).read_text())
    content["categories"] = [{"id": 4 - c["id"], "name": c["name"]} for c in content["categories"]]
    for annotation in content["annotations"]:
        annotation["category_id"] = 4 - annotation["category_id"]
    content.update(changes)
    other = Path(file).with_name("other.json")
    other.write_text(json.dumps(content))
    cfg.DATASETS.COCO_JSON = (*cfg.DATASETS.COCO_JSON, (f"{name}_other", str(other), folder))
    register_configured(cfg)
    return f"{name}_other"


def test_classes_that_are_numbered_otherwise_are_matched_by_name(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    name = second_set(cfg)
    model = DetrTrainer.build_model(cfg)
    cfg.DATASETS.TEST = (cfg.DATASETS.TRAIN[0], name)
    found = validation_losses(cfg, model)
    assert set(found) == set(cfg.DATASETS.TEST)
    assert found[name]["val"] == pytest.approx(found[cfg.DATASETS.TRAIN[0]]["val"], rel=1e-6)


def test_results_of_several_data_sets_are_joined() -> None:
    assert joined({"a": {"bbox": {"AP": 1.0}}}, {"a": {"val": {"x": 2.0}}, "b": {"val": {"x": 3.0}}}) == {
        "a": {"bbox": {"AP": 1.0}, "val": {"x": 2.0}},
        "b": {"val": {"x": 3.0}},
    }


def test_a_class_that_the_model_has_not_is_an_error(training_config: CfgNode) -> None:
    cfg = training_config
    categories = [{"id": i, "name": f"class{i}"} for i in (1, 2)] + [{"id": 3, "name": "new"}]
    cfg.DATASETS.TEST = (second_set(cfg, categories=categories),)
    load_training_records(cfg)  # as a training does first
    with pytest.raises(DataError, match="new"):
        validation_losses(cfg, DetrTrainer.build_model(cfg))


def test_another_model_has_no_loss_that_is_known(training_config: CfgNode) -> None:
    with pytest.raises(ConfigError, match=r"TEST\.LOSS"):
        validation_losses(training_config, nn.Linear(1, 1))


def test_images_are_those_of_evaluation_with_objects(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.INPUT.AUGMENTATION, cfg.INPUT.CROP.ENABLED = "strong", True
    state = torch.get_rng_state()
    loader = build_validation_loader(cfg, cfg.DATASETS.TEST[0])
    first, again = (list(loader) for _ in range(2))
    assert len(first) == 11
    for (one,), (other,) in zip(first, again, strict=True):
        assert min(one["image"].shape[1:]) == cfg.INPUT.MIN_SIZE_TEST
        assert torch.equal(one["image"], other["image"])
        assert torch.equal(one["instances"].gt_boxes.tensor, other["instances"].gt_boxes.tensor)
    assert sum(len(one["instances"]) for (one,) in first) == 15
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("count", "drawn"), [(0, 0), (1, 1), (3, 3), (20, 11)])
def test_pictures_are_always_of_the_same_images(training_config: CfgNode, count: int, drawn: int) -> None:
    cfg = training_config
    cfg.TRACKING.PICTURES = count
    model = DetrTrainer.build_model(cfg).train()
    first, again = (list(prediction_pictures(cfg, model)) for _ in range(2))
    assert len({name for name, _ in first}) == drawn
    assert model.training
    for (name, picture), (other, same) in zip(first, again, strict=True):
        assert name == other
        assert picture.dtype == np.uint8
        assert picture.shape[-1] == 3
        assert np.array_equal(picture, same)


def test_without_a_test_set_there_are_neither(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.DATASETS.TEST, cfg.TEST.LOSS, cfg.TRACKING.PICTURES = (), True, 2
    trained(cfg)
    assert not [line for line in lines_of(cfg) if "val/total_loss" in line]


def test_a_picture_that_cannot_be_drawn_ends_no_training(
    training_config: CfgNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise DataError("no such class")

    monkeypatch.setattr("detr_d2.engine.trainer.prediction_pictures", broken)
    training_config.TRACKING.PICTURES = 2
    trained(training_config)
    assert "TRACKING.PICTURES" in caplog.text
