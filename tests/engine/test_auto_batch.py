from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode

from detr_d2.data.loader import load_training_records
from detr_d2.engine import DetrTrainer, auto_batch
from detr_d2.engine.auto_batch import TrialStep, batch_that_fits, largest_batch, largest_size
from detr_d2.engine.recipe import resolve_recipe
from detr_d2.engine.setup import check_device
from detr_d2.errors import ConfigError

from .helpers import add_masks


@pytest.mark.parametrize("batch", [0, 1, 2, 3, 7, 8, 9, 31, 40, 100])
@pytest.mark.parametrize("most", [1, 5, 40])
def test_the_largest_batch_that_fits_is_found(batch: int, most: int) -> None:
    tried: list[int] = []

    def used(images: int) -> float:
        tried.append(images)
        if images > 2 * batch:
            raise torch.OutOfMemoryError("fake")
        return 0.5 if images <= batch else 0.95

    assert largest_batch(used, most) == min(batch, most)
    assert len(tried) == len(set(tried)) <= 12
    assert max(tried) <= most


def test_other_errors_pass() -> None:
    def used(images: int) -> float:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        largest_batch(used, 4)


@pytest.fixture
def gpu_config(training_config: CfgNode, monkeypatch: pytest.MonkeyPatch) -> CfgNode:
    """The CPU, which is taken for a GPU that holds three images."""

    class Fake(TrialStep):
        def __init__(self, cfg: CfgNode, records: Any):
            cpu = cfg.clone()
            cpu.defrost()
            cpu.MODEL.DEVICE = "cpu"
            super().__init__(cpu, records)

        def _step(self, images: list[dict[str, Any]], device: torch.device) -> None:
            if len(images) > 3:
                raise torch.OutOfMemoryError("fake")
            super()._step(images, device)

    monkeypatch.setattr(auto_batch, "used_share", lambda device: 0.5)
    monkeypatch.setattr(auto_batch, "TrialStep", Fake)
    training_config.MODEL.DEVICE = "cuda"
    training_config.SOLVER.AUTO_BATCH = True
    return training_config


@pytest.mark.parametrize("masks", [False, True])
def test_a_batch_is_tried_with_real_steps(gpu_config: CfgNode, masks: bool) -> None:
    if masks:
        add_masks(gpu_config)
    gpu_config.SOLVER.ACCUMULATION_STEPS = 2
    state = torch.get_rng_state()
    resolved = resolve_recipe(gpu_config)
    assert resolved.SOLVER.IMS_PER_BATCH == 6
    assert not resolved.SOLVER.AUTO_BATCH
    assert pytest.approx(1e-3 * (6 / 4) ** 0.5) == resolved.SOLVER.BASE_LR
    assert torch.equal(torch.get_rng_state(), state), "the training's model starts as without it"


def test_no_image_that_fits_is_an_error(gpu_config: CfgNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto_batch, "used_share", lambda device: 1.0)
    with pytest.raises(ConfigError, match=r"INPUT\.MIN_SIZE_TRAIN"):
        resolve_recipe(gpu_config)


def test_without_a_gpu_it_is_refused_before_anything_runs(training_config: CfgNode) -> None:
    training_config.SOLVER.AUTO_BATCH = True
    with pytest.raises(ConfigError, match="--batch"):
        check_device(training_config)
    with pytest.raises(ConfigError, match="--batch"):
        DetrTrainer(training_config)


def test_a_resumed_training_keeps_the_batch_that_was_found(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.IMS_PER_BATCH, cfg.DATASETS.TEST = 1, (), 3, ()
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    cfg.SOLVER.AUTO_BATCH, cfg.SOLVER.IMS_PER_BATCH = True, 16
    assert batch_that_fits(cfg, resume=True) == 3
    with pytest.raises(ConfigError):
        batch_that_fits(cfg)
    (Path(cfg.OUTPUT_DIR) / "last_checkpoint").unlink()
    with pytest.raises(ConfigError):
        batch_that_fits(cfg, resume=True)


def test_images_are_as_large_as_any_batch_is_padded_to(training_config: CfgNode) -> None:
    cfg = training_config
    records = load_training_records(cfg)  # 80 x 64 and 64 x 80, the shorter side becomes 64 at most
    assert largest_size(cfg, records) == (80, 80)
    assert largest_size(cfg, records[1:3]) == (64, 80)
    cfg.INPUT.MIN_SIZE_TRAIN = (0,)
    assert largest_size(cfg, records[1:3]) == (64, 80)
    cfg.INPUT.CROP.ENABLED = True
    assert largest_size(cfg, records) == (96, 96)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_with_little_memory_gets_a_smaller_batch(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.MODEL.DEVICE = "cuda"
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (800,), 1000
    found = []
    for share in (1.0, 0.02):
        torch.cuda.set_per_process_memory_fraction(share)
        found.append(largest_batch(TrialStep(cfg, load_training_records(cfg)), 64))
    torch.cuda.set_per_process_memory_fraction(1.0)
    assert found[0] > found[1] > 0
