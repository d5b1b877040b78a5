"""A step that was not finite leaves a file, from which it is repeated."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.structures import Instances

from detr_d2.engine import DetrTrainer
from detr_d2.engine.failed_step import Step, load_failed_step, save_failed_step
from detr_d2.engine.replay import replay
from detr_d2.errors import ConfigError, NonFiniteError, UserError
from detr_d2.modeling import LossNormalizers
from detr_d2.tools.replay import main

from ..conftest import make_mask_input
from .helpers import add_masks


def fail(cfg: CfgNode, at: int = 2, image: int = 1) -> Path:
    """Train until an image becomes NaN; returns the file that is left."""
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=False)
    forward = trainer.checkpointer.model.forward

    def spoiled(batch: list[dict[str, Any]], **options: Any) -> Any:
        if trainer.iter == at:
            batch[image]["image"] = batch[image]["image"].float()
            batch[image]["image"][:, 5, 5] = float("nan")
        return forward(batch, **options)

    trainer.checkpointer.model.forward = spoiled  # type: ignore[method-assign]
    with pytest.raises(NonFiniteError) as error:
        trainer.train()
    (file,) = Path(cfg.OUTPUT_DIR).glob("non_finite_*")
    assert file.name == f"non_finite_{at:07d}.pth"
    assert str(file) in str(error.value)
    return file


def detection(cfg: CfgNode) -> None:
    cfg.MODEL.DETR.AUXILIARY, cfg.MODEL.DETR.GROUPS.NUM = ("groups", "encoder"), 2


def frozen_norm(cfg: CfgNode) -> None:
    cfg.MODEL.RESNETS.NORM = "FrozenBN"  # a NaN of one image stays with it


def mixed_precision(cfg: CfgNode) -> None:
    cfg.SOLVER.AMP.ENABLED = True
    cfg.MODEL.DETR.LOSS_NORMALIZATION = "per_process"


def with_masks(cfg: CfgNode) -> None:
    add_masks(cfg)
    cfg.SOLVER.ACCUMULATION_STEPS = 2


@pytest.mark.parametrize("vary", [detection, frozen_norm, mixed_precision, with_masks])
def test_a_replayed_step_has_the_same_losses_to_the_last_bit(
    training_config: CfgNode, vary: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    vary(training_config)
    file = fail(training_config)
    torch.manual_seed(99)
    np.random.seed(99)
    failed = load_failed_step(str(file))
    assert not failed.losses.isfinite().all()
    result = replay(failed)
    assert result.same_bits
    torch.testing.assert_close(result.losses, failed.losses, rtol=0, atol=0, equal_nan=True)
    if vary is frozen_norm:
        assert failed.losses.shape[0] == 1
        assert result.broken == [[failed.step.micro_batches[0][1]["file_name"]]]

    capsys.readouterr()
    assert main([str(file), "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "nan" in said
    assert all(name in said for name in failed.loss_names)
    assert failed.step.micro_batches[0][0]["file_name"] in said


def test_finite_losses_are_repeated_too_and_depend_on_what_the_file_holds(training_config: CfgNode) -> None:
    """Dropout and 4 images: the comparison above can fail."""
    file = fail(training_config, at=3)
    failed = load_failed_step(str(file))
    batch = failed.step.micro_batches[0]
    for x in batch:
        x["image"] = x["image"].nan_to_num()
    sound = replay(failed)
    assert sound.losses.isfinite().all()
    assert not sound.same_bits
    assert torch.equal(replay(failed).losses, sound.losses)
    for change in ("weights", "random state"):
        failed = load_failed_step(str(file))
        for x in failed.step.micro_batches[0]:
            x["image"] = x["image"].nan_to_num()
        if change == "weights":
            failed.weights["class_embed.weight"][0] += 1e-3
        else:
            failed.step.random_state["cpu"] = torch.Generator().manual_seed(4).get_state()
        assert not torch.equal(replay(failed).losses, sound.losses)


def test_inputs_come_back_as_they_were(training_config: CfgNode) -> None:
    Path(training_config.OUTPUT_DIR).mkdir()
    x = make_mask_input(20, 30, 3)
    x["foreign"] = [object, signal.SIGTERM]
    x["extra"] = {"array": np.arange(6, dtype=np.float32).reshape(2, 3), 7: (True, None, np.int64(3))}
    divisors = LossNormalizers(torch.tensor(2.0), torch.tensor(3.0))
    step = Step(4, [[x]], divisors, {})
    path = save_failed_step(training_config, torch.nn.Linear(1, 1), step, ["loss"], torch.zeros(1, 1))
    read = load_failed_step(path).step
    ((back,),) = read.micro_batches
    assert torch.equal(back["image"], x["image"])
    assert back["file_name"] == x["file_name"]
    instances = back["instances"]
    assert isinstance(instances, Instances)
    assert instances.image_size == (20, 30)
    assert torch.equal(instances.gt_boxes.tensor, x["instances"].gt_boxes.tensor)
    assert torch.equal(instances.gt_masks.tensor, x["instances"].gt_masks.tensor)
    assert torch.equal(instances.gt_classes, x["instances"].gt_classes)
    assert back["extra"][7] == (True, None, 3)
    np.testing.assert_array_equal(back["extra"]["array"], x["extra"]["array"])
    assert back["extra"]["array"].dtype == np.float32
    assert read.normalizers == divisors
    assert back["foreign"] == [str(object), str(signal.SIGTERM)]


def test_other_files_and_devices_are_refused(
    training_config: CfgNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"model": {}}, tmp_path / "weights.pth")
    (tmp_path / "damaged.pth").write_bytes(b"no zip")
    for name in ("weights.pth", "damaged.pth", "missing.pth"):
        assert main([str(tmp_path / name)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert name in line
    file = fail(training_config)
    failed = load_failed_step(str(file))
    with pytest.raises(UserError, match="no-device"):
        replay(failed, "no-device")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="GPU"):
            replay(failed, "cuda")
