"""Terms of the set prediction loss, summed over queries or objects so that any normalizer fits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .boxes import cxcywh_to_xyxy, generalized_box_iou


def giou_loss(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """(L, M, 4) against (L, M, 4), both (cx, cy, w, h) → (L,): sums of 1 - generalized IoU."""
    giou = generalized_box_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target_boxes))
    return (1 - giou).sum(1)


def focal_loss(logits: Tensor, masks: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of binary masks (Lin et al., "Focal Loss for Dense Object Detection", equation 5).

    Args:
        logits: (M, H, W).
        masks: (M, H, W) bool.
        alpha: weight of the pixels inside a mask; those outside have 1 - alpha.
        gamma: exponent that takes weight from pixels that are right already.

    Returns:
        (): sum over the M masks of the mean over their pixels.
    """
    return focal_terms(logits, masks, alpha, gamma).mean((1, 2)).sum()


def focal_terms(logits: Tensor, wanted: Tensor, alpha: float, gamma: float) -> Tensor:
    """The focal loss of each answer: logits (...) and what they should say, (...) bool → (...)."""
    wrong = torch.where(wanted, -logits, logits)  # logit of the probability of the other answer
    weight = torch.where(wanted, alpha, 1 - alpha)
    return weight * wrong.sigmoid() ** gamma * F.softplus(wrong)


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - the Dice coefficient of probabilities and masks, with 1 added above and below (Milletari et al.).

    Args:
        logits: (M, H, W).
        masks: (M, H, W) bool.

    Returns:
        (): sum over the M masks.
    """
    probabilities = logits.sigmoid()
    overlap = (probabilities * masks).sum((1, 2))
    total = probabilities.sum((1, 2)) + masks.sum((1, 2))
    return (1 - (2 * overlap + 1) / (total + 1)).sum()
