"""Training that is interrupted and resumed equals training that is not, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode

from detr_d2.data.loader import build_detr_train_loader
from detr_d2.engine import DetrTrainer

from .helpers import load_written_config

ROOT = Path(__file__).parents[2]
KILLED_AT, CHECKPOINT_PERIOD = 7, 5


def config(base: CfgNode, folder: str, workers: int = 0) -> CfgNode:
    """With all that has a state: accumulation, averaged weights, schedule, dropout, crops, evaluation."""
    cfg = base.clone()
    cfg.SEED = 8
    cfg.OUTPUT_DIR = str(Path(base.OUTPUT_DIR) / folder)
    cfg.DATALOADER.NUM_WORKERS = workers
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.TYPE = "absolute_range"
    cfg.INPUT.CROP.SIZE = (30, 40)
    cfg.INPUT.CROP.RESIZE_SHORTEST_EDGE = (50, 60)
    cfg.SOLVER.ACCUMULATION_STEPS = 2
    cfg.SOLVER.MAX_ITER = 10
    cfg.SOLVER.STEPS = (8,)
    cfg.SOLVER.CHECKPOINT_PERIOD = CHECKPOINT_PERIOD
    cfg.SOLVER.EMA.ENABLED = True
    cfg.TEST.EVAL_PERIOD = 4
    return cfg


def train(cfg: CfgNode, resume: bool = False) -> dict[str, Any]:
    """Train to the end; returns the last checkpoint."""
    torch.manual_seed(0)
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}/{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}/{index}")
    else:
        yield path, value


def assert_same_bits(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = dict(leaves(one)), dict(leaves(other))
    assert first.keys() == second.keys()
    for path, value in first.items():
        same = torch.equal(value, second[path]) if isinstance(value, torch.Tensor) else value == second[path]
        assert same, path


def test_a_bucket_is_not_empty_at_the_checkpoint(training_config: CfgNode) -> None:
    """Else the tests below would not test the replay of the loader."""
    cfg = config(training_config, "unused")
    sampler = build_detr_train_loader(cfg, seed=cfg.SEED).batch_sampler
    positions = {p for batch in islice(sampler, CHECKPOINT_PERIOD * 2) for _, p in batch}
    assert len(positions) < max(positions) + 1  # an earlier image waits for a batch of its shape


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_with_sigkill_and_resumed_equals_uninterrupted(
    training_config: CfgNode, tmp_path: Path, workers: int
) -> None:
    uninterrupted = train(config(training_config, "whole"))

    cfg = config(training_config, "killed", workers)
    file = tmp_path / "killed.yaml"
    file.write_text(cfg.dump())
    command = [sys.executable, "-m", "tests.engine.kill", str(file), str(KILLED_AT)]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert killed.returncode == -9, killed.stderr
    assert (Path(cfg.OUTPUT_DIR) / "last_checkpoint").read_text() == "model_0000004.pth"

    resumed = train(load_written_config(str(file)), resume=True)
    assert resumed["trainer"]["iteration"] == 9
    assert_same_bits(resumed, uninterrupted)


def test_without_the_replay_or_the_optimizer_the_bits_differ(training_config: CfgNode) -> None:
    """The comparison above can fail: it does when one part of the state is lost."""
    base = config(training_config, "part")
    base.TEST.EVAL_PERIOD = 0
    base.SOLVER.EMA.ENABLED = False
    whole = train(base)
    path = Path(base.OUTPUT_DIR) / "model_0000004.pth"
    for lost in ("seed", "optimizer"):
        checkpoint = torch.load(path)
        if lost == "seed":
            checkpoint["trainer"]["seed"] = 9
        else:
            checkpoint["trainer"]["_trainer"]["optimizer"]["state"] = {}
        cfg = base.clone()
        cfg.SEED = -1
        cfg.OUTPUT_DIR = f"{base.OUTPUT_DIR}_{lost}"
        Path(cfg.OUTPUT_DIR).mkdir()
        torch.save(checkpoint, Path(cfg.OUTPUT_DIR) / path.name)
        (Path(cfg.OUTPUT_DIR) / "last_checkpoint").write_text(path.name)
        resumed = train(cfg, resume=True)
        assert not torch.equal(resumed["model"]["class_embed.weight"], whole["model"]["class_embed.weight"])


def test_a_drawn_seed_is_kept_over_a_resume(training_config: CfgNode) -> None:
    cfg = config(training_config, "drawn")
    cfg.SEED = -1
    cfg.TEST.EVAL_PERIOD = 0
    whole = train(cfg)
    (Path(cfg.OUTPUT_DIR) / "last_checkpoint").write_text("model_0000004.pth")
    assert_same_bits(train(cfg, resume=True), whole)
