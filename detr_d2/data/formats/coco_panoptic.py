"""COCO's panoptic annotations: a json file for each split, folders of images and of segmentation maps."""

from __future__ import annotations

import os
from pathlib import Path

from .coco_classes import number_together
from .coco_files import IMAGE_WORDS, Kind, annotation_files, file_names, read_splits, root_of
from .folders import folder_of
from .split import Split

NAME = "COCO panoptic"
LOOKED_FOR = "json files with 'segments_info'"

_MAP_WORDS = ("panoptic", "map", "mask", "seg", "label", "annotation")


def lies_at(path: Path) -> bool:
    """Whether ``path`` is such a file, or a folder with one."""
    return Kind.PANOPTIC in annotation_files(path).values()


def read(path: Path) -> list[Split]:
    """The splits, their classes numbered together.

    Raises:
        DataError: as :func:`~.coco_files.read_splits`.
    """
    splits = read_splits(path, Kind.PANOPTIC)
    root = root_of(path)
    for split in splits:
        # Images and maps may have the same names.
        files = file_names(split.content, "annotations")
        maps = folder_of(files, root, split.name, _MAP_WORDS, IMAGE_WORDS)
        split.maps_root = maps or os.fspath(root)
        files = file_names(split.content, "images")
        images = folder_of(files, root, split.name, IMAGE_WORDS, _MAP_WORDS, without=maps or "")
        split.image_root = images or split.image_root
    number_together(splits)
    return splits
