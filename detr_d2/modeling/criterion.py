"""The set criterion: match, then supervise each pair, for every decoder layer at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .box_regression import BoxRegression
from .boxes import box_iou, cxcywh_to_xyxy
from .class_losses import NO_LABEL, ClassLoss
from .losses import giou_loss
from .matcher import HungarianMatcher
from .normalizers import LossNormalizers
from .precision import without_autocast
from .structures import Matches, Prediction
from .targets import Targets

# The name of the class loss; it alone is not divided by the number of boxes.
CLASS_TERM = "loss_ce"


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of the loss (λ in equation 2 of the paper)."""

    class_: float
    l1: float
    giou: float


class SetCriterion(nn.Module):
    """The Hungarian loss of DETR (equation 2 of the paper).

    Args:
        num_classes: object classes C; label C is no-object.
        num_queries: object queries N of inference.
        matcher: pairs predictions with objects.
        weights: of the terms of the loss.
        class_loss: how classes are learned.
        box_regression: how boxes are learned.
        per_process: divide the class loss by this process's own sum of weights (the published rule)
            where the caller gives no normalizers; otherwise by the mean over processes.
        deep_supervision: supervise every decoder layer, not only the last.
        metrics_period: iterations between two writings of training metrics; 0 never writes.
    """

    nothing: Tensor

    def __init__(
        self,
        num_classes: int,
        num_queries: int,
        matcher: HungarianMatcher,
        weights: LossWeights,
        class_loss: ClassLoss,
        box_regression: BoxRegression,
        per_process: bool,
        deep_supervision: bool,
        metrics_period: int,
    ):
        super().__init__()
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.matcher = matcher
        self.weights = weights
        self.class_loss = class_loss
        self.box_regression = box_regression
        self.per_process = per_process
        self.deep_supervision = deep_supervision
        self.metrics_period = metrics_period
        self.register_buffer("nothing", torch.zeros(0), persistent=False)  # tells the device

    def forward(
        self, predictions: Sequence[Prediction], targets: Targets, normalizers: LossNormalizers | None = None
    ) -> tuple[dict[str, Tensor], Matches]:
        """Losses of every layer of all predictions.

        Args:
            predictions: of B images; the first is that of inference.
            targets: objects of the B images.
            normalizers: divisors; None takes those of this batch over all processes.

        Returns:
            weighted scalars ``loss_ce``, ``loss_bbox`` and ``loss_giou`` of the last layer, with a suffix
            ``_i`` those of layer i before it, and with that of their supervision those of other
            predictions, to be summed and minimized; and the matches of the first prediction.
        """
        normalizers = normalizers or self.normalizers(targets.counts)
        matches = self.match(predictions, targets)
        losses: dict[str, Tensor] = {}
        with without_autocast(targets.boxes.device):
            for prediction, pairs in zip(predictions, matches, strict=True):
                for name, loss in self.losses(prediction, pairs, targets, normalizers).items():
                    losses[name] = losses[name] + loss if name in losses else loss
        broken = sorted({image for pairs in matches for image in pairs.broken})
        return losses, replace(matches[0], broken=tuple(broken))

    def match(self, predictions: Sequence[Prediction], targets: Targets) -> list[Matches]:
        """Who is to predict what: what the supervision says, or else the matcher."""
        open_ = [p for p in predictions if p.supervision.matches is None]
        with without_autocast(targets.boxes.device):
            found = iter(self.matcher([self.supervised(p) for p in open_], targets))
        return [p.supervision.matches or next(found) for p in predictions]

    def supervised(self, prediction: Prediction) -> Prediction:
        """The layers that learn."""
        return prediction if self.deep_supervision else prediction.last_layer()

    def losses(
        self, prediction: Prediction, matches: Matches, targets: Targets, normalizers: LossNormalizers
    ) -> dict[str, Tensor]:
        """Weighted losses of one prediction; see :meth:`forward`."""
        prediction, supervision = self.supervised(prediction), prediction.supervision
        logits, boxes = prediction.logits.float(), prediction.boxes.float()
        # Rows that are matched by themselves are like another image with the same objects.
        targets = targets.repeated(len(logits[0]) // len(targets.counts))
        layer = torch.arange(len(logits), device=logits.device)[:, None]
        matched = (layer, matches.image, matches.query)
        object_index = (matches.image, matches.target)

        labels = torch.full(logits.shape[:3], self.num_classes, dtype=torch.int64, device=logits.device)
        labels[matched] = targets.labels[object_index]
        if supervision.ignored is not None:
            labels.masked_fill_(supervision.ignored, NO_LABEL)
        matched_boxes, target_boxes = boxes[matched], targets.boxes[object_index]  # L x M x 4
        iou = torch.zeros(logits.shape[:3], device=logits.device)
        iou[matched] = box_iou(cxcywh_to_xyxy(matched_boxes.detach()), cxcywh_to_xyxy(target_boxes))
        distance = self.box_regression.distance(
            matched_boxes, target_boxes, prediction.reference_sizes()[matched]
        )

        per_object = normalizers.num_boxes / supervision.weight
        per_label = self.class_loss.divisor(normalizers) / supervision.weight
        if supervision.per_object:
            per_label = per_object
        terms = {
            CLASS_TERM: self.class_loss.loss(logits, labels, iou) * (self.weights.class_ / per_label),
            "loss_bbox": distance.sum(1) * (self.weights.l1 / per_object),
            "loss_giou": giou_loss(matched_boxes, target_boxes) * (self.weights.giou / per_object),
        }
        return name_layers(terms, supervision.suffix)

    def normalizers(self, counts: Sequence[int]) -> LossNormalizers:
        """Divisors for images with these numbers of objects on this process.

        They are averaged over processes, except that the published rule averages only the boxes.
        """
        device, no_object = self.nothing.device, self.class_loss.no_object_weight
        local = LossNormalizers.from_counts(counts, self.num_queries, no_object, device)
        average = local.averaged()
        if not self.per_process:
            return average
        return LossNormalizers(average.num_boxes, local.label_weight).clamped()


def name_layers(losses: dict[str, Tensor], suffix: str = "") -> dict[str, Tensor]:
    """{name: (L,)} → scalars: ``name`` of the last layer, ``name_i`` of layer i before it; with a suffix."""
    named = {}
    for name, values in losses.items():
        *earlier, last = values.unbind()
        named[f"{name}{suffix}"] = last
        named.update({f"{name}_{i}{suffix}": value for i, value in enumerate(earlier)})
    return named
