"""A class loss that does not waste the matches of loose boxes (Huang et al., "DEIM: DETR with Improved
Matching for Fast Convergence", CVPR 2025)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor

from ...errors import require
from .focal import SigmoidFocal


@dataclass(frozen=True)
class MatchabilityAware(SigmoidFocal):
    """The probability p of a matched query's class is to be t = IoU^γ of its box with its object's.

    The loss is BCE(p, t) for the class of a matched query, whatever its IoU, and p^γ · BCE(p, 0) for all
    other answers, with no gradient through the weight p^γ. The matching cost is :class:`SigmoidFocal`'s.

    Args:
        alpha, gamma: see :class:`SigmoidFocal`; of the cost alone.
        exponent: γ of the loss.
    """

    exponent: float

    @classmethod
    def from_config(cls, cfg: CfgNode) -> MatchabilityAware:
        focal, exponent = SigmoidFocal.from_config(cfg), cfg.MODEL.DETR.MATCHABILITY_GAMMA
        require(exponent >= 0, "MODEL.DETR.MATCHABILITY_GAMMA", exponent, "0 or more")
        return cls(focal.alpha, focal.gamma, exponent)

    def terms(self, logits: Tensor, wanted: Tensor, iou: Tensor) -> Tensor:
        target = iou[..., None] ** self.exponent * wanted
        weight = (logits.detach().sigmoid() ** self.exponent).masked_fill(wanted, 1)
        return weight * F.binary_cross_entropy_with_logits(logits, target, reduction="none")
