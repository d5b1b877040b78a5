"""What boxes are predicted as, and how far they are from their objects' beside generalized IoU."""

from __future__ import annotations

import torch
from torch import Tensor

from .heads import BoxHead, DeltaBoxHead

# Sizes below this share of the image, about one pixel, are taken for it: what is divided by nothing explodes.
_LEAST_SIZE = 1e-3


class BoxRegression:
    """Boxes are shares of the image, and their distance is L1 (Carion et al., ECCV 2020)."""

    def head(self, kind: type[BoxHead], channels: int) -> BoxHead:
        """(..., d) → (..., 4), boxes before the sigmoid.

        Args:
            kind: what the decoder expects.
            channels: d.
        """
        return kind(channels)

    def distance(self, boxes: Tensor, wanted: Tensor, sizes: Tensor) -> Tensor:
        """How far boxes are from others; all broadcast.

        Args:
            boxes: (..., 4) as (cx, cy, w, h), a share of the image, predicted.
            wanted: (..., 4), of the objects.
            sizes: (..., 2), width and height of what the boxes are predicted relative to.

        Returns:
            (...).
        """
        return (boxes - wanted).abs().sum(-1)


class RelativeBoxRegression(BoxRegression):
    """Boxes are changes of the boxes of the layer before (Plain DETR: Lin et al., ICCV 2023).

    From a box p to a box g the change t is ((gx - px) / pw, (gy - py) / ph, log(gw / pw), log(gh / ph)). The
    distance is L1 between the t of the prediction and that of the object, whatever their size.
    """

    def head(self, kind: type[BoxHead], channels: int) -> BoxHead:
        return DeltaBoxHead(channels)

    def distance(self, boxes: Tensor, wanted: Tensor, sizes: Tensor) -> Tensor:
        center, size = boxes.split(2, dim=-1)
        wanted_center, wanted_size = wanted.split(2, dim=-1)
        shift = (center - wanted_center) / sizes.clamp(min=_LEAST_SIZE)
        growth = (size.clamp(min=_LEAST_SIZE) / wanted_size.clamp(min=_LEAST_SIZE)).log()
        return torch.cat([shift, growth], dim=-1).abs().sum(-1)


# What MODEL.DETR.BOX_REGRESSION may name.
BOX_REGRESSIONS: dict[str, type[BoxRegression]] = {
    "absolute": BoxRegression,
    "relative": RelativeBoxRegression,
}
