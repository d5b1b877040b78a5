"""When and how metrics are written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from detectron2.engine import hooks
from detectron2.utils.events import CommonMetricPrinter, EventWriter, TensorboardXWriter, get_event_storage
from detectron2.utils.file_io import PathManager


def default_writers(folder: str, max_iter: int) -> list[EventWriter]:
    """To a folder, as metrics.json and for TensorBoard, and to the console."""
    os.makedirs(folder, exist_ok=True)
    file = os.path.join(folder, "metrics.json")
    # The printer comes last: it stores the time that is left as if it were a metric of now.
    return [MetricsFile(file), TensorboardXWriter(folder), CommonMetricPrinter(max_iter)]


class MetricsFile(EventWriter):
    """Appends one json line to a file for each write: the iteration, and whatever is new since the last one.

    Detectron2's ``JSONWriter`` writes a line for each iteration that something new is of.

    Args:
        path: of the file.
        window_size: losses and the like are written as the median of their last so many values.
    """

    def __init__(self, path: str, window_size: int = 20):
        self._file = PathManager.open(path, "a")
        self._window_size = window_size
        self._written = -1

    def write(self) -> None:
        latest = get_event_storage().latest_with_smoothing_hint(self._window_size)
        new = {name: (value, at) for name, (value, at) in latest.items() if at > self._written}
        if not new:
            return
        self._written = max(at for _, at in new.values())
        line = {**{name: value for name, (value, _) in new.items()}, "iteration": self._written}
        self._file.write(json.dumps(line, sort_keys=True) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class WriterHook(hooks.PeriodicWriter):
    """Detectron2's ``PeriodicWriter``, which also writes after each evaluation, so that none is passed over.

    Args:
        writers: write what the event storage has.
        period: iterations between two writings.
        eval_period: iterations between two evaluations; 0 for none.
    """

    def __init__(self, writers: Sequence[EventWriter], period: int = 20, eval_period: int = 0):
        super().__init__(writers, period)
        self._eval_period = eval_period

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        evaluated = self._eval_period > 0 and done % self._eval_period == 0
        if evaluated or done % self._period == 0 or done == self.trainer.max_iter:
            for writer in self._writers:
                writer.write()
