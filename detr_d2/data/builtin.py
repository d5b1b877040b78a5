"""Registration in Detectron2's catalogs of data sets in COCO's formats.

Registering reads no file: a folder that is missing is an error only when its data set is loaded.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json
from detectron2.utils.file_io import PathManager

from ..errors import ConfigError, MissingFileError
from .panoptic_json import load_panoptic_json
from .records import missing_annotations

Records = list[dict[str, Any]]

# Entries of DATASETS.COCO_JSON and DATASETS.COCO_PANOPTIC.
_COCO_JSON = ("name", "annotation json", "image folder")
_COCO_PANOPTIC = ("name", "panoptic json", "image folder", "folder of the segmentation maps")


def datasets_root() -> str:
    """The folder of all built-in data sets: $DETECTRON2_DATASETS, or ``datasets``; ``~`` is expanded."""
    return os.path.expanduser(os.environ.get("DETECTRON2_DATASETS", "datasets"))


def register_configured(cfg: CfgNode) -> None:
    """Register the data sets of DATASETS.COCO_JSON and DATASETS.COCO_PANOPTIC.

    A relative path is looked up from the working directory and, if there is nothing, below
    $DETECTRON2_DATASETS. Registering the same entry again does nothing.

    The metadata of panoptic data sets are those of Detectron2's "standard" ones but for ``json_file``: there
    are no instance annotations. The classes come with loading, or by :func:`~.panoptic_json.read_classes`.

    Raises:
        ConfigError: an entry has another form, or its name is registered with other files.
    """
    for entry in _entries(cfg, "COCO_JSON", _COCO_JSON):
        register_coco(*entry)
    for entry in _entries(cfg, "COCO_PANOPTIC", _COCO_PANOPTIC):
        register_coco_panoptic(*entry)


def register_coco(name: str, json_file: str, image_root: str, **metadata: Any) -> None:
    """Register a data set in COCO's detection format.

    Args:
        name: of the data set.
        json_file: annotations.
        image_root: folder of the images.
        metadata: what else the data set's metadata shall have.

    Raises:
        ConfigError: the name is registered already, with other files.
    """
    metadata = {"json_file": json_file, "image_root": image_root, "evaluator_type": "coco", **metadata}
    _register(name, json_file, partial(load_coco_json, json_file, image_root, name), metadata)


def register_coco_panoptic(
    name: str, panoptic_json: str, image_root: str, panoptic_root: str, **metadata: Any
) -> None:
    """Register a data set in COCO's panoptic format; its metadata are of Detectron2's "standard" kind.

    Args:
        name: of the data set.
        panoptic_json: annotations.
        image_root, panoptic_root: folders of the images and of the segmentation maps.
        metadata: what else the data set's metadata shall have.

    Raises:
        ConfigError: the name is registered already, with other files.
    """
    metadata = {
        "panoptic_json": panoptic_json,
        "image_root": image_root,
        "panoptic_root": panoptic_root,
        "evaluator_type": "coco_panoptic_seg",
        "ignore_label": 255,
        "label_divisor": 1000,
        **metadata,
    }
    load = partial(load_panoptic_json, panoptic_json, image_root, panoptic_root, name)
    _register(name, panoptic_json, load, metadata)


def _entries(cfg: CfgNode, key: str, form: Sequence[str]) -> list[list[str]]:
    """The entries of a key of DATASETS, with their paths located.

    Raises:
        ConfigError: one is not so many strings.
    """
    entries = cfg.DATASETS[key]
    located = []
    for entry in entries if isinstance(entries, Sequence) and not isinstance(entries, str) else [entries]:
        sound = isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) == len(form)
        if not sound or not all(isinstance(part, str) and part for part in entry):
            raise ConfigError(f"DATASETS.{key} must be a list of [{', '.join(form)}]; got {entry!r}")
        located.append([entry[0], *(_locate(path) for path in entry[1:])])
    return located


def _locate(path: str) -> str:
    """``path`` from the working directory, or else below the data set folder where it exists there."""
    path = os.path.expanduser(path)
    below_root = os.path.join(datasets_root(), path)
    return below_root if not os.path.exists(path) and os.path.exists(below_root) else path


def _register(name: str, json_file: str, load: Callable[[], Records], metadata: dict[str, Any]) -> None:
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
    DatasetCatalog.register(name, partial(_load, name, json_file, load))
    MetadataCatalog.get(name).set(**metadata)


def _load(name: str, json_file: str, load: Callable[[], Records]) -> Records:
    """Load a data set, or say what to do where its annotations are not there."""
    if not PathManager.isfile(json_file):
        raise MissingFileError(
            f"Data set {name!r} is not there: no {json_file}. {missing_annotations(json_file, name)}"
        )
    return load()
