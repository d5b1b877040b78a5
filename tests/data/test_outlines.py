"""Polygons of masks are drawn as the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as mask_util

from detr_d2.data.outlines import polygons_of


def drawn(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    rle = mask_util.merge(mask_util.frPyObjects(polygons, height, width))
    return mask_util.decode(rle).astype(bool)


def ring() -> np.ndarray:
    y, x = np.mgrid[:60, :80]
    distance = np.hypot(x - 40, y - 30)
    return (distance < 25) & (distance > 9)


def test_a_pixel_is_a_square() -> None:
    mask = np.zeros((4, 5), dtype=bool)
    mask[1, 2] = True
    assert polygons_of(mask) == [[2, 1, 3, 1, 3, 2, 2, 2]]


def test_nothing_has_no_polygon() -> None:
    assert polygons_of(np.zeros((4, 5), dtype=bool)) == []


def test_pixels_that_touch_at_a_corner_are_two_parts() -> None:
    assert len(polygons_of(np.eye(2, dtype=bool))) == 2


def test_a_hole_is_kept_in_the_one_polygon_of_its_part() -> None:
    mask = ring()
    polygons = polygons_of(mask)
    assert len(polygons) == 1
    np.testing.assert_array_equal(drawn(polygons, *mask.shape), mask)


def test_an_object_that_fills_the_image() -> None:
    assert polygons_of(np.ones((3, 4), dtype=bool)) == [[0, 0, 4, 0, 4, 3, 0, 3]]


@pytest.mark.parametrize("seed", range(40))
def test_any_mask_is_drawn_as_it_was(seed: int) -> None:
    """Noise has parts in holes of parts, borders that meet at corners, and the image's edges."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 24, 2)
    mask = rng.random((height, width)) < rng.choice([0.2, 0.5, 0.8])
    polygons = polygons_of(mask)
    if mask.any():
        np.testing.assert_array_equal(drawn(polygons, int(height), int(width)), mask)
