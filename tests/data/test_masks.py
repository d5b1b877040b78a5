"""Bitmaps from polygons, RLE and arrays, and their way through the augmentation."""

from __future__ import annotations

import json
import resource
import tracemalloc
from typing import Any

import numpy as np
import pytest
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, HFlipTransform, NoOpTransform
from pycocotools import mask as mask_util

from detr_d2.data.masks import (
    Faults,
    boxes_of_masks,
    encode,
    rasterize,
    segmentation_faults,
    split_polygons,
    transform_masks,
)


def test_polygons_are_filled_and_united():
    expected = np.zeros((10, 12), dtype=bool)
    expected[1:4, 2:6] = True
    expected[5:9, 0:3] = True
    polygons = [[2, 1, 6, 1, 6, 4, 2, 4], [0.0, 5.0, 3.0, 5.0, 3.0, 9.0, 0.0, 9.0]]
    assert np.array_equal(rasterize(polygons, 10, 12), expected)
    assert np.array_equal(rasterize([np.array(polygon) for polygon in polygons], 10, 12), expected)


def test_polygons_reaching_beyond_the_image_are_cut():
    expected = np.zeros((10, 12), dtype=bool)
    expected[:4, 8:] = True
    assert np.array_equal(rasterize([[8, -5, 30, -5, 30, 4, 8, 4]], 10, 12), expected)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_a_bitmask_is_where_the_array_is_not_zero(kind):
    mask = np.eye(4, 6).astype(kind) * kind(1)
    assert np.array_equal(rasterize(mask, 4, 6), np.eye(4, 6) > 0)


TRIANGLE = [1, 1, 5, 1, 5, 3]
NAN, INFINITE = float("nan"), float("inf")

BAD_POLYGONS: dict[str, Any] = {
    "no points": [],
    "one point": [1, 2],
    "two points": [1, 2, 3, 4],
    "odd": [1, 2, 3, 4, 5, 6, 7],
    "text": ["1", "2", "3", "4", "5", "6"],
    "a word": [1, 2, 3, 4, 5, "six"],
    "None": [1, 2, 3, 4, 5, None],
    "nested": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10], [11, 12]],
    "nested deeply": [1, 2, 3, 4, 5, [[[[[[[[6]]]]]]]]],
    "dict": {"x": 1},
    "NaN": [1, 2, 3, NAN, 5, 6],
    "NaN first": [NAN, 1e30, 1, 2, 3, 4],
    "infinite": [1, 2, 3, INFINITE, 5, 6],
    "both infinities": [1, 2, 3, INFINITE, 5, -INFINITE],
    "1e30": [1e30, 2, 3, 4, 5, 6],
    "-1e30": [1, 2, 3, 4, 5, -1e30],
    "1e308": [1e308] * 6,
    "2**31": [2**31, 2, 3, 4, 5, 6],
    "2**70": [1, 2, 2**70, 4, 5, 6],
    "10**5000": [1, 2, 10**5000, 4, 5, 6],
    "just too far": [1, 2, 3, 4, 60.1, 6],
    "complex": [1, 2, 3, 4, 5, 6j],
    "array with rows": np.ones((6, 2)),
    "array of text": np.array(["1"] * 6),
    "array of one number": np.array(3.0),
}


@pytest.mark.parametrize("case", BAD_POLYGONS)
def test_a_bad_polygon_is_counted_and_left_out_beside_good_ones(case):
    bad, expected = BAD_POLYGONS[case], rasterize([TRIANGLE], 4, 6)
    for polygons in ([TRIANGLE, bad], [bad, TRIANGLE], (bad, TRIANGLE)):
        assert np.array_equal(rasterize(polygons, 4, 6), expected)
        faults = segmentation_faults(polygons, 4, 6)
        assert (faults.bad_parts, faults.unusable) == (1, False)
        good, (left_out,) = split_polygons(polygons, 4, 6)
        assert good == [TRIANGLE]
        assert left_out is bad
        assert encode(polygons, 4, 6) == encode([TRIANGLE], 4, 6)


@pytest.mark.parametrize("case", BAD_POLYGONS)
def test_where_no_polygon_is_good_the_first_ones_fault_is_said(case):
    faults = segmentation_faults([BAD_POLYGONS[case]] * 2, 4, 6)
    assert (faults.bad_parts, faults.unusable) == (2, True)
    assert_refused([BAD_POLYGONS[case]] * 2, 4, 6)


def test_a_sound_segmentation_has_no_faults():
    for segmentation in ([TRIANGLE], TRIANGLE, {"size": [4, 6], "counts": [24]}, np.ones((4, 6))):
        assert segmentation_faults(segmentation, 4, 6) == Faults("", 0, False)


def assert_refused(segmentation: Any, height: Any, width: Any) -> None:
    """All functions refuse it, with the same reason, of one line of a usual length."""
    faults = segmentation_faults(segmentation, height, width)
    assert faults.unusable
    assert faults.why.startswith("its ")
    assert "\n" not in faults.why
    assert len(faults.why) < 300
    for function in (rasterize, encode):
        with pytest.raises(ValueError, match="^its ") as caught:
            function(segmentation, height, width)
        assert str(caught.value) == faults.why


BAD: dict[str, Any] = {
    "empty": [],
    "None": None,
    "text": "5 5",
    "a number": 7,
    "a flat list of two points": [1, 2, 3, 4],
    "a flat list with text": [1, 2, 3, 4, 5, "6"],
    "two points": [[1, 2], [3, 4]],
    "points with text": [[1, 2], [3, 4], [5, "6"]],
    "points in space": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
    "far points": [[1, 2], [3, 4], [5, 2**70]],
    "bitmask of another size": np.ones((6, 4), bool),
    "bitmask with channels": np.ones((4, 6, 1), bool),
    "bitmask of objects": np.ones((4, 6), object),
    "bitmask of text": np.full((4, 6), "1"),
    "bitmask with NaN": np.full((4, 6), NAN),
    "RLE without size": {"counts": [24]},
    "RLE without counts": {"size": [4, 6]},
    "long text": "x\n" * 1000,
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_segmentation_is_refused(case):
    assert_refused(BAD[case], 4, 6)


@pytest.mark.parametrize(
    "size",
    [
        (0, 6),
        (4, -6),
        (4, 2**70),
        (2**15, 2**15),
        ("4", "6"),
        (None, 6),
        (4, NAN),
        (INFINITE, 6),
        (4.5, 6),
        ([4], 6),
    ],
)
@pytest.mark.parametrize("segmentation", [[TRIANGLE], {"size": [4, 6], "counts": [24]}, np.ones((4, 6))])
def test_sizes_that_no_image_has_are_refused(size, segmentation):
    assert_refused(segmentation, *size)


def test_whole_sizes_of_any_type_are_sizes():
    for size in ((4.0, 6.0), (np.int64(4), np.int32(6))):
        assert encode([TRIANGLE], *size) == encode([TRIANGLE], 4, 6)
        assert rasterize({"size": [4, 6], "counts": [24]}, *size).shape == (4, 6)


def test_one_polygon_may_be_flat_or_a_list_of_points():
    flat = [1.5, 1, 9, 2, 10, 7, 3, 8.25]
    points = [[1.5, 1], [9, 2], [10, 7], [3, 8.25]]
    expected = rasterize([flat], 10, 12)
    assert expected.sum() > 30
    for segmentation in (flat, tuple(flat), points, [tuple(p) for p in points], list(map(np.array, points))):
        assert np.array_equal(rasterize(segmentation, 10, 12), expected)
        assert segmentation_faults(segmentation, 10, 12) == Faults("", 0, False)


def test_pairs_beside_a_polygon_are_polygons_of_one_point():
    polygons = [[0, 0], TRIANGLE, [3, 3], [2, 2]]
    assert np.array_equal(rasterize(polygons, 4, 6), rasterize([TRIANGLE], 4, 6))
    assert segmentation_faults(polygons, 4, 6).bad_parts == 3


@pytest.mark.parametrize("number", [np.float32, np.float64, np.int16, np.uint8, float, int])
def test_coordinates_may_be_any_numbers(number):
    polygon = [1, 1, 9, 2, 10, 7, 3, 8]
    for segmentation in ([[number(x) for x in polygon]], [np.array(polygon, dtype=number)]):
        assert np.array_equal(rasterize(segmentation, 10, 12), rasterize([polygon], 10, 12))


def drawn_by_pycocotools(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    return mask_util.decode(mask_util.merge(mask_util.frPyObjects(polygons, height, width)))


@pytest.mark.parametrize("seed", range(20))
def test_polygons_are_drawn_as_cocos_tools_do_also_far_beyond_the_image(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 60, 2))
    reach = float(rng.choice([1, 1.2, 3, 9]))
    polygons = []
    for points in rng.integers(3, 30, size=rng.integers(1, 4)):
        x, y = rng.uniform(1 - reach, reach, (2, points)) * [[width], [height]]
        polygons.append(np.stack([x, y], axis=1).round(seed % 3).ravel().tolist())
    assert segmentation_faults(polygons, height, width) == Faults("", 0, False)
    expected = drawn_by_pycocotools(polygons, height, width)
    assert np.array_equal(rasterize(polygons, height, width), expected)
    assert np.array_equal(mask_util.decode(encode(polygons, height, width)), expected)


def test_an_outline_of_a_hundred_thousand_points_is_drawn():
    angle = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    polygon = np.stack([320 + 300 * np.cos(angle), 240 + 200 * np.sin(angle)], axis=1).ravel().tolist()
    assert np.array_equal(rasterize([polygon], 480, 640), drawn_by_pycocotools([polygon], 480, 640))


def test_an_outline_that_no_object_has_is_refused_before_it_takes_memory():
    """pycocotools would take 600 MB and 16 GB for these."""
    rng = np.random.default_rng(0)
    for polygons in (
        [rng.uniform(0, 200, 200_000).tolist()],
        [[-600, 0, 600, 0, 0, 600] * 400_000],
        [[-600, 0, 600, 0, 0, 600]] * 10_000,
    ):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert_refused(polygons, 60, 60)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_message_about_much_data_takes_no_memory():
    segmentations = ("x" * 10_000_000, [["x"] * 1_000_000], {"size": [4, 6], "counts": [1] * 1_000_000})
    tracemalloc.start()
    try:
        for segmentation in segmentations:
            assert_refused(segmentation, 4, 6)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_encoded_segmentations_are_json_and_pycocotools_own():
    mask = np.random.default_rng(0).random((13, 29)) < 0.5
    rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
    expected = {"size": [13, 29], "counts": rle["counts"].decode()}
    runs = {"size": [13, 29], "counts": [5, 100, 0, 2, 270]}
    for segmentation in (rle, expected, mask, mask.astype(np.float32)):
        encoded = encode(segmentation, np.int64(13), 29)
        assert encoded == expected
        assert json.loads(json.dumps(encoded)) == expected
    assert np.array_equal(mask_util.decode(encode(runs, 13, 29)), rasterize(runs, 13, 29))


TRANSFORMS = {
    "none": NoOpTransform(),
    "flip": HFlipTransform(45),
    "crop": CropTransform(7, 3, 20, 25),
    "smaller": T.ResizeTransform(33, 45, 14, 19),
    "larger": T.ResizeTransform(33, 45, 50, 68),
    "all": T.TransformList(
        [HFlipTransform(45), CropTransform(7, 3, 20, 25), T.ResizeTransform(25, 20, 41, 33)]
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("count", [1, 7, 8, 9, 17])
def test_masks_are_augmented_as_detectron2_does_each_alone(name, count):
    masks = np.random.default_rng(count).random((count, 33, 45)) < 0.5
    moved = transform_masks(masks, T.TransformList([TRANSFORMS[name]]))
    assert moved.dtype == bool
    for mask, result in zip(masks, moved, strict=True):
        expected = TRANSFORMS[name].apply_segmentation(mask.astype(np.uint8))
        assert np.array_equal(result, expected.astype(bool))


def test_boxes_go_from_the_first_to_the_last_pixel():
    masks = np.zeros((4, 10, 12), dtype=bool)
    masks[0, 2:5, 3:9] = True
    masks[1, 2, 3] = masks[1, 9, 11] = True
    masks[2, :, 4] = True
    assert boxes_of_masks(masks).tolist() == [[3, 2, 8, 4], [3, 2, 11, 9], [4, 0, 4, 9], [0, 0, 0, 0]]
