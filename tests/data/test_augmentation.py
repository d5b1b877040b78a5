"""The published resize rule and policy, against hand-worked sizes and formulas in whole numbers."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, HFlipTransform, NoOpTransform
from PIL import Image

from detr_d2.data import ResizeShortestEdgeTruncate, build_augmentation
from detr_d2.data.augmentation import RandomCropOfPixels, truncated_size
from detr_d2.errors import ConfigError


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
        ((1, 4000), (1, 1333)),  # 0.33 rounds to nothing: a side keeps a pixel
        ((2000, 1), (1333, 1)),  # 0.67 rounds to 1, which would leave 2000
        ((2, 3000), (1, 1333)),
        ((20, 3000), (9, 1333)),  # 8.89, then 9 * 150 = 1350
        ((1, 1), (800, 800)),
    ],
)
def test_hand_worked_sizes(size, expected):
    assert truncated_size(*size, 800, 1333) == expected


def kinds(cfg: CfgNode, train: bool = True) -> list[str]:
    return [type(augmentation).__name__ for augmentation in build_augmentation(cfg, train)]


@pytest.mark.parametrize("crop", [False, True])
def test_the_strength_of_augmentation(data_config: CfgNode, crop: bool) -> None:
    cfg = data_config
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = crop, "absolute_range", (30, 40)
    flip, resize, crops = "RandomFlip", "ResizeShortestEdgeTruncate", ["RandomApply"]
    assert kinds(cfg) == [flip, *(crops if crop else []), resize]
    cfg.INPUT.AUGMENTATION = "light"
    assert kinds(cfg) == [flip, resize]
    cfg.INPUT.AUGMENTATION = "strong"
    colors = ["RandomBrightness", "RandomContrast", "RandomSaturation"]
    assert kinds(cfg) == [flip, *colors, *crops, resize]
    assert kinds(cfg, train=False) == [resize]
    cfg.INPUT.FORMAT = "L"
    assert "RandomSaturation" not in kinds(cfg)


def test_an_unknown_strength_is_named(data_config: CfgNode) -> None:
    data_config.INPUT.AUGMENTATION = "heavy"
    with pytest.raises(ConfigError, match=r"INPUT\.AUGMENTATION"):
        build_augmentation(data_config, True)


def test_strong_augmentation_changes_colors_and_cuts_less_than_half_of_a_side(data_config: CfgNode) -> None:
    cfg = data_config
    cfg.INPUT.AUGMENTATION, cfg.INPUT.MIN_SIZE_TRAIN = "strong", (0,)
    cfg.INPUT.RANDOM_FLIP, cfg.INPUT.CROP.ENABLED = "none", False
    np.random.seed(0)
    image = np.full((50, 80, 3), (60, 120, 200), dtype=np.uint8)
    augment, sizes, means = T.AugmentationList(build_augmentation(cfg, True)), set(), set()
    for _ in range(60):
        inputs = T.AugInput(image)
        augment(inputs)
        assert inputs.image.dtype == np.uint8
        sizes.add(inputs.image.shape[:2])
        means.add(round(float(inputs.image.mean())))
    assert (50, 80) in sizes
    assert len(sizes) > 10
    assert all(30 <= height <= 50 and 48 <= width <= 80 for height, width in sizes)
    assert max(means) - min(means) > 40


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
            # The first resize's longer side goes beyond MAX_SIZE_TRAIN's share: 600 x 800 of 480 x 640.
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


@pytest.mark.parametrize("size", [(480, 640), (400, 1333), (1333, 400), (60, 599)])
def test_the_resize_before_the_crop_has_no_bound_for_ordinary_images(size):
    resize = ResizeShortestEdgeTruncate([400]).get_transform(np.zeros((*size, 3), dtype=np.uint8))
    assert (resize.new_h, resize.new_w) == truncated_size(*size, 400)


@pytest.mark.parametrize(
    "size", [(4, 2000), (2000, 4), (1, 2000), (1, 100_000), (100_000, 1), (1, 1), (3, 2)]
)
def test_narrow_images_stay_small_at_every_step_and_keep_a_pixel(data_config, size):
    publish(data_config)
    image = np.zeros((*size, 3), dtype=np.uint8)
    np.random.seed(0)
    cropped = 0
    for is_train, rounds in ((True, 20), (False, 1)):
        augmentation = T.AugmentationList(build_augmentation(data_config, is_train))
        for _ in range(rounds):
            steps = flatten(augmentation(T.AugInput(image)))
            sizes = [(s.new_h, s.new_w) for s in steps if isinstance(s, T.ResizeTransform)]
            crops = [(s.h, s.w) for s in steps if isinstance(s, CropTransform)]
            cropped += len(crops)
            assert min(map(min, sizes + crops)) >= 1
            assert max(map(max, sizes[:-1]), default=0) <= 6000, "ten times the longest of the shorter sides"
            assert max(sizes[-1]) <= 1400, "1333 and a twentieth"
    assert cropped


@pytest.mark.parametrize("kind", ["relative", "relative_range", "absolute", "absolute_range"])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 1)])
def test_crops_keep_a_pixel_of_each_side(data_config, kind, size):
    data_config.INPUT.CROP.ENABLED = True
    data_config.INPUT.CROP.TYPE = kind
    data_config.INPUT.CROP.SIZE = [0.1, 0.1] if "relative" in kind else [1, 2]
    data_config.INPUT.CROP.RESIZE_SHORTEST_EDGE = (0,)
    augmentation = T.AugmentationList(build_augmentation(data_config, is_train=True))
    np.random.seed(0)
    for _ in range(20):
        augmented = T.AugInput(np.zeros((*size, 3), dtype=np.uint8))
        augmentation(augmented)
        assert min(augmented.image.shape[:2]) >= 96


def test_relative_crops_of_ordinary_images_are_detectron2s():
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    for kind in ("relative", "relative_range"):
        sizes = []
        for crop in (T.RandomCrop(kind, (0.3, 0.5)), RandomCropOfPixels(kind, (0.3, 0.5))):
            np.random.seed(3)
            sizes.append([(c.x0, c.y0, c.w, c.h) for c in (crop.get_transform(image) for _ in range(20))])
        assert sizes[0] == sizes[1]


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
        ("MIN_SIZE_TRAIN", (480, 0), r"INPUT\.MIN_SIZE_TRAIN"),
        ("MIN_SIZE_TRAIN", (480, 10**6), r"INPUT\.MIN_SIZE_TRAIN"),
        ("MIN_SIZE_TRAIN", (480.5,), r"INPUT\.MIN_SIZE_TRAIN"),
        ("MAX_SIZE_TRAIN", 0, r"INPUT\.MAX_SIZE_TRAIN"),
        ("MAX_SIZE_TRAIN", -1, r"INPUT\.MAX_SIZE_TRAIN"),
        ("MAX_SIZE_TRAIN", 10**9, r"INPUT\.MAX_SIZE_TRAIN"),
    ],
)
def test_unsupported_values_name_the_key(data_config, key, value, message):
    data_config.INPUT[key] = value
    with pytest.raises(ValueError, match=message):
        build_augmentation(data_config, is_train=True)


@pytest.mark.parametrize(("key", "value"), [("MAX_SIZE_TEST", 0), ("MIN_SIZE_TEST", -5)])
def test_unsupported_values_of_evaluation_name_the_key(data_config, key, value):
    data_config.INPUT[key] = value
    with pytest.raises(ConfigError, match=rf"INPUT\.{key}"):
        build_augmentation(data_config, is_train=False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SIZE", [600, 384]),
        ("SIZE", [0, 384]),
        ("SIZE", [384]),
        ("SIZE", [0.5, 0.9]),
        ("TYPE", "absolute_rage"),
        ("RESIZE_SHORTEST_EDGE", (400, -1)),
        ("RESIZE_SHORTEST_EDGE", ()),
        ("RESIZE_SHORTEST_EDGE", (10**6,)),
    ],
)
def test_unsupported_crops_name_the_key(data_config, key, value):
    data_config.INPUT.CROP[key] = value
    with pytest.raises(ConfigError, match=rf"INPUT\.CROP\.{key}"):
        build_augmentation(data_config, is_train=True)


def test_relative_crops_want_shares(data_config):
    data_config.INPUT.CROP.TYPE = "relative_range"
    data_config.INPUT.CROP.SIZE = [384, 600]
    with pytest.raises(
        ValueError, match=r"INPUT\.CROP\.SIZE must be shares in \(0, 1\] for 'relative_range'"
    ):
        build_augmentation(data_config, is_train=True)
