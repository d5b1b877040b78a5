"""The published augmentation, built of Detectron2's, with the resize rule that published weights saw."""

from collections.abc import Sequence

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from fvcore.transforms.transform import NoOpTransform, Transform
from PIL import Image

from ..errors import ConfigError, require

# No side of a resized image is wished to be longer.
LONGEST_SIDE = 16384

# Without a limit of its own, the longer side is at most so many times the wished shorter one.
_WIDEST = 10

_STRENGTHS = ("light", "published", "strong")

# Of "strong": brightness, contrast and saturation are multiplied by a number between these two,
_COLORS = (0.6, 1.4)
# and crops have at least these shares of the sides.
_CROPPED = (0.6, 0.6)

# A shorter side of fewer pixels is rounded so coarsely that the longer one does not follow from it.
_THIN = 10


class ResizeShortestEdgeTruncate(T.Augmentation):
    """Resize the shorter side to one of several lengths, with the published rounding.

    Like Detectron2's ``ResizeShortestEdge``, except in how the other side is rounded: see
    :func:`truncated_size`. Images are resampled by Pillow, bilinearly.

    Args:
        lengths: possible lengths of the shorter side, in pixels; a single 0 leaves images as they are.
        max_size: limit of the longer side, see :func:`truncated_size`; None is ten times the shorter one.
        sample_style: "choice" draws one of ``lengths``; "range" draws any integer between the two.

    Raises:
        ValueError: lengths, limit or style that nothing can be drawn from.
    """

    def __init__(
        self, lengths: Sequence[int], max_size: int | None = None, sample_style: str = "choice"
    ) -> None:
        super().__init__()
        if sample_style not in ("choice", "range"):
            raise ValueError(f"resize: sample style must be 'choice' or 'range', got {sample_style!r}")
        if not lengths or (tuple(lengths) != (0,) and not all(_is_side(length) for length in lengths)):
            raise ValueError(
                f"resize: shorter sides must be integers from 1 to {LONGEST_SIDE}, or a single 0 for none; "
                f"got {lengths}"
            )
        if sample_style == "range" and not (len(lengths) == 2 and lengths[0] <= lengths[1]):
            raise ValueError(f"resize: style 'range' needs (shortest, longest), got {lengths}")
        if max_size is not None and not _is_side(max_size):
            raise ValueError(
                f"resize: the longer side's limit must be from 1 to {LONGEST_SIDE}, got {max_size}"
            )
        self.lengths = tuple(lengths)
        self.max_size = max_size
        self.sample_style = sample_style

    def get_transform(self, image: np.ndarray) -> Transform:
        """The resize of an (H, W, C) image; draws from NumPy's global random state."""
        if self.lengths == (0,):
            return NoOpTransform()
        if self.sample_style == "choice":
            length = int(np.random.choice(self.lengths))
        else:
            length = int(np.random.randint(self.lengths[0], self.lengths[1] + 1))
        height, width = image.shape[:2]
        limit = _WIDEST * length if self.max_size is None else self.max_size
        new_height, new_width = truncated_size(height, width, length, limit)
        return T.ResizeTransform(height, width, new_height, new_width, Image.Resampling.BILINEAR)


def _is_side(value: object) -> bool:
    return isinstance(value, int) and 1 <= value <= LONGEST_SIDE


def truncated_size(height: int, width: int, shorter: int, max_size: int | None = None) -> tuple[int, int]:
    """The size that the published code resizes an image to.

    The shorter side becomes ``shorter``, unless that made the longer one exceed ``max_size``: then the
    shorter side is what ``max_size`` leaves for it, rounded. The longer side follows from the shorter one,
    truncated. It may therefore exceed ``max_size``, by a twentieth at most: 200 x 640 becomes 417 x 1334
    where 1333 is the limit. If the shorter side gets fewer than 10 pixels, the longer one keeps to
    ``max_size`` (published code makes 1 x 2000 of 1 x 2000, and fails on 1 x 4000). No side gets less than
    a pixel.

    Args:
        height, width: of the image, in pixels.
        shorter: wished length of the shorter side.
        max_size: wished limit of the longer side; None is no limit.

    Returns:
        New (height, width).
    """
    short, long = min(height, width), max(height, width)
    bound = max_size is not None and long * shorter > max_size * short
    if max_size is not None and bound:
        shorter = max(1, round(max_size * short / long))
    longer = shorter * long // short
    if max_size is not None and bound and shorter < _THIN:
        longer = min(longer, max_size)
    return (longer, shorter) if height > width else (shorter, longer)


class RandomCropOfPixels(T.RandomCrop):
    """Detectron2's ``RandomCrop``, whose relative crops keep at least a pixel of each side."""

    def get_crop_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Draw (height, width) of the crop of an image of (height, width) pixels."""
        height, width = super().get_crop_size(image_size)
        return max(1, height), max(1, width)


def build_augmentation(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """The augmentation of a config.

    Training: flip with probability 0.5; in half of the cases (where ``INPUT.CROP.ENABLED``) resize to one
    of ``INPUT.CROP.RESIZE_SHORTEST_EDGE`` and crop; then resize to one of ``INPUT.MIN_SIZE_TRAIN``.
    ``INPUT.AUGMENTATION`` "light" never crops; "strong" changes colors after the flip, and crops
    half of the images whatever ``INPUT.CROP.ENABLED`` says.
    Evaluation: resize to ``INPUT.MIN_SIZE_TEST``. The limit of the longer side is ``INPUT.MAX_SIZE_*``.

    Args:
        cfg: a config with detr_d2's keys.
        is_train: whether for training.

    Raises:
        ConfigError: a key of ``INPUT`` with a value that is not supported.
    """
    if not is_train:
        return [_resize_of_mode(cfg, "TEST", "choice")]
    augmentations: list[T.Augmentation] = []
    flip = cfg.INPUT.RANDOM_FLIP
    if flip not in ("none", "horizontal", "vertical"):
        raise ConfigError(f"INPUT.RANDOM_FLIP must be none, horizontal or vertical, got {flip!r}")
    if flip != "none":
        augmentations.append(T.RandomFlip(horizontal=flip == "horizontal", vertical=flip == "vertical"))
    strength = cfg.INPUT.AUGMENTATION
    require(strength in _STRENGTHS, "INPUT.AUGMENTATION", strength, f"one of {', '.join(_STRENGTHS)}")
    if strength == "strong":
        augmentations += [T.RandomBrightness(*_COLORS), T.RandomContrast(*_COLORS)]
        if cfg.INPUT.FORMAT != "L":  # gray images have no saturation
            augmentations.append(T.RandomSaturation(*_COLORS))
    if cfg.INPUT.CROP.ENABLED and strength != "light":
        augmentations.append(T.RandomApply(_crop(cfg.INPUT.CROP), prob=0.5))
    elif strength == "strong":
        augmentations.append(T.RandomApply(RandomCropOfPixels("relative_range", _CROPPED), prob=0.5))
    augmentations.append(_resize_of_mode(cfg, "TRAIN", cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING))
    return augmentations


def _crop(crop: CfgNode) -> T.Augmentation:
    """The resize and crop of half of the training images; errors name the keys of ``INPUT.CROP``."""
    if crop.TYPE not in ("absolute", "absolute_range", "relative", "relative_range"):
        raise ConfigError(
            f"INPUT.CROP.TYPE must be absolute, absolute_range, relative or relative_range, got {crop.TYPE!r}"
        )
    if len(crop.SIZE) != 2:
        raise ConfigError(f"INPUT.CROP.SIZE must be two numbers, got {crop.SIZE}")
    if crop.TYPE == "absolute" and not all(_is_side(side) for side in crop.SIZE):
        raise ConfigError(f"INPUT.CROP.SIZE must be (height, width) in pixels, got {crop.SIZE}")
    if crop.TYPE == "absolute_range" and not (
        all(_is_side(side) for side in crop.SIZE) and crop.SIZE[0] <= crop.SIZE[1]
    ):
        raise ConfigError(f"INPUT.CROP.SIZE must be (shortest, longest) crop side, got {crop.SIZE}")
    if crop.TYPE.startswith("relative") and not all(0 < share <= 1 for share in crop.SIZE):
        raise ConfigError(f"INPUT.CROP.SIZE must be shares in (0, 1] for {crop.TYPE!r}, got {crop.SIZE}")
    first = _resize("INPUT.CROP.RESIZE_SHORTEST_EDGE", crop.RESIZE_SHORTEST_EDGE, None, "choice")
    return T.AugmentationList([first, RandomCropOfPixels(crop.TYPE, crop.SIZE)])


def _resize_of_mode(cfg: CfgNode, mode: str, style: str) -> T.Augmentation:
    keys = f"INPUT.MIN_SIZE_{mode}", f"INPUT.MAX_SIZE_{mode}"
    sizes, max_size = cfg.INPUT[f"MIN_SIZE_{mode}"], cfg.INPUT[f"MAX_SIZE_{mode}"]
    return _resize(", ".join(keys), sizes, max_size, style)


def _resize(keys: str, sizes: int | Sequence[int], max_size: int | None, style: str) -> T.Augmentation:
    """A resize; errors name its keys."""
    try:
        return ResizeShortestEdgeTruncate([sizes] if isinstance(sizes, int) else sizes, max_size, style)
    except ValueError as error:
        raise ConfigError(f"{keys}: {error}") from error
