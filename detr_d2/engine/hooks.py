"""Hooks that Detectron2 has not: rates by group; checkpoints of one training among others; reports."""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks

from ..checkpoint import DetrCheckpointer
from ..errors import require
from ..report import write_facts, write_report

_LOGGER = logging.getLogger(__name__)


class LearningRateHook(hooks.LRScheduler):
    """Detectron2's ``LRScheduler``, which also logs the learning rate of each parameter group as lr/NAME."""

    def after_step(self) -> None:
        for index, group in enumerate(self.trainer.optimizer.param_groups):
            name = group.get("name", index)
            self.trainer.storage.put_scalar(f"lr/{name}", group["lr"], smoothing_hint=False)
        super().after_step()


class CheckpointHook(hooks.PeriodicCheckpointer):
    """Detectron2's ``PeriodicCheckpointer``, which keeps the newest files alone, over a resume too.

    Files of an earlier training in the same folder are left alone. After the last iteration one file is
    written, not two: if a process were killed between them, the last one would never be written.

    Args:
        checkpointer: writes the files.
        period: iterations between two of them.
        kept: how many are kept; 0 keeps all.

    Raises:
        ConfigError: a number that cannot be.
    """

    def __init__(self, checkpointer: DetrCheckpointer, period: int, kept: int):
        require(period >= 1, "SOLVER.CHECKPOINT_PERIOD", period, "at least 1")
        require(kept >= 0, "SOLVER.CHECKPOINTS_KEPT", kept, "0 or more")
        super().__init__(checkpointer, period, max_to_keep=kept or None)

    def before_train(self) -> None:
        super().before_train()
        if not self.max_to_keep or not self.trainer.start_iter:
            return
        own: list[tuple[int, str]] = []
        for path in Path(self.checkpointer.save_dir).glob("model_*.pth"):
            number = path.stem.removeprefix("model_")
            is_periodic = len(number) >= 7 and number.isdigit() and int(number) < self.trainer.start_iter
            if is_periodic and run_of(quick_content(str(path))) == self.trainer.run:
                own.append((int(number), str(path)))
        files = [path for _, path in sorted(own)]
        for file in files[: -self.max_to_keep]:
            os.remove(file)
        self.recent_checkpoints = files[-self.max_to_keep :]

    def step(self, iteration: int, **kwargs: Any) -> None:
        if self.max_iter is None or iteration < self.max_iter - 1:
            super().step(iteration, **kwargs)
        else:
            self.checkpointer.save(f"{self.file_prefix}_final", iteration=int(iteration), **kwargs)


class BestCheckpointHook(hooks.BestCheckpointer):
    """Keeps the weights with the highest metric as ``model_best.pth``, over a resume too.

    The file itself holds the record to beat. The hook belongs after the one that evaluates, and on the main
    process alone.

    Args:
        eval_period: iterations between two evaluations.
        checkpointer: writes the file.
        metrics: names under which the event storage may have the metric, in order of preference.
    """

    def __init__(self, eval_period: int, checkpointer: DetrCheckpointer, metrics: list[str]):
        super().__init__(eval_period, checkpointer, metrics[0])
        self._metrics = metrics
        self._warned = False

    def before_train(self) -> None:
        """Read the record of the file that is there already, where a training is resumed; an evaluation may
        have been made up for."""
        self._read_record()
        self._best_checking()

    def _read_record(self) -> None:
        path = os.path.join(self._checkpointer.save_dir, f"{self._file_prefix}.pth")
        if not self.trainer.start_iter or not os.path.isfile(path):
            return
        content = quick_content(path)
        if run_of(content) != self.trainer.run:
            _LOGGER.warning("%s is of another training: the first evaluation of this one replaces it", path)
            return
        record = content.get("best", {})
        if record.get("metric") in self._metrics:
            self.best_metric = record["value"]
            _LOGGER.info("Best checkpoint so far: %s %.3f", record["metric"], self.best_metric)

    def _best_checking(self) -> None:
        """Save if this very iteration brought a higher metric."""
        storage = self.trainer.storage
        latest = storage.latest()
        name = next((name for name in self._metrics if name in latest), None)
        if name is None:
            evaluated = [key for key in latest if "/AP" in key]
            if evaluated and not self._warned:
                self._warned = True
                _LOGGER.warning(
                    "No best checkpoint is kept, and TEST.PATIENCE ends nothing: TEST.BEST_METRIC %r is not "
                    "among the results (%s)",
                    self._val_metric,
                    ", ".join(sorted(evaluated)),
                )
            return
        value, iteration = latest[name]
        is_best = math.isfinite(value) and (self.best_metric is None or value > self.best_metric)
        if iteration == storage.iter and is_best:
            self.best_metric = float(value)
            record = {"metric": name, "value": self.best_metric, "iteration": int(iteration)}
            self._checkpointer.save_weights(self._file_prefix, best=record, run=self.trainer.run)
            _LOGGER.info("New best checkpoint: %s %.3f", name, value)


class ReportHook(HookBase):
    """Writes ``report.html`` when a training has come to its end; belongs after all hooks that write files.

    A report that fails is logged with its traceback, and the training has still come to its end.

    Args:
        cfg: of the training.
        seed: that it drew.
    """

    def __init__(self, cfg: CfgNode, seed: int):
        self._cfg = cfg
        self._seed = seed

    def before_train(self) -> None:
        write_facts(self._cfg.OUTPUT_DIR, self._seed, self._cfg.MODEL.DEVICE)

    def after_train(self) -> None:
        if self.trainer.iter + 1 < self.trainer.max_iter:
            return
        start = time.perf_counter()
        try:
            file = write_report(self._cfg, self._cfg.OUTPUT_DIR)
        except Exception:
            folder = self._cfg.OUTPUT_DIR
            _LOGGER.exception("The report was not written; detr-d2 report %s writes it again", folder)
        else:
            _LOGGER.info("Wrote %s in %.1f s", file, time.perf_counter() - start)


def run_of(content: dict[str, Any]) -> int:
    """The training that a checkpoint is of, by the number that it drew; -1 where nothing is known."""
    state = content.get("trainer", content)
    run = state.get("run", 0) if content and isinstance(state, dict) else -1
    return run if isinstance(run, int) else -1


def quick_content(path: str) -> dict[str, Any]:
    """What a checkpoint of ours holds, with tensors that are read from the disk where they are used; {} where
    it is not there, or not ours, which whoever loads it says."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # bytes that are not of the format fail in any way
        return {}
    return content if isinstance(content, dict) else {}
