"""Objects of large images, found in slices."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from detr_d2.errors import UserError
from detr_d2.predict.tiles import Tiles

from .finders import BrightRectangles, rectangles

pytest.importorskip("supervision")


def found_in(instances: Any) -> dict[tuple[float, ...], int]:
    boxes = map(tuple, instances.pred_boxes.tensor.tolist())
    return dict(zip(boxes, instances.pred_classes.tolist(), strict=True))


@pytest.mark.parametrize("at_once", [1, 3])
def test_every_object_not_larger_than_the_overlap_is_found_once_and_whole(at_once: int) -> None:
    image, boxes = rectangles(230, 310, largest=24, number=40)
    finder: Any = BrightRectangles()
    instances = Tiles(64, 24)(finder, image, 0.0, at_once)
    assert found_in(instances) == boxes
    assert len(instances) == len(boxes)
    assert instances.image_size == (230, 310)
    scores = instances.scores.tolist()
    assert scores == sorted(scores, reverse=True)
    assert finder.shapes == {(64, 64, 3)}
    assert max(finder.sizes) == at_once


def test_masks_are_those_of_the_whole_objects() -> None:
    image, boxes = rectangles(100, 130, largest=16, number=12, seed=1)
    finder: Any = BrightRectangles(masks=True)
    instances = Tiles(48, 16)(finder, image, 0.0)
    assert found_in(instances) == boxes
    for (x0, y0, x1, y1), mask in zip(
        instances.pred_boxes.tensor.int().tolist(), instances.pred_masks, strict=True
    ):
        expected = np.zeros((100, 130), bool)
        expected[y0:y1, x0:x1] = True
        np.testing.assert_array_equal(mask, expected)
    some = instances[instances.pred_classes == 1]
    assert 0 < len(some.pred_masks) < len(instances)
    whole = [
        mask.sum()
        for mask, kind in zip(instances.pred_masks, instances.pred_classes, strict=True)
        if kind == 1
    ]
    assert [mask.sum() for mask in some[1:].pred_masks] == whole[1:]


def test_an_object_larger_than_the_overlap_is_put_together_of_parts() -> None:
    image = np.zeros((64, 100, 3), np.uint8)
    image[20:30, 30:80] = 100
    finder: Any = BrightRectangles()
    instances = Tiles(64, 32)(finder, image, 0.0)  # slices from 0, 32 and 36 on
    assert found_in(instances) == {(30, 20, 80, 30): 0}


def test_what_is_not_sure_is_left_out_before_anything_is_merged() -> None:
    image, boxes = rectangles(100, 100, largest=20, number=8)
    finder: Any = BrightRectangles()
    least = 0.02
    expected = {box: kind for box, kind in boxes.items() if (box[2] - box[0]) * (box[3] - box[1]) >= 200}
    assert 0 < len(expected) < len(boxes)
    assert found_in(Tiles(64, 20)(finder, image, least)) == expected


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("size", [(200, 200), (20, 30), (64, 64)])
def test_images_without_objects_and_smaller_than_a_slice(size: tuple[int, int], masks: bool) -> None:
    finder: Any = BrightRectangles(masks)
    image = np.zeros((*size, 3), np.uint8)
    none = Tiles(64)(finder, image, 0.0)
    assert len(none) == 0
    assert none.pred_boxes.tensor.shape == (0, 4)
    assert not masks or len(none.pred_masks) == 0
    image[3:12, 5:14] = 110
    assert found_in(Tiles(64)(finder, image, 0.0)) == {(5, 3, 14, 12): 1}


def test_the_overlap_is_a_quarter_if_nothing_else_is_asked_for() -> None:
    assert Tiles(640).overlap == 160
    assert Tiles(640, 0).overlap == 0


@pytest.mark.parametrize(("size", "overlap"), [(0, None), (-5, None), (15, None), (64, 64), (64, -1)])
def test_slices_that_do_not_go_on_are_refused(size: int, overlap: int | None) -> None:
    with pytest.raises(UserError, match=str(size if overlap is None else overlap)):
        Tiles(size, overlap)


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match=r"pip install.*tiles"):
        Tiles(64)
