"""Which class is taken for which, and how far scores can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .matching import NONE, BoolArray, FloatArray, IntArray, Matching


def confusion_matrix(matching: Matching, categories: Sequence[int], score: float = 0.0) -> IntArray:
    """Count classes of objects against classes of predictions; background stands for the lack of either.

    The diagonal has the matches of COCO's evaluation. What is left is matched across classes: in order of
    score a prediction takes the free object with the largest IoU, if that is at least the threshold. What
    is left then are predictions at the background, and objects that are taken for it.

    Args:
        matching: of predictions and objects. Crowds, and predictions that are not counted, are left out.
        categories: the C classes, in the order of rows and columns.
        score: predictions of a lower one are left out.

    Returns:
        (C + 1, C + 1): rows are the objects' classes, columns the predictions'; background comes last.
    """
    place = {category: index for index, category in enumerate(categories)}
    background = len(place)
    counts = np.zeros((background + 1, background + 1), dtype=np.int64)
    shown = matching.counted & (matching.scores >= score)
    for image in matching.images:
        found = matching.found[image.predictions]
        right = shown[image.predictions] & (found != NONE)
        for category in matching.classes[image.predictions[right]].tolist():
            counts[place[category], place[category]] += 1
        free = ~np.isin(image.objects, found[right])
        for row in np.flatnonzero(shown[image.predictions] & (found == NONE)):
            predicted = place[int(matching.classes[image.predictions[row]])]
            overlaps = np.where(free, image.iou[row], -1.0)
            best = int(overlaps.argmax()) if len(overlaps) else NONE
            if best == NONE or overlaps[best] < matching.threshold:
                counts[background, predicted] += 1
            else:
                free[best] = False
                counts[place[int(matching.object_classes[image.objects[best]])], predicted] += 1
        for category in matching.object_classes[image.objects[free]].tolist():
            counts[place[category], background] += 1
    return counts


@dataclass(frozen=True)
class Reliability:
    """How often predictions of like scores are right.

    Attributes:
        edges: (n + 1,) of the bins, from 0 to 1; a score on an edge belongs to the lower bin.
        counts: (n,) predictions in each.
        scores: (n,) their mean score; NaN in an empty bin.
        right: (n,) the share of them that found an object; NaN in an empty bin.
        error: the expected calibration error, the mean of abs(score - share) over the predictions; NaN
            where there are none.
    """

    edges: FloatArray
    counts: IntArray
    scores: FloatArray
    right: FloatArray
    error: float


def reliability(scores: FloatArray, right: BoolArray, bins: int = 10) -> Reliability:
    """Bin predictions by score (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).

    Args:
        scores: (N,) in [0, 1].
        right: (N,) bool.
        bins: of equal width.
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, x.astype(np.float64), minlength=bins) for x in (scores, right)]
    nothing = np.full(bins, np.nan)
    means = [np.divide(x, counts, out=nothing.copy(), where=counts > 0) for x in sums]
    error = float(np.abs(sums[0] - sums[1]).sum() / len(scores)) if len(scores) else float("nan")
    return Reliability(edges, counts.astype(np.int64), means[0], means[1], error)
