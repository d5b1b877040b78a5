"""What goes wrong with a detector, and what it costs (Bolya et al., "TIDE: A General Toolbox for Identifying
Object Detection Errors", ECCV 2020)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .matching import NONE, BoolArray, IntArray, Matching, average_precision

# Each with what it means, t being the IoU of a match and b that of background.
ERROR_KINDS = {
    "class": "at an object (IoU of at least t), but of another class",
    "localization": "of the right class, but not near enough to its object (IoU from b to t)",
    "both": "not near enough to an object, and of another class",
    "duplicate": "at an object that a better prediction has found",
    "background": "at no object (IoU of at most b)",
    "missed": "an object that no prediction found, nor would with another class or a better box",
}


@dataclass(frozen=True)
class ErrorAnalysis:
    """The errors of P predictions, and the objects among T that are missed.

    Attributes:
        ap: average precision at this one IoU, mean over the classes with objects, in [0, 1]; NaN without.
        kinds: (P,) place in ``ERROR_KINDS``, ``NONE`` for what is right or not counted.
        objects: (P,) index of the object that a class or localization error is at, else ``NONE``.
        missed: (T,) bool.
        costs: by kind, what ``ap`` would rise by, at least 0, if an oracle mended these errors alone.
    """

    ap: float
    kinds: IntArray
    objects: IntArray
    missed: BoolArray
    costs: dict[str, float]

    def counts(self) -> dict[str, int]:
        """How many errors there are of each kind."""
        numbers = {kind: int((self.kinds == place).sum()) for place, kind in enumerate(ERROR_KINDS)}
        return {**numbers, "missed": int(self.missed.sum())}


def analyze_errors(matching: Matching, background: float = 0.1) -> ErrorAnalysis:
    """Sort the errors by kind, and weigh each kind by the AP that it costs.

    A counted prediction without an object is the first of these that it can be: localization, class,
    duplicate, background, both. An object is missed where nothing found it and no class or localization
    error is at it. An oracle gives class and localization errors their object, if nothing found it, the best
    prediction alone where there are several; takes away the others of that kind, and all errors of the other
    kinds; and no longer asks for missed objects.

    Args:
        matching: at the IoU t.
        background: the IoU b; at least 0 and less than t.
    """
    kinds, objects = _kinds(matching, background)
    missed = (matching.finder == NONE) & ~matching.crowd
    usable = objects[objects != NONE]
    missed[usable] = False

    order = matching.order
    classes, right = matching.classes[order], matching.found[order] != NONE
    sought = matching.object_classes[~matching.crowd]
    ap = _mean_precision(classes, right, sought)
    chosen = np.zeros(len(kinds), dtype=np.bool_)
    taken = matching.finder != NONE
    for index in order:  # best first
        if objects[index] != NONE and not taken[objects[index]]:
            chosen[index] = taken[objects[index]] = True
    costs = {}
    for place, kind in enumerate(ERROR_KINDS):
        if kind == "missed":
            mended = _mean_precision(classes, right, matching.object_classes[~matching.crowd & ~missed])
        else:
            keep = (kinds[order] != place) | chosen[order]
            fixed = order[keep]
            of_kind = kinds[fixed] == place
            new_classes = matching.classes[fixed].copy()
            if kind == "class":
                new_classes[of_kind] = matching.object_classes[objects[fixed[of_kind]]]
            mended = _mean_precision(new_classes, right[keep] | of_kind, sought)
        costs[kind] = max(mended - ap, 0.0) if not np.isnan(mended) else 0.0
    return ErrorAnalysis(ap, kinds, objects, missed, costs)


def _kinds(matching: Matching, background: float) -> tuple[IntArray, IntArray]:
    """Kind of each prediction, and the object that a class or localization error is at."""
    kinds, objects = (np.full(len(matching.classes), NONE, dtype=np.int64) for _ in range(2))
    number = {kind: place for place, kind in enumerate(ERROR_KINDS)}
    for image in matching.images:
        wrong = matching.counted[image.predictions] & (matching.found[image.predictions] == NONE)
        rows = image.predictions[wrong]
        if not len(image.objects):
            kinds[rows] = number["background"]
            continue
        iou = image.iou[wrong]
        same = matching.classes[rows][:, None] == matching.object_classes[image.objects]
        own, other = np.where(same, iou, 0.0), np.where(same, 0.0, iou)
        taken = np.where(matching.finder[image.objects] != NONE, own, 0.0)
        near = own.max(1)
        of_kind = {  # the first that holds counts
            "localization": (near >= background) & (near <= matching.threshold) & (near > 0),
            "class": other.max(1) >= matching.threshold,
            "duplicate": taken.max(1) >= matching.threshold,
            "background": iou.max(1) <= background,
        }
        kinds[rows] = np.select(list(of_kind.values()), [number[kind] for kind in of_kind], number["both"])
        for kind, overlap in (("localization", own), ("class", other)):
            at = kinds[rows] == number[kind]
            objects[rows[at]] = image.objects[overlap[at].argmax(1)]
    return kinds, objects


def _mean_precision(classes: IntArray, right: BoolArray, sought: Iterable[int]) -> float:
    """Mean AP over the classes of the objects that are sought; NaN where there are none."""
    numbers, counts = np.unique(np.asarray(sought), return_counts=True)
    values = [
        average_precision(right[classes == number], int(count))
        for number, count in zip(numbers, counts, strict=True)
    ]
    return float(np.mean(values)) if values else float("nan")
