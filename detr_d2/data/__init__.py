"""Data sets, augmentation, mappers and loaders. Importing this registers the data set "shapes"."""

from ..errors import DataError
from .augmentation import ResizeShortestEdgeTruncate, build_augmentation
from .builtin import register_coco_json, register_shapes
from .conversion import panoptic_to_detection
from .dataset_mapper import MAPPER_REGISTRY, DetrDatasetMapper
from .loader import build_detr_test_loader, build_detr_train_loader
from .panoptic_mapper import DetrPanopticDatasetMapper
from .validation import check_dataset, load_dataset

register_shapes()

__all__ = [
    "MAPPER_REGISTRY",
    "DataError",
    "DetrDatasetMapper",
    "DetrPanopticDatasetMapper",
    "ResizeShortestEdgeTruncate",
    "build_augmentation",
    "build_detr_test_loader",
    "build_detr_train_loader",
    "check_dataset",
    "load_dataset",
    "panoptic_to_detection",
    "register_coco_json",
    "register_shapes",
]
