"""The published resize rule and policy, against hand-worked sizes and formulas in whole numbers."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, HFlipTransform, NoOpTransform
from PIL import Image

from detr_d2.data import ResizeShortestEdgeTruncate, build_augmentation
from detr_d2.data.augmentation import truncated_size


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (800, 1066)),  # 1066.67, truncated where Detectron2 rounds
        ((640, 480), (1066, 800)),
        ((200, 640), (417, 1334)),  # 1333 * 200 / 640 = 416.56, then 417 * 3.2 = 1334.4
        ((640, 200), (1334, 417)),
        ((427, 640), (800, 1199)),
        ((500, 500), (800, 800)),
        ((800, 1333), (800, 1333)),
        ((3, 4000), (1, 1333)),
        ((1, 4000), (1, 4000)),  # 0.33 rounds to nothing: a side keeps a pixel
    ],
)
def test_hand_worked_sizes(size, expected):
    assert truncated_size(*size, 800, 1333) == expected


def test_sizes_over_a_sweep_equal_an_exact_formula():
    """In decimal fractions of 50 digits, width and height first, as the facts say it."""
    rng = np.random.default_rng(0)
    bound = 0
    for _ in range(3000):
        width, height = (int(side) for side in rng.integers(40, 1500, 2))
        shorter, limit = int(rng.choice([400, 480, 512, 600, 800])), int(rng.choice([600, 1000, 1333]))
        low, high = Decimal(min(width, height)), Decimal(max(width, height))
        target = Decimal(shorter)
        if high / low * target > limit:
            bound += 1
            target = (limit * low / high).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
        expected_w = int(target if width < height else target * width / height)
        expected_h = int(target * height / width if width < height else target)
        assert truncated_size(height, width, shorter, limit) == (expected_h, expected_w), (width, height)
    assert 300 < bound < 2700


def test_detectron2_rounds_where_ours_truncates():
    assert T.ResizeShortestEdge.get_output_shape(480, 640, 800, 1333) == (800, 1067)


def test_images_are_resampled_as_pillow_does(rng_image):
    resize = ResizeShortestEdgeTruncate([37], 60)
    augmented = T.AugInput(rng_image)
    resize(augmented)
    expected = Image.fromarray(rng_image).resize((49, 37), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(augmented.image, np.asarray(expected))


@pytest.fixture
def rng_image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def test_choice_and_range_draw_from_their_lengths(rng_image):
    np.random.seed(0)
    choice, range_ = ResizeShortestEdgeTruncate([20, 30]), ResizeShortestEdgeTruncate([20, 23], None, "range")
    assert {choice.get_transform(rng_image).new_h for _ in range(50)} == {20, 30}
    assert {range_.get_transform(rng_image).new_h for _ in range(100)} == {20, 21, 22, 23}


@pytest.mark.parametrize(
    ("lengths", "style"),
    [([], "choice"), ([0, 5], "choice"), ([3], "range"), ([9, 3], "range"), ([3], "some")],
)
def test_impossible_lengths_are_errors(lengths, style):
    with pytest.raises(ValueError, match="resize"):
        ResizeShortestEdgeTruncate(lengths, None, style)


def publish(cfg) -> None:
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.TYPE = "absolute_range"
    cfg.INPUT.CROP.SIZE = [384, 600]
    cfg.INPUT.CROP.RESIZE_SHORTEST_EDGE = (400, 500, 600)
    cfg.INPUT.MIN_SIZE_TRAIN = tuple(range(480, 801, 32))
    cfg.INPUT.MAX_SIZE_TRAIN = 1333


def test_the_published_policy_is_followed_in_training(data_config):
    publish(data_config)
    augmentation = T.AugmentationList(build_augmentation(data_config, is_train=True))
    image = np.zeros((480, 640, 1), dtype=np.uint8)
    np.random.seed(0)
    flips = crops = 0
    first_sizes, crop_sides, last_sizes, starts = set(), set(), set(), set()
    for _ in range(600):
        steps = [
            step for step in flatten(augmentation(T.AugInput(image))) if not isinstance(step, NoOpTransform)
        ]
        if isinstance(steps[0], HFlipTransform):
            flips += 1
            steps = steps[1:]
        if len(steps) > 1:
            crops += 1
            first, crop = steps[0], steps[1]
            assert isinstance(crop, CropTransform)
            # No limit on the first resize's longer side: 600 x 800 of 480 x 640.
            assert first.new_w == first.new_h * 640 // 480
            first_sizes.add(first.new_h)
            assert 384 <= crop.h <= min(first.new_h, 600)
            assert 384 <= crop.w <= min(first.new_w, 600)
            assert 0 <= crop.x0 <= first.new_w - crop.w
            assert 0 <= crop.y0 <= first.new_h - crop.h
            crop_sides |= {crop.h, crop.w}
            starts.add(crop.x0)
            h, w = crop.h, crop.w
        else:
            h, w = 480, 640
        last = steps[-1]
        assert (last.h, last.w) == (h, w)
        assert (last.new_h, last.new_w) in {truncated_size(h, w, s, 1333) for s in range(480, 801, 32)}
        last_sizes.add(min(last.new_h, last.new_w))
    assert 240 < flips < 360
    assert 240 < crops < 360
    assert first_sizes == {400, 500, 600}
    assert min(crop_sides) == 384
    assert max(crop_sides) == 600, "both ends of the range are drawn"
    assert last_sizes >= set(range(480, 801, 32))
    assert len(starts) > 50


def flatten(transforms) -> list:
    """The single transforms in nested lists of them."""
    if hasattr(transforms, "transforms"):
        return [step for part in transforms.transforms for step in flatten(part)]
    return [transforms]


def test_images_smaller_than_the_crop_are_not_cropped_along_that_side(data_config):
    publish(data_config)
    data_config.INPUT.CROP.RESIZE_SHORTEST_EDGE = (100,)
    augmentation = T.AugmentationList(build_augmentation(data_config, is_train=True))
    np.random.seed(0)
    for _ in range(20):
        augmentation(T.AugInput(np.zeros((480, 3000, 3), dtype=np.uint8)))
    sizes = set()
    for _ in range(30):
        for step in flatten(augmentation(T.AugInput(np.zeros((480, 480, 3), dtype=np.uint8)))):
            if isinstance(step, CropTransform):
                sizes.add((step.h, step.w))
    assert sizes == {(100, 100)}


def test_evaluation_only_resizes(data_config):
    data_config.INPUT.MIN_SIZE_TEST, data_config.INPUT.MAX_SIZE_TEST = 800, 1333
    augmented = T.AugInput(np.zeros((480, 640, 3), dtype=np.uint8))
    T.AugmentationList(build_augmentation(data_config, is_train=False))(augmented)
    assert augmented.image.shape == (800, 1066, 3)


def test_a_test_size_of_zero_leaves_images_as_they_are(data_config):
    data_config.INPUT.MIN_SIZE_TEST = 0
    augmented = T.AugInput(np.zeros((481, 640, 3), dtype=np.uint8))
    T.AugmentationList(build_augmentation(data_config, is_train=False))(augmented)
    assert augmented.image.shape == (481, 640, 3)


def test_flip_can_be_switched_off_and_be_vertical(data_config):
    data_config.INPUT.CROP.ENABLED = False
    data_config.INPUT.RANDOM_FLIP = "none"
    assert len(build_augmentation(data_config, is_train=True)) == 1
    data_config.INPUT.RANDOM_FLIP = "vertical"
    assert build_augmentation(data_config, is_train=True)[0].vertical


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("RANDOM_FLIP", "diagonal", r"INPUT\.RANDOM_FLIP"),
        ("MIN_SIZE_TRAIN", (), r"INPUT\.MIN_SIZE_TRAIN"),
        ("MIN_SIZE_TRAIN_SAMPLING", "some", r"INPUT\.MIN_SIZE_TRAIN"),
    ],
)
def test_unsupported_values_name_the_key(data_config, key, value, message):
    data_config.INPUT[key] = value
    with pytest.raises(ValueError, match=message):
        build_augmentation(data_config, is_train=True)


def test_a_reversed_crop_range_names_the_key(data_config):
    data_config.INPUT.CROP.SIZE = [600, 384]
    with pytest.raises(ValueError, match=r"INPUT\.CROP\.SIZE"):
        build_augmentation(data_config, is_train=True)


def test_relative_crops_want_shares(data_config):
    data_config.INPUT.CROP.TYPE = "relative_range"
    data_config.INPUT.CROP.SIZE = [384, 600]
    with pytest.raises(
        ValueError, match=r"INPUT\.CROP\.SIZE must be shares in \(0, 1\] for 'relative_range'"
    ):
        build_augmentation(data_config, is_train=True)
