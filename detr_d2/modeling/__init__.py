"""The model: tensors and Detectron2 structures in, tensors and Detectron2 structures out."""

from .auxiliary import AUXILIARIES, Auxiliary
from .box_regression import BOX_REGRESSIONS, BoxRegression, RelativeBoxRegression
from .class_losses import (
    CLASS_LOSSES,
    ClassLoss,
    CrossEntropy,
    MatchabilityAware,
    PositionSupervised,
    SigmoidFocal,
)
from .criterion import LossWeights, SetCriterion
from .decoders import DECODERS, Decoder, DecoderLayer
from .detr import Detr
from .inference import Inference
from .mask_criterion import MaskCriterion
from .matcher import HungarianMatcher
from .normalizers import LossNormalizers
from .queries import LearnedQueries
from .resnet import build_detr_resnet_backbone, build_slim_resnet_backbone
from .segmentation import BoxAttentionMaps, MaskHead
from .structures import Decoded, Matches, Memory, Part, Prediction, Queries, Supervision
from .targets import Targets
from .transformer import Encoder, EncoderLayer, Transformer

__all__ = [
    "AUXILIARIES",
    "BOX_REGRESSIONS",
    "CLASS_LOSSES",
    "DECODERS",
    "Auxiliary",
    "BoxAttentionMaps",
    "BoxRegression",
    "ClassLoss",
    "CrossEntropy",
    "Decoded",
    "Decoder",
    "DecoderLayer",
    "Detr",
    "Encoder",
    "EncoderLayer",
    "HungarianMatcher",
    "Inference",
    "LearnedQueries",
    "LossNormalizers",
    "LossWeights",
    "MaskCriterion",
    "MaskHead",
    "MatchabilityAware",
    "Matches",
    "Memory",
    "Part",
    "PositionSupervised",
    "Prediction",
    "Queries",
    "RelativeBoxRegression",
    "SetCriterion",
    "SigmoidFocal",
    "Supervision",
    "Targets",
    "Transformer",
    "build_detr_resnet_backbone",
    "build_slim_resnet_backbone",
]
