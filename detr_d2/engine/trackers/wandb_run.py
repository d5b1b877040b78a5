"""Weights & Biases."""

from __future__ import annotations

import os
from typing import Any

import yaml
from detectron2.config import CfgNode

from ...errors import ConfigError, named
from .tracker import Pictures, Tracker


class WandbRun(Tracker):
    """A run of Weights & Biases, whose own variables (WANDB_MODE and others) count.

    A training that is resumed goes on in the same run. Offline, each part has a folder of its own, of one
    run: ``wandb sync`` joins them.
    """

    def __init__(self, cfg: CfgNode):
        super().__init__()
        self._cfg = cfg
        self._run: Any = None

    def start(self, run: int) -> None:
        import wandb

        folder = os.path.abspath(self._cfg.OUTPUT_DIR)
        with named("TRACKING.WRITERS 'wandb'", (wandb.errors.Error, OSError), ConfigError):
            self._run = wandb.init(
                project=self._cfg.TRACKING.PROJECT,
                name=os.path.basename(folder),
                dir=folder,
                id=f"{run:x}",
                resume="allow",
                config=yaml.safe_load(self._cfg.dump()),
            )

    def send(self, scalars: dict[str, float], pictures: Pictures, iteration: int) -> None:
        import wandb

        drawn = {name: wandb.Image(picture) for name, picture in pictures}
        self._run.log({**scalars, **drawn}, step=iteration)

    def finish(self) -> None:
        if self._run is not None:
            self._run.finish()
