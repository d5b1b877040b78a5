from __future__ import annotations

import pickle

import numpy as np
import pytest

from detr_d2.evaluation import PanopticQuality
from detr_d2.evaluation.panoptic_quality import CategoryQuality, SegmentError, measure_overlaps

from .panoptic_cases import ISTHING, colors, loop_average, loop_counts, random_case

THING, STUFF = 1, 2


def quality(*images: tuple) -> PanopticQuality:
    result = PanopticQuality({THING: True, STUFF: False, 9: True})
    for image in images:
        result.add(*image)
    return result


def counts(*images: tuple) -> tuple[int, int, int]:
    """TP, FP and FN of the things."""
    return quality(*images).scores().per_category[THING][3:]


def row(text: str) -> np.ndarray:
    """A map of one row of digits."""
    return np.array([[int(digit) for digit in text]])


def seg(number: int, category: int = THING, **more: int) -> dict[str, int]:
    return {"id": number, "category_id": category, **more}


def test_hand_worked_image():
    """Thing 1 has an IoU of 3/5, stuff 3 one of 4/4, thing 2 is missed and thing 6 invented."""
    truth = row("11112223333"), [seg(1), seg(2), seg(3, STUFF)]
    predicted = row("05555667777"), [seg(5), seg(6, 9), seg(7, STUFF)]
    scores = quality((*truth, *predicted)).scores()
    assert scores.per_category[THING] == CategoryQuality(0.6 / 1.5, 0.6, 1 / 1.5, 1, 0, 1)
    assert scores.per_category[STUFF] == CategoryQuality(1, 1, 1, 1, 0, 0)
    assert scores.per_category[9] == CategoryQuality(0, 0, 0, 0, 1, 0)
    assert scores.things == pytest.approx(((0.4 + 0) / 2, (0.6 + 0) / 2, (1 / 1.5 + 0) / 2, 2))
    assert scores.stuff == pytest.approx((1, 1, 1, 1))
    assert scores.all == pytest.approx((1.4 / 3, 1.6 / 3, (1 / 1.5 + 1) / 3, 3))


@pytest.mark.parametrize("seed", range(8))
def test_random_images_equal_plain_loops(seed):
    rng = np.random.default_rng(seed)
    cases = [random_case(rng) for _ in range(12)]
    result = PanopticQuality(ISTHING)
    for number, (gt_map, gt_segments, pred_map, pred_segments) in enumerate(cases):
        if number % 2:
            gt_map, pred_map = colors(gt_map), pred_map.astype(np.int32)
        result.add(gt_map, gt_segments, pred_map, pred_segments)
    expected = loop_counts(cases)
    assert sum(tp for _, tp, _, _ in expected.values()) > 5
    assert sum(s["iscrowd"] for case in cases for s in case[1]) > 2
    scores = result.scores()
    for category, (iou, *errors) in expected.items():
        found = scores.per_category[category]
        assert list(found[3:]) == errors
        assert found.sq * found.tp == pytest.approx(iou, abs=1e-9)
    for found, isthing in ((scores.all, None), (scores.things, True), (scores.stuff, False)):
        assert found[:3] == pytest.approx(loop_average(expected, isthing), abs=1e-9)


def test_parts_are_joined_after_a_journey_between_processes():
    rng = np.random.default_rng(5)
    cases = [random_case(rng) for _ in range(9)]
    whole, parts = PanopticQuality(ISTHING), [PanopticQuality(ISTHING) for _ in range(3)]
    for number, case in enumerate(cases):
        whole.add(*case)
        parts[number % 3].add(*case)
    joined = PanopticQuality(ISTHING)
    for part in pickle.loads(pickle.dumps(parts)):
        joined.merge(part)
    assert joined.scores().all == pytest.approx(whole.scores().all, abs=1e-12)
    assert joined.scores().per_category.keys() == whole.scores().per_category.keys()
    with pytest.raises(ValueError, match="different categories"):
        joined.merge(quality())


def test_an_iou_of_exactly_a_half_is_no_match():
    assert counts((row("1122"), [seg(1), seg(2, STUFF)], row("5000"), [seg(5)])) == (0, 1, 1)
    assert counts((row("1112"), [seg(1), seg(2, STUFF)], row("5500"), [seg(5)])) == (1, 0, 0)


def test_void_pixels_do_not_count_against_a_prediction():
    """2 of 2 after its four void pixels are left out."""
    image = (row("110000"), [seg(1)], row("555555"), [seg(5)])
    assert quality(image).scores().per_category[THING] == CategoryQuality(1, 1, 1, 1, 0, 0)


@pytest.mark.parametrize(("truth", "false_positives"), [("11000", 0), ("11100", 1)])
def test_an_unmatched_prediction_is_passed_over_if_more_than_half_of_it_is_void(truth, false_positives):
    assert counts((row(truth), [seg(1, STUFF)], row("02222"), [seg(2)])) == (0, false_positives, 0)


def test_crowds_are_neither_found_nor_missed():
    truth = row("11113"), [seg(1, iscrowd=1), seg(3, STUFF)]
    assert counts((*truth, row("22220"), [seg(2)])) == (0, 0, 0)
    assert counts((*truth, row("00004"), [seg(4, STUFF)])) == (0, 0, 0)


def test_only_a_crowd_of_the_same_category_excuses_a_prediction():
    truth = row("11113"), [seg(1, 9, iscrowd=1), seg(3, STUFF)]
    assert counts((*truth, row("22220"), [seg(2)])) == (0, 1, 0)


def test_void_and_crowd_excuse_together():
    """One crowd pixel and two void ones of four; without the crowd it is half."""
    truth = row("110033")
    predicted = row("022220"), [seg(2)]
    assert counts((truth, [seg(1, iscrowd=1), seg(3, STUFF)], *predicted)) == (0, 0, 0)
    assert counts((truth, [seg(1, 9, iscrowd=1), seg(3, STUFF)], *predicted)) == (0, 1, 0)


def test_of_two_crowds_of_a_category_the_last_listed_counts():
    crowds = row("1144"), [seg(1, iscrowd=1), seg(4, iscrowd=1)]
    assert counts((*crowds, row("2200"), [seg(2)])) == (0, 1, 0)
    assert counts((*crowds, row("0022"), [seg(2)])) == (0, 0, 0)


def test_the_recorded_area_of_the_ground_truth_is_what_counts():
    predicted = row("2222"), [seg(2)]
    assert counts((row("1111"), [seg(1, area=4)], *predicted)) == (1, 0, 0)
    assert counts((row("1111"), [seg(1, area=8)], *predicted)) == (0, 1, 1)


def test_averages_over_no_category_are_nan():
    scores = quality((row("11"), [seg(1)], row("00"), [])).scores()
    assert scores.things == (0, 0, 0, 1)
    assert np.isnan(scores.stuff[:3]).all()
    assert scores.stuff.num_categories == 0


def test_an_empty_prediction_is_one_of_void_only():
    assert counts((row("1122"), [seg(1), seg(2)], row("0000"), [])) == (0, 0, 2)


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.int64])
def test_overlaps_of_ids_of_any_type_and_of_colors_are_counted(dtype):
    rng = np.random.default_rng(1)
    palette = rng.integers(0, 256**3, 5)
    one, other = (palette[rng.integers(0, 5, (9, 7))] for _ in range(2))
    expected: dict[tuple[int, int], int] = {}
    for pair in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
        expected[pair] = expected.get(pair, 0) + 1
    for first in (one.astype(dtype), np.asfortranarray(one.astype(dtype)), colors(one)):
        found = measure_overlaps(first, other.astype(dtype))
        pairs = zip(found.gt_ids.tolist(), found.pred_ids.tolist(), strict=True)
        assert dict(zip(pairs, found.areas.tolist(), strict=True)) == expected


GOOD = row("1122"), [seg(1), seg(2)]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ((*GOOD, row("333"), [seg(3)]), r"\(1, 4\) and the prediction \(1, 3\)"),
        ((*GOOD, row("3344"), [seg(3)]), "prediction has pixels of segment 4, which is not listed"),
        ((*GOOD, row("3333"), [seg(3), seg(4)]), "prediction lists segment 4, which has no pixels"),
        ((row("1133"), GOOD[1], row("0000"), []), "ground truth has pixels of segment 3"),
        ((row("1111"), GOOD[1], row("0000"), []), "ground truth lists segment 2, which has no pixels"),
        ((*GOOD, row("3333"), [seg(3), seg(3)]), "prediction lists segment 3 twice"),
        ((*GOOD, row("3333"), [seg(0), seg(3)]), "segment 0 twice .0 stands for void"),
        ((*GOOD, row("3333"), [seg(3, 77)]), "segment 3 of the prediction has the unknown category 77"),
        ((*GOOD, row("3333") - 4, [seg(-1)]), "prediction has ids from -1 to -1, beyond three bytes"),
        ((*GOOD, row("3333") + 256**3, [seg(3)]), "beyond three bytes"),
    ],
)
def test_maps_and_lists_that_do_not_agree_are_refused_and_nothing_is_counted(image, words):
    result = quality()
    with pytest.raises(SegmentError, match=words):
        result.add(*image)
    assert not np.concatenate([result.tp, result.fp, result.fn]).any()
