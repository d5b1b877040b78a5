"""COCO's run-length encoding in all its forms, sound and damaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_util

from detr_d2.data.masks import rasterize, segmentation_faults
from detr_d2.data.rle import run_lengths


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
        decoded = rasterize({"size": size, "counts": counts}, *size)
        assert run_lengths({"size": size, "counts": counts}, *size).tolist() == uncompressed(mask)
        assert decoded.dtype == bool
        assert np.array_equal(decoded, mask)


COUNTS: dict[str, Any] = {
    "too few": [5, 5],
    "too many": [20, 5],
    "none": [],
    "no text": "",
    "negative": [30, -6],
    "2**70": [2**70, 24],
    "10**5000": [10**5000],
    "2**63": [2**63, 24],
    "a sum that wraps around": [2**62, 2**62, 2**62, 2**62, 24],
    "a sum of 32 bits that wraps around": [2**31, 2**31, 24],
    "more runs than pixels": [0] * 30 + [24],
    "fractions": [11.5, 12.5],
    "whole floats": [12.0, 12.0],
    "NaN": [float("nan"), 24],
    "bool": [True, 23],
    "text in a list": ["24"],
    "nested": [[24]],
    "ragged": [[1, 2], [21]],
    "None": None,
    "a number": 24,
    "a dict": {"0": 24},
    "an array of floats": np.array([24.0]),
    "an array of rows": np.array([[24]]),
    "an array of one number": np.array(24),
    "unsigned numbers that wrap around": np.array([2**64 - 1, 25], dtype=np.uint64),
    "cut text": "P",
    "foreign text": "~!",
    "zero bytes": b"\0\0",
    "high bytes": b"\xff\xf0",
    "endless text": "o" * 40 + "0",
    "text without end": "o" * 8,
    "much text": "1" * 1000,
    "not ASCII": "\u00e9",
    "a question mark's value, not ASCII": "\u00e90",
    "half a character": "\ud800",
    "text with runs of minus one": "O1",
}


@pytest.mark.parametrize("case", COUNTS)
def test_counts_that_are_no_runs_of_the_image_are_refused(case):
    rle = {"size": [4, 6], "counts": COUNTS[case]}
    faults = segmentation_faults(rle, 4, 6)
    assert faults.unusable
    assert faults.why.startswith("its RLE ")
    with pytest.raises(ValueError, match="^its RLE "):
        rasterize(rle, 4, 6)


@pytest.mark.parametrize(
    "size",
    [
        [6, 4],
        [4],
        [4, 6, 1],
        [],
        None,
        24,
        "46",
        ["4", "6"],
        [4.0, 6.0],
        [4, True],
        [[4], [6]],
        [4, 2**70],
        [-4, -6],
        [0, 0],
        {4: 6},
        np.ones((2, 2), int),
    ],
)
def test_sizes_that_are_not_the_images_are_refused(size):
    with pytest.raises(ValueError, match="^its RLE .*size"):
        run_lengths({"size": size, "counts": [24]}, 4, 6)


def test_runs_of_no_pixels_are_runs():
    rle = {"size": [4, 6], "counts": [3, 0, 2, 4, 15, 0]}
    assert np.array_equal(rasterize(rle, 4, 6), mask_util.decode(mask_util.frPyObjects(rle, 4, 6)))


@pytest.mark.parametrize("seed", range(30))
def test_what_any_mask_is_encoded_as_is_within_the_bounds(seed):
    """Bounds of the numbers of runs and of characters keep memory small; no sound RLE may meet them."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(1, 70, 2))
    flips = rng.random(height * width) < rng.choice([0.01, 1 / 16, 0.3, 1])
    mask = (np.cumsum(flips) % 2 == seed % 2).reshape(width, height).T
    rle = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert np.array_equal(rasterize(rle, height, width), mask)
    runs = {"size": [height, width], "counts": uncompressed(mask)}
    assert np.array_equal(rasterize(runs, height, width), mask)
