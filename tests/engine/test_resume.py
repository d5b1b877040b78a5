"""Training that is interrupted and resumed equals training that is not, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
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

from .kill import assert_same_bits, everything

ROOT = Path(__file__).parents[2]


def train(cfg: CfgNode, resume: bool = False) -> dict[str, Any]:
    """Train to the end; returns the last checkpoint."""
    torch.manual_seed(0)
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth")


def test_a_bucket_is_not_empty_at_the_checkpoint(training_config: CfgNode) -> None:
    """Else the tests below would not test the replay of the loader."""
    cfg = everything(training_config, "unused")
    sampler = build_detr_train_loader(cfg, seed=cfg.SEED).batch_sampler
    positions = {p for batch in islice(sampler, cfg.SOLVER.CHECKPOINT_PERIOD * 2) for _, p in batch}
    assert len(positions) < max(positions) + 1  # an earlier image waits for a batch of its shape


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_with_sigkill_and_resumed_equals_uninterrupted(workers: int) -> None:
    """At two random moments and in the middle of a save; with --kills 30 it takes minutes."""
    options = ["--kills", "3", "--saves", "1", "--seed", str(workers), "--workers", str(workers)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.kill", *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "after 3 kills in all: the same bits" in done.stdout


def test_without_the_replay_or_the_optimizer_the_bits_differ(training_config: CfgNode) -> None:
    """The comparison above can fail: it does when one part of the state is lost."""
    base = everything(training_config, "part")
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
    cfg = everything(training_config, "drawn")
    cfg.SEED = -1
    cfg.TEST.EVAL_PERIOD = 0
    whole = train(cfg)
    (Path(cfg.OUTPUT_DIR) / "last_checkpoint").write_text("model_0000004.pth")
    assert_same_bits(train(cfg, resume=True), whole)


def test_what_comes_after_the_last_iteration_is_made_up_for(training_config: CfgNode) -> None:
    """Killed between the last checkpoint and the last evaluation, whose result is the best."""
    cfg = everything(training_config, "end")
    train(cfg)
    folder = Path(cfg.OUTPUT_DIR)
    assert not (folder / "model_0000009.pth").exists(), "nothing can be killed between two last checkpoints"
    best = torch.load(folder / "model_best.pth")
    (folder / "model_best.pth").unlink()
    cfg.TEST.EVAL_PERIOD = 0
    final = train(cfg, resume=True)
    assert final["trainer"]["iteration"] == 9
    again = torch.load(folder / "model_best.pth")
    assert again["best"]["iteration"] == 10
    assert best["best"]["metric"] == again["best"]["metric"]
