"""Position encodings of a feature map."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import ConfigError


class SinePositionEncoding(nn.Module):
    """Sine and cosine waves of the position, half of the channels for y and then half for x.

    Generalizes Vaswani et al. (2017) to images: positions count the valid cells up to and including a
    cell, and are scaled so that the last valid one is 2π (up to a divisor of ``count + 1e-6``).

    Args:
        channels: d of the result, divisible by 4.
        temperature: ratio of the longest to the shortest wave.
        centered: count up to the center of a cell, so that cells have the encoding of points and boxes that
            lie there (:func:`reference_waves`); the scale stays the same.
    """

    def __init__(self, channels: int, temperature: float, centered: bool):
        super().__init__()
        if channels % 4:
            raise ConfigError(f"sine position encoding needs channels divisible by 4, not {channels}")
        self.channels = channels
        self.temperature = temperature
        self.offset = 0.5 if centered else 0.0

    def forward(self, mask: Tensor) -> Tensor:
        """(B, H, W) bool, True on padding → (B, d, H, W) float32."""
        valid = ~mask
        y = valid.cumsum(1, dtype=torch.float32)
        x = valid.cumsum(2, dtype=torch.float32)
        y = (y - self.offset) / (y[:, -1:, :] + 1e-6) * (2 * math.pi)
        x = (x - self.offset) / (x[:, :, -1:] + 1e-6) * (2 * math.pi)
        rows, columns = (waves(position, self.channels // 2, self.temperature) for position in (y, x))
        return torch.cat([rows, columns], dim=-1).permute(0, 3, 1, 2)


def waves(position: Tensor, channels: int, temperature: float) -> Tensor:
    """(...) → (..., channels), sine and cosine of each frequency side by side.

    Args:
        position: in radians.
        channels: even.
        temperature: ratio of the longest to the shortest wave.
    """
    exponent = torch.arange(0, channels, 2, dtype=torch.float32, device=position.device) / channels
    angle = position[..., None] / temperature**exponent
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def reference_waves(reference: Tensor, channels: int, temperature: float) -> Tensor:
    """The encoding of points or boxes, as :class:`SinePositionEncoding` has that of cells: y comes first.

    Args:
        reference: (..., 2 or 4), (cx, cy) or (cx, cy, w, h) as a share of the image.
        channels: d of a point, divisible by 4; a box has twice as many.
        temperature: ratio of the longest to the shortest wave.

    Returns:
        (..., d or 2 d) float32: d / 2 channels each for y, x and then w, h.
    """
    x, y, *size = (2 * math.pi * reference.float()).unbind(-1)
    return torch.cat([waves(part, channels // 2, temperature) for part in (y, x, *size)], dim=-1)


class LearnedPositionEncoding(nn.Module):
    """A learned vector for each column and each row, x first and then y.

    Args:
        channels: d of the result, even.
        max_size: rows of both tables, the largest height and width of a feature map.
    """

    def __init__(self, channels: int, max_size: int = 50):
        super().__init__()
        self.row_embed = nn.Embedding(max_size, channels // 2)
        self.col_embed = nn.Embedding(max_size, channels // 2)
        nn.init.uniform_(self.row_embed.weight)
        nn.init.uniform_(self.col_embed.weight)

    def forward(self, mask: Tensor) -> Tensor:
        """(B, H, W) → (B, d, H, W).

        Raises:
            ConfigError: the feature map is larger than the tables.
        """
        batch, height, width = mask.shape
        rows = self.row_embed.num_embeddings
        if max(height, width) > rows:
            raise ConfigError(
                f"the learned position encoding has {rows} rows and columns, but the feature map is "
                f"{height} x {width}: use smaller images (INPUT.MAX_SIZE_TRAIN, INPUT.MAX_SIZE_TEST), or "
                'MODEL.DETR.POSITION_EMBEDDING "sine"'
            )
        x = self.col_embed.weight[:width].expand(height, -1, -1)
        y = self.row_embed.weight[:height, None].expand(-1, width, -1)
        return torch.cat([x, y], dim=-1).permute(2, 0, 1).expand(batch, -1, -1, -1)
