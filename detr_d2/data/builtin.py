"""Registration in Detectron2's catalogs: the sample data set "shapes", and data sets in COCO format.

Registering reads no file: a folder that is missing is an error only when its data set is loaded.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.data.datasets.coco_panoptic import load_coco_panoptic_json

from ..errors import ConfigError, MissingFileError
from .panoptic_classes import panoptic_classes
from .panoptic_json import load_panoptic_json
from .shapes import SPLITS
from .shapes_files import CATEGORIES

Records = list[dict[str, Any]]

_GENERATOR = "python -m detr_d2.tools.generate_shapes"

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
            "generated_by": _GENERATOR,
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
            "generated_by": _GENERATOR,
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
    return {
        **panoptic_classes(CATEGORIES),
        "thing_colors": list(_COLOURS),
        "stuff_colors": list(_COLOURS),
    }


def register_configured(cfg: CfgNode) -> None:
    """Register the data sets of DATASETS.COCO_JSON and DATASETS.COCO_PANOPTIC.

    A relative path is looked up from the working directory and, if there is nothing, below
    $DETECTRON2_DATASETS. Registering the same entry again does nothing.

    Raises:
        ConfigError: an entry has another form, or its name is registered with other files.
    """
    register_coco_json(cfg)
    register_coco_panoptic_json(cfg)


def register_coco_json(cfg: CfgNode) -> None:
    """Register the data sets of ``cfg.DATASETS.COCO_JSON``: (name, annotation json, image folder) each.

    Paths and errors are those of :func:`register_configured`.
    """
    example = (
        "(name, annotation json, image folder), for example [['my_train', 'my/train.json', 'my/images']]"
    )
    for name, json_file, image_root in _entries(cfg, "COCO_JSON", 3, example):
        metadata = {"json_file": json_file, "image_root": image_root, "evaluator_type": "coco"}
        _register(name, partial(load_coco_json, json_file, image_root, name), metadata)


def register_coco_panoptic_json(cfg: CfgNode) -> None:
    """Register the data sets of ``cfg.DATASETS.COCO_PANOPTIC``.

    Entries are (name, panoptic json, image folder, folder of the segmentation maps). Paths and errors are
    those of :func:`register_configured`. The metadata are those of Detectron2's "standard" panoptic data
    sets but for ``json_file``: there are no instance annotations. The classes come with loading, or by
    :func:`~.panoptic_json.read_classes`.
    """
    example = (
        "(name, panoptic json, image folder, folder of the segmentation maps), "
        "for example [['my_train', 'my/train.json', 'my/images', 'my/maps']]"
    )
    for name, json_file, image_root, map_root in _entries(cfg, "COCO_PANOPTIC", 4, example):
        metadata = {
            "panoptic_json": json_file,
            "image_root": image_root,
            "panoptic_root": map_root,
            "evaluator_type": "coco_panoptic_seg",
            "ignore_label": 255,
            "label_divisor": 1000,
        }
        _register(name, partial(load_panoptic_json, json_file, image_root, map_root, name), metadata)


def _entries(cfg: CfgNode, key: str, length: int, example: str) -> list[list[str]]:
    """The entries of a key of DATASETS, with their paths located.

    Raises:
        ConfigError: one is not so many strings.
    """
    entries = cfg.DATASETS[key]
    located = []
    for entry in entries if isinstance(entries, Sequence) and not isinstance(entries, str) else [entries]:
        sound = isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) == length
        if not sound or not all(isinstance(part, str) and part for part in entry):
            raise ConfigError(f"DATASETS.{key} must hold {example}; got {entry!r}")
        located.append([entry[0], *(_locate(path) for path in entry[1:])])
    return located


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
        has, wanted = (
            ", ".join(f"{key} {values[key]}" for key in files if values.get(key))
            for values in (registered.as_dict(), metadata)
        )
        raise ConfigError(
            f"Data set {name!r} is registered already, with {has or 'no files'} instead of {wanted}. Choose "
            "another name."
        )
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)


def _load_generated(name: str, json_file: str, load: Callable[[], Records]) -> Records:
    """Load a split of shapes, or say which command makes it."""
    if not os.path.isfile(json_file):
        raise MissingFileError(
            f"Data set {name!r} is not there: no {json_file}. Generate it with "
            f"'{_GENERATOR}', which writes to the folder 'shapes' below "
            "$DETECTRON2_DATASETS (default ./datasets), or set that variable to where it is."
        )
    return load()
