"""Average precision and recall as COCO defines them, by pycocotools or what computes the same faster."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_util
from pycocotools.coco import COCO

Record = dict[str, Any]

# COCO's sizes of objects, as an evaluation has them.
_AREAS = ("all", "small", "medium", "large")


def evaluate_coco(
    implementation: type,
    images: Sequence[Record],
    num_categories: int,
    truth: Sequence[Record],
    predictions: Sequence[Record],
    task: str,
    max_dets: int = 100,
    image_ids: Sequence[int] | None = None,
) -> Any:
    """Compare predictions with the ground truth of some images.

    Args:
        implementation: pycocotools' COCOeval or one of its form.
        images: COCO's records.
        num_categories: categories, whose ids count from 1.
        truth: COCO's annotations, with ``id`` above 0, ``area`` and ``iscrowd``; the evaluation writes into
            them.
        predictions: ``image_id``, ``category_id``, ``score`` and ``bbox`` or, in "segm", ``segmentation``
            (RLE) of each.
        task: "bbox" or "segm".
        max_dets: predictions of one category in an image that count, those of the highest scores.
        image_ids: those compared; None: all.

    Returns:
        The evaluation. Its ``eval`` has ``precision`` (IoU, recall, category, area, limit) and ``recall``
        (IoU, category, area, limit), -1 where there are no objects; the last limit is ``max_dets``. Its
        ``stats`` are :func:`summary` of them.
    """
    found = []
    for number, prediction in enumerate(predictions, start=1):
        if task == "segm":
            shape = {"area": float(mask_util.area(prediction["segmentation"]))}
            shape["segmentation"] = prediction["segmentation"]
        else:
            shape = {"bbox": prediction["bbox"], "area": prediction["bbox"][2] * prediction["bbox"][3]}
        keys = ("image_id", "category_id", "score")
        found.append({"id": number, "iscrowd": 0, **{key: prediction[key] for key in keys}, **shape})
    categories = [{"id": number} for number in range(1, num_categories + 1)]
    with contextlib.redirect_stdout(io.StringIO()):  # all of them print how far they are
        evaluation = implementation(*(_coco(images, categories, x) for x in (truth, found)), task)
        evaluation.params.maxDets = [*(limit for limit in (1, 10) if limit < max_dets), max_dets]
        if image_ids is not None:
            evaluation.params.imgIds = list(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
    evaluation.stats = [value for _, value in summary(evaluation)]
    return evaluation


def _coco(images: Sequence[Record], categories: Sequence[Record], annotations: Sequence[Record]) -> COCO:
    coco = COCO()
    coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    coco.createIndex()
    return coco


def summary(evaluation: Any) -> list[tuple[str, float]]:
    """COCO's averages, from 0 to 1, with what they are of: AP, AP50, AP75, APs, APm, APl, then AR.

    pycocotools' own leaves AP out for limits other than 100. -1 stands for no objects.
    """
    limits, thresholds = evaluation.params.maxDets, evaluation.params.iouThrs
    precision, recall = (np.asarray(evaluation.eval[key]) for key in ("precision", "recall"))
    rows = []
    for iou, area in ((None, 0), (0.5, 0), (0.75, 0), (None, 1), (None, 2), (None, 3)):
        of_iou = slice(None) if iou is None else np.isclose(thresholds, iou)
        rows.append(
            (_line("Precision", "AP", iou, area, limits[-1]), _mean(precision[of_iou, :, :, area, -1]))
        )
    for area, limit in (*((0, i) for i in range(len(limits))), *((i, -1) for i in (1, 2, 3))):
        rows.append((_line("Recall", "AR", None, area, limits[limit]), _mean(recall[:, :, area, limit])))
    return rows


def _mean(values: np.ndarray) -> float:
    known = values[values > -1]
    return float(known.mean()) if known.size else -1.0


def _line(name: str, short: str, iou: float | None, area: int, limit: int) -> str:
    """As pycocotools words it, which people search their logs for."""
    at = "0.50:0.95" if iou is None else f"{iou:.2f}"
    return f"{'Average ' + name:<18} ({short}) @[ IoU={at:<9} | area={_AREAS[area]:>6} | maxDets={limit:>3} ]"
