"""What stays as it is: the detector that a mask head is trained on (MODEL.DETR.FROZEN_WEIGHTS), or parts of
one (MODEL.DETR.FREEZE)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from detr_d2.engine import DetrTrainer
from detr_d2.engine.weights import load_frozen_weights
from detr_d2.errors import ConfigError

from .helpers import add_masks


@pytest.fixture
def frozen_config(training_config: CfgNode) -> CfgNode:
    """Training of a mask head on a detector with random weights and statistics, for 4 iterations."""
    cfg = training_config
    add_masks(cfg)
    file = Path(cfg.OUTPUT_DIR).parent / "detector.pth"
    detector = build_model(cfg).detector()
    for name, buffer in detector.named_buffers():
        if name.endswith("running_mean"):
            torch.nn.init.normal_(buffer)
    torch.save({"model": detector.state_dict()}, file)
    cfg.MODEL.DETR.FROZEN_WEIGHTS = str(file)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 4, (3,)
    cfg.DATASETS.TEST = ()
    return cfg


def train(cfg: CfgNode, resume: bool = False) -> dict[str, Any]:
    torch.manual_seed(0)
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth")


@pytest.mark.parametrize("averaged", [False, True], ids=["raw", "averaged"])
def test_the_detector_stays_bit_for_bit_and_the_mask_head_learns(
    frozen_config: CfgNode, averaged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    frozen_config.SOLVER.EMA.ENABLED = averaged
    trainer = DetrTrainer(frozen_config)
    trainer.resume_or_load(resume=False)
    assert "frozen at random weights" not in caplog.text
    held = sum(p.numel() for group in trainer._trainer.optimizer.param_groups for p in group["params"])
    model = trainer.checkpointer.model
    masks = [*model.mask_head.parameters(), *model.bbox_attention.parameters()]
    assert held == sum(p.numel() for p in masks), "the optimizer holds nothing frozen"
    start = {name: x.clone() for name, x in model.state_dict().items()}
    trainer.train()
    result = torch.load(Path(frozen_config.OUTPUT_DIR) / "model_final.pth")["model"]
    detector = torch.load(frozen_config.MODEL.DETR.FROZEN_WEIGHTS)["model"]
    for name, tensor in result.items():
        if name.startswith(("mask_head", "bbox_attention")):
            assert not name.endswith("weight") or not torch.equal(tensor, start[name]), name
        else:
            assert torch.equal(tensor, detector[name]), name
    lines = (Path(frozen_config.OUTPUT_DIR) / "metrics.json").read_text().splitlines()
    logged = {name for line in lines for name in json.loads(line) if name.startswith("loss_")}
    assert logged == {"loss_mask", "loss_dice"}


def test_a_resumed_training_has_its_detector_from_the_checkpoint(frozen_config: CfgNode) -> None:
    frozen_config.SOLVER.EMA.ENABLED = True
    whole = train(frozen_config)
    halves = frozen_config.clone()
    halves.OUTPUT_DIR += "_halves"
    halves.SOLVER.MAX_ITER = 2
    train(halves)
    halves.SOLVER.MAX_ITER = 4
    Path(frozen_config.MODEL.DETR.FROZEN_WEIGHTS).unlink()
    resumed = train(halves, resume=True)
    for name, tensor in whole["model"].items():
        assert torch.equal(resumed["model"][name], tensor), name


def test_weights_of_masks_come_from_model_weights_and_all_else_from_the_frozen_file(
    frozen_config: CfgNode,
) -> None:
    file = Path(frozen_config.MODEL.DETR.FROZEN_WEIGHTS)
    other = build_model(frozen_config).state_dict()
    frozen = {name: x + 1 if x.is_floating_point() else x for name, x in other.items()}
    torch.save({"model": frozen}, file)  # has a mask head, which is not what is asked for
    torch.save({"model": other}, file.with_name("start.pth"))
    frozen_config.MODEL.WEIGHTS = str(file.with_name("start.pth"))
    trainer = DetrTrainer(frozen_config)
    trainer.resume_or_load(resume=False)
    for name, tensor in trainer.checkpointer.model.state_dict().items():
        source = other if name.startswith(("mask_head", "bbox_attention")) else frozen
        assert torch.equal(tensor, source[name]), name


@pytest.mark.parametrize("broken", ["missing", "other classes"])
def test_a_file_without_all_of_the_detector_is_refused(frozen_config: CfgNode, broken: str) -> None:
    file = frozen_config.MODEL.DETR.FROZEN_WEIGHTS
    state = torch.load(file)["model"]
    for name in ("class_embed.weight", "class_embed.bias"):
        tensor = state.pop(name)
        if broken == "other classes":
            state[name] = torch.cat([tensor, tensor])
    torch.save({"model": state}, file)
    with pytest.raises(ValueError, match="class_embed") as error:
        load_frozen_weights(frozen_config, build_model(frozen_config))
    assert file in str(error.value)
    assert "MODEL.DETR.FROZEN_WEIGHTS" in str(error.value)


def test_a_file_with_fewer_queries_than_the_model_is_refused(frozen_config: CfgNode) -> None:
    file = frozen_config.MODEL.DETR.FROZEN_WEIGHTS
    state = torch.load(file)["model"]
    state["query_embed.weight"] = state["query_embed.weight"][:-1].clone()
    torch.save({"model": state}, file)
    with pytest.raises(ValueError, match=r"MODEL.DETR.FROZEN_WEIGHTS .* lacks 1 .*query_embed.weight"):
        load_frozen_weights(frozen_config, build_model(frozen_config))


def test_a_file_that_is_not_there_is_named_with_the_key(frozen_config: CfgNode) -> None:
    frozen_config.MODEL.DETR.FROZEN_WEIGHTS = "nowhere/model_final.pth"
    with pytest.raises(FileNotFoundError, match=r"MODEL.DETR.FROZEN_WEIGHTS.* nowhere/model_final.pth"):
        load_frozen_weights(frozen_config, build_model(frozen_config))


def test_the_frozen_detector_may_have_been_trained_with_groups_of_queries(frozen_config: CfgNode) -> None:
    file = frozen_config.MODEL.DETR.FROZEN_WEIGHTS
    state = torch.load(file)["model"]
    first = state["query_embed.weight"]
    state["query_embed.weight"] = torch.cat([first, torch.randn_like(first)])
    torch.save({"model": state}, file)
    model = build_model(frozen_config)
    load_frozen_weights(frozen_config, model)
    assert torch.equal(model.query_embed.weight, first)


OF_PART = {
    "backbone": ("backbone.",),
    "encoder": ("input_proj.", "transformer.encoder."),
    "decoder": ("query_embed.", "transformer.decoder."),
}


@pytest.mark.parametrize("parts", [("backbone",), ("encoder",), ("backbone", "encoder", "decoder")])
def test_parts_that_are_frozen_stay_bit_for_bit_and_the_others_learn(
    training_config: CfgNode, parts: tuple[str, ...]
) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.DATASETS.TEST = 2, (), ()
    torch.manual_seed(0)
    start = {name: value.clone() for name, value in DetrTrainer(cfg).model.state_dict().items()}
    cfg.MODEL.DETR.FREEZE = parts
    final = train(cfg)["model"]
    still = tuple(prefix for part in parts for prefix in OF_PART[part])
    for name, value in final.items():
        if name.startswith(still):
            assert torch.equal(value, start[name]), name
    moved = {name.split(".")[0] for name in final if not torch.equal(final[name], start[name])}
    assert moved >= {"class_embed", "bbox_embed"}
    assert ("backbone" in moved) is ("backbone" not in parts)
    assert "transformer" in moved or {"encoder", "decoder"} <= set(parts)


def test_parts_that_are_frozen_at_random_weights_are_said(
    training_config: CfgNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = training_config
    cfg.MODEL.DETR.FREEZE = ("encoder",)
    torch.manual_seed(3)
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=False)
    said = [r.getMessage() for r in caplog.records if "MODEL.DETR.FREEZE" in r.getMessage()]
    assert len(said) == 1
    assert "encoder" in said[0]
    torch.save(trainer.model.state_dict(), tmp_path / "start.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "start.pth")
    caplog.clear()
    DetrTrainer(cfg).resume_or_load(resume=False)
    assert not [r for r in caplog.records if "MODEL.DETR.FREEZE" in r.getMessage()]


def test_a_part_that_is_not_known_is_named(training_config: CfgNode) -> None:
    training_config.MODEL.DETR.FREEZE = ("neck",)
    with pytest.raises(ConfigError, match=r"MODEL\.DETR\.FREEZE.*neck"):
        build_model(training_config)


def test_a_start_without_weights_is_said_once(
    training_config: CfgNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = DetrTrainer(training_config)
    trainer.resume_or_load(resume=False)
    said = [r.getMessage() for r in caplog.records if "MODEL.WEIGHTS" in r.getMessage()]
    assert len(said) == 1
    assert "32 images" in said[0]  # 8 iterations of 4
    torch.save({"model": trainer.model.state_dict()}, tmp_path / "start.pth")
    training_config.MODEL.WEIGHTS = str(tmp_path / "start.pth")
    caplog.clear()
    DetrTrainer(training_config).resume_or_load(resume=False)
    assert "No pretrained weights" not in caplog.text
