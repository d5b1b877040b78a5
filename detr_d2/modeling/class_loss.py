"""How classes are learned: all that depends on it, from the width of the class head to the scores.

C object classes, whose numbers are 0 to C - 1; C itself stands for no object.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor, nn

from ..errors import require
from .heads import ClassHead
from .losses import focal_terms
from .normalizers import LossNormalizers

# The label of what takes no part in the class loss.
NO_LABEL = -100


class ClassLoss(ABC):
    """What the classes of the queries are to the head, the matcher, the loss and inference.

    Attributes:
        likely, sure: scores from which a detection is worth showing, to see many or few.
        panoptic_threshold: the key of MODEL.DETR.TEST with the score that panoptic segmentation asks for.
        no_object_weight: of a query without object, where one with an object has 1.
    """

    likely: ClassVar[float]
    sure: ClassVar[float]
    panoptic_threshold: ClassVar[str]
    no_object_weight: float

    @classmethod
    @abstractmethod
    def from_config(cls, cfg: CfgNode) -> ClassLoss:
        """One with what MODEL.DETR says.

        Raises:
            ConfigError: a key has a value that it cannot have.
        """

    @abstractmethod
    def head(self, channels: int, num_classes: int) -> ClassHead:
        """(..., d) → (..., K) logits, of which K there are."""

    @abstractmethod
    def cost(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of matching queries with objects: (..., K) and (..., T) int64 below C → (..., T)."""

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(L, Q, K) and (L, Q) int64 up to C, or :data:`NO_LABEL`, → (L,): sums over the queries."""

    @abstractmethod
    def divisor(self, normalizers: LossNormalizers) -> Tensor:
        """What the sums are divided by."""

    @abstractmethod
    def best(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """The best class of each query, and its score in [0, 1]: (..., K) → (...) each.

        The score is 0 where the best is no object, for cross entropy class C.
        """

    @abstractmethod
    def found(self, logits: Tensor) -> Tensor:
        """Where an object is more likely than none: (..., K) → (...) bool."""

    @abstractmethod
    def candidates(
        self, logits: Tensor, limit: int, only: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What inference shows of each image.

        Args:
            logits: (B, N, K).
            limit: detections of an image, where a query may give several.
            only: the classes that are asked for; None: all. Others may be given too.

        Returns:
            (B, n) each: scores in [0, 1] (less where there is nothing), classes below C, and the queries.
        """


@dataclass(frozen=True)
class CrossEntropy(ClassLoss):
    """One distribution over the C classes and no object (Carion et al., ECCV 2020); K = C + 1.

    Args:
        no_object_weight: against class imbalance.
    """

    no_object_weight: float

    likely = 0.5
    sure = 0.7
    panoptic_threshold = "PANOPTIC_SCORE_THRESHOLD"

    @classmethod
    def from_config(cls, cfg: CfgNode) -> CrossEntropy:
        return cls(cfg.MODEL.DETR.NO_OBJECT_WEIGHT)

    def head(self, channels: int, num_classes: int) -> ClassHead:
        return ClassHead(channels, num_classes + 1)

    def cost(self, logits: Tensor, labels: Tensor) -> Tensor:
        return -logits.float().softmax(-1).gather(-1, labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = logits.new_ones(logits.shape[-1])
        weights[-1] = self.no_object_weight
        terms = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), weights, ignore_index=NO_LABEL, reduction="none"
        )
        return terms.view_as(labels).sum(1)

    def divisor(self, normalizers: LossNormalizers) -> Tensor:
        return normalizers.label_weight

    def best(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        scores, classes = logits.float().softmax(-1).max(-1)
        return scores.masked_fill(classes == logits.shape[-1] - 1, 0), classes

    def found(self, logits: Tensor) -> Tensor:
        return logits.argmax(-1) != logits.shape[-1] - 1

    def candidates(
        self, logits: Tensor, limit: int, only: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One for each query: its best object class."""
        scores, classes = logits.float().softmax(-1)[..., :-1].max(-1)
        queries = torch.arange(scores.shape[1], device=scores.device)
        return scores, classes, queries.expand_as(classes)


@dataclass(frozen=True)
class SigmoidFocal(ClassLoss):
    """A probability for each class by itself, with the focal loss (Lin et al., ICCV 2017); K = C.

    The matching cost is the change of the loss from "no object" to the object's class, as in Deformable DETR.

    Args:
        alpha: weight of the right class; the others have 1 - alpha.
        gamma: exponent that takes weight from what is right already.
    """

    alpha: float
    gamma: float

    likely = 0.3
    sure = 0.4
    panoptic_threshold = "SIGMOID_PANOPTIC_SCORE_THRESHOLD"
    no_object_weight = 0.0

    @classmethod
    def from_config(cls, cfg: CfgNode) -> SigmoidFocal:
        alpha, gamma = cfg.MODEL.DETR.FOCAL.ALPHA, cfg.MODEL.DETR.FOCAL.GAMMA
        require(0 < alpha < 1, "MODEL.DETR.FOCAL.ALPHA", alpha, "between 0 and 1")
        require(gamma >= 0, "MODEL.DETR.FOCAL.GAMMA", gamma, "0 or more")
        return cls(alpha, gamma)

    def head(self, channels: int, num_classes: int) -> ClassHead:
        """All probabilities start at 0.01, so that the many that are to be 0 do not drown the others."""
        head = ClassHead(channels, num_classes)
        nn.init.constant_(head.bias, -math.log(99))
        return head

    def cost(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.float().gather(-1, labels)
        yes, no = (
            focal_terms(logits, torch.full_like(labels, wanted, dtype=torch.bool), self.alpha, self.gamma)
            for wanted in (True, False)
        )
        return yes - no

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        wanted = labels[..., None] == torch.arange(logits.shape[-1], device=labels.device)  # L x Q x C
        terms = focal_terms(logits, wanted, self.alpha, self.gamma)
        return terms.masked_fill((labels == NO_LABEL)[..., None], 0).sum((1, 2))

    def divisor(self, normalizers: LossNormalizers) -> Tensor:
        return normalizers.num_boxes

    def best(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        return logits.float().sigmoid().max(-1)

    def found(self, logits: Tensor) -> Tensor:
        return logits.amax(-1) > 0

    def candidates(
        self, logits: Tensor, limit: int, only: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best ``limit`` of all classes of all queries, the best first."""
        scores = logits.float().sigmoid()
        if only is not None:
            other = torch.ones(scores.shape[-1], dtype=torch.bool)
            other[list(only)] = False
            scores = scores.masked_fill(other.to(scores.device), -1)
        top = scores.flatten(1).topk(min(limit, scores[0].numel()))
        queries = top.indices.div(scores.shape[-1], rounding_mode="floor")
        return top.values, top.indices % scores.shape[-1], queries


# What MODEL.DETR.CLASS_LOSS may name.
CLASS_LOSSES: dict[str, type[ClassLoss]] = {"cross_entropy": CrossEntropy, "focal": SigmoidFocal}
