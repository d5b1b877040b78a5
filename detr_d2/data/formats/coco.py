"""COCO's instance annotations: a json file for each split, and folders of images."""

from __future__ import annotations

from pathlib import Path

from .coco_classes import number_together
from .coco_files import Kind, annotation_files, read_splits
from .split import Split

NAME = "COCO"
LOOKED_FOR = "json files with 'images' and 'annotations'"


def lies_at(path: Path) -> bool:
    """Whether ``path`` is such a file, or a folder with one; files that hold nothing count as such."""
    kinds = set(annotation_files(path).values())
    return Kind.INSTANCES in kinds or (Kind.NEITHER in kinds and Kind.PANOPTIC not in kinds)


def read(path: Path) -> list[Split]:
    """The splits, their classes numbered together.

    Raises:
        DataError: as :func:`~.coco_files.read_splits`.
    """
    splits = read_splits(path, Kind.INSTANCES)
    number_together(splits)
    return splits
