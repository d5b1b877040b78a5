"""From predictions to Detectron2's result structures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor

from .boxes import cxcywh_to_xyxy


def detections(logits: Tensor, boxes: Tensor, image_sizes: Sequence[tuple[int, int]]) -> list[Instances]:
    """One detection for each query: its best object class and its box.

    Nothing is thresholded, suppressed, clipped or dropped, as in published DETR, so that a query keeps
    its place: instance i of an image is query i.

    Args:
        logits: (B, N, C + 1), no-object last.
        boxes: (B, N, 4) normalised (cx, cy, w, h).
        image_sizes: (height, width) in pixels that each image's boxes are scaled to.

    Returns:
        for each image N instances with ``pred_boxes`` (absolute x0, y0, x1, y1), ``scores`` in [0, 1]
        and ``pred_classes``.
    """
    scores, classes = logits.float().softmax(-1)[..., :-1].max(-1)  # B x N
    corners = cxcywh_to_xyxy(boxes.float())
    scale = torch.tensor([(w, h, w, h) for h, w in image_sizes], dtype=torch.float32).to(boxes.device)
    corners = corners * scale[:, None]
    results = []
    for size, *fields in zip(image_sizes, corners, scores, classes, strict=True):
        result = Instances(tuple(size))
        result.pred_boxes, result.scores, result.pred_classes = Boxes(fields[0]), fields[1], fields[2]
        results.append(result)
    return results
