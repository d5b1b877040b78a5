"""Panoptic merging: from the masks of an image's queries to one map of segments.

The rules are those of published DETR (Carion et al., "End-to-End Object Detection with Transformers",
ECCV 2020, section 4.4), but for its errors: queries of one stuff class stay one segment whatever else is
dropped, masks of a padded batch are cut to their image before they are compared, and a class may have
any number.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from .class_losses import ClassLoss
from .postprocessing import image_mask_logits

VOID = 0  # the id of pixels that belong to no segment, as Detectron2 reserves it


def panoptic_queries(logits: Tensor, threshold: float, class_loss: ClassLoss) -> Tensor:
    """The queries of an image that take part in panoptic segmentation.

    Args:
        logits: (N, K), see :class:`ClassLoss`.
        threshold: the best class must be an object's, with a score above this.
        class_loss: how classes are learned.

    Returns:
        (n,) int64 positions, ascending.
    """
    scores, _ = class_loss.best(logits)
    return torch.nonzero(scores > threshold)[:, 0]


def merge_panoptic(
    scores: Tensor,
    classes: Tensor,
    mask_logits: Tensor,
    padded_size: tuple[int, int],
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    things: Collection[int],
    min_area: int,
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Give every pixel of an image to the query with the largest mask logit there.

    All queries of one stuff class are one segment, in the place of the first of them. Segments of up to
    ``min_area`` pixels in the result are dropped and their pixels go to the remaining queries, until
    there are no such segments.

    Args:
        scores: (n,) of the queries that take part, in [0, 1].
        classes: (n,) their contiguous classes.
        mask_logits: (n, h, w), on the batch as it was padded.
        padded_size: (height, width) of the padded batch in pixels.
        image_size: (height, width) of the image in its top left corner.
        output_size: (height, width) of the result.
        things: the classes that are things; the others are stuff.
        min_area: pixels.

    Returns:
        ids (H, W) int32, 0 where there is no segment, which is nowhere unless there are no segments at
        all, and Detectron2's list of a dict for each segment: ``id`` from 1, ``isthing``,
        ``category_id`` (contiguous), ``score`` of the segment's first query, ``area`` in pixels.
    """
    names = classes.tolist()
    first_of_stuff: dict[int, int] = {}
    # Position, in the list of queries, of the segment that each query belongs to.
    segments_of = [
        i if name in things else first_of_stuff.setdefault(name, i) for i, name in enumerate(names)
    ]
    segment_of = torch.tensor(segments_of, dtype=torch.int64, device=mask_logits.device)
    kept = sorted(set(segments_of))
    areas: list[int] = []
    ids = mask_logits.new_full(output_size, VOID, dtype=torch.int32)
    if kept:
        logits = image_mask_logits(mask_logits, padded_size, image_size)  # n x H x W of the image
        rows, columns = (
            nearest_positions(size, new).to(ids.device)
            for size, new in zip(image_size, output_size, strict=True)
        )
        # max() finds the first of equals as argmax() does, and is faster.
        segments = segment_of[logits.max(0).indices]
    while kept:
        result = segments[rows[:, None], columns]
        areas = torch.bincount(result.flatten(), minlength=len(names)).tolist()
        remaining = [k for k in kept if areas[k] > min_area]
        if len(remaining) == len(kept):
            numbers = torch.zeros_like(segment_of)
            numbers[kept] = torch.arange(1, len(kept) + 1, device=numbers.device)
            ids = numbers[result].int()
            break
        kept = remaining
        if kept:
            # Only pixels of dropped segments change hands.
            alive = torch.isin(segment_of, torch.tensor(kept, device=segment_of.device))
            free = ~alive[segments]
            segments[free] = segment_of[alive][logits[alive][:, free].max(0).indices]
    values = scores.tolist()
    return ids, [
        {
            "id": number,
            "isthing": names[k] in things,
            "category_id": names[k],
            "score": values[k],
            "area": areas[k],
        }
        for number, k in enumerate(kept, start=1)
    ]


def nearest_positions(size: int, new_size: int) -> Tensor:
    """Which of ``size`` pixels each of ``new_size`` shows: the one that its center lies in.

    Where a center lies between two pixels, the rounding of a running sum decides, as in Pillow, whose
    nearest resizing published DETR uses; PyTorch's "nearest-exact" differs there.

    Returns:
        (new_size,) int64.
    """
    steps = torch.full((new_size,), size / new_size, dtype=torch.float64)
    steps[0] /= 2
    return steps.cumsum(0).long()
