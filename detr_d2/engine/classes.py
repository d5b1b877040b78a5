"""Names of the classes that a config is about."""

from __future__ import annotations

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from ..data import load_dataset


def class_names(cfg: CfgNode) -> dict[str, list[str]]:
    """Names of the things and stuff of the data set that is trained on, or else evaluated on.

    They are stored beside a model's weights, and tell which rows of other weights' class head it can use.

    Args:
        cfg: the first of DATASETS.TRAIN counts, and where there is none that of DATASETS.TEST.

    Raises:
        DataError: the data set's json, which has the names, cannot be read.
    """
    return _names_of_first((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))


def evaluated_class_names(cfg: CfgNode) -> dict[str, list[str]]:
    """As :func:`class_names`, of the data set that is evaluated on; one that is trained on need not exist."""
    return _names_of_first(cfg.DATASETS.TEST)


def _names_of_first(datasets: Sequence[str]) -> dict[str, list[str]]:
    if not datasets:
        return {}
    metadata = MetadataCatalog.get(datasets[0]).as_dict()
    # A data set in COCO's json format has its names in that file, which is read where it was not yet.
    if "json_file" in metadata and "thing_classes" not in metadata:
        load_dataset(datasets[0])
        metadata = MetadataCatalog.get(datasets[0]).as_dict()
    return {key: list(metadata[key]) for key in ("thing_classes", "stuff_classes") if key in metadata}
