"""Evaluation of a model on registered data sets."""

from .build import build_evaluator, register_evaluator
from .coco import ThingsEvaluator
from .panoptic import PanopticEvaluator
from .panoptic_quality import PanopticQuality, PanopticScores

__all__ = [
    "PanopticEvaluator",
    "PanopticQuality",
    "PanopticScores",
    "ThingsEvaluator",
    "build_evaluator",
    "register_evaluator",
]
