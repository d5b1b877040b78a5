from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from PIL import Image

from detr_d2.engine.trackers.mlflow_run import MlflowRun
from detr_d2.errors import ConfigError

from ..test_trainer import train


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # is taken back at the end
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE")


def runs(folder: Path, project: str = "detr_d2") -> tuple[Any, list[Any]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(folder / "mlruns").as_uri())
    experiment = client.get_experiment_by_name(project)
    return client, list(client.search_runs([experiment.experiment_id]))


def test_a_training_and_its_resumption_are_one_run(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = 6, (), 2
    cfg.TEST.EVAL_PERIOD, cfg.TRACKING.PICTURES = 2, 1
    cfg.TRACKING.WRITERS, cfg.TRACKING.PROJECT = ("mlflow",), "cells"
    train(cfg, [10.0, 20.0], until=4)
    train(cfg, [30.0], resume=True)
    folder = Path(cfg.OUTPUT_DIR)
    client, (run,) = runs(folder, "cells")
    assert run.info.status == "FINISHED"
    assert run.info.run_name == folder.name
    assert run.data.params["SOLVER.IMS_PER_BATCH"] == "4"
    history = client.get_metric_history(run.info.run_id, "bbox/AP")
    assert [(metric.step, metric.value) for metric in history] == [(1, 10.0), (3, 20.0), (6, 30.0)]
    assert {"train/total_loss", "train/lr", "lr/transformer"} <= run.data.metrics.keys()
    artifacts = Path(client.download_artifacts(run.info.run_id, ""))
    assert (artifacts / "config.yaml").read_text() == cfg.dump()
    pictures = sorted(artifacts.glob("predictions/*/*.png"))
    assert [picture.name for picture in pictures] == ["0000001.png", "0000003.png", "0000006.png"]
    assert Image.open(pictures[0]).size[0] > 100


def test_another_training_in_the_folder_is_another_run(training_config: CfgNode) -> None:
    cfg = training_config
    cfg.TRACKING.WRITERS, cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = ("mlflow",), 1, ()
    train(cfg, [1.0])
    train(cfg, [1.0])
    assert len(runs(Path(cfg.OUTPUT_DIR))[1]) == 2


def test_any_name_and_number_is_taken(training_config: CfgNode) -> None:
    tracker = MlflowRun(training_config)
    tracker.start(5)
    many = {f"AP-{number}": float(number) for number in range(1200)}
    tracker.send({"bbox/AP-größe (cm), 50%": 1.0, "APl": math.nan, "shapes/bbox/AP": 2.0, **many}, [], 3)
    picture = np.zeros((4, 6, 3), dtype=np.uint8)
    tracker.send({}, [("predictions/a b*.jpg", picture)], 3)
    tracker.finish()
    _, (run,) = runs(Path(training_config.OUTPUT_DIR))
    assert run.data.metrics["bbox/AP-größe _cm__ 50_"] == 1.0
    assert math.isnan(run.data.metrics["train/APl"])
    assert run.data.metrics["shapes/bbox_AP"] == 2.0
    assert run.data.metrics["train/AP-1199"] == 1199.0


def test_its_own_variable_says_where(
    training_config: CfgNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "elsewhere").as_uri())
    tracker = MlflowRun(training_config)
    with pytest.raises(ConfigError, match="elsewhere"):  # MLflow wants to be told that files are meant
        tracker.start(5)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    tracker.start(5)
    assert (tmp_path / "elsewhere").is_dir()
    assert not (Path(training_config.OUTPUT_DIR) / "mlruns").exists()
