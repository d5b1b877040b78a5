"""From predictions to Detectron2's result structures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.structures import Boxes, Instances
from torch import Tensor

from .boxes import cxcywh_to_xyxy
from .class_losses import ClassLoss


def detections(
    logits: Tensor,
    boxes: Tensor,
    image_sizes: Sequence[tuple[int, int]],
    things: Sequence[int] | None,
    score_threshold: float,
    class_loss: ClassLoss,
    limit: int,
) -> list[tuple[Instances, Tensor]]:
    """Classes and boxes of the queries: one detection for each, or as the class loss has them.

    Nothing is suppressed or clipped and, unless asked for, nothing dropped, as in published DETR.

    Args:
        logits: (B, N, K), see :class:`ClassLoss`.
        boxes: (B, N, 4) normalized (cx, cy, w, h).
        image_sizes: (height, width) in pixels that each image's boxes are scaled to.
        things: the classes to keep; detections of others are left out. None keeps all.
        score_threshold: detections of a lower score are left out.
        class_loss: how classes are learned.
        limit: detections of an image, where a query may give several.

    Returns:
        for each image n instances with ``pred_boxes`` (absolute x0, y0, x1, y1), ``scores`` in [0, 1]
        and ``pred_classes``, as the logits are numbered; and (n,) int64: the queries that they come from.
    """
    scores, classes, queries = class_loss.candidates(logits, limit, things)  # B x n
    corners = cxcywh_to_xyxy(boxes.float())
    scale = torch.tensor([(w, h, w, h) for h, w in image_sizes], dtype=torch.float32).to(boxes.device)
    corners = corners * scale[:, None]
    keep = scores >= score_threshold
    if things is not None:
        keep &= torch.isin(classes, torch.tensor(list(things), dtype=classes.dtype, device=classes.device))
    results = []
    for image, size in enumerate(image_sizes):
        kept = torch.nonzero(keep[image])[:, 0]
        of_image = queries[image, kept]
        result = Instances(tuple(size))
        result.pred_boxes = Boxes(corners[image, of_image])
        result.scores = scores[image, kept]
        result.pred_classes = classes[image, kept]
        results.append((result, of_image))
    return results


def instance_masks(
    mask_logits: Tensor,
    padded_size: tuple[int, int],
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    threshold: float,
) -> Tensor:
    """The pixels of the original image that belong to each of an image's queries.

    As in published DETR masks are decided at the size that the model saw, then resized by taking the
    pixel at the corner.

    Args:
        mask_logits: (n, h, w), on the batch as it was padded.
        padded_size: (height, width) of the padded batch in pixels.
        image_size: (height, width) of the image in its top left corner.
        output_size: (height, width) of the result.
        threshold: a pixel belongs to a mask where its probability is above this.

    Returns:
        (n, H, W) bool.
    """
    # Comparing logits instead of probabilities saves n x H x W exponentials.
    masks = image_mask_logits(mask_logits, padded_size, image_size) > torch.tensor(threshold).logit().item()
    return F.interpolate(masks[:, None].byte(), size=output_size, mode="nearest")[:, 0].bool()


def image_mask_logits(
    mask_logits: Tensor, padded_size: tuple[int, int], image_size: tuple[int, int]
) -> Tensor:
    """Enlarge mask logits (n, h, w) of a padded batch to its pixels and cut out the image: (n, H, W).

    Args:
        mask_logits: in any precision; the result has at least float32.
        padded_size: (height, width) of the padded batch in pixels.
        image_size: (height, width) of the image in its top left corner.
    """
    precise = mask_logits.to(torch.promote_types(mask_logits.dtype, torch.float32))
    enlarged = F.interpolate(precise[:, None], size=padded_size, mode="bilinear", align_corners=False)
    return enlarged[:, 0, : image_size[0], : image_size[1]]
