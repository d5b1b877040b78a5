"""When and how metrics are written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from detectron2.engine import hooks
from detectron2.utils.events import (
    CommonMetricPrinter,
    EventWriter,
    JSONWriter,
    TensorboardXWriter,
    get_event_storage,
)


def default_writers(folder: str, max_iter: int) -> list[EventWriter]:
    """To a folder, as metrics.json and for TensorBoard, and to the console."""
    os.makedirs(folder, exist_ok=True)
    file = os.path.join(folder, "metrics.json")
    # The printer comes last: it stores the time that is left as if it were a metric of now.
    return [MetricsFile(file), TensorboardXWriter(folder), CommonMetricPrinter(max_iter)]


class MetricsFile(JSONWriter):
    """Detectron2's ``JSONWriter``, with one line for each write: the iteration, and whatever is new since the
    last one. Detectron2's writes a line for each iteration that something new is of."""

    _last_write: int = -1  # the iteration

    def write(self) -> None:
        latest = get_event_storage().latest_with_smoothing_hint(self._window_size)
        new = {name: (value, at) for name, (value, at) in latest.items() if at > self._last_write}
        if new:
            self._last_write = max(at for _, at in new.values())
            line = {**{name: value for name, (value, _) in new.items()}, "iteration": self._last_write}
            self._file_handle.write(json.dumps(line, sort_keys=True) + "\n")
            self._file_handle.flush()


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
