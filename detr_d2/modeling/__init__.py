"""The model: tensors and Detectron2 structures in, tensors and Detectron2 structures out."""

from .criterion import LossWeights, SetCriterion
from .detr import Detr
from .inference import Inference
from .mask_criterion import MaskCriterion
from .matcher import HungarianMatcher, Matches
from .normalizers import LossNormalizers
from .resnet import build_detr_resnet_backbone, build_slim_resnet_backbone
from .segmentation import BoxAttentionMaps, MaskHead
from .targets import Targets
from .transformer import Transformer

__all__ = [
    "BoxAttentionMaps",
    "Detr",
    "HungarianMatcher",
    "Inference",
    "LossNormalizers",
    "LossWeights",
    "MaskCriterion",
    "MaskHead",
    "Matches",
    "SetCriterion",
    "Targets",
    "Transformer",
    "build_detr_resnet_backbone",
    "build_slim_resnet_backbone",
]
