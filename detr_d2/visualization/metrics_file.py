"""Reads ``metrics.json``, the file that Detectron2's ``JSONWriter`` appends to while a model trains."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import UserError, named

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingMetrics:
    """Numbers of one training run.

    Attributes:
        by_iteration: the metrics written at each iteration, in ascending order of iterations.
        broken_lines: numbers (from 1) of the lines of which some part could not be read.
    """

    by_iteration: dict[int, dict[str, float]]
    broken_lines: tuple[int, ...] = ()

    def names(self) -> list[str]:
        """Return the metrics' names in alphabetical order."""
        return sorted({name for metrics in self.by_iteration.values() for name in metrics})

    def series(self, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the iterations at which a metric was written, (N,), and its values, (N,); NaN included."""
        points = {step: metrics[name] for step, metrics in self.by_iteration.items() if name in metrics}
        return np.array(list(points), dtype=np.int64), np.array(list(points.values()), dtype=np.float64)


def read_metrics(path: str | Path) -> TrainingMetrics:
    """Read a metrics file, also one of a run that was killed and resumed.

    Where iterations start again at an earlier one, the run was resumed there: what the file said
    before about that iteration and later ones is replaced. A line that a kill cut off is left out
    (what a resumed run wrote behind it on the same line is kept) and reported once in the log.

    Args:
        path: the file, or the folder (``OUTPUT_DIR``) that holds ``metrics.json``.

    Raises:
        MissingFileError: there is no such file.
        UserError: it cannot be read, or no line of it holds metrics.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "metrics.json"
    with named(str(file)):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    by_iteration: dict[int, dict[str, float]] = {}
    broken: list[int] = []
    for number, line in enumerate(lines, start=1):
        metrics = _parse(line)
        if metrics is None and line.strip():
            broken.append(number)
            # A run killed in the middle of a line and resumed: the new line follows on the same one.
            metrics = _parse(line[line.rfind("{") :])
        if metrics is None:
            continue
        iteration = int(metrics.pop("iteration"))
        if iteration < next(reversed(by_iteration), 0):
            by_iteration = {step: kept for step, kept in by_iteration.items() if step < iteration}
        by_iteration.setdefault(iteration, {}).update(metrics)
    if not by_iteration:
        raise UserError(
            f"{file} holds no metrics: every line should be a JSON object with an iteration, "
            "as Detectron2's JSONWriter writes it"
        )
    if broken:
        numbers = ", ".join(map(str, broken[:10])) + (", …" if len(broken) > 10 else "")
        _LOGGER.warning("%s: %d line(s) cut off or unreadable and left out: %s", file, len(broken), numbers)
    return TrainingMetrics(by_iteration, tuple(broken))


def _parse(line: str) -> dict[str, float] | None:
    """Return the numbers of a line, the iteration among them; None where it is not a line of metrics."""
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return None
    if not isinstance(entry, dict) or type(entry.get("iteration")) is not int:
        return None
    return {name: float(value) for name, value in entry.items() if type(value) in (int, float)}
