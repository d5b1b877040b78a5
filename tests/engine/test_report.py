"""The report at the end of a training."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
import pytest
from detectron2.config import CfgNode

from detr_d2.engine import DetrTrainer, hooks


def run(cfg: CfgNode, kind: type[DetrTrainer] = DetrTrainer) -> Path:
    cfg.SOLVER.MAX_ITER, cfg.TEST.REPORT = 2, True
    trainer = kind(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    return Path(cfg.OUTPUT_DIR)


def test_a_training_ends_with_a_report_of_its_last_evaluation(training_config: CfgNode) -> None:
    training_config.SEED = -1
    folder = run(training_config)
    page = (folder / "report.html").read_text("utf-8")
    assert "Errors by kind" in page
    assert "2 iterations" in page
    assert str(json.loads((folder / "run.json").read_text())["seed"]) in page


def test_a_report_that_fails_is_logged_and_the_training_is_done(
    training_config: CfgNode, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no report")

    monkeypatch.setattr(hooks, "write_report", fail)
    monkeypatch.setattr(logging.getLogger("detr_d2"), "propagate", True)
    folder = run(training_config)
    assert (folder / "model_final.pth").is_file()
    assert any(record.exc_info and record.name == hooks.__name__ for record in caplog.records)


def test_a_training_that_does_not_end_writes_none(training_config: CfgNode) -> None:
    class Failing(DetrTrainer):
        def run_step(self) -> None:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        run(training_config, Failing)
    assert not (Path(training_config.OUTPUT_DIR) / "report.html").exists()


def test_it_can_be_switched_off(training_config: CfgNode) -> None:
    training_config.TEST.REPORT = False
    built = DetrTrainer(training_config).build_hooks()
    assert not [hook for hook in built if isinstance(hook, hooks.ReportHook)]
