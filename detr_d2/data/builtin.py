"""Registration in Detectron2's catalogs: the sample data set "shapes", and data sets in COCO format.

Registering reads no file: a folder that is missing is an error only when its data set is loaded.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.data.datasets.coco_panoptic import load_coco_panoptic_json

from ..errors import ConfigError, MissingFileError
from .shapes import SPLITS
from .shapes_files import CATEGORIES

Records = list[dict[str, Any]]

# Circle, square, triangle, sky, grass, water; as (red, green, blue).
_COLOURS = ((220, 20, 60), (255, 166, 0), (148, 0, 211), (70, 130, 180), (107, 142, 35), (0, 128, 128))


def datasets_root() -> str:
    """The folder of all built-in data sets: $DETECTRON2_DATASETS, or ``datasets``; ``~`` is expanded."""
    return os.path.expanduser(os.environ.get("DETECTRON2_DATASETS", "datasets"))


def shapes_root() -> str:
    """The folder of the sample data set."""
    return os.path.join(datasets_root(), "shapes")


def register_shapes(root: str | os.PathLike[str] | None = None, prefix: str = "shapes") -> None:
    """Register ``{prefix}_{train,val}`` and ``{prefix}_{train,val}_panoptic``.

    The metadata follow Detectron2's own for COCO: thing classes only for the first two; for the panoptic
    ones the "standard" form of ``coco_2017_val_panoptic``, where things and stuff share one numbering.

    Args:
        root: folder that ``generate_shapes`` wrote; None means ``shapes_root()``.
        prefix: start of the names.

    Raises:
        ConfigError: one of the names is registered already, with other files.
    """
    root = Path(shapes_root() if root is None else root)
    for split in SPLITS:
        instances_json = str(root / "annotations" / f"instances_{split}.json")
        panoptic_json = str(root / "annotations" / f"panoptic_{split}.json")
        images, maps = str(root / split), str(root / f"panoptic_{split}")

        name = f"{prefix}_{split}"
        load = partial(load_coco_json, instances_json, images, name)
        metadata = {
            "json_file": instances_json,
            "image_root": images,
            "evaluator_type": "coco",
            **things_metadata(),
        }
        _register(name, partial(_load_generated, name, instances_json, load), metadata)

        name = f"{prefix}_{split}_panoptic"
        classes = panoptic_metadata()
        load = partial(load_coco_panoptic_json, panoptic_json, images, maps, classes)
        metadata = {
            "json_file": instances_json,
            "panoptic_json": panoptic_json,
            "image_root": images,
            "panoptic_root": maps,
            "evaluator_type": "coco_panoptic_seg",
            "ignore_label": 255,
            "label_divisor": 1000,
            **classes,
        }
        _register(name, partial(_load_generated, name, panoptic_json, load), metadata)


def things_metadata() -> dict[str, Any]:
    """Names, colours and numbering of the thing classes of shapes."""
    things = [category for category in CATEGORIES if category["isthing"]]
    return {
        "thing_classes": [category["name"] for category in things],
        "thing_colors": [_COLOURS[category["id"] - 1] for category in things],
        "thing_dataset_id_to_contiguous_id": {category["id"]: i for i, category in enumerate(things)},
    }


def panoptic_metadata() -> dict[str, Any]:
    """Names, colours and the one numbering of all classes of shapes, things first."""
    names = [category["name"] for category in CATEGORIES]
    numbers = {category["id"]: number for number, category in enumerate(CATEGORIES)}
    things = {category["id"] for category in CATEGORIES if category["isthing"]}
    return {
        "thing_classes": names,
        "stuff_classes": list(names),
        "thing_colors": list(_COLOURS),
        "stuff_colors": list(_COLOURS),
        "thing_dataset_id_to_contiguous_id": {k: v for k, v in numbers.items() if k in things},
        "stuff_dataset_id_to_contiguous_id": {k: v for k, v in numbers.items() if k not in things},
    }


def register_coco_json(cfg: CfgNode) -> None:
    """Register the data sets of ``cfg.DATASETS.COCO_JSON``: (name, annotation json, image folder) each.

    A relative path is looked up from the working directory and, if there is nothing, below
    $DETECTRON2_DATASETS. Registering the same entry again does nothing.

    Raises:
        ConfigError: an entry is not three strings, or its name is registered with other files.
    """
    for entry in cfg.DATASETS.COCO_JSON:
        if (
            isinstance(entry, str)
            or len(entry) != 3
            or not all(isinstance(part, str) and part for part in entry)
        ):
            raise ConfigError(
                "DATASETS.COCO_JSON must hold (name, annotation json, image folder) triples, "
                f"for example [['my_train', 'my/train.json', 'my/images']]; got {entry!r}"
            )
        name, json_file, image_root = entry[0], _locate(entry[1]), _locate(entry[2])
        metadata = {"json_file": json_file, "image_root": image_root, "evaluator_type": "coco"}
        _register(name, partial(load_coco_json, json_file, image_root, name), metadata)


def _locate(path: str) -> str:
    """``path`` from the working directory, or else below the data set folder where it exists there."""
    path = os.path.expanduser(path)
    below_root = os.path.join(datasets_root(), path)
    return below_root if not os.path.exists(path) and os.path.exists(below_root) else path


def _register(name: str, load: Callable[[], Records], metadata: dict[str, Any]) -> None:
    """Enter a data set in both catalogs; do nothing where the same files have this name already."""
    if name in DatasetCatalog.list():
        registered = MetadataCatalog.get(name)
        files = ("json_file", "image_root", "panoptic_json", "panoptic_root")
        if all(getattr(registered, key, None) == metadata.get(key) for key in files):
            return
        raise ConfigError(
            f"Data set {name!r} is registered already, with annotations "
            f"{getattr(registered, 'json_file', None)} instead of {metadata['json_file']}. Choose another "
            "name."
        )
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)


def _load_generated(name: str, json_file: str, load: Callable[[], Records]) -> Records:
    """Load a split of shapes, or say which command makes it."""
    if not os.path.isfile(json_file):
        raise MissingFileError(
            f"Data set {name!r} is not there: no {json_file}. Generate it with "
            "'python -m detr_d2.tools.generate_shapes', which writes to the folder 'shapes' below "
            "$DETECTRON2_DATASETS (default ./datasets), or set that variable to where it is."
        )
    return load()
