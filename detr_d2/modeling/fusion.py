"""Feature maps of several strides as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class AddedFeatures(nn.Conv2d):
    """A feature map of another stride, brought to the channels and cells of the transformer's map.

    Cells of a finer map are averaged and those of a coarser one interpolated, so that every cell stays where
    it is in the image, whatever the padding.

    Args:
        in_channels: of the map.
        channels: d.
        stride: of the map, in pixels.
        wanted: the stride of the transformer's map; one of the two divides the other.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, wanted: int):
        super().__init__(in_channels, channels, kernel_size=1)
        self.finer = max(wanted // stride, 1)
        self.coarser = max(stride // wanted, 1)

    def forward_to(self, features: Tensor, size: Sequence[int]) -> Tensor:
        """(B, in_channels, h', w') → (B, d, h, w), of the size (h, w) of the transformer's map."""
        features = F.avg_pool2d(features, self.finer, ceil_mode=True)
        projected = self(features)
        if self.coarser > 1:
            projected = F.interpolate(projected, scale_factor=self.coarser, mode="bilinear")
        return projected[..., : size[0], : size[1]]
