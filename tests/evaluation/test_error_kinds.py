"""Kinds of errors with their costs, and confusion: by hand, by a plain loop, and by pycocotools."""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detr_d2.evaluation.breakdown import break_down
from detr_d2.evaluation.confusion import confusion_matrix, reliability
from detr_d2.evaluation.error_kinds import ERROR_KINDS, analyze_errors
from detr_d2.evaluation.matching import NONE, Record, best_threshold, match_predictions

from .error_cases import (
    HAND_AP,
    HAND_CONFUSION,
    HAND_COSTS,
    HAND_KINDS,
    HAND_MISSED,
    PlainLoop,
    hand_worked,
    random_case,
)

CASES = range(200)


def pycocotools(truth: list[Record], predictions: list[Record], **parameters: Any) -> COCOeval:
    images = sorted({x["image_id"] for x in (*truth, *predictions)})
    coco = COCO()
    with contextlib.redirect_stdout(io.StringIO()):
        coco.dataset = {
            "images": [{"id": n} for n in images],
            "categories": [{"id": n} for n in (1, 2, 3)],
            "annotations": [dict(x) for x in truth],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes([dict(x) for x in predictions]), "bbox")
        for name, value in parameters.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
        if "iouThrs" not in parameters and "maxDets" not in parameters:  # it knows no other values
            evaluation.summarize()
    return evaluation


def known_mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else math.nan


def test_the_set_worked_by_hand() -> None:
    truth, predictions = hand_worked()
    matching = match_predictions(truth, predictions)
    result = analyze_errors(matching)
    names = [*ERROR_KINDS]
    for place, expected in enumerate(HAND_KINDS):
        right = matching.found[place] != NONE
        kind = names[result.kinds[place]] if result.kinds[place] != NONE else "right" if right else "ignored"
        assert kind == expected, place
    assert np.flatnonzero(result.missed).tolist() == HAND_MISSED
    assert result.ap == pytest.approx(HAND_AP, abs=1e-12)
    assert result.costs == pytest.approx(HAND_COSTS, abs=1e-12)
    assert result.counts() == {
        "class": 1, "localization": 3, "both": 1, "duplicate": 1, "background": 1, "missed": 3
    }  # fmt: skip
    assert confusion_matrix(matching, [1, 2, 3]).tolist() == HAND_CONFUSION


@pytest.mark.parametrize("seed", CASES)
def test_a_plain_loop_finds_the_same(seed: int) -> None:
    truth, predictions = random_case(seed)
    loop = PlainLoop(truth, predictions)
    matching = match_predictions(truth, predictions)
    result = analyze_errors(matching)
    assert {i: j for i, j in enumerate(matching.found.tolist()) if j != NONE} == loop.found
    assert set(np.flatnonzero(~matching.counted).tolist()) == loop.left_out
    names = [*ERROR_KINDS]
    assert {i: names[k] for i, k in enumerate(result.kinds) if k != NONE} == {
        i: kind for i, (kind, _) in loop.errors.items()
    }
    assert np.flatnonzero(result.missed).tolist() == loop.missed
    assert result.ap == pytest.approx(loop.precision(), abs=1e-12, nan_ok=True)
    for kind in ERROR_KINDS:
        mended = max(loop.precision(kind) - loop.precision(), 0.0)
        assert result.costs[kind] == pytest.approx(0.0 if math.isnan(mended) else mended, abs=1e-12)
    for score in (0.0, 0.5):
        assert confusion_matrix(matching, [1, 2, 3], score).tolist() == loop.confusion(score)


@pytest.mark.parametrize("max_dets", [100, 2])
@pytest.mark.parametrize("seed", range(20))
def test_ap_is_that_of_pycocotools(seed: int, max_dets: int) -> None:
    truth, predictions = random_case(seed)
    if not predictions:
        return
    ap = analyze_errors(match_predictions(truth, predictions, max_dets=max_dets)).ap
    expected = pycocotools(truth, predictions, maxDets=[1, 1, max_dets]).eval["precision"][0, :, :, 0, -1]
    assert ap == pytest.approx(known_mean(expected), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(10))
def test_ap_by_class_size_and_iou_is_that_of_pycocotools(seed: int) -> None:
    truth, predictions = random_case(seed + 3)
    result = break_down(pycocotools(truth, predictions))
    stats = pycocotools(truth, predictions).stats
    for place, size in ((3, "small"), (4, "medium"), (5, "large")):
        expected = (stats[place], stats[place + 6])
        assert result.sizes[size] == pytest.approx(
            [math.nan if x == -1 else x for x in expected], nan_ok=True
        )
    for place, category in enumerate((1, 2, 3)):  # alone
        of_class = [[x for x in part if x["category_id"] == category] for part in (truth, predictions)]
        if not all(of_class):
            continue
        alone = pycocotools(*of_class, catIds=[category]).stats
        expected = [math.nan if x == -1 else x for x in (*alone[:6], alone[8])]
        mine = [result.classes[name][place] for name in ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR")]
        assert mine == pytest.approx(expected, nan_ok=True)
        at_50 = pycocotools(*of_class, catIds=[category], iouThrs=np.array([0.5])).eval["precision"][
            0, :, 0, 0, -1
        ]
        np.testing.assert_allclose(result.class_precision[place], np.where(at_50 < 0, np.nan, at_50))
    for place, iou in enumerate(result.ious):
        alone = pycocotools(truth, predictions, iouThrs=np.array([iou])).eval["precision"][..., 0, -1]
        assert result.by_iou[place] == pytest.approx(known_mean(alone), nan_ok=True)
        assert result.precision[place].mean() == pytest.approx(known_mean(alone), nan_ok=True)


def test_nothing_at_all_is_no_error() -> None:
    truth, predictions = hand_worked()
    empty = analyze_errors(match_predictions([], []))
    assert math.isnan(empty.ap)
    assert empty.counts() == dict.fromkeys(ERROR_KINDS, 0)
    nothing_found = analyze_errors(match_predictions(truth, []))
    assert nothing_found.ap == 0
    assert nothing_found.counts() == {**dict.fromkeys(ERROR_KINDS, 0), "missed": 11}
    nothing_there = match_predictions([], predictions)
    assert analyze_errors(nothing_there).counts()["background"] == len(predictions)
    assert best_threshold(nothing_there) == (0.0, 0.0, 0.0)
    assert confusion_matrix(nothing_there, [1, 2, 3])[3].tolist() == [5, 5, 3, 0]


@pytest.mark.parametrize("seed", CASES[:50])
def test_the_best_threshold_has_the_highest_f1(seed: int) -> None:
    matching = match_predictions(*random_case(seed))
    score, precision, recall = best_threshold(matching)

    def at(least: float) -> tuple[float, float]:
        shown = matching.counted & (matching.scores >= least)
        hits = (matching.found[shown] != NONE).sum()
        return hits / max(shown.sum(), 1), hits / max((~matching.crowd).sum(), 1)

    def f1(p: float, r: float) -> float:
        return 2 * p * r / (p + r) if p + r else 0.0

    best = max((f1(*at(x)) for x in matching.scores), default=0.0)
    assert f1(precision, recall) == pytest.approx(best)
    if best:
        assert at(score) == pytest.approx((precision, recall))


def test_reliability_is_by_hand() -> None:
    scores = np.array([0.0, 0.1, 0.15, 0.95, 0.95, 1.0])
    right = np.array([False, False, True, True, False, True])
    result = reliability(scores, right, bins=10)
    assert result.counts.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 3]
    assert result.scores[[0, 1, 9]] == pytest.approx([0.05, 0.15, 2.9 / 3])
    assert result.right[[0, 1, 9]] == pytest.approx([0, 1, 2 / 3])
    assert np.isnan(result.right[2:9]).all()
    assert result.error == pytest.approx((0.1 + 0.85 + 0.9) / 6)
    assert math.isnan(reliability(scores[:0], right[:0]).error)
