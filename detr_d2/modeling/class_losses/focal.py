"""The sigmoid focal loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from ...errors import require
from ..heads import ClassHead
from ..losses import focal_terms
from ..normalizers import LossNormalizers
from .class_loss import NO_LABEL, ClassLoss


@dataclass(frozen=True)
class SigmoidFocal(ClassLoss):
    """A probability for each class by itself, with the focal loss (Lin et al., ICCV 2017); K = C.

    The matching cost is the change of the loss from "no object" to the object's class, as in Deformable DETR.

    Args:
        alpha: weight of the right class; the others have 1 - alpha.
        gamma: exponent that takes weight from what is right already.
    """

    alpha: float
    gamma: float

    likely = 0.3
    sure = 0.4
    panoptic_threshold = "SIGMOID_PANOPTIC_SCORE_THRESHOLD"
    shares_limit = True
    no_object_weight = 0.0

    @classmethod
    def from_config(cls, cfg: CfgNode) -> SigmoidFocal:
        alpha, gamma = cfg.MODEL.DETR.FOCAL.ALPHA, cfg.MODEL.DETR.FOCAL.GAMMA
        require(0 < alpha < 1, "MODEL.DETR.FOCAL.ALPHA", alpha, "between 0 and 1")
        require(gamma >= 0, "MODEL.DETR.FOCAL.GAMMA", gamma, "0 or more")
        return cls(alpha, gamma)

    def head(self, channels: int, num_classes: int) -> ClassHead:
        """All probabilities start at 0.01, so that the many that are to be 0 do not drown the others."""
        head = ClassHead(channels, num_classes)
        nn.init.constant_(head.bias, -math.log(99))
        return head

    def cost(self, logits: Tensor, labels: Tensor, giou: Tensor) -> Tensor:
        return self.rise(logits.float().gather(-1, labels))

    def rise(self, logits: Tensor) -> Tensor:
        """(...) → (...), by which the focal loss rises when "no" to a class becomes "yes"."""
        yes, no = (
            focal_terms(logits, torch.full_like(logits, wanted, dtype=torch.bool), self.alpha, self.gamma)
            for wanted in (True, False)
        )
        return yes - no

    def loss(self, logits: Tensor, labels: Tensor, iou: Tensor) -> Tensor:
        wanted = labels[..., None] == torch.arange(logits.shape[-1], device=labels.device)  # L x B x n x C
        terms = self.terms(logits, wanted, iou)
        return terms.masked_fill((labels == NO_LABEL)[..., None], 0).sum((1, 2, 3))

    def terms(self, logits: Tensor, wanted: Tensor, iou: Tensor) -> Tensor:
        """The loss of each answer.

        Args:
            logits: (L, B, n, C).
            wanted: (L, B, n, C) bool, True for the classes of matched queries.
            iou: (L, B, n), see :meth:`loss`.

        Returns:
            (L, B, n, C).
        """
        return focal_terms(logits, wanted, self.alpha, self.gamma)

    def divisor(self, normalizers: LossNormalizers) -> Tensor:
        return normalizers.num_boxes

    def best(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        return logits.float().sigmoid().max(-1)

    def found(self, logits: Tensor) -> Tensor:
        return logits.amax(-1) > 0

    def candidates(
        self, logits: Tensor, limit: int, only: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best ``limit`` of all classes of all queries, the best first."""
        scores = logits.float().sigmoid()
        if only is not None:
            other = torch.ones(scores.shape[-1], dtype=torch.bool)
            other[list(only)] = False
            scores = scores.masked_fill(other.to(scores.device), -1)
        top = scores.flatten(1).topk(min(limit, scores[0].numel()))
        queries = top.indices.div(scores.shape[-1], rounding_mode="floor")
        return top.values, top.indices % scores.shape[-1], queries
