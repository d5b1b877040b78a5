"""Which checkpoints a training keeps, and which of those in its folder are its own."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import torch
from detectron2.engine import hooks

from ..checkpoint import DetrCheckpointer
from ..errors import ConfigError

_LOGGER = logging.getLogger(__name__)

_PERIODIC = re.compile(r"model_(\d{7,})\.pth")


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

    def __init__(self, checkpointer: DetrCheckpointer, period: int, kept: int = 0):
        if period < 1:
            raise ConfigError(f"SOLVER.CHECKPOINT_PERIOD is {period}, but must be at least 1")
        if kept < 0:
            raise ConfigError(f"SOLVER.CHECKPOINTS_KEPT is {kept}, but must be 0 or more")
        super().__init__(checkpointer, period)
        self._kept = kept
        self._files: list[Path] = []

    def before_train(self) -> None:
        super().before_train()
        if not self._kept or not self.trainer.start_iter:
            return
        numbered = {
            int(match[1]): path
            for path in Path(self.checkpointer.save_dir).glob("model_*.pth")
            if (match := _PERIODIC.fullmatch(path.name)) and int(match[1]) < self.trainer.start_iter
        }
        files = [numbered[number] for number in sorted(numbered)]
        self._files = [path for path in files if run_of(str(path)) == self.trainer.run]

    def step(self, iteration: int, **kwargs: Any) -> None:
        if self.max_iter is None or iteration < self.max_iter - 1:
            super().step(iteration, **kwargs)
        else:
            self.checkpointer.save(f"{self.file_prefix}_final", iteration=int(iteration), **kwargs)

    def after_step(self) -> None:
        super().after_step()
        if self._kept and (self.trainer.iter + 1) % self.period == 0:
            if self.trainer.iter + 1 < self.trainer.max_iter:
                self._files.append(Path(self.checkpointer.save_dir) / f"model_{self.trainer.iter:07d}.pth")
            for path in self._files[: -self._kept]:
                path.unlink(missing_ok=True)
            self._files = self._files[-self._kept :]


def run_of(path: str) -> int:
    """The number of the training that a checkpoint is of, among those of its folder; -1 where it has none."""
    content = _content(path)
    if not content:
        return -1
    state = content.get("trainer")
    run = state.get("run", 0) if isinstance(state, dict) else content.get("run", 0)
    return run if isinstance(run, int) else 0


def next_run(checkpointer: DetrCheckpointer) -> int:
    """The number of a new training in the checkpointer's folder; says so where another one is there."""
    files = [os.path.join(checkpointer.save_dir, "model_best.pth")]
    if checkpointer.has_checkpoint():
        files.append(checkpointer.get_checkpoint_file())
    number = 1 + max(run_of(file) for file in files)
    if number:
        _LOGGER.warning(
            "%s holds another training, whose files are overwritten as this one goes on; --resume would have "
            "gone on with it",
            checkpointer.save_dir,
        )
    return number


def _content(path: str) -> dict[str, Any]:
    """What a checkpoint of ours holds, with tensors that are read from the disk where they are used."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # not there, or not ours: whoever loads it says so
        return {}
    return content if isinstance(content, dict) else {}
