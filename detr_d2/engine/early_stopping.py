"""Evaluations while a training runs: none is lost over a resume, and too many without a gain end it."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

from detectron2.engine import HookBase, TrainerBase, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from ..atomic import write_file

_LOGGER = logging.getLogger(__name__)


class Evaluations:
    """The best metric's values, by the number of iterations that were done; the same in all processes.

    The main process keeps them in OUTPUT_DIR/evaluations.json. A checkpoint is written before the evaluation
    of its iteration, so it cannot have them.

    Args:
        folder: OUTPUT_DIR.
        metrics: names under which the event storage may have the metric, in order of preference; () for none.
    """

    def __init__(self, folder: str, metrics: Sequence[str]):
        self.metrics = tuple(metrics)
        self.values: dict[int, float | None] = {}
        self._file = os.path.join(folder, "evaluations.json")

    def resume(self, run: int, done: int) -> None:
        """Read what a training had after so many iterations; {} where the file has nothing of it."""
        found: dict[int, float | None] = {}
        if comm.is_main_process():
            try:
                with open(self._file, encoding="utf-8") as file:
                    content = json.load(file)
                if content["run"] == run and tuple(content["metrics"]) == self.metrics:
                    found = {int(at): value for at, value in content["values"].items() if int(at) <= done}
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                pass  # not there, or of no use: the evaluation is done once more
        self.values = comm.all_gather(found)[0]

    def add(self, storage: EventStorage, run: int, done: int) -> None:
        """Take the metric from the main process's storage, and write the file."""
        latest = storage.latest()
        name = next((name for name in self.metrics if name in latest), None)
        value = None if name is None else float(latest[name][0])
        value = comm.all_gather(value)[0]
        self.values[done] = value if value is not None and math.isfinite(value) else None
        if comm.is_main_process():
            text = json.dumps({"run": run, "metrics": self.metrics, "values": self.values})
            write_file(self._file, lambda file: file.write(text.encode()))

    def since_best(self) -> tuple[int, int, float]:
        """How many there were after the best, when that was, and its value; those before the first one above
        0, when nothing is found yet, do not count."""
        best, at, since = 0.0, 0, 0
        for done, value in sorted(self.values.items()):
            if value is not None and value > best:
                best, at, since = value, done, 0
            elif at:
                since += 1
        return since, at, best


class EvaluationHook(hooks.EvalHook):
    """Detectron2's ``EvalHook``. One that a kill came before is made up for when the training is resumed, as
    if it had been in its time. The same weights are not evaluated twice at the end.

    Args:
        period: iterations between two; 0 evaluates at the end alone.
        evaluate: gives the results.
        evaluations: that were done.
    """

    def __init__(self, period: int, evaluate: Callable[[], dict[str, Any]], evaluations: Evaluations):
        super().__init__(period, evaluate)
        self._evaluations = evaluations
        self._last = -1  # iterations done when this process evaluated

    def before_train(self) -> None:
        start = self.trainer.start_iter
        if not start:
            return
        self._evaluations.resume(self.trainer.run, start)
        is_due = self._period > 0 and start % self._period == 0 and start < self.trainer.max_iter
        if is_due and start not in self._evaluations.values:
            self.trainer.storage.iter = start - 1  # for the hooks that come after this one too
            self._do_eval()

    def _do_eval(self) -> None:
        super()._do_eval()
        self._last = self.trainer.storage.iter + 1

    def after_train(self) -> None:
        if self.trainer.iter == self._last:
            del self._func
        else:
            super().after_train()


class EarlyStoppingHook(HookBase):
    """Notes each evaluation, and ends the training where several brought nothing better.

    It belongs on all processes, which end together, and after all hooks that do something with an evaluation.

    Args:
        evaluations: that are noted.
        period: iterations between two.
        patience: ends the training after so many in a row without a better one; 0 never does.
    """

    def __init__(self, evaluations: Evaluations, period: int, patience: int):
        self._evaluations = evaluations
        self._period = period
        self._patience = patience

    def before_train(self) -> None:
        done = self.trainer.start_iter
        if done and done < self.trainer.max_iter:
            self._look(done)

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if done != self.trainer.max_iter:  # the last one is evaluated in after_train
            self._look(done)

    def _look(self, done: int) -> None:
        if self._period > 0 and done % self._period == 0 and done not in self._evaluations.values:
            self._evaluations.add(self.trainer.storage, self.trainer.run, done)
        since, at, best = self._evaluations.since_best()
        if not self._patience or since < self._patience:
            return
        trainer, planned = self.trainer, self.trainer.max_iter
        trainer.iter = done - 1
        trainer.checkpointer.save("model_final", iteration=done - 1)
        trainer.iter = trainer.max_iter = done
        raise EarlyStop(
            f"The training ends after {done} of {planned} iterations: {since} evaluations in a row "
            f"(TEST.PATIENCE) brought nothing better than {best:.3f} after {at}. --resume with another "
            "TEST.PATIENCE goes on"
        )


class EarlyStop(BaseException):
    """Ends the training loop. It is no error, and nothing that catches errors may take it for one."""


class StoppableLoop(TrainerBase):
    """Detectron2's training loop, which an :class:`EarlyStop` of a hook ends as its last iteration does.

    It stands behind ``DefaultTrainer`` in a trainer's bases, so that it is the loop that that one runs.
    """

    def train(self, *iterations: int) -> None:
        """From an iteration to another, see Detectron2's ``TrainerBase.train``."""
        try:
            super().train(*iterations)
        except EarlyStop as end:
            _LOGGER.info("%s", end)
