"""Training runs as they are compared: how good after how many iterations, images and hours."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from ..errors import ConfigError, UserError, named
from .metrics_file import TrainingMetrics, read_metrics

# What runs are compared by, in the order in which it is shown.
METRICS = {
    "bbox/AP": "AP",
    "bbox/AP50": "AP50",
    "segm/AP": "mask AP",
    "panoptic_seg/PQ": "PQ",
}

Series = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]  # x and y, (N,) each


@dataclass(frozen=True)
class Run:
    """A training, read from the folder that it wrote.

    Attributes:
        name: what the pictures call it.
        metrics: the numbers that it wrote.
        batch_size: images of an iteration, all processes and micro-batches together.
        max_iter: after so many iterations it ends.
        dataset: the first one that it is evaluated on.
    """

    name: str
    metrics: TrainingMetrics
    batch_size: int
    max_iter: int
    dataset: str

    @property
    def iterations(self) -> int:
        """How many were done when it last wrote."""
        return min(max(self.metrics.by_iteration) + 1, self.max_iter)

    def evaluations(self, metric: str) -> Series:
        """The iterations done when a metric was measured, and its finite values.

        Args:
            metric: one of :data:`METRICS`. Of a run with several data sets it is that of the first.
        """
        for name in (metric, f"{self.dataset}/{metric}"):
            steps, values = self.metrics.series(name)
            measured = np.isfinite(values)
            if measured.any():
                # The evaluation at the end is written as if it were of an iteration more.
                return np.minimum(steps[measured] + 1.0, self.max_iter), values[measured]
        return np.empty(0), np.empty(0)

    def seconds(self, iterations: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """About how long the first so many iterations took, (N,) → (N,); NaN where the file has no times.

        A line of the file has the median time of some iterations; it counts for all since the line before.
        Those before the first time count as those of its line. Evaluations and saving are not in it, nor
        iterations that were lost and done again.
        """
        steps, times = self.metrics.series("time")
        timed = np.isfinite(times)
        done, times = steps[timed] + 1, times[timed]
        if not len(done):
            return np.full(len(iterations), np.nan)
        ends = np.concatenate([[0], np.cumsum(np.diff(done, prepend=0) * times)])
        after = np.maximum(iterations - done[-1], 0) * times[-1]
        return np.interp(iterations, np.concatenate([[0], done]), ends) + after


def read_runs(places: Sequence[str | Path]) -> list[Run]:
    """Read runs, with names that tell them apart.

    Args:
        places: ``OUTPUT_DIR`` of each, or the metrics.json in it. A run is called as its folder; where
            several folders have one name, as much of their paths is added as they differ in.

    Raises:
        MissingFileError: a run has no metrics.json or no config.yaml.
        UserError: one of them cannot be read, or the run has no evaluation; names the file.
    """
    folders = [Path(place) if Path(place).is_dir() else Path(place).parent for place in places]
    names = unique_names(folders)
    return [_read_run(*each) for each in zip(places, folders, names, strict=True)]


def unique_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that differ; a folder that is there twice is numbered."""
    parts = [folder.resolve().parts for folder in folders]
    lengths = [1] * len(parts)
    while True:
        names = ["/".join(x[-length:]).replace("//", "/") for x, length in zip(parts, lengths, strict=True)]
        shared = {name for name, count in Counter(names).items() if count > 1}
        longer = [
            length + (name in shared and length < len(x))
            for name, length, x in zip(names, lengths, parts, strict=True)
        ]
        if longer == lengths:
            break
        lengths = longer
    seen: Counter[str] = Counter()
    for index, name in enumerate(names):
        seen[name] += 1
        if name in shared:
            names[index] = f"{parts[index][-1]} ({seen[name]})"
    return names


def _read_run(place: str | Path, folder: Path, name: str) -> Run:
    run = Run(name, read_metrics(place), *_read_config(folder / "config.yaml"))
    if not any(len(run.evaluations(metric)[0]) for metric in METRICS):
        raise UserError(
            f"{place} has no evaluation ({', '.join(METRICS)}) in its metrics: TEST.EVAL_PERIOD sets when a "
            "model is evaluated while it trains"
        )
    return run


def _read_config(file: Path) -> tuple[int, int, str]:
    """SOLVER.IMS_PER_BATCH and MAX_ITER, and the first of DATASETS.TEST, as Detectron2 wrote them."""
    with named(str(file)), named(str(file), (ValueError, yaml.YAMLError), ConfigError):
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        solver, tests = config["SOLVER"], config["DATASETS"]["TEST"]
        numbers = solver["IMS_PER_BATCH"], solver["MAX_ITER"]
        dataset = str(tests[0]) if tests else ""
    except (LookupError, TypeError):
        numbers, dataset = (0, 0), ""
    if not all(type(number) is int and number > 0 for number in numbers):
        raise ConfigError(
            f"{file} has no SOLVER.IMS_PER_BATCH, SOLVER.MAX_ITER and DATASETS.TEST: it is not the config "
            "of a training, which Detectron2 writes beside metrics.json"
        )
    return *numbers, dataset
