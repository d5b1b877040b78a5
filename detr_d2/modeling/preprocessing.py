"""From images to one normalized, padded batch; where it holds padding, at image and feature resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.modeling.backbone import Backbone
from detectron2.structures import ImageList
from torch import Tensor, nn

from ..errors import ConfigError


class Normalize(nn.Module):
    """Subtracts the mean of each channel and divides by its standard deviation.

    Args:
        mean, std: of each input channel, in the units of the images (0 to 255).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(C, H, W) on any device → (C, H, W) on the model's."""
        return (image.to(self.mean.device) - self.mean) / self.std


def pad_images(images: list[Tensor], backbone: Backbone) -> ImageList:
    """Make one batch of images, zeros at the bottom and right, as large as the backbone asks for.

    Args:
        images: (C, H, W) each.
        backbone: its ``size_divisibility`` counts, and where it has ``padding_constraints`` (Detectron2
            main) those come first: ``size_divisibility``, and ``square_size`` of backbones that
            take one size alone.

    Raises:
        ConfigError: an image is larger than the backbone's square.
    """
    constraints = getattr(backbone, "padding_constraints", None) or {}
    divisor = max(constraints.get("size_divisibility", backbone.size_divisibility), 1)
    batch = ImageList.from_tensors(images, divisor)
    square = constraints.get("square_size", 0)
    if square <= 0:
        return batch
    side = -(-square // divisor) * divisor
    height, width = batch.tensor.shape[-2:]
    if max(height, width) > side:
        raise ConfigError(
            f"an image of {height} x {width} pixels is larger than the {side} x {side} of the backbone: "
            "lower INPUT.MIN_SIZE_TRAIN, INPUT.MAX_SIZE_TRAIN, INPUT.MIN_SIZE_TEST and INPUT.MAX_SIZE_TEST"
        )
    return ImageList(F.pad(batch.tensor, (0, side - width, 0, side - height)), batch.image_sizes)


def padding_mask(
    image_sizes: Sequence[tuple[int, int]], padded_size: tuple[int, int], device: torch.device
) -> Tensor | None:
    """Mark the padding at the bottom and right of each image.

    Args:
        image_sizes: (height, width) of each of the B images before padding, in pixels.
        padded_size: (H, W) of the batch.

    Returns:
        (B, H, W) bool, True where a pixel is padding; None when no image is padded, which lets
        attention run without a mask.
    """
    height, width = padded_size
    if all((h, w) == (height, width) for h, w in image_sizes):
        return None
    sizes = torch.tensor([(h, w) for h, w in image_sizes], device=device)
    rows = torch.arange(height, device=device) >= sizes[:, :1]  # (B, H)
    columns = torch.arange(width, device=device) >= sizes[:, 1:]  # (B, W)
    return rows[:, :, None] | columns[:, None, :]


def resize_padding_mask(mask: Tensor, feature_size: tuple[int, int]) -> Tensor:
    """Bring a padding mask to the resolution of a feature map.

    Each cell takes the mask at the floor of its scaled index, as published DETR does. A cell that is
    only partly image can therefore count as padding, but the first cell of an image never does.

    Args:
        mask: (B, H, W) bool.
        feature_size: (h, w) of the feature map.

    Returns:
        (B, h, w) bool.
    """
    return F.interpolate(mask[:, None].float(), size=feature_size, mode="nearest")[:, 0].bool()
