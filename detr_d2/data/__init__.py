"""Data sets, augmentation, mappers and loaders."""

from ..errors import DataError
from .augmentation import ResizeShortestEdgeTruncate, build_augmentation
from .builtin import register_configured
from .conversion import panoptic_to_detection
from .dataset_mapper import MAPPER_REGISTRY, DetrDatasetMapper
from .loader import build_detr_test_loader, build_detr_train_loader
from .panoptic_json import read_classes
from .panoptic_mapper import DetrPanopticDatasetMapper
from .preflight import load_dataset

__all__ = [
    "MAPPER_REGISTRY",
    "DataError",
    "DetrDatasetMapper",
    "DetrPanopticDatasetMapper",
    "ResizeShortestEdgeTruncate",
    "build_augmentation",
    "build_detr_test_loader",
    "build_detr_train_loader",
    "load_dataset",
    "panoptic_to_detection",
    "read_classes",
    "register_configured",
]
