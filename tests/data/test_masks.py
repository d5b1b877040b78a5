"""Bitmaps from polygons, RLE and arrays, and their way through the augmentation."""

from __future__ import annotations

import numpy as np
import pytest
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, HFlipTransform, NoOpTransform
from pycocotools import mask as mask_util

from detr_d2.data.masks import boxes_of_masks, rasterise, segmentation_problem, transform_masks


def random_masks() -> list[np.ndarray]:
    """Noise, patches with long runs, one pixel, all, nothing, one row, one column."""
    rng = np.random.default_rng(0)
    masks = [rng.random((13, 29)) < share for share in (0.02, 0.5, 0.98)]
    for _ in range(5):
        masks.append(np.kron(rng.random((3, 4)) < 0.5, np.ones((40, 300))).astype(bool))
    corner = np.zeros((50, 70), dtype=bool)
    corner[0, 0] = True
    return [*masks, corner, np.ones((31, 33), bool), np.zeros((31, 33), bool), np.eye(1, 9, 4) > 0]


def uncompressed(mask: np.ndarray) -> list[int]:
    """COCO's run lengths, counted one pixel at a time."""
    counts, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


@pytest.mark.parametrize("number", range(12))
def test_rle_of_any_form_is_decoded_as_cocos_tools_do(number):
    mask = random_masks()[number]
    rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert np.array_equal(mask_util.decode(rle), mask)
    size = list(mask.shape)
    for counts in (rle["counts"], rle["counts"].decode(), uncompressed(mask), np.array(uncompressed(mask))):
        decoded = rasterise({"size": size, "counts": counts}, *size)
        assert decoded.dtype == bool
        assert np.array_equal(decoded, mask)


def test_polygons_are_filled_and_united():
    expected = np.zeros((10, 12), dtype=bool)
    expected[1:4, 2:6] = True
    expected[5:9, 0:3] = True
    polygons = [[2, 1, 6, 1, 6, 4, 2, 4], [0.0, 5.0, 3.0, 5.0, 3.0, 9.0, 0.0, 9.0]]
    assert np.array_equal(rasterise(polygons, 10, 12), expected)
    assert np.array_equal(rasterise([np.array(polygon) for polygon in polygons], 10, 12), expected)


def test_polygons_reaching_beyond_the_image_are_cut():
    expected = np.zeros((10, 12), dtype=bool)
    expected[:4, 8:] = True
    assert np.array_equal(rasterise([[8, -5, 30, -5, 30, 4, 8, 4]], 10, 12), expected)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_a_bitmask_is_where_the_array_is_not_zero(kind):
    mask = np.eye(4, 6).astype(kind) * kind(1)
    assert np.array_equal(rasterise(mask, 4, 6), np.eye(4, 6) > 0)


BAD = {
    "no points": ([[]], "three points, but has 0 numbers"),
    "one point": ([[1, 2]], "three points, but has 2 numbers"),
    "two points": ([[1, 2, 3, 4]], "three points, but has 4 numbers"),
    "one bad polygon of two": ([[1, 1, 5, 1, 5, 5], [1, 2, 3, 4]], "three points, but has 4 numbers"),
    "odd": ([[1, 2, 3, 4, 5, 6, 7]], "three points, but has 7 numbers"),
    "flat": ([1, 2, 3, 4, 5, 6], "a list of polygons"),
    "not a number": ([[1, 2, 3, float("nan"), 5, 6]], "not finite"),
    "infinite": ([[1, 2, 3, float("inf"), 5, 6]], "not finite"),
    "words": ([["a", "b", "c", "d", "e", "f"]], "numbers alone"),
    "empty": ([], "must be polygons, RLE or a bitmask"),
    "none": (None, "must be polygons, RLE or a bitmask"),
    "text": ("5 5", "must be polygons, RLE or a bitmask"),
    "bitmask of another size": (np.ones((6, 4), bool), r"bitmask has the shape \(6, 4\).*\(4, 6\)"),
    "bitmask with channels": (np.ones((4, 6, 1), bool), "bitmask has the shape"),
    "RLE of another size": ({"size": [6, 4], "counts": [24]}, r"RLE has the size.*\(6, 4\).*\(4, 6\)"),
    "RLE without size": ({"counts": [24]}, "'size' and 'counts'"),
    "too few": ({"size": [4, 6], "counts": [5, 5]}, "4 x 6 = 24 pixels, but add up to 10"),
    "too many": ({"size": [4, 6], "counts": [20, 5]}, "add up to 25"),
    "no counts": ({"size": [4, 6], "counts": []}, "add up to 0"),
    "no text": ({"size": [4, 6], "counts": ""}, "add up to 0"),
    "negative": ({"size": [4, 6], "counts": [30, -6]}, "RLE counts"),
    "fractions": ({"size": [4, 6], "counts": [11.5, 12.5]}, "list of integers"),
    "no list": ({"size": [4, 6], "counts": None}, "list of integers"),
    "cut text": ({"size": [4, 6], "counts": "P"}, "damaged"),
    "foreign text": ({"size": [4, 6], "counts": "~!"}, "damaged"),
    "endless text": ({"size": [4, 6], "counts": "o" * 40 + "0"}, "damaged"),
    "not ASCII": ({"size": [4, 6], "counts": "\u00e9"}, "RLE counts"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_segmentation_is_said(case):
    segmentation, message = BAD[case]
    with pytest.raises(ValueError, match=f"^its.*{message}"):
        rasterise(segmentation, 4, 6)


def test_a_sound_form_has_no_problem():
    for segmentation in ([[1, 1, 5, 1, 5, 3]], {"size": [4, 6], "counts": [24]}, np.ones((4, 6))):
        assert segmentation_problem(segmentation, 4, 6) == ""


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
