"""From predictions to Detectron2's result structures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from detectron2.structures import Boxes, Instances
from torch import Tensor

from .boxes import cxcywh_to_xyxy


def detections(
    logits: Tensor,
    boxes: Tensor,
    image_sizes: Sequence[tuple[int, int]],
    things: Sequence[int] | None = None,
    score_threshold: float = 0.0,
) -> list[tuple[Instances, Tensor]]:
    """One detection for each query: its best object class and its box.

    Nothing is suppressed or clipped and, unless asked for, nothing dropped, as in published DETR.

    Args:
        logits: (B, N, C + 1), no-object last.
        boxes: (B, N, 4) normalised (cx, cy, w, h).
        image_sizes: (height, width) in pixels that each image's boxes are scaled to.
        things: the classes to keep: queries whose best class is another are left out. None keeps all.
        score_threshold: queries of a lower score are left out.

    Returns:
        for each image n instances with ``pred_boxes`` (absolute x0, y0, x1, y1), ``scores`` in [0, 1]
        and ``pred_classes``, as the logits are numbered; and (n,) int64, ascending: the queries that they
        come from.
    """
    scores, classes = logits.float().softmax(-1)[..., :-1].max(-1)  # B x N
    corners = cxcywh_to_xyxy(boxes.float())
    scale = torch.tensor([(w, h, w, h) for h, w in image_sizes], dtype=torch.float32).to(boxes.device)
    corners = corners * scale[:, None]
    keep = scores >= score_threshold
    if things is not None:
        keep &= torch.isin(classes, torch.tensor(list(things), dtype=classes.dtype, device=classes.device))
    results = []
    for image, size in enumerate(image_sizes):
        queries = torch.nonzero(keep[image])[:, 0]
        result = Instances(tuple(size))
        result.pred_boxes = Boxes(corners[image, queries])
        result.scores = scores[image, queries]
        result.pred_classes = classes[image, queries]
        results.append((result, queries))
    return results


def instance_masks(
    mask_logits: Tensor,
    padded_size: tuple[int, int],
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    threshold: float = 0.5,
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
