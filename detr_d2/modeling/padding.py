"""Where a padded batch holds image and where padding, at image and at feature resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


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
