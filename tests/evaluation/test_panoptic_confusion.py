"""Confusions of panoptic segments, against panoptic quality and a plain loop over masks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from detr_d2.evaluation.panoptic_confusion import segment_confusions

from .panoptic_cases import ISTHING, Case, colors, loop_counts, random_case


def across_classes(case: Case) -> Counter[tuple[int, int]]:
    """Pairs of different classes whose masks have an IoU above 0.5, void left out, one by one."""
    gt_map, gt_segments, pred_map, pred_segments = case
    pairs: Counter[tuple[int, int]] = Counter()
    for truth in gt_segments:
        for prediction in pred_segments:
            one, other = gt_map == truth["id"], pred_map == prediction["id"]
            union = (one | other) & ~((gt_map == 0) & other)
            near = not truth["iscrowd"] and (one & other).sum() / union.sum() > 0.5
            if near and truth["category_id"] != prediction["category_id"]:
                alone = (gt_map, gt_segments, pred_map, [prediction])
                if loop_counts([alone])[prediction["category_id"]][2]:  # it is not passed over
                    pairs[truth["category_id"], prediction["category_id"]] += 1
    return pairs


@pytest.mark.parametrize("seed", range(200))
def test_counts_are_those_of_panoptic_quality(seed: int) -> None:
    case = random_case(np.random.default_rng(seed))
    counts = segment_confusions(*case)
    for category, (_, tp, fp, fn) in loop_counts([case]).items():
        assert counts[category, category] == tp
        assert sum(n for (one, other), n in counts.items() if one == category != other) == fn
        assert sum(n for (one, other), n in counts.items() if other == category != one) == fp
    crossed = {pair: n for pair, n in counts.items() if None not in pair and pair[0] != pair[1]}
    assert crossed == across_classes(case)
    assert {x for pair in counts for x in pair} <= {None, *ISTHING}


def test_maps_may_be_colors() -> None:
    gt_map, gt_segments, pred_map, pred_segments = random_case(np.random.default_rng(5))
    counts = segment_confusions(gt_map, gt_segments, pred_map, pred_segments)
    assert segment_confusions(colors(gt_map), gt_segments, colors(pred_map), pred_segments) == counts
