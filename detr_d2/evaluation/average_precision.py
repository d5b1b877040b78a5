"""Average precision and recall as COCO defines them, by pycocotools or what computes the same faster."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

from detectron2.evaluation.coco_evaluation import COCOevalMaxDets

from .ground_truth import GroundTruth

Record = dict[str, Any]


def evaluate_coco(
    implementation: type,
    truth: GroundTruth,
    predictions: Sequence[Record],
    task: str,
    max_dets: int = 100,
    image_numbers: Sequence[int] | None = None,
) -> tuple[Any, str]:
    """Compare predictions with the ground truth.

    Args:
        implementation: pycocotools' COCOeval or one of its form.
        predictions: ``image_id`` and ``category_id``, numbers of the ground truth, ``score`` and ``bbox``
            or, in "segm", ``segmentation`` (RLE) of each; at least one.
        task: "bbox" or "segm".
        max_dets: predictions of one category in an image that count, those of the highest scores.
        image_numbers: of the images that are compared; None: all.

    Returns:
        The evaluation, and COCO's summary of it as pycocotools words it. The evaluation's ``eval`` has
        ``precision`` (IoU, recall, category, area, limit) and ``recall`` (IoU, category, area, limit), -1
        where there are no objects; the last limit is ``max_dets``. Its ``stats`` are the summary's numbers,
        from 0 to 1: AP, AP50, AP75, APs, APm, APl, then six of AR.
    """
    # With both, masks would be taken for as large as their boxes.
    other = "bbox" if task == "segm" else "segmentation"
    found = [{key: value for key, value in x.items() if key != other} for x in predictions]
    summary = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):  # all of them print how far they are
        coco = truth.coco(task)
        evaluation = implementation(coco, coco.loadRes(found), task)
        evaluation.params.maxDets = [min(limit, max_dets) for limit in (1, 10, max_dets)]
        if image_numbers is not None:
            evaluation.params.imgIds = list(image_numbers)
        evaluation.evaluate()
        evaluation.accumulate()
        with contextlib.redirect_stdout(summary):
            COCOevalMaxDets.summarize(evaluation)  # pycocotools' own leaves AP out for limits other than 100
    return evaluation, summary.getvalue()
