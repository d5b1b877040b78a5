"""The losses of matched masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .losses import dice_loss, focal_loss
from .structures import Matches
from .targets import Targets

# Mask logits (n, h, w) of the queries (n,) that are named for each image; the second argument is the number
# of queries that are computed at a time.
MaskPredictor = Callable[[Sequence[Tensor], "int | None"], Sequence[Tensor]]


class MaskCriterion(nn.Module):
    """Focal and dice loss of each matched query's mask with its object's (section 4.4 of the DETR paper).

    Masks are compared at the size of the images, where those of a batch would take much memory. Images are
    therefore taken one by one, and their full-size masks are computed anew in the backward pass.

    Args:
        num_queries: object queries N.
        mask_weight: of the focal loss.
        dice_weight: of the dice loss.
        on_padding: compare over the padded batch, as published DETR does, and not over each image alone.
    """

    def __init__(
        self,
        num_queries: int,
        mask_weight: float,
        dice_weight: float,
        on_padding: bool,
    ):
        super().__init__()
        self.num_queries = num_queries
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.on_padding = on_padding

    def forward(
        self,
        predict_masks: MaskPredictor,
        matches: Matches,
        targets: Targets,
        padded_size: Sequence[int],
        num_boxes: Tensor,
    ) -> dict[str, Tensor]:
        """Losses of the queries that the last layer matched.

        Args:
            predict_masks: gives the mask logits of the queries that are asked for.
            matches: of the detector.
            targets: of the B images, with masks.
            padded_size: (H, W) in pixels of the batch.
            num_boxes: what the sums over the B images are divided by.

        Returns:
            weighted scalars ``loss_mask`` and ``loss_dice``.
        """
        assert targets.masks is not None
        counts = [min(count, self.num_queries) for count in targets.counts]
        query, target = (x[-1].split(counts) for x in (matches.query, matches.target))
        if not any(counts):  # a mask that counts nothing, for every parameter needs its gradient: zeros
            anyone = torch.zeros(1, dtype=torch.int64, device=num_boxes.device)
            nothing = predict_masks([anyone, *query[1:]], None)[0].float().sum() * 0
            return {"loss_mask": nothing, "loss_dice": nothing}

        compare = partial(_compare, padded_size=padded_size, on_padding=self.on_padding)
        focal = dice = num_boxes.new_zeros(())
        predicted = predict_masks(query, None)
        with torch.autocast(num_boxes.device.type, enabled=False):
            for i, logits in enumerate(predicted):
                if len(logits):
                    # It draws no random numbers, so that their state need not be kept.
                    terms = checkpoint(
                        compare,
                        logits.float(),
                        targets.masks[i],
                        target[i],
                        use_reentrant=False,
                        preserve_rng_state=False,
                    )
                    focal, dice = focal + terms[0], dice + terms[1]
        return {
            "loss_mask": focal * (self.mask_weight / num_boxes),
            "loss_dice": dice * (self.dice_weight / num_boxes),
        }


def _compare(
    logits: Tensor, masks: Tensor, target: Tensor, padded_size: Sequence[int], on_padding: bool
) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of a batch's (n, h, w) logits with those of an image's masks that they match.

    The masks are chosen here, so that no copy of them is kept for the backward pass.
    """
    masks = masks[target]
    height, width = masks.shape[1:]
    logits = F.interpolate(logits[:, None], size=padded_size, mode="bilinear", align_corners=False)[:, 0]
    if on_padding:
        masks = F.pad(masks, (0, padded_size[1] - width, 0, padded_size[0] - height))
    else:
        logits = logits[:, :height, :width]
    return focal_loss(logits, masks), dice_loss(logits, masks)
