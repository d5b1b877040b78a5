"""The picture of ground truth beside predictions."""

import numpy as np
import pytest
from detectron2.data import Metadata
from scipy import ndimage

from detr_d2.visualization import Detections, PanelSample, class_colors, draw_panel

COLORS = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (30, 200, 200)]


def make_sample(
    color: tuple[int, int, int], boxes: int = 0, height: int = 64, width: int = 64
) -> PanelSample:
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[:] = color
    drawn = np.array([[10, 20, 40, 50]] * boxes, dtype=np.float64).reshape(-1, 4)
    found = Detections(drawn, np.zeros(boxes, dtype=np.int64), np.zeros(boxes, dtype=np.bool_))
    scored = Detections(found.boxes, found.classes, found.crowd, np.full(boxes, 0.9))
    return PanelSample(image, "sample.png", found, scored)


def places(picture: np.ndarray, color: tuple[int, int, int]) -> list[tuple[slice, slice]]:
    """Return the bounding slices of every connected region of exactly this color, from left to right."""
    labels, _ = ndimage.label((picture == color).all(axis=2))
    return sorted(
        (place for place in ndimage.find_objects(labels) if place[0].stop - place[0].start > 40),
        key=lambda place: place[1].start,
    )


@pytest.mark.parametrize(("number", "columns"), [(1, 1), (3, 1), (4, 2), (5, 2)])
def test_every_image_is_there_twice_side_by_side(number: int, columns: int) -> None:
    picture = draw_panel([make_sample(color) for color in COLORS[:number]], image_size=120)
    starts = []
    for color in COLORS[:number]:
        truth, predictions = places(picture, color)
        assert truth[0] == predictions[0]
        for place in (truth, predictions):
            assert [side.stop - side.start for side in place] == [120, 120]
        assert 0 < predictions[1].start - truth[1].stop < 30
        starts.append((truth[0].start, truth[1].start))
    # Row by row, from left to right.
    assert starts == sorted(starts)
    assert len({x for _, x in starts}) == columns
    assert len({y for y, _ in starts}) == -(-number // columns)


def test_images_of_different_shapes_keep_theirs() -> None:
    samples = [make_sample(COLORS[0], height=32, width=64), make_sample(COLORS[1], height=64, width=32)]
    picture = draw_panel(samples, image_size=128)
    for color, size in ((COLORS[0], [64, 128]), (COLORS[1], [128, 64])):
        for place in places(picture, color):
            assert [side.stop - side.start for side in place] == size


def test_boxes_are_drawn_on_both_sides_at_the_same_place() -> None:
    metadata = Metadata(thing_classes=["thing"], thing_colors=[(255, 0, 255)])
    picture = draw_panel([make_sample((10, 10, 10), boxes=1)], metadata, image_size=128)
    labels, _ = ndimage.label((picture == (10, 10, 10)).all(axis=2))
    # The ground around the box, once on each side.
    left, right = sorted(
        (place for place in ndimage.find_objects(labels) if place[1].stop - place[1].start > 100),
        key=lambda place: place[1].start,
    )
    for place in (left, right):
        top, start = place[0].start, place[1].start
        pixels = picture[top : top + 128, start : start + 128].astype(int)
        magenta = (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] > 200)
        # The box (10, 20, 40, 50) at twice its size; rows below the label.
        columns = np.flatnonzero(magenta[70:95].all(axis=0))
        assert columns.min() == pytest.approx(20, abs=2)
        assert columns.max() == pytest.approx(80, abs=2)
        rows = np.flatnonzero(magenta[:, 30:75].all(axis=1))
        assert rows.max() == pytest.approx(100, abs=2)


def test_the_legend_shows_the_class_in_its_color_below_the_images() -> None:
    metadata = Metadata(thing_classes=["one", "two"], thing_colors=[(255, 0, 255), (0, 128, 255)])
    picture = draw_panel([make_sample(COLORS[0])], metadata, image_size=120)
    bottom = places(picture, COLORS[0])[0][0].stop
    for color in metadata.thing_colors:
        assert (picture[bottom:] == color).all(axis=2).sum() > 100
        assert not (picture[:bottom] == color).all(axis=2).any()


def test_title_and_subtitle_are_drawn_above_the_images() -> None:
    blank = draw_panel([make_sample(COLORS[0])], title="", image_size=120)
    titled = draw_panel([make_sample(COLORS[0])], title="A title", image_size=120)
    assert blank.shape == titled.shape
    changed = np.flatnonzero((blank != titled).any(axis=(1, 2)))
    assert 5 < len(changed) < 40
    assert changed.max() < places(titled, COLORS[0])[0][0].start
    subtitled = draw_panel([make_sample(COLORS[0])], subtitle="many words " * 20, image_size=120)
    assert subtitled.shape[0] > blank.shape[0] + 40
    assert subtitled.shape[1] == blank.shape[1]


def test_names_may_hold_anything() -> None:
    sample = make_sample(COLORS[0])
    names = ("$x_{", "a" * 300, "ü_%$#.png")
    for name in names:
        draw_panel([PanelSample(sample.image, name, sample.truth, sample.predictions)], title=name)


@pytest.mark.parametrize("name", ["a$x_{", "_background_", "%", "two words"])
def test_classes_may_have_any_name(name: str) -> None:
    metadata = Metadata(thing_classes=[name], thing_colors=[(255, 0, 255)])
    picture = draw_panel([make_sample(COLORS[0], boxes=1)], metadata, image_size=120)
    assert (picture[-60:] == (255, 0, 255)).all(axis=2).sum() > 100, "in the legend"


@pytest.mark.parametrize("size", [32, 64, 400])
@pytest.mark.parametrize("number", [1, 12])
def test_nothing_reaches_into_the_margins_and_the_legend_lies_below_the_images(
    size: int, number: int
) -> None:
    metadata = Metadata(thing_classes=[f"class number {index}" for index in range(number)])
    words = "Many words " * 20
    picture = draw_panel([make_sample(COLORS[0])], metadata, title=words, subtitle=words, image_size=size)
    drawn = (picture != 255).any(axis=2)
    for side in (drawn[:20], drawn[-20:], drawn[:, :20], drawn[:, -20:]):
        assert not side.any()
    bottom = np.flatnonzero((picture == COLORS[0]).all(axis=2).any(axis=1)).max()
    assert not drawn[bottom + 1 : bottom + 15].any()
    legend = picture[bottom + 15 :].astype(int)
    for color in class_colors(number):
        assert (np.abs(legend - 255 * np.array(color)).max(axis=2) <= 1).sum() > 100


def test_no_images_is_an_error() -> None:
    with pytest.raises(ValueError, match="no images to draw"):
        draw_panel([])


@pytest.mark.parametrize("size", [-1, 0, 31])
def test_an_image_size_too_small_for_a_picture_is_an_error(size: int) -> None:
    with pytest.raises(ValueError, match="image_size must be at least"):
        draw_panel([make_sample(COLORS[0])], image_size=size)
