"""Box geometry on tensors of any leading shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# The logit of 1 - 1e-5, where the inverse sigmoid of published code ends.
_LARGEST_LOGIT = math.log(1e5 - 1)


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """(..., 4) boxes as (cx, cy, w, h) → (..., 4) as (x0, y0, x1, y1)."""
    center, size = boxes.split(2, dim=-1)
    half = 0.5 * size
    return torch.cat([center - half, center + half], dim=-1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """(..., 4) boxes as (x0, y0, x1, y1) → (..., 4) as (cx, cy, w, h)."""
    low, high = boxes.split(2, dim=-1)
    return torch.cat([0.5 * (low + high), high - low], dim=-1)


def generalized_box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Generalized IoU (Rezatofighi et al., CVPR 2019) of boxes that broadcast against each other.

    Args:
        boxes, others: (..., 4) as (x0, y0, x1, y1) with x0 <= x1 and y0 <= y1. Two boxes without area
            at the same place give NaN (0 / 0).

    Returns:
        (...) in [-1, 1]: IoU minus the share of the enclosing box that neither box covers.
    """
    iou, union = _overlap(boxes, others)
    (low, high), (other_low, other_high) = boxes.split(2, dim=-1), others.split(2, dim=-1)
    hull = (torch.maximum(high, other_high) - torch.minimum(low, other_low)).prod(dim=-1)
    return iou - (hull - union) / hull


def box_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union, of boxes as in :func:`generalized_box_iou` → (...) in [0, 1]."""
    return _overlap(boxes, others)[0]


def _overlap(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and the area of the union, (...) each."""
    low, high = boxes.split(2, dim=-1)
    other_low, other_high = others.split(2, dim=-1)
    area = (high - low).prod(dim=-1)
    other_area = (other_high - other_low).prod(dim=-1)
    intersection = (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp(min=0).prod(dim=-1)
    union = area + other_area - intersection
    return intersection / union, union


def bounded_logits(reference: Tensor) -> Tensor:
    """Points or boxes before the sigmoid → the same, at least 1e-5 from the border of the image.

    A box that is predicted relative to another can then come back from where the sigmoid is flat.
    """
    return reference.clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)


def inner(boxes: Tensor) -> Tensor:
    """Boxes as shares of the image → the same between 1e-5 and 1 - 1e-5, where the logit is finite.

    The gradient is that of the boxes as they were: what lies outside can come back.
    """
    return boxes.detach().clamp(1e-5, 1 - 1e-5) + (boxes - boxes.detach())
