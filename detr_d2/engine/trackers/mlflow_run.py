"""MLflow."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode

from ...detectron2_keys import leaves
from ...errors import ConfigError, named
from .tracker import Pictures, Tracker

_URI = "MLFLOW_TRACKING_URI"
# The tag that tells trainings apart.
_TAG = "detr_d2.run"
# What MLflow takes at a time, and how long a parameter may be.
_METRICS, _PARAMETERS, _LENGTH = 1000, 100, 500


class MlflowRun(Tracker):
    """A run of MLflow, at MLFLOW_TRACKING_URI or else in files in OUTPUT_DIR/mlruns.

    A training that is resumed goes on in the same run, which a tag tells.
    """

    def __init__(self, cfg: CfgNode):
        super().__init__()
        self._cfg = cfg
        self._client: Any = None
        self._run_id = ""

    def start(self, run: int) -> None:
        uri = os.environ.get(_URI)
        if not uri:
            uri = (Path(self._cfg.OUTPUT_DIR).resolve() / "mlruns").as_uri()
            # MLflow no longer develops its files, and wants to be told that one knows.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        with named(f"TRACKING.WRITERS 'mlflow' at {uri}", (MlflowException, OSError), ConfigError):
            self._client = MlflowClient(tracking_uri=uri)
            self._run_id = self._find(run) or self._create(run)

    def _experiment(self) -> str:
        project = self._cfg.TRACKING.PROJECT
        known = self._client.get_experiment_by_name(project)
        return known.experiment_id if known else self._client.create_experiment(project)

    def _find(self, run: int) -> str:
        for found in self._client.search_runs(
            [self._experiment()], f"tags.`{_TAG}` = '{run}'", max_results=1
        ):
            self._client.update_run(found.info.run_id, status="RUNNING")
            return str(found.info.run_id)
        return ""

    def _create(self, run: int) -> str:
        from mlflow.entities import Param

        name = os.path.basename(os.path.abspath(self._cfg.OUTPUT_DIR))
        created = self._client.create_run(self._experiment(), run_name=name, tags={_TAG: str(run)})
        run_id = str(created.info.run_id)
        self._client.log_text(run_id, self._cfg.dump(), "config.yaml")
        config = yaml.safe_load(self._cfg.dump())
        parameters = [Param(key, str(value)[:_LENGTH]) for key, value in leaves(config)]
        for start in range(0, len(parameters), _PARAMETERS):
            self._client.log_batch(run_id, params=parameters[start : start + _PARAMETERS])
        return run_id

    def send(self, scalars: dict[str, float], pictures: Pictures, iteration: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(_sorted_in(name), value, now, iteration) for name, value in scalars.items()]
        for start in range(0, len(metrics), _METRICS):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + _METRICS])
        for name, picture in pictures:
            stem = os.path.splitext(_allowed(name))[0]
            self._client.log_image(self._run_id, picture, artifact_file=f"{stem}/{iteration:07d}.png")

    def finish(self) -> None:
        if self._run_id:
            self._client.set_terminated(self._run_id)


def _sorted_in(name: str) -> str:
    """A metric's name in MLflow, whose files cannot have both lr and lr/backbone."""
    section, slash, rest = _allowed(name).partition("/")
    return f"{section}/{rest.replace('/', '_')}" if slash else f"train/{section}"


def _allowed(name: str) -> str:
    """A name with what MLflow takes: names of classes may have anything."""
    return re.sub(r"[^\w./ -]", "_", name)
