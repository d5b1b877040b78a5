"""A class loss that learns how well the box fits (Liu et al., "Detection Transformer with Stable Matching",
ICCV 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from .focal import SigmoidFocal


@dataclass(frozen=True)
class PositionSupervised(SigmoidFocal):
    """The probability p of a matched query's class is to be f(s), from the IoU s of its box.

    f(s) is s², rescaled so that the largest of an image is 1. The loss is |f(s) - p|^γ · BCE(p, f(s)) for the
    class of a matched query, and p^γ · BCE(p, 0) for all other answers. The matching cost is that of
    :class:`SigmoidFocal` with p · √s', s' = (GIoU + 1) / 2, for p: a class counts where the box does.

    Args:
        alpha: see :class:`SigmoidFocal`; of the cost alone.
        gamma: γ.
    """

    def cost(self, logits: Tensor, labels: Tensor, giou: Tensor) -> Tensor:
        probability = logits.float().gather(-1, labels).sigmoid()
        near = (giou + 1).clamp(min=0) / 2
        return self.rise((probability * near.sqrt()).logit(eps=1e-6))

    def terms(self, logits: Tensor, wanted: Tensor, iou: Tensor) -> Tensor:
        fit = iou.square()
        fit = fit / fit.amax(dim=2, keepdim=True).clamp(min=1e-6)  # of a group of an image's queries
        target = fit[..., None] * wanted
        weight = (target - logits.sigmoid()).abs() ** self.gamma
        return weight * F.binary_cross_entropy_with_logits(logits, target, reduction="none")
