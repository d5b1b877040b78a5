"""How classes are learned; each kind is one file."""

from .class_loss import NO_LABEL, ClassLoss
from .cross_entropy import CrossEntropy
from .focal import SigmoidFocal
from .matchability_aware import MatchabilityAware
from .position_supervised import PositionSupervised

# What MODEL.DETR.CLASS_LOSS may name. Add your own: CLASS_LOSSES["mine"] = MyClassLoss.
CLASS_LOSSES: dict[str, type[ClassLoss]] = {
    "cross_entropy": CrossEntropy,
    "focal": SigmoidFocal,
    "matchability_aware": MatchabilityAware,
    "position_supervised": PositionSupervised,
}

__all__ = [
    "CLASS_LOSSES",
    "NO_LABEL",
    "ClassLoss",
    "CrossEntropy",
    "MatchabilityAware",
    "PositionSupervised",
    "SigmoidFocal",
]
