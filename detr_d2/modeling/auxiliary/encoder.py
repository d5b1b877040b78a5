"""Supervision of the encoder's tokens."""

from __future__ import annotations

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor

from ...errors import require
from ..decoders import DECODERS
from ..heads import RelativeBoxHead
from ..structures import Matches, Memory, Prediction, Supervision
from ..targets import Targets
from .auxiliary import Auxiliary, Predict


class EncoderSupervision(Auxiliary):
    """Lets the decoder's heads read each object off the encoder's token at its center.

    The encoded image then holds, where an object is, what the decoder has to find there. Two-stage
    detectors supervise their encoder so; here inference does not use the result. Padding takes no part,
    and all losses are divided by the number of objects.

    Args:
        weight: of the losses ``loss_ce_encoder``, ``loss_bbox_encoder`` and ``loss_giou_encoder``.
        relative: predict boxes relative to the centers of the cells, with a head that expects a reference.
    """

    def __init__(self, weight: float, relative: bool):
        super().__init__()
        self.weight = weight
        self.relative = relative

    @classmethod
    def from_config(cls, cfg: CfgNode) -> EncoderSupervision:
        weight = cfg.MODEL.DETR.ENCODER.LOSS_WEIGHT
        require(weight > 0, "MODEL.DETR.ENCODER.LOSS_WEIGHT", weight, "above 0")
        return cls(weight, issubclass(DECODERS[cfg.MODEL.DETR.DECODER].box_head, RelativeBoxHead))

    def predictions(self, predict: Predict, memory: Memory, targets: Targets) -> list[Prediction]:
        reference = memory.cell_centers().logit(eps=1e-5) if self.relative else None
        logits, boxes = predict(memory.tokens, reference)
        supervision = Supervision(
            "_encoder", self.weight, match_centers(targets, memory.padding_maps()), memory.padding, True
        )
        return [
            Prediction(logits[None], boxes[None], supervision, None if reference is None else reference[None])
        ]


def match_centers(targets: Targets, padding: Tensor) -> Matches:
    """Match objects with the cells of a feature map that their centers lie in.

    Of several objects in one cell the smallest has it, the first of equal ones; the others are left out.

    Args:
        targets: objects of B images.
        padding: (B or 1, h, w) bool, True on padding, which is at the bottom and right.

    Returns:
        one layer of matches; ``query`` is the index of the cell in the flattened map.
    """
    valid, boxes = ~padding, targets.boxes.cpu()
    size = torch.stack([valid.any(1).sum(1), valid.any(2).sum(1)], dim=1).cpu()  # B x (w, h), in cells
    cell = (boxes[..., :2] * size[:, None]).long()  # B x T x (x, y)
    cell = cell.clamp(min=0).minimum(size[:, None] - 1)
    image = torch.repeat_interleave(torch.tensor(targets.counts))
    target = torch.cat([torch.arange(count) for count in targets.counts])
    x, y = cell[image, target].unbind(1)
    query = y * padding.shape[-1] + x

    from_small_to_large = boxes[image, target, 2:].prod(1).argsort(stable=True)
    claims = torch.stack([image, query], dim=1)[from_small_to_large].numpy()
    _, first = np.unique(claims, axis=0, return_index=True)
    kept = from_small_to_large[torch.from_numpy(first)].sort().values
    index = torch.stack([image, query, target])[:, kept].to(padding.device, non_blocking=True)
    return Matches(image=index[0], query=index[1:2], target=index[2:3])
