"""COCO's average precision, by class, by size, by IoU and by recall; all from what COCOeval has computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .matching import FloatArray


@dataclass(frozen=True)
class Breakdown:
    """Numbers from 0 to 1, NaN where there is no object to find.

    Attributes:
        classes: by metric (AP, AP50, AP75, APs, APm, APl, AR) the K values, in the order of the categories.
        sizes: by size ("all", "small", "medium", "large") AP and AR.
        ious: (T,) the thresholds.
        by_iou: (T,) AP at each.
        recalls: (R,) the recalls at which precision is known.
        precision: (T, R) mean over the classes.
        class_precision: (K, R) of each class at the lowest threshold.
    """

    classes: dict[str, FloatArray]
    sizes: dict[str, tuple[float, float]]
    ious: FloatArray
    by_iou: FloatArray
    recalls: FloatArray
    precision: FloatArray
    class_precision: FloatArray


def break_down(evaluation: Any) -> Breakdown:
    """Read it off.

    Args:
        evaluation: pycocotools' COCOeval, or one of its form, after ``accumulate``. The largest limit of
            predictions counts.
    """
    # T x R x K x A and T x K x A: IoU, recall, class, area (all, small, medium, large)
    precision, recall = (
        np.where(evaluation.eval[key][..., -1] > -1, evaluation.eval[key][..., -1], np.nan).astype(np.float64)
        for key in ("precision", "recall")
    )
    ious = np.asarray(evaluation.params.iouThrs, dtype=np.float64)
    of_class = _mean(precision, (0, 1))  # K x A
    classes = {"AP": of_class[:, 0]}
    for name, iou in (("AP50", 0.5), ("AP75", 0.75)):
        classes[name] = _mean(precision[np.isclose(ious, iou), :, :, 0], (0, 1))
    classes |= {f"AP{size}": of_class[:, place] for place, size in enumerate("sml", start=1)}
    classes["AR"] = _mean(recall[:, :, 0], (0,))
    sizes = {
        label: (float(_mean(precision[..., place], (0, 1, 2))), float(_mean(recall[..., place], (0, 1))))
        for place, label in enumerate(evaluation.params.areaRngLbl)
    }
    return Breakdown(
        classes,
        sizes,
        ious,
        _mean(precision[..., 0], (1, 2)),
        np.asarray(evaluation.params.recThrs, dtype=np.float64),
        _mean(precision[..., 0], (2,)),
        precision[0, :, :, 0].T,
    )


def _mean(values: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """The mean of what is a number; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axes)
    total = np.where(known, values, 0.0).sum(axes)
    return np.asarray(np.divide(total, count, out=np.full(np.shape(count), np.nan), where=count > 0))
