"""Images of test sets with their objects, for the loss on them."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from torch.utils.data import DataLoader

from .dataset_mapper import build_mapper
from .loader import build_detr_test_loader, numbered_as


def build_validation_loader(cfg: CfgNode, dataset_name: str) -> DataLoader[dict[str, Any]]:
    """As :func:`~.loader.build_detr_test_loader`, but with the objects that a training
    would see, with the class numbers of the first data set of DATASETS.TRAIN.

    Raises:
        DataError: the data set cannot be used, or has classes that that one has not.
        ConfigError: a config key with a value that cannot be used.
    """
    resized = cfg.clone()
    resized.defrost()
    size = cfg.INPUT.MIN_SIZE_TEST
    resized.INPUT.MIN_SIZE_TRAIN, resized.INPUT.MIN_SIZE_TRAIN_SAMPLING = (size,), "choice"
    resized.INPUT.MAX_SIZE_TRAIN = cfg.INPUT.MAX_SIZE_TEST
    resized.INPUT.RANDOM_FLIP, resized.INPUT.AUGMENTATION = "none", "light"
    first = cfg.DATASETS.TRAIN[0] if cfg.DATASETS.TRAIN else dataset_name
    return build_detr_test_loader(
        cfg,
        dataset_name,
        build_mapper(resized, is_train=True),
        adapt=lambda records: numbered_as(first, dataset_name, records),
    )
