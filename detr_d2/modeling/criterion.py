"""The set criterion: match, then supervise each pair, for every decoder layer at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .losses import NO_LABEL, class_loss, giou_loss, l1_loss
from .matcher import HungarianMatcher, Matches
from .normalizers import LossNormalizers
from .precision import without_autocast
from .targets import Targets


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of the loss (λ in equation 2 of the paper)."""

    class_: float = 1.0
    l1: float = 5.0
    giou: float = 2.0


class SetCriterion(nn.Module):
    """The Hungarian loss of DETR (equation 2 of the paper).

    Args:
        num_classes: object classes C; class C is no-object.
        num_queries: object queries N.
        matcher: pairs predictions with objects.
        weights: of the terms of the loss.
        no_object_weight: weight of the no-object class in the cross entropy, against class imbalance.
        per_process: divide the class loss by this process's own sum of weights (the published rule)
            where the caller gives no normalisers; otherwise by the mean over processes.
    """

    class_weight: Tensor

    def __init__(
        self,
        num_classes: int,
        num_queries: int,
        matcher: HungarianMatcher,
        weights: LossWeights,
        no_object_weight: float = 0.1,
        per_process: bool = False,
    ):
        super().__init__()
        self.num_queries = num_queries
        self.matcher = matcher
        self.weights = weights
        self.no_object_weight = no_object_weight
        self.per_process = per_process
        class_weight = torch.ones(num_classes + 1)
        class_weight[-1] = no_object_weight
        self.register_buffer("class_weight", class_weight, persistent=False)

    def forward(
        self,
        logits: Tensor,
        boxes: Tensor,
        targets: Targets,
        normalizers: LossNormalizers | None = None,
        matches: Matches | None = None,
        ignored: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], Matches]:
        """Losses of every layer that is given.

        Args:
            logits: (L, B, N, C + 1), last decoder layer last.
            boxes: (L, B, N, 4) normalised (cx, cy, w, h).
            targets: objects of the B images.
            normalizers: divisors; None takes those of this batch over all processes.
            matches: who is to predict what; None asks the matcher.
            ignored: (B, N) bool, True for queries that take no part in the class loss; None: all do.

        Returns:
            weighted scalars ``loss_ce``, ``loss_bbox`` and ``loss_giou`` of the last layer, and with a
            suffix ``_i`` those of layer i before it, to be summed and minimised; and the matches.
        """
        normalizers = normalizers or self.normalizers(targets.counts)
        with without_autocast(logits.device):
            logits, boxes = logits.float(), boxes.float()
            if matches is None:
                matches = self.matcher(logits, boxes, targets)
            layer = torch.arange(len(logits), device=logits.device)[:, None]
            matched = (layer, matches.image, matches.query)
            object_index = (matches.image, matches.target)

            no_object = logits.shape[-1] - 1
            labels = torch.full(logits.shape[:3], no_object, dtype=torch.int64, device=logits.device)
            labels[matched] = targets.labels[object_index]
            if ignored is not None:
                labels.masked_fill_(ignored, NO_LABEL)
            matched_boxes, target_boxes = boxes[matched], targets.boxes[object_index]  # L x M x 4

            losses = {
                "loss_ce": class_loss(logits.flatten(1, 2), labels.flatten(1), self.class_weight)
                * (self.weights.class_ / normalizers.class_weight),
                "loss_bbox": l1_loss(matched_boxes, target_boxes) * (self.weights.l1 / normalizers.num_boxes),
                "loss_giou": giou_loss(matched_boxes, target_boxes)
                * (self.weights.giou / normalizers.num_boxes),
            }
        return name_layers(losses), matches

    def normalizers(self, counts: Sequence[int]) -> LossNormalizers:
        """Divisors for images with these numbers of objects on this process.

        They are averaged over processes, except that the published rule averages only the boxes.
        """
        local = LossNormalizers.from_counts(
            counts, self.num_queries, self.no_object_weight, self.class_weight.device
        )
        average = local.averaged()
        if not self.per_process:
            return average
        return LossNormalizers(average.num_boxes, local.class_weight).clamped()


def name_layers(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """{name: (L,)} → scalars: ``name`` for the last layer, ``name_i`` for layer i before it."""
    named = {}
    for name, values in losses.items():
        *auxiliary, last = values.unbind()
        named[name] = last
        named.update({f"{name}_{i}": value for i, value in enumerate(auxiliary)})
    return named
