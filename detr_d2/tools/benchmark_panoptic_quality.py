"""Times panoptic quality against COCO's panopticapi.

    python -m detr_d2.tools.benchmark_panoptic_quality --panopticapi FOLDER --coco FOLDER

The first FOLDER is a clone of github.com/cocodataset/panopticapi, the second holds COCO's ``annotations``
and ``panoptic_train2017``. The predictions are the ground truth, moved by a few pixels. Both sides work in
one process, on the same maps, and take turns, so that a change of the machine's speed meets both.

Two times are taken: of the comparison alone, from decoded (H, W, 3) colours to the sums of each category,
and of the same with reading and decoding the png files, which is as slow for one as for the other. Reading
the json files is in neither. Printed are the median times and the median, least and largest ratio of a turn.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from detectron2.data import Metadata
from PIL import Image

from ..data.images import read_image
from ..errors import MissingFileError
from ..evaluation.panoptic_files import PanopticGroundTruth
from .command import run_command

# Rows and columns by which the predictions are moved.
_SHIFT = (5, 9)


def import_panopticapi(folder: str) -> Any:
    """Import ``panopticapi.evaluation`` of the clone in ``folder``.

    Raises:
        MissingFileError: ``folder`` holds no clone.
    """
    path = Path(folder).resolve()
    if not (path / "panopticapi" / "evaluation.py").is_file():
        raise MissingFileError(
            f"{folder} is not a clone of github.com/cocodataset/panopticapi: no panopticapi/evaluation.py"
        )
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    return importlib.import_module("panopticapi.evaluation")


def compare(args: argparse.Namespace) -> None:
    """Measure both sides and print the figures.

    Args:
        args: what :func:`build_parser` parses.

    Raises:
        DataError: the annotations or maps cannot be used.
        OSError: a file is missing, or ``args.panopticapi`` is no clone.
    """
    json_file = os.path.join(args.coco, "annotations", "panoptic_train2017.json")
    maps = os.path.join(args.coco, "panoptic_train2017")
    truth = PanopticGroundTruth("COCO", Metadata(panoptic_json=json_file, panoptic_root=maps))
    annotations = truth.content["annotations"]
    predictions = copy.deepcopy(annotations)
    api = import_panopticapi(args.panopticapi)
    with tempfile.TemporaryDirectory() as predicted_maps:
        files = [
            [os.path.join(folder, annotation["file_name"]) for annotation in annotations]
            for folder in (maps, predicted_maps)
        ]
        decoded: dict[str, np.ndarray] = {}
        for true_file, predicted_file in zip(*files, strict=True):
            decoded[true_file] = _decode(true_file)
            decoded[predicted_file] = np.roll(decoded[true_file], _SHIFT, axis=(0, 1))
            Image.fromarray(decoded[predicted_file]).save(predicted_file)

        def ours(read: Callable[[str], np.ndarray]) -> Any:
            quality = truth.new_quality()
            for annotation, prediction, *pair in zip(annotations, predictions, *files, strict=True):
                gt_map, predicted_map = map(read, pair)
                quality.add(gt_map, annotation["segments_info"], predicted_map, prediction["segments_info"])
            return quality.scores().all[:3]

        def theirs(read: Callable[[str], Any]) -> Any:
            api.Image = SimpleNamespace(open=read)
            pairs = list(zip(annotations, predictions, strict=True))
            with contextlib.redirect_stdout(io.StringIO()):
                sums = api.pq_compute_single_core(0, pairs, maps, predicted_maps, truth.categories)
            averages, _ = sums.pq_average(truth.categories, isthing=None)
            return tuple(averages[key] for key in ("pq", "sq", "rq"))

        difference = np.abs(np.subtract(ours(_decode), theirs(Image.open))).max()
        print(f"{len(annotations)} images, one process; largest difference of PQ, SQ, RQ: {difference:.1e}")
        jobs = {
            "from decoded maps": (lambda: theirs(decoded.__getitem__), lambda: ours(decoded.__getitem__)),
            "from png files": (lambda: theirs(Image.open), lambda: ours(_decode)),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
        for _ in range(args.repeats):
            for name, (one, other) in jobs.items():
                times[name].append((_seconds(one), _seconds(other)))
    for name, rows in times.items():
        theirs_ms, ours_ms = (1e3 * statistics.median(c) / len(annotations) for c in zip(*rows, strict=True))
        ratios = [one / other for one, other in rows]
        print(
            f"{name}: panopticapi {theirs_ms:.2f} ms, detr_d2 {ours_ms:.2f} ms an image (medians of "
            f"{len(rows)}); ratio {statistics.median(ratios):.2f} (from {min(ratios):.2f} to "
            f"{max(ratios):.2f})"
        )


def _decode(file_name: str) -> np.ndarray:
    return read_image(file_name, "RGB")


def _seconds(job: Callable[[], Any]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m detr_d2.tools.benchmark_panoptic_quality",
        description="Time panoptic quality against COCO's panopticapi.",
    )
    parser.add_argument("--panopticapi", required=True, help="clone of github.com/cocodataset/panopticapi")
    parser.add_argument("--coco", required=True, help="folder of annotations/ and panoptic_train2017/")
    parser.add_argument("--repeats", type=int, default=20, help="turns (default: 20)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), compare, argv)


if __name__ == "__main__":
    sys.exit(main())
