"""Values of the published recipe, for tests in which they do not matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectron2.structures import Instances
from torch import Tensor

from detr_d2.modeling import (
    BoxRegression,
    ClassLoss,
    CrossEntropy,
    HungarianMatcher,
    MatchabilityAware,
    PositionSupervised,
    SigmoidFocal,
)
from detr_d2.modeling.inference import Inference
from detr_d2.modeling.postprocessing import detections

CROSS_ENTROPY = CrossEntropy(0.1)
FOCAL = SigmoidFocal(0.25, 2.0)
POSITION_SUPERVISED = PositionSupervised(0.25, 2.0)
MATCHABILITY_AWARE = MatchabilityAware(0.25, 2.0, 1.5)
SIGMOID_LOSSES: tuple[ClassLoss, ...] = (FOCAL, POSITION_SUPERVISED, MATCHABILITY_AWARE)
EVERY_CLASS_LOSS = (CROSS_ENTROPY, *SIGMOID_LOSSES)
ABSOLUTE = BoxRegression()


def found(
    logits: Tensor,
    boxes: Tensor,
    image_sizes: Sequence[tuple[int, int]],
    things: Sequence[int] | None = None,
    score_threshold: float = 0.0,
    class_loss: ClassLoss = CROSS_ENTROPY,
    limit: int = 100,
) -> list[tuple[Instances, Tensor]]:
    """All detections, but for what is asked."""
    return detections(logits, boxes, image_sizes, things, score_threshold, class_loss, limit)


def make_matcher() -> HungarianMatcher:
    """With the weights of the paper."""
    return HungarianMatcher(1.0, 5.0, 2.0, CROSS_ENTROPY, ABSOLUTE)


def make_inference(**changes: Any) -> Inference:
    """All instances with their boxes, but for the changes."""
    values = {
        "instances_on": True,
        "panoptic_on": False,
        "things": None,
        "score_threshold": 0.0,
        "mask_threshold": 0.5,
        "panoptic_score_threshold": 0.85,
        "panoptic_min_area": 4,
        "mask_chunk": 32,
        "class_loss": CROSS_ENTROPY,
        "limit": 100,
    }
    return Inference(**(values | changes))
