"""Terms of the set prediction loss, each summed over its last dimension so that any normaliser fits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .boxes import cxcywh_to_xyxy, generalized_box_iou


def class_loss(logits: Tensor, labels: Tensor, class_weight: Tensor) -> Tensor:
    """Weighted cross entropy.

    Args:
        logits: (L, Q, K).
        labels: (L, Q) int64 below K.
        class_weight: (K,).

    Returns:
        (L,): sums of ``-class_weight[label] · log p(label)``.
    """
    terms = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), class_weight, reduction="none")
    return terms.view_as(labels).sum(1)


def l1_loss(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """(L, M, 4) against (L, M, 4) in the same units → (L,): sums of absolute differences."""
    return (boxes - target_boxes).abs().sum((1, 2))


def giou_loss(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """(L, M, 4) against (L, M, 4), both (cx, cy, w, h) → (L,): sums of 1 - generalised IoU."""
    giou = generalized_box_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target_boxes))
    return (1 - giou).sum(1)
