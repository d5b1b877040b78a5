"""What a report says of objects: average precision in parts, and why it is not 100."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode

from ..data.json_file import read_json
from ..data.preflight.run import detections_limit
from ..errors import DataError
from ..evaluation.average_precision import evaluate_coco
from ..evaluation.breakdown import Breakdown, break_down
from ..evaluation.coco import implementation
from ..evaluation.confusion import confusion_matrix, reliability
from ..evaluation.error_kinds import ERROR_KINDS, ErrorAnalysis, analyze_errors
from ..evaluation.ground_truth import GroundTruth, load_ground_truth
from ..evaluation.matching import NONE, IntArray, Matching, best_threshold, match_predictions
from ..evaluation.own_ids import own_image
from . import figures
from .blocks import Album, Section, Table, percent

PREDICTIONS = "coco_instances_results.json"
_MOST_CLASSES, _MOST_CONFUSIONS = 400, 12
_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR")


@dataclass(frozen=True)
class Found:
    """A data set with what a model found in it.

    Attributes:
        truth: the annotated objects.
        predictions: with the numbers of ``truth`` for images and categories.
        names: of the C classes.
        matching: of both, at IoU 0.5.
        errors: of the matching.
        threshold: the score of the highest F1, with the precision and recall from it on.
    """

    truth: GroundTruth
    predictions: Sequence[dict[str, Any]]
    names: Sequence[str]
    matching: Matching
    errors: ErrorAnalysis
    threshold: tuple[float, float, float]


def read_found(cfg: CfgNode, dataset: str, folder: Path) -> Found:
    """Read what the evaluation of a data set wrote to a folder, and match it with the ground truth.

    Raises:
        DataError: one of both cannot be used, or they do not belong together; names the file.
    """
    file = folder / PREDICTIONS
    content = read_json(str(file))
    segm = isinstance(content, list) and any("segmentation" in x for x in content if isinstance(x, dict))
    truth = load_ground_truth(dataset, masks=segm)
    predictions = _with_numbers_of(truth, content, str(file))
    numbers = list(truth.category_ids)
    names = [f"class {n}" if truth.names is None else str(truth.names[n]) for n in numbers]
    matching = match_predictions(truth.objects, predictions, max_dets=detections_limit(cfg))
    return Found(truth, predictions, names, matching, analyze_errors(matching), best_threshold(matching))


def _with_numbers_of(truth: GroundTruth, content: Any, file: str) -> list[dict[str, Any]]:
    """Predictions in COCO's form, numbered as the ground truth."""
    places = {own: place for place, own in enumerate(truth.category_ids.values(), start=1)}
    if not isinstance(content, list):
        raise DataError(f"{file} is no list of predictions in COCO's form: evaluate the model again")
    predictions = []
    for number, x in enumerate(content):
        if not isinstance(x, dict) or not x.keys() >= {"image_id", "category_id", "bbox", "score"}:
            raise DataError(f"{file}: entry {number} is no prediction of a box in COCO's form")
        if x["category_id"] not in places:
            raise DataError(
                f"{file}: entry {number} has category {x['category_id']!r}, which {truth.source} does not "
                "have: evaluate the model again"
            )
        image = truth.image_numbers[own_image(truth.image_numbers, x["image_id"], truth.source)]
        predictions.append({**x, "image_id": image, "category_id": places[x["category_id"]]})
    return predictions


def box_sections(cfg: CfgNode, found: Found, album: Album) -> list[Section]:
    """Average precision, errors by kind, confusions and calibration."""
    if not any(not x["iscrowd"] for x in found.truth.objects) or not found.predictions:
        return [Section("Average precision", ["There is no object, or no prediction, to score."])]
    tasks = ["bbox", *(["segm"] if all("segmentation" in x for x in found.predictions) else [])]
    sections = []
    for task in tasks:
        limit = detections_limit(cfg)
        evaluation, _ = evaluate_coco(implementation(), found.truth, found.predictions, task, limit)
        sections.append(_precision_section(break_down(evaluation), found, task, album))
    return [*sections, _error_section(found, album), _confusion_section(found, album), _trust(found, album)]


def _precision_section(result: Breakdown, found: Found, task: str, album: Album) -> Section:
    what = {"bbox": "boxes", "segm": "masks"}[task]
    overall, _ = result.sizes["all"]
    sizes = [[size, percent(ap), percent(ar)] for size, (ap, ar) in result.sizes.items()]
    ious = [[f"{iou:.2f}", percent(ap)] for iou, ap in zip(result.ious, result.by_iou, strict=True)]
    sought = found.matching.object_classes[~found.matching.crowd]
    objects = np.bincount(sought, minlength=len(found.names) + 1)
    order = np.argsort(np.nan_to_num(result.classes["AP"], nan=2.0), kind="stable")[:_MOST_CLASSES]
    rows = [
        [found.names[k], f"{objects[k + 1]:,}", *(percent(result.classes[name][k]) for name in _METRICS)]
        for k in order
    ]
    drawings = [
        *album.figure(figures.draw_by_iou(result), "AP by IoU", "AP falls as the IoU of a match rises"),
        *album.figure(
            figures.draw_precision_recall(result),
            "Precision–recall, mean over the classes",
            "precision over recall at three IoUs",
        ),
    ]
    by_class = figures.draw_class_precision_recall(result, found.names)
    if by_class is not None:
        caption = "Precision–recall by class, IoU 0.5"
        drawings += album.figure(by_class, caption, "precision over recall of each class")
    return Section(
        f"Average precision of {what}",
        [f"AP {percent(overall)}, as COCO defines it: the mean over IoUs from 0.50 to 0.95 and the classes."],
        drawings,
        [
            Table(["size", "AP", "AR"], sizes, "Small: below 32² pixels; large: from 96² on."),
            Table(["IoU", "AP"], ious),
            Table(["class", "objects", *_METRICS], rows, "The lowest first."),
        ],
    )


def _error_section(found: Found, album: Album) -> Section:
    errors, counts = found.errors, found.errors.counts()
    rows = [
        [kind, f"{counts[kind]:,}", percent(errors.costs[kind]), meaning]
        for kind, meaning in ERROR_KINDS.items()
    ]
    figure = figures.draw_errors(errors.costs, counts)
    text = (
        f"AP50 is {percent(errors.ap)}. The cost of a kind is what AP50 would rise by if its errors alone "
        "were mended, as in TIDE (Bolya et al., 2020), with t = 0.5 and b = 0.1. All scores count: many "
        "errors that cost little have low ones."
    )
    drawings = album.figure(figure, "What the kinds of errors cost", "AP50 that each kind of error costs")
    table = Table(["kind", "errors", "AP50 lost", "what it is"], rows, sentence=True)
    return Section("Errors by kind", [text], drawings, [table])


def _confusion_section(found: Found, album: Album) -> Section:
    score, precision, recall = found.threshold
    counts = confusion_matrix(found.matching, range(1, len(found.names) + 1), score)
    text = (
        f"Predictions with a score of at least {score:.2f}, where F1 is highest: {percent(precision)} % of "
        f"them are right, and {percent(recall)} % of the objects are found (IoU 0.5)."
    )
    drawings = album.figure(
        figures.draw_confusion(counts, found.names),
        "Confusion matrix, shares of each row",
        "annotated classes against predicted ones",
    )
    table = Table(["annotated", "predicted", "count", "of the annotated"], _confusions(counts, found.names))
    return Section("Confusions", [text], drawings, [table])


def _confusions(counts: IntArray, names: Sequence[str]) -> list[list[str]]:
    """The largest counts off the diagonal."""
    labels = [*names, "background"]
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    rows = []
    for place in np.argsort(-wrong.ravel(), kind="stable")[:_MOST_CONFUSIONS]:
        row, column = divmod(int(place), len(labels))
        if wrong[row, column]:
            share = "–" if row == len(names) else f"{percent(counts[row, column] / counts[row].sum())} %"
            rows.append([labels[row], labels[column], f"{counts[row, column]:,}", share])
    return rows


def _trust(found: Found, album: Album) -> Section:
    counted = found.matching.counted
    right = found.matching.found[counted] != NONE
    result = reliability(found.matching.scores[counted], right)
    text = (
        f"The expected calibration error is {percent(result.error)} %: how far the score of a prediction is "
        "from the share of predictions of such scores that are right (IoU 0.5). Above the line scores are "
        "too low, below it too high."
    )
    drawings = album.figure(
        figures.draw_reliability(result), "Reliability", "share of right predictions by score"
    )
    rows = [
        [f"{low:.1f} to {high:.1f}", f"{count:,}", percent(score), percent(share)]
        for low, high, count, score, share in zip(
            result.edges[:-1], result.edges[1:], result.counts, result.scores, result.right, strict=True
        )
    ]
    table = Table(["score", "predictions", "mean score, %", "right, %"], rows)
    return Section("Calibration", [text], drawings, [table])
