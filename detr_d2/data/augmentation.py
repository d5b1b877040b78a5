"""The published augmentation, built of Detectron2's, with the resize rule that published weights saw."""

from collections.abc import Sequence

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from fvcore.transforms.transform import NoOpTransform, Transform
from PIL import Image

from ..errors import ConfigError


class ResizeShortestEdgeTruncate(T.Augmentation):
    """Resize the shorter side to one of several lengths, with the published rounding.

    Like Detectron2's ``ResizeShortestEdge``, except in how the other side is rounded: see
    :func:`truncated_size`. Images are resampled by Pillow, bilinearly.

    Args:
        lengths: possible lengths of the shorter side, in pixels; a single 0 leaves images as they are.
        max_size: the longer side is at most this, or one pixel more; None is no limit.
        sample_style: "choice" draws one of ``lengths``; "range" draws any integer between the two.

    Raises:
        ValueError: lengths or style that nothing can be drawn from.
    """

    def __init__(
        self, lengths: Sequence[int], max_size: int | None = None, sample_style: str = "choice"
    ) -> None:
        super().__init__()
        if sample_style not in ("choice", "range"):
            raise ValueError(f"resize: sample style must be 'choice' or 'range', got {sample_style!r}")
        if not lengths or (min(lengths) < 1 and tuple(lengths) != (0,)):
            raise ValueError(f"resize: shorter sides must be positive, or a single 0 for none; got {lengths}")
        if sample_style == "range" and not (len(lengths) == 2 and lengths[0] <= lengths[1]):
            raise ValueError(f"resize: style 'range' needs (shortest, longest), got {lengths}")
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
        new_height, new_width = truncated_size(height, width, length, self.max_size)
        return T.ResizeTransform(height, width, new_height, new_width, Image.Resampling.BILINEAR)


def truncated_size(height: int, width: int, shorter: int, max_size: int | None = None) -> tuple[int, int]:
    """The size that the published code resizes an image to.

    The shorter side becomes ``shorter``, unless that made the longer one exceed ``max_size``: then the
    shorter side is what ``max_size`` leaves for it, rounded. The longer side follows from the shorter one,
    truncated. It may therefore exceed ``max_size`` by a little: 200 x 640 becomes 417 x 1334 at most 1333.

    Args:
        height, width: of the image, in pixels.
        shorter: wished length of the shorter side.
        max_size: wished limit of the longer side; None is no limit.

    Returns:
        New (height, width).
    """
    short, long = min(height, width), max(height, width)
    if max_size is not None and long * shorter > max_size * short:
        shorter = max(1, round(max_size * short / long))
    longer = shorter * long // short
    return (longer, shorter) if height > width else (shorter, longer)


def build_augmentation(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """The augmentation of a config.

    Training: flip with probability 0.5; in half of the cases (where ``INPUT.CROP.ENABLED``) resize to one
    of ``INPUT.CROP.RESIZE_SHORTEST_EDGE`` and crop; then resize to one of ``INPUT.MIN_SIZE_TRAIN``.
    Evaluation: resize to ``INPUT.MIN_SIZE_TEST``. The limit of the longer side is ``INPUT.MAX_SIZE_*``.

    Args:
        cfg: a config with detr_d2's keys.
        is_train: whether for training.

    Raises:
        ConfigError: a key of ``INPUT`` with a value that is not supported.
    """
    if not is_train:
        return [_resize("TEST", [cfg.INPUT.MIN_SIZE_TEST], cfg.INPUT.MAX_SIZE_TEST, "choice")]
    augmentations: list[T.Augmentation] = []
    flip = cfg.INPUT.RANDOM_FLIP
    if flip not in ("none", "horizontal", "vertical"):
        raise ConfigError(f"INPUT.RANDOM_FLIP must be none, horizontal or vertical, got {flip!r}")
    if flip != "none":
        augmentations.append(T.RandomFlip(horizontal=flip == "horizontal", vertical=flip == "vertical"))
    crop = cfg.INPUT.CROP
    if crop.ENABLED:
        if crop.TYPE == "absolute_range" and not 1 <= crop.SIZE[0] <= crop.SIZE[1]:
            raise ConfigError(f"INPUT.CROP.SIZE must be (shortest, longest) crop side, got {crop.SIZE}")
        if crop.TYPE.startswith("relative") and not all(0 < share <= 1 for share in crop.SIZE):
            raise ConfigError(f"INPUT.CROP.SIZE must be shares in (0, 1] for {crop.TYPE!r}, got {crop.SIZE}")
        first = ResizeShortestEdgeTruncate(crop.RESIZE_SHORTEST_EDGE)
        cropped = T.AugmentationList([first, T.RandomCrop(crop.TYPE, crop.SIZE)])
        augmentations.append(T.RandomApply(cropped, prob=0.5))
    sizes, style = cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING
    augmentations.append(_resize("TRAIN", sizes, cfg.INPUT.MAX_SIZE_TRAIN, style))
    return augmentations


def _resize(mode: str, sizes: int | Sequence[int], max_size: int, style: str) -> T.Augmentation:
    """The resize of a mode; errors name the keys."""
    try:
        return ResizeShortestEdgeTruncate([sizes] if isinstance(sizes, int) else sizes, max_size, style)
    except ValueError as error:
        raise ConfigError(f"INPUT.MIN_SIZE_{mode}: {error}") from error
