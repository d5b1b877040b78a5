"""Hooks that Detectron2 has not: learning rates by group, the last and the best checkpoint."""

from __future__ import annotations

import logging
import math
import os

import torch
from detectron2.engine import HookBase, hooks

from ..checkpoint import DetrCheckpointer
from .checkpoints import run_of

_LOGGER = logging.getLogger(__name__)


class LearningRateHook(hooks.LRScheduler):
    """Detectron2's ``LRScheduler``, which also logs the learning rate of each parameter group as lr/NAME."""

    def after_step(self) -> None:
        for index, group in enumerate(self.trainer.optimizer.param_groups):
            name = group.get("name", index)
            self.trainer.storage.put_scalar(f"lr/{name}", group["lr"], smoothing_hint=False)
        super().after_step()


class BestCheckpointHook(HookBase):
    """Keeps the weights with the highest metric as ``model_best.pth``.

    The file itself holds the record to beat, so that a resumed training goes on from it. It belongs
    after the hook that evaluates, and on the main process alone.

    Args:
        checkpointer: writes the file.
        metrics: names under which the event storage may have the metric, in order of preference.
        file_name: without ``.pth``.
    """

    def __init__(self, checkpointer: DetrCheckpointer, metrics: list[str], file_name: str = "model_best"):
        self._checkpointer = checkpointer
        self._metrics = metrics
        self._file_name = file_name
        self._warned = False
        self.best: float | None = None
        self.best_iteration: int | None = None

    def load_record(self) -> None:
        """Read the record of the file that is there already, for a training that is resumed."""
        path = os.path.join(self._checkpointer.save_dir, f"{self._file_name}.pth")
        if not os.path.isfile(path):
            return
        if run_of(path) != self.trainer.run:
            _LOGGER.warning("%s is of another training: the first evaluation of this one replaces it", path)
            return
        record = torch.load(path, map_location="cpu", weights_only=True, mmap=True).get("best", {})
        if record.get("metric") in self._metrics:
            self.best, self.best_iteration = record["value"], record["iteration"]
            _LOGGER.info("Best checkpoint so far: %s %.3f", record["metric"], self.best)

    def after_step(self) -> None:
        # The last evaluation comes after the training.
        if self.trainer.iter + 1 < self.trainer.max_iter:
            self._look()

    def after_train(self) -> None:
        if self.trainer.iter + 1 >= self.trainer.max_iter:
            self._look()

    def _look(self) -> None:
        """Save if this very iteration brought a higher metric."""
        storage = self.trainer.storage
        latest = storage.latest()
        name = next((name for name in self._metrics if name in latest), None)
        if name is None:
            evaluated = [key for key, (_, iteration) in latest.items() if "/AP" in key]
            if evaluated and not self._warned:
                self._warned = True
                _LOGGER.warning(
                    "No best checkpoint is kept: TEST.BEST_METRIC %r is not among the results (%s)",
                    self._metrics[0],
                    ", ".join(sorted(evaluated)),
                )
            return
        value, iteration = latest[name]
        if iteration != storage.iter or not math.isfinite(value):
            return
        if self.best is not None and value <= self.best:
            return
        self.best, self.best_iteration = float(value), int(iteration)
        record = {"metric": name, "value": self.best, "iteration": self.best_iteration}
        self._checkpointer.save_weights(self._file_name, best=record, run=self.trainer.run)
        _LOGGER.info("New best checkpoint: %s %.3f", name, value)
