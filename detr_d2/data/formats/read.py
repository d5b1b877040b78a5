"""What lies at a path: its format, and what it holds in the one form of all."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ...errors import DataError, MissingFileError, named
from . import coco, coco_panoptic, label_maps, labelme, mask_files, voc, yolo
from .split import Split, in_order

# Each has NAME, LOOKED_FOR (in words), lies_at(path) and read(path). A new one is entered here.
FORMATS: tuple[ModuleType, ...] = (coco, coco_panoptic, yolo, voc, labelme, mask_files)


@dataclass(frozen=True)
class DataSet:
    """A data set that was read.

    Attributes:
        path: where it lies.
        format: its format's name.
        splits: "train" first. Those that could not be read have a report that says why.
    """

    path: str
    format: str
    splits: list[Split]

    @property
    def is_panoptic(self) -> bool:
        return any(split.is_panoptic for split in self.splits)

    @property
    def root(self) -> str:
        """Its folder."""
        return os.path.dirname(self.path) if os.path.isfile(self.path) else self.path


def find_format(path: str, panoptic: bool = False) -> ModuleType:
    """The format of what lies at a path.

    Args:
        path: a folder, or the file that a format starts from: a json, or data.yaml.
        panoptic: which of COCO's kinds is meant where a folder has both.

    Raises:
        MissingFileError: nothing is there.
        DataError: it is of no known format, or of several.
    """
    place = Path(path)
    if not place.exists():
        raise MissingFileError(f"data set {path} does not exist")
    if label_maps.lies_at(place):
        raise DataError(
            f"{path} holds maps of classes: make panoptic annotations of them with 'detr-d2 make-coco "
            f"{path} --output OUT', and take these."
        )
    with named(path, (OSError,), DataError):
        found = [module for module in FORMATS if module.lies_at(place)]
    if coco in found and coco_panoptic in found:
        found.remove(coco if panoptic else coco_panoptic)
    if not found:
        known = "; ".join(f"{module.NAME}: {module.LOOKED_FOR}" for module in FORMATS)
        raise DataError(f"{path} holds no data set of a known format. These are looked for: {known}.")
    if len(found) > 1:
        several = " and ".join(module.NAME for module in found)
        raise DataError(f"{path} holds {several}: name the json or yaml file, or move the others away.")
    return found[0]


def read_data_set(path: str, panoptic: bool = False) -> DataSet:
    """Read what lies at a path.

    Args:
        path, panoptic: as of :func:`find_format`.

    Raises:
        MissingFileError, DataError: as :func:`find_format`, or the splits cannot be told apart.
    """
    path = os.path.abspath(os.path.expanduser(path))
    module = find_format(path, panoptic)
    with named(path, (OSError,), DataError):
        splits = in_order(module.read(Path(path)))
    name, times = Counter(split.name for split in splits).most_common(1)[0]
    if times > 1:
        sources = ", ".join(split.report.source for split in splits if split.name == name)
        raise DataError(f"{path} has {times} splits {name!r}: {sources}. Keep one of them.")
    return DataSet(path, module.NAME, splits)
