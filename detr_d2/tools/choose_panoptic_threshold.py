"""Choose the score that a query needs for panoptic segmentation on training images.

    detr-d2 panoptic-threshold --config-file FILE --weights FILE

Each image passes once through the detector. The mask head runs anew for each candidate, on the queries that
it lets through, so that low candidates take the longest.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tabulate import tabulate

from ..data import load_dataset
from ..errors import UserError
from ..evaluation import PanopticEvaluator, PanopticScores
from ..modeling.class_losses import CLASS_LOSSES
from ..modeling.inference import Inference
from ..predict import ImagePredictor, inference_config
from ..progress import progress
from .command import CommandParser, model_parser, run_command

_CANDIDATES = "0.3,0.4,0.5,0.6,0.7,0.8,0.85,0.9,0.95"


def build_parser() -> CommandParser:
    """The command's arguments."""
    parser = model_parser(
        "panoptic-threshold",
        "Print the panoptic quality on training images at several values of MODEL.DETR.TEST's threshold, "
        f"by MODEL.DETR.CLASS_LOSS: {', '.join(kind.panoptic_threshold for kind in CLASS_LOSSES.values())}.",
        [
            "--config-file Shapes-PanopticSegmentation/detr_tiny_panoptic.yaml --weights model_final.pth "
            "--dataset shapes_train_panoptic --images 200"
        ],
    )
    parser.add_argument("--dataset", metavar="NAME", help="data set (default: the first of DATASETS.TRAIN)")
    parser.add_argument("--images", type=int, default=500, metavar="N", help="its first N (default: 500)")
    candidates = "candidates (default: %(default)s)"
    parser.add_argument("--thresholds", default=_CANDIDATES, metavar="S,S,...", help=candidates)
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="changes to the config")
    return parser


def choose(args: argparse.Namespace) -> None:
    """Print the table and the best candidate.

    Args:
        args: what :func:`build_parser` parses.

    Raises:
        UserError: an argument cannot be used, or the data set is one that is tested on.
        DataError: the data set or one of its images cannot be read.
    """
    opts = [*args.opts, "MODEL.DETR.TEST.PANOPTIC_ON", "True"]
    cfg = inference_config(args.config_file, opts, args.weights, args.device)
    name = args.dataset or next(iter(cfg.DATASETS.TRAIN), "")
    if not name:
        raise UserError("no data set: name one with --dataset, or in DATASETS.TRAIN")
    if name in cfg.DATASETS.TEST:
        raise UserError(
            f"{name} is one of DATASETS.TEST: a threshold that is chosen on it makes its results too good"
        )
    if args.images < 1:
        raise UserError(f"--images must be at least 1, got {args.images}")
    records = load_dataset(name)[: args.images]
    try:
        thresholds = sorted({float(number) for number in args.thresholds.split(",")})
    except ValueError as error:
        raise UserError(f"--thresholds must be numbers with commas between: {error}") from error
    if not all(0 <= threshold <= 1 for threshold in thresholds):
        raise UserError(f"--thresholds must be from 0 to 1, got {args.thresholds}")
    scores = scores_at_thresholds(ImagePredictor(cfg), records, PanopticEvaluator(name), thresholds)
    rows = [
        [threshold, *(100 * v for v in (s.all.pq, s.all.sq, s.all.rq, s.things.pq, s.stuff.pq))]
        for threshold, s in scores.items()
    ]
    headers = ["threshold", "PQ", "SQ", "RQ", "PQ_th", "PQ_st"]
    print(f"The first {len(records)} images of {name}:")
    print(tabulate(rows, headers, tablefmt="pipe", floatfmt=["g", *[".3f"] * 5]))
    best = max(thresholds, key=lambda threshold: scores[threshold].all.pq)
    key = CLASS_LOSSES[cfg.MODEL.DETR.CLASS_LOSS].panoptic_threshold
    print(f"best: MODEL.DETR.TEST.{key} {best:g}")


def scores_at_thresholds(
    predictor: ImagePredictor,
    records: Sequence[dict[str, Any]],
    evaluator: PanopticEvaluator,
    thresholds: Sequence[float],
) -> dict[float, PanopticScores]:
    """The qualities of some images at each threshold.

    Args:
        predictor: of a panoptic model, whose inference is replaced.
        records: of the images.
        evaluator: of their data set.
        thresholds: of the queries' scores.
    """
    model: Any = predictor.model
    model.inference = _inference_at(model.inference, thresholds)
    evaluators = {threshold: copy.copy(evaluator) for threshold in thresholds}
    for one in evaluators.values():
        one.reset()
    for record in progress(records, "Images"):
        results: dict[Any, Any] = predictor(record)
        for threshold, one in evaluators.items():
            one.process([record], [results[threshold]])
    return {threshold: one.quality.scores() for threshold, one in evaluators.items()}


def _inference_at(inference: Inference, thresholds: Sequence[float]) -> Callable[..., list[dict[float, Any]]]:
    """Inference whose result for an image is the panoptic result at each threshold."""
    several = [replace(inference, instances_on=False, panoptic_score_threshold=t) for t in thresholds]

    def infer(*batch: Any) -> list[dict[float, Any]]:
        results = zip(*(one(*batch) for one in several), strict=True)
        return [dict(zip(thresholds, of_image, strict=True)) for of_image in results]

    return infer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    return run_command(build_parser(), choose, argv)


if __name__ == "__main__":
    sys.exit(main())
