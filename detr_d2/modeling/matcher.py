"""One-to-one matching of predictions with ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from ..errors import ConfigError
from .boxes import cxcywh_to_xyxy, generalized_box_iou
from .targets import Targets


@dataclass(frozen=True)
class Matches:
    """Matched pairs of every decoder layer: M pairs a layer, image after image.

    An image with T objects gives min(N, T) pairs at every layer, hence one ``image`` for all layers.

    Attributes:
        image: (M,) int64, index into the batch.
        query: (L, M) int64, the matched query.
        target: (L, M) int64, the object that it is matched with.
        broken: indices into the batch of the images whose predictions are NaN or infinite.
    """

    image: Tensor
    query: Tensor
    target: Tensor
    broken: tuple[int, ...] = ()


# What stands for a cost that is not finite: lower than all others.
_LOWEST = -1e9


class HungarianMatcher(nn.Module):
    """The assignment of least total cost, found by the Hungarian algorithm (equation 1 of the paper).

    cost(query, object) = ``l1`` · |box - box|₁ - ``class_`` · p(class) - ``giou`` · GIoU.

    A query whose predictions are NaN or infinite is matched before all others, so that the loss is not
    finite either. An error here would end one process of several in the middle of an iteration; the loss
    stops all of them at once.

    Args:
        class_weight, l1_weight, giou_weight: weights of the three terms.

    Raises:
        ConfigError: every weight is 0.
    """

    def __init__(self, class_weight: float = 1.0, l1_weight: float = 5.0, giou_weight: float = 2.0):
        super().__init__()
        if not (class_weight or l1_weight or giou_weight):
            raise ConfigError("the matching cost needs a weight other than 0 (MODEL.DETR.COST_*)")
        self.class_weight = class_weight
        self.l1_weight = l1_weight
        self.giou_weight = giou_weight

    @torch.no_grad()
    def forward(self, logits: Tensor, boxes: Tensor, targets: Targets) -> Matches:
        """Match all images of all layers, with one transfer to the host.

        Args:
            logits: (L, B, N, C + 1), no-object last.
            boxes: (L, B, N, 4) normalised (cx, cy, w, h).
            targets: objects of the B images; an image may have none, or more than N.
        """
        layers, device = logits.shape[0], logits.device
        costs = self.cost(logits.float(), boxes.float(), targets).cpu().numpy()
        # An image without objects gives two empty index arrays; zeros never meet SciPy's solver as NaN.
        per_image = [costs[:, i, :, :count] for i, count in enumerate(targets.counts)]
        broken = tuple(i for i, cost in enumerate(per_image) if not np.isfinite(cost).all())
        for i in broken:
            per_image[i] = np.where(np.isfinite(per_image[i]), per_image[i], _LOWEST)
        pairs = [
            np.concatenate([linear_sum_assignment(cost[layer]) for cost in per_image], axis=1)
            for layer in range(layers)
        ]  # L x (2 x M)
        image = np.repeat(np.arange(len(per_image)), [min(c.shape[1:]) for c in per_image])
        index = torch.from_numpy(np.concatenate([image[None], *pairs])).to(device, non_blocking=True)
        return Matches(image=index[0], query=index[1::2], target=index[2::2], broken=broken)

    def cost(self, logits: Tensor, boxes: Tensor, targets: Targets) -> Tensor:
        """(L, B, N, T): cost of giving each query to each object; padded objects cost anything."""
        labels = targets.labels[None, :, None].expand(*logits.shape[:3], -1)  # L x B x N x T
        probability = logits.softmax(-1).gather(-1, labels)
        predicted, wanted = boxes[..., :, None, :], targets.boxes[:, None]  # L B N 1 4, B 1 T 4
        l1 = (predicted - wanted).abs().sum(-1)
        giou = generalized_box_iou(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(wanted))
        return self.l1_weight * l1 - self.class_weight * probability - self.giou_weight * giou


def match_centers(targets: Targets, padding: Tensor) -> Matches:
    """Match objects with the cells of a feature map that their centres lie in.

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
