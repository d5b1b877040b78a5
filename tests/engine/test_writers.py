from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
import pytest
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from detr_d2.engine import DetrTrainer
from detr_d2.engine.writers import MetricsFile

from .test_trainer import train


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_each_write_is_one_line_of_what_is_new(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    writer = MetricsFile(str(file))
    with EventStorage() as storage:
        writer.write()  # nothing yet
        storage.put_scalar("rare", 1.0)
        for storage.iter in range(3):
            storage.put_scalar("loss", float(storage.iter), smoothing_hint=False)
        storage.iter = 2
        writer.write()
        writer.write()  # nothing new
        storage.iter = 5
        storage.put_scalar("AP", 7.0, smoothing_hint=False)
        writer.write()
    writer.close()
    assert lines_of(file) == [{"iteration": 2, "loss": 2.0, "rare": 1.0}, {"iteration": 5, "AP": 7.0}]


@pytest.mark.parametrize("metrics_period", [1, 3, 20])
def test_metrics_have_a_line_a_write_with_every_evaluation_and_the_last_iteration(
    training_config: CfgNode, metrics_period: int
) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 23, ()
    cfg.TEST.EVAL_PERIOD, cfg.MODEL.DETR.METRICS_PERIOD = 9, metrics_period
    train(cfg, [1.0, 2.0, 3.0])
    lines = lines_of(Path(cfg.OUTPUT_DIR) / "metrics.json")
    assert [line["iteration"] for line in lines] == [8, 17, 19, 22, 23]
    assert [line.get("bbox/AP") for line in lines] == [1.0, 2.0, None, None, 3.0]
    for line in lines[:-1]:
        assert {"total_loss", "loss_ce", "grad_norm", "lr", "data_time"} <= line.keys()
    found = [line["iteration"] for line in lines if "class_error" in line]
    assert found == {1: [8, 17, 19, 22], 3: [8, 17, 22], 20: [19]}[metrics_period]


def test_losses_are_those_of_their_own_iteration(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER, cfg.DATASETS.TEST = 1, ()
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    (line,) = lines_of(Path(cfg.OUTPUT_DIR) / "metrics.json")
    losses = {name: value for name, value in line.items() if name.startswith("loss_")}
    assert line["iteration"] == 0
    assert sum(losses.values()) == pytest.approx(line["total_loss"])
