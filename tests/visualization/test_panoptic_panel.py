"""The picture of images, panoptic ground truth and prediction."""

import numpy as np
import pytest
from detectron2.data import Metadata

from detr_d2.visualization import PanopticSample, draw_panel, draw_segments, fit_image

METADATA = Metadata(
    thing_classes=["ball", "sky", "sea"],
    stuff_classes=["ball", "sky", "sea"],
    thing_colors=[(255, 0, 255), (0, 128, 255), (10, 90, 10)],
    stuff_colors=[(255, 0, 255), (0, 128, 255), (10, 90, 10)],
)


def make_sample(seed: int) -> PanopticSample:
    rng = np.random.default_rng(seed)
    truth = np.ones((48, 64), dtype=np.int64)
    truth[10:30, 10:30] = 2
    segments = [
        {"id": 1, "isthing": False, "category_id": 1},
        {"id": 2, "isthing": True, "category_id": 0},
    ]
    image = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return PanopticSample(image, f"{seed}.png", (truth, segments), (np.roll(truth, 20), segments), "found 1")


def positions(page: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:
    """Where a picture lies on a page, pixel for pixel."""
    starts = np.argwhere((page[: -len(picture), : -picture.shape[1]] == picture[0, 0]).all(-1))
    height, width = picture.shape[:2]
    return [(y, x) for y, x in starts.tolist() if (page[y : y + height, x : x + width] == picture).all()]


def test_image_truth_and_prediction_of_every_sample_are_side_by_side() -> None:
    samples = [make_sample(seed) for seed in range(3)]
    page = draw_panel(samples, METADATA, image_size=128)
    tops = []
    for sample in samples:
        pictures = [
            fit_image(sample.image, 128)[0],
            draw_segments(sample.image, *sample.truth, METADATA, 128),
            draw_segments(sample.image, *sample.prediction, METADATA, 128),
        ]
        (image,), (truth,), (prediction,) = (positions(page, picture) for picture in pictures)
        assert image[0] == truth[0] == prediction[0]
        assert truth[1] - image[1] == prediction[1] - truth[1] > 128
        tops.append(image[0])
    assert tops == sorted(set(tops))


def test_the_legend_has_the_classes_that_are_shown() -> None:
    page = draw_panel([make_sample(0)], METADATA, image_size=128)
    for color, shown in zip(METADATA.thing_colors, (True, True, False), strict=True):
        assert ((page == color).all(axis=2).sum() > 100) == shown


def test_no_images_is_an_error() -> None:
    with pytest.raises(ValueError, match="no images to draw"):
        draw_panel([])
