"""Data sets, augmentation, mappers and loaders. Importing this registers the data set "shapes"."""

from .augmentation import ResizeShortestEdgeTruncate, build_augmentation
from .builtin import register_coco_json, register_shapes
from .dataset_mapper import MAPPER_REGISTRY, DetrDatasetMapper
from .errors import DataError
from .loader import build_detr_test_loader, build_detr_train_loader
from .validation import check_dataset, load_dataset

register_shapes()

__all__ = [
    "MAPPER_REGISTRY",
    "DataError",
    "DetrDatasetMapper",
    "ResizeShortestEdgeTruncate",
    "build_augmentation",
    "build_detr_test_loader",
    "build_detr_train_loader",
    "check_dataset",
    "load_dataset",
    "register_coco_json",
    "register_shapes",
]
