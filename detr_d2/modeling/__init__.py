"""The model: tensors and Detectron2 structures in, tensors and Detectron2 structures out."""

from .criterion import LossWeights, SetCriterion
from .detr import Detr
from .matcher import HungarianMatcher, Matches
from .normalizers import LossNormalizers
from .resnet import build_detr_resnet_backbone, build_slim_resnet_backbone
from .targets import Targets
from .transformer import Transformer

__all__ = [
    "Detr",
    "HungarianMatcher",
    "LossNormalizers",
    "LossWeights",
    "Matches",
    "SetCriterion",
    "Targets",
    "Transformer",
    "build_detr_resnet_backbone",
    "build_slim_resnet_backbone",
]
