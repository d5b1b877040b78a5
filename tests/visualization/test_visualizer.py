"""Boxes and labels on one image."""

import warnings

import numpy as np
import pytest
from detectron2.data import Metadata
from detectron2.utils.visualizer import Visualizer

from detr_d2.visualization import Detections, DetectionVisualizer, class_colors, fit_image
from detr_d2.visualization.colors import text_color

GRAY = 128


def picture_of(boxes: list[list[float]], classes: list[int], **options: object) -> np.ndarray:
    """Draw on a gray image of 300 x 300 pixels; class 0 is pure red, class 1 pure blue."""
    metadata = Metadata(thing_classes=["one", "two"], thing_colors=[(255, 0, 0), (0, 0, 255)])
    visualizer = DetectionVisualizer(np.full((300, 300, 3), GRAY, dtype=np.uint8), metadata)
    detections = Detections(
        np.asarray(boxes, dtype=np.float64).reshape(-1, 4),
        np.asarray(classes, dtype=np.int64),
        np.asarray(options.pop("crowd", [False] * len(classes)), dtype=np.bool_),
        np.asarray(options.pop("scores")) if "scores" in options else None,
        np.asarray(options.pop("masks")) if "masks" in options else None,
    )
    return visualizer.draw_detections(detections, **options).get_image()  # type: ignore[arg-type]


def reddish(picture: np.ndarray) -> np.ndarray:
    pixels = picture.astype(int)
    return (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] < 60)


def test_it_is_detectron2s_visualizer() -> None:
    assert issubclass(DetectionVisualizer, Visualizer)


def test_outline_lies_on_the_box_in_the_color_of_the_class() -> None:
    picture = picture_of([[100, 120, 200, 240]], [0])
    assert picture.shape == (300, 300, 3)
    for x, y in ((100, 180), (200, 180), (150, 240), (199, 121)):
        assert reddish(picture[y - 1 : y + 2, x - 1 : x + 2]).any(), (x, y)
    # Nothing inside, and nothing far from box and label.
    assert (picture[130:230, 110:190] == GRAY).all()
    assert (picture[:, :90] == GRAY).all()
    assert (picture[250:] == GRAY).all()


def test_coordinates_grow_with_the_factor() -> None:
    drawn_twice_as_large = picture_of([[50, 60, 100, 120]], [0], factor=2.0)
    assert np.array_equal(drawn_twice_as_large, picture_of([[100, 120, 200, 240]], [0]))


def test_masks_are_filled_with_the_color_of_their_class() -> None:
    masks = np.zeros((2, 150, 150), dtype=np.bool_)
    masks[0, 30:60, 40:60] = masks[1, 100:140, 100:140] = True
    boxes = [[40, 30, 100, 100], [100, 100, 140, 140]]
    picture = picture_of(boxes, [0, 1], masks=masks, factor=2.0).astype(int)
    assert (picture[70:110, 90:110, 0] - picture[70:110, 90:110, 2] > 80).all(), "red where the first mask is"
    assert (picture[140:180, 140:180] == GRAY).all(), "not in the rest of its box"
    assert (picture[220:260, 220:260, 2] - picture[220:260, 220:260, 0] > 80).all()


def test_dashes_leave_gaps_where_solid_outlines_do_not() -> None:
    box = [[50.0, 50.0, 250.0, 250.0]]
    solid = reddish(picture_of(box, [0], solid=np.array([True])))[100:240, 249:252].any(axis=1)
    dashed = reddish(picture_of(box, [0], solid=np.array([False])))[100:240, 249:252].any(axis=1)
    assert solid.all()
    assert 0.3 < dashed.mean() < 0.9
    assert np.abs(np.diff(dashed.astype(int))).sum() >= 10


def test_labels_of_equal_boxes_do_not_cover_each_other() -> None:
    one = reddish(picture_of([[100, 100, 200, 200]], [0])).sum()
    three = reddish(picture_of([[100, 100, 200, 200]] * 3, [0, 0, 0])).sum()
    # Outlines coincide; each further label adds its own area of some 20 x 12 pixels.
    assert three - one > 2 * 150


def test_labels_stay_inside_the_image() -> None:
    for box in ([0, 0, 300, 300], [280, 0, 300, 20], [0, 280, 20, 300]):
        visualizer = DetectionVisualizer(np.zeros((300, 300, 3), dtype=np.uint8))
        detections = Detections(
            np.array([box], dtype=float), np.array([7]), np.array([False]), np.array([0.5])
        )
        output = visualizer.draw_detections(detections)
        (label,) = output.ax.texts
        assert label.get_text() == "class 7 0.50"
        extent = label.get_window_extent(output.canvas.get_renderer())
        assert extent.x0 >= 0
        assert extent.y0 >= 0
        assert extent.x1 <= 300
        assert extent.y1 <= 300


def test_labels_hold_name_crowd_and_score() -> None:
    metadata = Metadata(thing_classes=["cat", "dog"])
    visualizer = DetectionVisualizer(np.zeros((200, 200, 3), dtype=np.uint8), metadata)
    boxes = np.array([[0, 0, 150, 150], [10, 10, 50, 50]], dtype=float)
    output = visualizer.draw_detections(
        Detections(boxes, np.array([1, 0]), np.array([False, True]), np.array([0.987, 0.1]))
    )
    assert [text.get_text() for text in output.ax.texts] == ["dog 0.99", "cat (crowd) 0.10"]


def test_an_image_without_boxes_stays_as_it_is() -> None:
    assert (picture_of([], []) == GRAY).all()


def test_drawing_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture_of([[100, 100, 200, 200], [10, 10, 290, 60]], [0, 1], scores=[0.4, 0.6])


@pytest.mark.parametrize(("height", "width"), [(128, 128), (64, 128), (900, 600), (1, 500)])
def test_images_are_fitted_by_their_longer_side(height: int, width: int) -> None:
    scaled, factor = fit_image(np.full((height, width, 3), 77, dtype=np.uint8), 400)
    assert factor == 400 / max(height, width)
    assert max(scaled.shape[:2]) == 400
    assert min(scaled.shape[:2]) == max(1, round(min(height, width) * factor))
    assert (scaled == 77).all()


def test_colors_of_classes_differ_and_do_not_depend_on_their_number() -> None:
    many = class_colors(80)
    assert class_colors(3) == many[:3]
    assert len({tuple(round(channel * 255) for channel in color) for color in many}) == 80
    assert class_colors(2, [(255, 0, 51)]) == [(1.0, 0.0, 0.2), many[1]]


def test_text_is_dark_on_light_and_light_on_dark() -> None:
    assert text_color((1.0, 1.0, 0.2)) == "black"
    assert text_color((0.2, 0.0, 0.5)) == "white"
