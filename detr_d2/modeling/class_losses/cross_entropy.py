"""The class loss of DETR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor

from ..heads import ClassHead
from ..normalizers import LossNormalizers
from .class_loss import NO_LABEL, ClassLoss


@dataclass(frozen=True)
class CrossEntropy(ClassLoss):
    """One distribution over the C classes and no object (Carion et al., ECCV 2020); K = C + 1.

    Args:
        no_object_weight: against class imbalance.
    """

    no_object_weight: float

    likely = 0.5
    sure = 0.7
    panoptic_threshold = "PANOPTIC_SCORE_THRESHOLD"
    shares_limit = False

    @classmethod
    def from_config(cls, cfg: CfgNode) -> CrossEntropy:
        return cls(cfg.MODEL.DETR.NO_OBJECT_WEIGHT)

    def head(self, channels: int, num_classes: int) -> ClassHead:
        return ClassHead(channels, num_classes + 1)

    def cost(self, logits: Tensor, labels: Tensor, giou: Tensor) -> Tensor:
        return -logits.float().softmax(-1).gather(-1, labels)

    def loss(self, logits: Tensor, labels: Tensor, iou: Tensor) -> Tensor:
        weights = logits.new_ones(logits.shape[-1])
        weights[-1] = self.no_object_weight
        terms = F.cross_entropy(
            logits.flatten(0, 2), labels.flatten(), weights, ignore_index=NO_LABEL, reduction="none"
        )
        return terms.view_as(labels).sum((1, 2))

    def divisor(self, normalizers: LossNormalizers) -> Tensor:
        return normalizers.label_weight

    def best(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        scores, classes = logits.float().softmax(-1).max(-1)
        return scores.masked_fill(classes == logits.shape[-1] - 1, 0), classes

    def found(self, logits: Tensor) -> Tensor:
        return logits.argmax(-1) != logits.shape[-1] - 1

    def candidates(
        self, logits: Tensor, limit: int, only: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One for each query: its best object class."""
        scores, classes = logits.float().softmax(-1)[..., :-1].max(-1)
        queries = torch.arange(scores.shape[1], device=scores.device)
        return scores, classes, queries.expand_as(classes)
