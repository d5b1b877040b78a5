"""Names of the classes that a config is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from ..data import load_dataset
from ..modeling.build import thing_numbers


def class_names(cfg: CfgNode) -> dict[str, list[Any]]:
    """Names of the things and stuff of the data set that is trained on, or else evaluated on.

    They are stored beside a model's weights, and tell which rows of other weights' class head it can use.
    ``things`` has the numbers of the things where stuff shares their numbering.

    Args:
        cfg: the first of DATASETS.TRAIN counts, and where there is none that of DATASETS.TEST.

    Raises:
        DataError: the data set's json, which has the names, cannot be read.
    """
    return _names_of_first((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))


def evaluated_class_names(cfg: CfgNode) -> dict[str, list[Any]]:
    """As :func:`class_names`, of the data set that is evaluated on; one that is trained on need not exist."""
    return _names_of_first(cfg.DATASETS.TEST)


def category_numbers(datasets: Sequence[str], load: bool = True) -> dict[int, int]:
    """Class numbers by category ids of the first of some data sets.

    They tell which row of a class head is which class, where another program numbered the rows by them.

    Args:
        datasets: names.
        load: read the data set where its ids are not known yet.

    Returns:
        of things, and of stuff where both are in one numbering; empty where unknown, or no numbers.

    Raises:
        DataError: the data set's json, which has the ids, cannot be read.
    """
    if not datasets:
        return {}
    metadata = _metadata(datasets[0], "thing_dataset_id_to_contiguous_id", load)
    things, stuff = (metadata.get(f"{kind}_dataset_id_to_contiguous_id") or {} for kind in ("thing", "stuff"))
    both = {**things, **stuff}
    numbers = both if len(set(both.values())) == len(things) + len(stuff) else dict(things)
    return numbers if all(isinstance(category, int) for category in numbers) else {}


def _names_of_first(datasets: Sequence[str]) -> dict[str, list[Any]]:
    if not datasets:
        return {}
    metadata = _metadata(datasets[0], "thing_classes")
    names: dict[str, list[Any]] = {
        key: list(metadata[key]) for key in ("thing_classes", "stuff_classes") if key in metadata
    }
    things = thing_numbers(metadata)
    return names if things is None else {**names, "things": things}


def _metadata(dataset: str, key: str, load: bool = True) -> dict[str, Any]:
    """The metadata of a data set with ``key`` among them, as far as it has any."""
    metadata = MetadataCatalog.get(dataset).as_dict()
    # A data set in COCO's json format has its classes in that file, which is read where it was not yet.
    if load and "json_file" in metadata and key not in metadata:
        load_dataset(dataset)
        metadata = MetadataCatalog.get(dataset).as_dict()
    return metadata
