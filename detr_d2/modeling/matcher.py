"""One-to-one matching of predictions with ground truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from ..errors import ConfigError
from .box_regression import BoxRegression
from .boxes import cxcywh_to_xyxy, generalized_box_iou
from .class_losses import ClassLoss
from .structures import Matches, Prediction
from .targets import Targets

# What stands for a cost that is not finite: lower than all others.
_LOWEST = -1e9


class HungarianMatcher(nn.Module):
    """The assignment of least total cost, found by the Hungarian algorithm (equation 1 of the paper).

    cost(query, object) = ``l1_cost`` · d(box, box) + ``class_cost`` · c(class) - ``giou_cost`` · GIoU,
    where c is -p for cross entropy, and d the L1 distance for absolute boxes.

    A query whose predictions are NaN or infinite is matched before all others, so that the loss is not
    finite either. An error here would end one process of several in the middle of an iteration; the loss
    stops all of them at once.

    Args:
        class_cost, l1_cost, giou_cost: weights of the three terms.
        class_loss: how classes are learned; its cost is c.
        box_regression: how boxes are learned; its distance is d.

    Raises:
        ConfigError: every weight is 0.
    """

    def __init__(
        self,
        class_cost: float,
        l1_cost: float,
        giou_cost: float,
        class_loss: ClassLoss,
        box_regression: BoxRegression,
    ):
        super().__init__()
        if not (class_cost or l1_cost or giou_cost):
            raise ConfigError("the matching cost needs a weight other than 0 (MODEL.DETR.COST_*)")
        self.class_cost = class_cost
        self.l1_cost = l1_cost
        self.giou_cost = giou_cost
        self.class_loss = class_loss
        self.box_regression = box_regression

    @torch.no_grad()
    def forward(self, predictions: Sequence[Prediction], targets: Targets) -> list[Matches]:
        """Match all images of all layers of all predictions, with one transfer to the host.

        Args:
            predictions: of B images, each with G groups of n queries, see :class:`Prediction`.
            targets: objects of the B images; an image may have none, or more than n.
        """
        repeated = [targets.repeated(len(p.logits[0]) // len(targets.counts)) for p in predictions]
        costs = [self.cost(p, t) for p, t in zip(predictions, repeated, strict=True)]
        on_host = torch.cat([cost.flatten() for cost in costs]).cpu().split([cost.numel() for cost in costs])
        return [
            _solve(flat.view_as(cost).numpy(), t.counts, len(t.counts) // len(targets.counts), cost.device)
            for flat, cost, t in zip(on_host, costs, repeated, strict=True)
        ]

    def cost(self, prediction: Prediction, targets: Targets) -> Tensor:
        """(L, B, n, T): cost of giving each query to each object; padded objects cost anything.

        Args:
            prediction: of B images, groups counted.
            targets: objects of the B images.
        """
        logits, boxes, sizes = prediction.logits, prediction.boxes.float(), prediction.reference_sizes()
        labels = targets.labels[None, :, None].expand(*logits.shape[:3], -1)  # L x B x n x T
        predicted, wanted = boxes[..., :, None, :], targets.boxes[:, None]  # L B n 1 4, B 1 T 4
        l1 = self.box_regression.distance(predicted, wanted, sizes[..., None, :])
        giou = generalized_box_iou(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(wanted))
        class_cost = self.class_loss.cost(logits, labels, giou)
        return self.l1_cost * l1 + self.class_cost * class_cost - self.giou_cost * giou


def _solve(costs: NDArray[np.float32], counts: Sequence[int], groups: int, device: torch.device) -> Matches:
    """Matches of least total cost.

    Args:
        costs: (L, B, n, T).
        counts: objects of each of the B images.
        groups: how many of them in a row are one image of the batch.
        device: of the result.
    """
    # An image without objects gives two empty index arrays; zeros never meet SciPy's solver as NaN.
    per_image = [costs[:, i, :, :count] for i, count in enumerate(counts)]
    broken = [i for i, cost in enumerate(per_image) if not np.isfinite(cost).all()]
    for i in broken:
        per_image[i] = np.where(np.isfinite(per_image[i]), per_image[i], _LOWEST)
    pairs = [
        np.concatenate([linear_sum_assignment(cost[layer]) for cost in per_image], axis=1)
        for layer in range(len(costs))
    ]  # L x (2 x M)
    image = np.repeat(np.arange(len(per_image)), [min(c.shape[1:]) for c in per_image])
    index = torch.from_numpy(np.concatenate([image[None], *pairs])).to(device, non_blocking=True)
    in_batch = tuple(sorted({i // groups for i in broken}))
    return Matches(image=index[0], query=index[1::2], target=index[2::2], broken=in_batch)
