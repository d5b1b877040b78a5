"""Times panoptic quality against COCO's panopticapi.

    python -m benchmarks.panoptic_quality --panopticapi FOLDER --coco FOLDER

The first FOLDER is a clone of github.com/cocodataset/panopticapi, the second holds COCO's ``annotations``
and ``panoptic_train2017``. The predictions are the ground truth, moved by a few pixels. Both sides work in
one process, on the same maps, and take turns.

Two times are taken: of the comparison alone, from decoded (H, W, 3) colors to the sums of each category,
and of the same with reading and decoding the png files, which is as slow for one as for the other. Reading
the json files is in neither. Printed are the median times and the median, least and largest ratio of a turn.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from detectron2.data import Metadata
from PIL import Image

from detr_d2.data.images import read_image
from detr_d2.evaluation.panoptic_files import PanopticGroundTruth
from detr_d2.tools.command import run_command

from . import timing
from .clones import import_panopticapi

# Rows and columns by which the predictions are moved.
_SHIFT = (5, 9)


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
    with open(json_file) as file:
        published = json.load(file)["annotations"]  # panopticapi reads the areas, which ours counts
    pairs = list(zip(published, copy.deepcopy(published), strict=True))
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
            with contextlib.redirect_stdout(io.StringIO()):
                sums = api.pq_compute_single_core(0, pairs, maps, predicted_maps, truth.categories)
            averages, _ = sums.pq_average(truth.categories, isthing=None)
            return tuple(averages[key] for key in ("pq", "sq", "rq"))

        difference = np.abs(np.subtract(ours(_decode), theirs(Image.open))).max()
        print(f"{len(annotations)} images, one process; largest difference of PQ, SQ, RQ: {difference:.1e}")
        for what, read_theirs, read_ours in (
            ("from decoded maps", decoded.__getitem__, decoded.__getitem__),
            ("from png files", Image.open, _decode),
        ):
            runs = {"panopticapi": partial(theirs, read_theirs), "detr_d2": partial(ours, read_ours)}
            times = timing.take_turns(runs, args.repeats)
            print(timing.report(f"{what}, an image", times, per=len(annotations)))


def _decode(file_name: str) -> np.ndarray:
    return read_image(file_name, "RGB")


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = timing.build_parser("panoptic_quality", "Time panoptic quality against COCO's panopticapi.", 20)
    parser.add_argument("--panopticapi", required=True, help="clone of github.com/cocodataset/panopticapi")
    parser.add_argument("--coco", required=True, help="folder of annotations/ and panoptic_train2017/")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return run_command(build_parser(), compare, argv)


if __name__ == "__main__":
    sys.exit(main())
