"""How classes are learned: all that depends on it, from the width of the class head to the scores.

C object classes, whose numbers are 0 to C - 1; C itself stands for no object.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from detectron2.config import CfgNode
from torch import Tensor

from ..heads import ClassHead
from ..normalizers import LossNormalizers

# The label of what takes no part in the class loss.
NO_LABEL = -100


class ClassLoss(ABC):
    """What the classes of the queries are to the head, the matcher, the loss and inference.

    Attributes:
        likely, sure: scores from which a detection is worth showing, to see many or few.
        panoptic_threshold: the key of MODEL.DETR.TEST with the score that panoptic segmentation asks for.
        shares_limit: whether TEST.DETECTIONS_PER_IMAGE is of the detections of all classes together.
        no_object_weight: of a query without object, where one with an object has 1.
    """

    likely: ClassVar[float]
    sure: ClassVar[float]
    panoptic_threshold: ClassVar[str]
    shares_limit: ClassVar[bool]
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
    def cost(self, logits: Tensor, labels: Tensor, giou: Tensor) -> Tensor:
        """Of matching queries with objects.

        Args:
            logits: (..., K).
            labels: (..., T) int64 below C, of the objects.
            giou: (..., T), generalized IoU of each query's box with theirs.

        Returns:
            (..., T).
        """

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor, iou: Tensor) -> Tensor:
        """Sums over the queries of all images.

        Args:
            logits: (L, B, n, K).
            labels: (L, B, n) int64 up to C, or :data:`NO_LABEL`.
            iou: (L, B, n), without gradient, of a matched query's box with its object's; 0 for the others.

        Returns:
            (L,).
        """

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
