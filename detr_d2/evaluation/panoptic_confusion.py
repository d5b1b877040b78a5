"""Which class panoptic segments are taken for, by the rules of panoptic quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .panoptic_quality import VOID, measure_overlaps

# A class of the data set, or None: no segment.
Pair = tuple[int | None, int | None]

_MATCH_IOU = _IGNORED_SHARE = 0.5  # of panoptic quality


def segment_confusions(
    gt_map: np.ndarray,
    gt_segments: Sequence[Mapping[str, Any]],
    pred_map: np.ndarray,
    pred_segments: Sequence[Mapping[str, Any]],
) -> Counter[Pair]:
    """Count the pairs of classes of one image, (annotated, predicted).

    Pairs of one class are the matches of :class:`~.panoptic_quality.PanopticQuality`. What is left is matched
    across classes by the same IoU, above 0.5; then None stands for the other side. So the sums over a class
    are TP + FN and TP + FP.

    Args:
        gt_map, gt_segments, pred_map, pred_segments: as :meth:`~.panoptic_quality.PanopticQuality.add` takes
            them.

    Raises:
        SegmentError: the maps have different sizes, or an id cannot be.
    """
    gt, pred = ({s["id"]: s for s in segments} for segments in (gt_segments, pred_segments))
    overlaps = measure_overlaps(gt_map, pred_map)
    pairs = zip(overlaps.gt_ids.tolist(), overlaps.pred_ids.tolist(), strict=True)
    shared = dict(zip(pairs, overlaps.areas.tolist(), strict=True))
    gt_areas, pred_areas = Counter[int](), Counter[int]()
    for (g, p), area in shared.items():
        gt_areas[g] += area
        pred_areas[p] += area
    gt_areas.update({g: s["area"] - gt_areas[g] for g, s in gt.items() if "area" in s})
    crowds = {s["category_id"]: s["id"] for s in gt_segments if s.get("iscrowd", 0)}  # the last of a class

    matches: dict[bool, list[tuple[int, int]]] = {True: [], False: []}  # by "of one class"
    for (g, p), area in shared.items():
        if g in gt and p in pred and not gt[g].get("iscrowd", 0):
            union = pred_areas[p] + gt_areas[g] - area - shared.get((VOID, p), 0)
            if area / union > _MATCH_IOU:
                matches[gt[g]["category_id"] == pred[p]["category_id"]].append((g, p))
    counts: Counter[Pair] = Counter()
    left_gt, left_pred = {g for g, s in gt.items() if not s.get("iscrowd", 0)}, set(pred)
    for of_one_class in (True, False):
        for g, p in matches[of_one_class]:
            if g in left_gt and p in left_pred:
                counts[gt[g]["category_id"], pred[p]["category_id"]] += 1
                left_gt.remove(g)
                left_pred.remove(p)
        if of_one_class:
            left_pred = _counted(left_pred, pred, pred_areas, shared, crowds)
    counts.update((gt[g]["category_id"], None) for g in left_gt)
    counts.update((None, pred[p]["category_id"]) for p in left_pred)
    return counts


def _counted(
    left: set[int],
    pred: Mapping[int, Mapping[str, Any]],
    areas: Mapping[int, int],
    shared: Mapping[tuple[int, int], int],
    crowds: Mapping[int, int],
) -> set[int]:
    """Without the predictions that are passed over: mostly void, or a crowd of their class."""
    kept = set()
    for p in left:
        crowd = crowds.get(pred[p]["category_id"], VOID)
        passed = shared.get((VOID, p), 0) + (shared.get((crowd, p), 0) if crowd != VOID else 0)
        if passed / areas[p] <= _IGNORED_SHARE:
            kept.add(p)
    return kept
