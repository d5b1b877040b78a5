"""How many checkpoints stay, and what a training takes for its own in a folder with others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode

from detr_d2.errors import CheckpointError, ConfigError, MissingFileError

from .test_trainer import ScriptedTrainer, best, train


@pytest.fixture
def cfg(training_config: CfgNode) -> CfgNode:
    cfg = training_config
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.CHECKPOINT_PERIOD, cfg.SOLVER.CHECKPOINTS_KEPT = 8, 2, 2
    return cfg


def files(cfg: CfgNode) -> list[str]:
    return sorted(path.name for path in Path(cfg.OUTPUT_DIR).glob("*.pth"))


def test_the_newest_checkpoints_are_kept_over_a_resume(cfg: CfgNode) -> None:
    train(cfg, [], until=5)
    assert files(cfg) == ["model_0000001.pth", "model_0000003.pth"]
    train(cfg, [1.0], resume=True)
    assert files(cfg) == ["model_0000003.pth", "model_0000005.pth", "model_best.pth", "model_final.pth"]


def test_fewer_can_be_kept_from_a_resume_on_and_0_keeps_all(cfg: CfgNode) -> None:
    cfg.SOLVER.CHECKPOINTS_KEPT = 0
    train(cfg, [], until=6)
    assert files(cfg) == ["model_0000001.pth", "model_0000003.pth", "model_0000005.pth"]
    cfg.SOLVER.CHECKPOINTS_KEPT = 1
    train(cfg, [1.0], resume=True)
    assert files(cfg) == ["model_0000005.pth", "model_best.pth", "model_final.pth"]


def test_files_of_another_training_are_not_removed(cfg: CfgNode) -> None:
    cfg.SOLVER.CHECKPOINTS_KEPT = 0
    train(cfg, [], until=3)
    (Path(cfg.OUTPUT_DIR) / "model_0000001.pth").rename(Path(cfg.OUTPUT_DIR) / "model_0000002.pth")
    (Path(cfg.OUTPUT_DIR) / "last_checkpoint").write_text("model_0000002.pth")
    cfg.SOLVER.CHECKPOINTS_KEPT = 1
    train(cfg, [], until=5)
    train(cfg, [1.0], resume=True)
    assert "model_0000002.pth" in files(cfg)
    assert "model_0000003.pth" not in files(cfg)


@pytest.mark.parametrize(("key", "value"), [("CHECKPOINT_PERIOD", 0), ("CHECKPOINTS_KEPT", -1)])
def test_numbers_that_cannot_be_are_refused(cfg: CfgNode, key: str, value: int) -> None:
    cfg.SOLVER[key] = value
    with pytest.raises(ConfigError, match=f"SOLVER.{key} is {value}"):
        ScriptedTrainer(cfg)


def test_a_new_training_does_not_take_an_old_best_checkpoint_for_its_own(
    cfg: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    cfg.TEST.EVAL_PERIOD = 4
    train(cfg, [90.0, 91.0])
    train(cfg, [], until=3)  # a new one, killed before its first evaluation
    assert "holds another training" in caplog.text
    assert best(cfg)["value"] == 91.0
    train(cfg, [20.0, 10.0], resume=True)
    assert best(cfg) == {"metric": "bbox/AP", "value": 20.0, "iteration": 3}


def test_an_old_training_keeps_its_best_checkpoint_after_a_new_one_that_saved_nothing(cfg: CfgNode) -> None:
    cfg.TEST.EVAL_PERIOD = 4
    train(cfg, [90.0], until=6)
    train(cfg, [], until=1)  # somebody forgot --resume
    train(cfg, [80.0], resume=True)
    assert best(cfg)["value"] == 90.0


def test_an_old_training_does_not_take_a_newer_ones_best_checkpoint(cfg: CfgNode) -> None:
    cfg.TEST.EVAL_PERIOD = 2
    train(cfg, [50.0, 51.0], until=4)
    cfg.SOLVER.CHECKPOINT_PERIOD = 100
    train(cfg, [99.0], until=3)  # evaluated before its first checkpoint
    # The evaluation of its last checkpoint is made again: the newer training's took its place.
    train(cfg, [51.0, 60.0, 61.0], resume=True)
    assert best(cfg)["value"] == 61.0


def test_a_finished_training_says_that_nothing_is_left(
    cfg: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    train(cfg, [30.0])
    before = torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth")["model"]
    caplog.clear()
    train(cfg, [30.0], resume=True)
    assert "all 8 iterations" in caplog.text
    assert "SOLVER.MAX_ITER" in caplog.text
    assert "Training from iteration" not in caplog.text
    after = torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth")["model"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_an_evaluation_that_a_kill_prevented_is_made_at_the_resume(cfg: CfgNode) -> None:
    """The last checkpoint is written before it."""
    whole = train(cfg, [30.0])
    record = best(cfg)
    (Path(cfg.OUTPUT_DIR) / "model_best.pth").unlink()
    train(cfg, [30.0], resume=True)
    assert best(cfg) == record
    assert whole.iter == 8


def test_weights_that_are_not_read_are_named(cfg: CfgNode, caplog: pytest.LogCaptureFixture) -> None:
    train(cfg, [], until=3)
    cfg.MODEL.WEIGHTS = "somewhere/else.pth"
    train(cfg, [1.0], resume=True)
    assert "MODEL.WEIGHTS somewhere/else.pth is not read" in caplog.text


@pytest.mark.parametrize("names", [["class1", "class3", "class2"], ["class1", "class2"]])
def test_a_training_does_not_go_on_with_other_classes(cfg: CfgNode, names: list[str]) -> None:
    """The optimizer's state is of the rows as they were."""
    train(cfg, [], until=3)
    path = Path(cfg.OUTPUT_DIR) / "model_0000001.pth"
    checkpoint = torch.load(path)
    checkpoint["metadata"] = {"thing_classes": names}
    for name in ("class_embed.weight", "class_embed.bias"):
        checkpoint["model"][name] = checkpoint["model"][name][: len(names) + 1]
    torch.save(checkpoint, path)
    trainer = ScriptedTrainer(cfg)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"model_0000001\.pth holds a training with other classes"):
        trainer.resume_or_load(resume=True)
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())


def test_classes_that_were_only_renamed_go_on_with_a_sentence(
    cfg: CfgNode, caplog: pytest.LogCaptureFixture
) -> None:
    train(cfg, [], until=3)
    path = Path(cfg.OUTPUT_DIR) / "model_0000001.pth"
    torch.save({**torch.load(path), "metadata": {"thing_classes": ["class1", "klass2", "class3"]}}, path)
    ScriptedTrainer(cfg).resume_or_load(resume=True)
    assert "klass2 is now class2" in caplog.text


def test_a_training_state_that_is_damaged_is_refused_by_name(cfg: CfgNode) -> None:
    train(cfg, [], until=3)
    path = Path(cfg.OUTPUT_DIR) / "model_0000001.pth"
    checkpoint = torch.load(path)
    del checkpoint["trainer"]["_trainer"]["optimizer"]["param_groups"]
    torch.save(checkpoint, path)
    with pytest.raises(CheckpointError, match=r"cannot resume: .*model_0000001\.pth"):
        ScriptedTrainer(cfg).resume_or_load(resume=True)


def test_a_last_checkpoint_that_is_gone_is_named(cfg: CfgNode) -> None:
    train(cfg, [], until=3)
    (Path(cfg.OUTPUT_DIR) / "model_0000001.pth").unlink()
    with pytest.raises(MissingFileError, match=r"last_checkpoint names .*model_0000001\.pth"):
        ScriptedTrainer(cfg).resume_or_load(resume=True)
