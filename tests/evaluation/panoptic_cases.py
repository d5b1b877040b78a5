"""Random ground truth and predictions, and a plain-loop panoptic quality to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np

Segments = list[dict[str, Any]]
Case = tuple[np.ndarray, Segments, np.ndarray, Segments]

# Things have odd ids; 99 is in no image.
ISTHING = {3: True, 8: False, 11: True, 20: False, 41: True, 99: True}


def random_case(rng: np.random.Generator) -> Case:
    """A random ground truth with void and crowds, and a changed copy of it as the prediction."""
    height, width = rng.integers(6, 40, 2)
    ids = np.zeros((height, width), dtype=np.int64)
    for segment_id in rng.choice(256**3 - 1, rng.integers(1, 9), replace=False) + 1:
        rows, columns = np.sort(rng.integers(0, height + 1, 2)), np.sort(rng.integers(0, width + 1, 2))
        ids[rows[0] : rows[1], columns[0] : columns[1]] = segment_id
    if rng.random() < 0.5:  # little void
        ids[ids == 0] = 7
    segments = describe(ids, {i: int(rng.choice([3, 8, 11, 20, 41])) for i in np.unique(ids).tolist()})
    for segment in segments:
        segment["iscrowd"] = int(rng.random() < 0.2)
    return ids, segments, *perturbed(rng, ids, segments, list(ISTHING)[:5])


def perturbed(
    rng: np.random.Generator, ids: np.ndarray, segments: Segments, categories: list[int]
) -> tuple[np.ndarray, Segments]:
    """A copy with other ids where segments are shifted, merged, dropped and relabeled, and with voids."""
    height, width = ids.shape
    category_of = {segment["id"]: segment["category_id"] for segment in segments}
    if rng.random() < 0.6:
        rows, columns = (rng.integers(-max(1, size // 12), size // 12 + 2) for size in ids.shape)
        ids = np.roll(ids, (rows, columns), axis=(0, 1))
    result = ids.copy()
    for segment_id in category_of:
        what = rng.random()
        if what < 0.1:
            result[result == segment_id] = 0
        elif what < 0.25:
            result[result == segment_id] = rng.choice(list(category_of))
        elif what < 0.4:
            category_of[segment_id] = int(rng.choice(categories))
    for _ in range(rng.integers(0, 3)):
        y, x = rng.integers(0, height), rng.integers(0, width)
        block = result[y : y + 1 + height // 5, x : x + 1 + width // 5]
        invented = int(rng.integers(1, 256**3))
        if rng.random() < 0.5 or invented in category_of:
            block[:] = 0
        else:
            block[:] = invented
            category_of[invented] = int(rng.choice(categories))
    renumbered = np.zeros_like(result)
    new_categories = {}
    old_ids = np.setdiff1d(result, [0])
    for old, new in zip(old_ids, rng.choice(256**3 - 1, len(old_ids), replace=False) + 1, strict=True):
        renumbered[result == old] = new
        new_categories[int(new)] = category_of[int(old)]
    return renumbered, describe(renumbered, new_categories)


def describe(ids: np.ndarray, category_of: dict[int, int]) -> Segments:
    """The list of the segments of a map."""
    return [
        {"id": int(i), "category_id": category_of[int(i)], "iscrowd": 0, "area": int((ids == i).sum())}
        for i in np.unique(ids)
        if i
    ]


def colors(ids: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, R + 256 G + 256^2 B."""
    return np.stack([ids % 256, ids // 256 % 256, ids // 256**2], axis=-1).astype(np.uint8)


def loop_counts(cases: list[Case]) -> dict[int, list[float]]:
    """Sum of IoU, TP, FP and FN of each category, from the definition: every pair of masks, one by one."""
    counts: dict[int, list[float]] = {category: [0.0, 0, 0, 0] for category in ISTHING}
    for gt_map, gt_segments, pred_map, pred_segments in cases:
        matched_predictions = []
        crowd_of = {s["category_id"]: gt_map == s["id"] for s in gt_segments if s["iscrowd"]}
        for truth in gt_segments:
            if truth["iscrowd"]:
                continue
            matched = False
            for prediction in pred_segments:
                one, other = gt_map == truth["id"], pred_map == prediction["id"]
                union = (one | other) & ~((gt_map == 0) & other)
                iou = (one & other).sum() / union.sum()
                if truth["category_id"] == prediction["category_id"] and iou > 0.5:
                    matched = True
                    matched_predictions.append(prediction["id"])
                    counts[truth["category_id"]][0] += iou
                    counts[truth["category_id"]][1] += 1
            counts[truth["category_id"]][3] += not matched
        for prediction in pred_segments:
            if prediction["id"] not in matched_predictions:
                mask = pred_map == prediction["id"]
                crowd = crowd_of.get(prediction["category_id"], np.zeros_like(mask))
                ignored = ((gt_map == 0) & mask).sum() + (crowd & mask).sum()
                counts[prediction["category_id"]][2] += not ignored / mask.sum() > 0.5
    return counts


def loop_average(counts: dict[int, list[float]], isthing: bool | None) -> tuple[float, float, float]:
    """PQ, SQ and RQ averaged over the things, the stuff or all of the categories that occur."""
    rows = []
    for category, (iou, tp, fp, fn) in counts.items():
        if isthing in (None, ISTHING[category]) and tp + fp + fn:
            rows.append((iou / (tp + fp / 2 + fn / 2), iou / tp if tp else 0, tp / (tp + fp / 2 + fn / 2)))
    return tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))
