"""When and how metrics are written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.engine import hooks
from detectron2.utils.events import CommonMetricPrinter, EventWriter, JSONWriter, get_event_storage

from .trackers import Tracker, build_trackers, new_scalars


def default_writers(cfg: CfgNode, max_iter: int) -> list[EventWriter]:
    """To metrics.json in OUTPUT_DIR, to those of TRACKING.WRITERS, and to the console.

    Raises:
        ConfigError: one of TRACKING.WRITERS cannot be had.
    """
    trackers = build_trackers(cfg)
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    file = os.path.join(cfg.OUTPUT_DIR, "metrics.json")
    # The printer comes last: it stores the time that is left as if it were a metric of now.
    return [MetricsFile(file), *trackers, CommonMetricPrinter(max_iter)]


class MetricsFile(JSONWriter):
    """Detectron2's ``JSONWriter``, with one line for each write: the iteration, and whatever is new since the
    last one. Detectron2's writes a line for each iteration that something new is of."""

    _last_write: int = -1  # the iteration

    def write(self) -> None:
        new, self._last_write = new_scalars(get_event_storage(), self._last_write, self._window_size)
        if new:
            line = {**new, "iteration": self._last_write}
            self._file_handle.write(json.dumps(line, sort_keys=True) + "\n")
            self._file_handle.flush()


class WriterHook(hooks.PeriodicWriter):
    """Detectron2's ``PeriodicWriter``, which also writes after each evaluation, so that none is passed over,
    and lets trackers begin their runs. Pictures are in the storage until all have written.

    Args:
        writers: write what the event storage has.
        period: iterations between two writings.
        eval_period: iterations between two evaluations; 0 for none.
    """

    def __init__(self, writers: Sequence[EventWriter], period: int = 20, eval_period: int = 0):
        super().__init__(writers, period)
        self._eval_period = eval_period

    def before_train(self) -> None:
        for writer in self._writers:
            if isinstance(writer, Tracker):
                writer.start(self.trainer.run)
        if self.trainer.storage.latest():  # an evaluation was made up for
            self._write()

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        evaluated = self._eval_period > 0 and done % self._eval_period == 0
        if evaluated or done % self._period == 0 or done == self.trainer.max_iter:
            self._write()

    def after_train(self) -> None:
        self._write()
        for writer in self._writers:
            writer.close()

    def _write(self) -> None:
        for writer in self._writers:
            writer.write()
        self.trainer.storage.clear_images()
