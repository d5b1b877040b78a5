"""From tokens to classes and boxes."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .boxes import inner
from .precision import without_autocast

# The logarithm of the most that a box grows by in one layer, as in Detectron2's box transform.
_LARGEST_GROWTH = math.log(1000 / 16)


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, num_layers: int):
        super().__init__()
        widths = [in_channels] + [hidden_channels] * (num_layers - 1) + [out_channels]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_channels) → (..., out_channels)."""
        *hidden, last = self.layers
        for layer in hidden:
            x = F.relu(layer(x))
        return last(x)


class ClassHead(nn.Linear):
    """A linear layer that mixed precision ends before."""

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., d) → float32 logits (..., K)."""
        with without_autocast(hidden.device):
            return super().forward(hidden.to(self.weight.dtype)).float()


class BoxHead(MLP):
    """Three layers that mixed precision ends before: bfloat16 would move a box by a thousandth of the image.

    Args:
        channels: d.
    """

    def __init__(self, channels: int):
        super().__init__(channels, channels, 4, num_layers=3)

    def forward(self, hidden: Tensor, reference: Tensor | None = None) -> Tensor:
        """Boxes (cx, cy, w, h), before the sigmoid.

        Args:
            hidden: (..., d).
            reference: (..., 2 or 4), a point or box before the sigmoid that the layers' result is added to.

        Returns:
            (..., 4) float32.
        """
        with without_autocast(hidden.device):
            boxes = super().forward(hidden.to(next(self.parameters()).dtype)).float()
            return boxes if reference is None else boxes + F.pad(reference, (0, 4 - reference.shape[-1]))


class RelativeBoxHead(BoxHead):
    """For boxes relative to a reference, which they start from: the last layer starts with zeros."""

    def __init__(self, channels: int):
        super().__init__(channels)
        *_, last = self.layers
        for parameter in last.parameters():
            nn.init.zeros_(parameter)


class DeltaBoxHead(RelativeBoxHead):
    """For boxes as changes (x, y, w, h) of a box p, in its own units: the center moves by (x pw, y ph), and
    the size is (pw exp(w), ph exp(h)). A point is the center of a box of half the image's size.
    """

    def forward(self, hidden: Tensor, reference: Tensor | None = None) -> Tensor:
        assert reference is not None, "changes need a box"
        with without_autocast(hidden.device):
            shift, growth = super().forward(hidden).split(2, dim=-1)
            center, size = F.pad(reference, (0, 4 - reference.shape[-1])).sigmoid().split(2, dim=-1)
            growth = growth.clamp(max=_LARGEST_GROWTH)
            return inner(torch.cat([center + shift * size, size * growth.exp()], dim=-1)).logit()
