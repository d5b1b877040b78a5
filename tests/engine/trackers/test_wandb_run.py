from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode

from detr_d2.engine.trackers.wandb_run import WandbRun
from detr_d2.errors import ConfigError

from ..test_trainer import train


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb_files"))


def has(folder: Path, *texts: bytes) -> bool:
    """Whether the records of an offline run come to have these; its own process writes them."""
    (file,) = folder.glob("run-*.wandb")
    for _ in range(100):
        if all(text in file.read_bytes() for text in texts):
            return True
        time.sleep(0.1)
    return False


def test_a_training_and_its_resumption_are_one_run(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = 4, (), 2
    cfg.TEST.EVAL_PERIOD, cfg.TRACKING.PICTURES, cfg.TRACKING.WRITERS = 2, 1, ("wandb",)
    train(cfg, [10.0], until=2)
    trainer = train(cfg, [30.0], resume=True)
    parts = sorted(Path(cfg.OUTPUT_DIR).glob("wandb/offline-run-*"))
    assert len(parts) == 2
    assert all(part.name.endswith(f"-{trainer.run:x}") for part in parts)
    assert all(has(part, b"bbox/AP", b"lr/transformer", b"IMS_PER_BATCH") for part in parts)
    assert len(list(parts[0].glob("files/media/images/predictions/*.png"))) == 1


def test_what_it_refuses_is_an_error_before_the_training(
    training_config: CfgNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    def refuse(**options: object) -> None:
        assert json.dumps(options["config"])
        raise wandb.errors.UsageError("No API key configured.\nUse `wandb login` to log in.")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ConfigError, match="'wandb'.*wandb login") as error:
        WandbRun(training_config).start(3)
    assert "\n" not in str(error.value)
