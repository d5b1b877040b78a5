"""Panoptic segmentations as pictures, drawn by us and by Detectron2."""

import numpy as np
import pytest
from detectron2.data import Metadata

from detr_d2.visualization import draw_segments, instance_color, segment_colors
from detr_d2.visualization.labels import LabelVisualizer
from detr_d2.visualization.segments import _innermost

METADATA = Metadata(
    thing_classes=["ball", "box", "sky"],
    stuff_classes=["ball", "box", "sky"],
    thing_colors=[(200, 0, 0), (0, 200, 0), (0, 0, 200)],
    stuff_colors=[(200, 0, 0), (0, 200, 0), (0, 0, 200)],
)
SEGMENTS = [
    {"id": 1, "isthing": False, "category_id": 2, "score": 0.9},
    {"id": 4, "isthing": True, "category_id": 0, "score": 0.8},
    {"id": 5, "isthing": True, "category_id": 0, "score": 0.7},
]


def make_ids() -> np.ndarray:
    """Sky with two balls that touch, and a column without a segment."""
    ids = np.ones((32, 64), dtype=np.int64)
    ids[10:22, 10:26] = 4
    ids[10:22, 26:42] = 5
    ids[:, 60:] = 0
    return ids


def drawn(monkeypatch: pytest.MonkeyPatch, gray: int = 100) -> np.ndarray:
    """The picture, 10 pixels for each of the map, without labels."""
    monkeypatch.setattr(LabelVisualizer, "draw_label", lambda *args, **kwargs: None)
    image = np.full((32, 64, 3), gray, dtype=np.uint8)
    return draw_segments(image, make_ids(), SEGMENTS, METADATA, size=640)


def test_pixels_have_the_color_of_their_segment_mixed_with_gray(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = drawn(monkeypatch)
    assert picture.shape == (320, 640, 3)
    for segment, color, (y, x) in zip(
        SEGMENTS, segment_colors(SEGMENTS, METADATA), ((50, 50), (160, 180), (160, 340)), strict=True
    ):
        expected = 0.4 * 100 + 0.6 * 255 * np.array(color)
        assert np.abs(picture[y, x] - expected).max() <= 1, segment
    assert picture[50, 620].max() < 80, "dark where there is no segment"


def test_things_of_one_class_have_different_shades_and_stuff_its_class_color() -> None:
    sky, one, other = segment_colors(SEGMENTS, METADATA)
    assert sky == pytest.approx((0, 0, 200 / 255))
    assert one == pytest.approx((200 / 255, 0, 0))
    assert other != one


@pytest.mark.parametrize("color", [(0.8, 0.1, 0.1), (0.0, 0.5, 0.5), (0.9, 0.9, 0.2), (0.1, 0.1, 0.1)])
def test_shades_do_not_repeat(color: tuple[float, float, float]) -> None:
    shades = [tuple(round(255 * channel) for channel in instance_color(color, k)) for k in range(12)]
    assert len(set(shades)) == 12 if max(color) - min(color) > 0.5 else len(set(shades)) >= 3
    assert all(0 <= channel <= 255 for shade in shades for channel in shade)


def test_borders_are_drawn_between_segments_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = drawn(monkeypatch)
    assert (picture[160, 259] == 255).all(), "the last pixel of one ball"
    assert (picture[160, 260] == 0).all(), "the first of the other"
    line = (picture == 255).all(-1) | (picture == 0).all(-1)
    assert np.flatnonzero(line[160]).tolist() == [99, 100, 259, 260, 419, 420, 599, 600]
    assert np.flatnonzero(line[:, 180]).tolist() == [99, 100, 219, 220]


def test_every_segment_is_named_once_inside_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, tuple[float, ...]]] = []
    monkeypatch.setattr(
        LabelVisualizer,
        "draw_label",
        lambda self, text, box, color, inside: written.append((text, box)),
    )
    segments = [*SEGMENTS[:2], {**SEGMENTS[2], "iscrowd": 1}]
    draw_segments(np.zeros((32, 64, 3), dtype=np.uint8), make_ids(), segments, METADATA, size=640)
    assert sorted(text for text, _ in written) == ["ball (crowd) 0.70", "ball 0.80", "sky 0.90"]
    for text, (x, y, _, _) in written:
        number = {"sky 0.90": 1, "ball 0.80": 4, "ball (crowd) 0.70": 5}[text]
        assert make_ids()[int(y) // 10, int(x) // 10] == number


def test_the_middle_of_a_segment_is_its_pixel_farthest_from_others() -> None:
    mask = np.zeros((40, 60), dtype=np.bool_)
    mask[5:8, :] = True  # a long tail
    mask[10:31, 20:41] = mask[8:10, 30] = True
    assert _innermost(mask)[:2] == (30, 20)


def test_a_segment_that_the_map_has_not_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(LabelVisualizer, "draw_label", lambda self, text, *_, **__: written.append(text))
    absent = {"id": 9, "isthing": True, "category_id": 1, "score": 0.9}
    draw_segments(np.zeros((32, 64, 3), dtype=np.uint8), make_ids(), [*SEGMENTS, absent], METADATA)
    assert "box 0.90" not in written
    assert len(written) == len(SEGMENTS)


def test_classes_without_names_and_colors_are_numbered() -> None:
    picture = draw_segments(np.zeros((32, 64, 3), dtype=np.uint8), make_ids(), SEGMENTS, None, size=320)
    assert picture.shape == (160, 320, 3)
