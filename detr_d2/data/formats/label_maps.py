"""Maps of classes: ``images/``, ``labels/`` with a map for each image, and ``categories.json``.

A map is a gray or palette image file of its image's name, whose values are ids of categories. 0 and 255 stand
for no class where no category has them. They tell no two objects of a class apart, so that nothing is trained
on them as they are: ``detr-d2 make-coco`` makes panoptic annotations of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError, MissingFileError
from ..image_file import MAX_PIXELS, load, open_header
from ..images import upright
from ..json_file import read_json
from ..panoptic_classes import panoptic_classes
from ..preflight.findings import stop_at_errors
from .builder import SplitBuilder, sizes_of
from .folders import by_stem, images_in, split_folders
from .split import Json

CATEGORIES = "categories.json"

_MAPS = "labels"
_FOLDERS = ("images", _MAPS)
_EXAMPLE = '[{"id": 1, "name": "road", "isthing": 0}, ...]'
_WHAT = "Map of classes"
# Values that may stand for no class.
_UNLABELLED = (0, 255)
_HIGHEST = 255


@dataclass(frozen=True)
class LabelledSplit:
    """A part of a data set of maps.

    Attributes:
        name: "train", "val" or "test".
        images: COCO's records, ``file_name`` from ``root`` on.
        maps: the file of each one's map.
        root: folder of the data set.
    """

    name: str
    images: list[Json]
    maps: list[Path]
    root: str


def lies_at(path: Path) -> bool:
    """Whether ``path`` is a folder with such maps, or its splits are."""
    if not (path / CATEGORIES).is_file():
        return False
    return any(images_in(folder / _MAPS) for _, folder in split_folders(path, _FOLDERS))


def read_categories(path: Path) -> list[Json]:
    """The classes, by their ids.

    Raises:
        DataError: the file is no list of COCO's categories with ``isthing``.
    """
    file = os.fspath(path / CATEGORIES)
    categories: Any = read_json(file)
    if not isinstance(categories, list) or not categories:
        raise DataError(f"{file} must be a list of categories: {_EXAMPLE}")
    for category in categories:
        entry = category if isinstance(category, dict) else {}
        number, name = entry.get("id"), entry.get("name")
        if type(number) is not int or not 0 <= number <= _HIGHEST or not isinstance(name, str):
            raise DataError(
                f"{file}: a category has an 'id' from 0 to {_HIGHEST} and a 'name': {category!r:.80}"
            )
    if len({category["id"] for category in categories}) < len(categories):
        raise DataError(f"{file}: two categories have one id")
    try:
        panoptic_classes(categories)  # looks at isthing
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    return sorted(categories, key=lambda category: int(category["id"]))


def read_splits(path: Path) -> list[LabelledSplit]:
    """The splits by their folders; else one, of all images.

    Raises:
        DataError: an image cannot be read.
        MissingFileError: an image has no map.
    """
    splits = []
    for name, folder in split_folders(path, _FOLDERS):
        builder = SplitBuilder(name, folder, path, ())
        maps = by_stem(images_in(folder / _MAPS), builder.report)
        images = by_stem(images_in(folder / "images"), builder.report)
        sizes = sizes_of(builder.report, list(images.values()))
        stop_at_errors([builder.report])
        for image, size in sizes.items():
            if image.stem not in maps:
                raise MissingFileError(f"image {image} has no map {folder / _MAPS / image.stem}.png")
            builder.add_image(image, size)
        records: list[Json] = builder.split().content["images"]
        splits.append(LabelledSplit(name, records, [maps[image.stem] for image in sizes], os.fspath(path)))
    return splits


def read_labels(file: Path, image: Json, known: set[Any]) -> np.ndarray:
    """(height, width) uint8 values of a map.

    Args:
        file: of the map.
        image: COCO's record of its image.
        known: ids of the categories.

    Raises:
        DataError: it has another size, is no gray or palette image of 8 bits, or has a value of no category.
    """
    name = os.fspath(file)
    with open_header(name, _WHAT, MAX_PIXELS) as opened:
        load(opened, name, _WHAT, MAX_PIXELS)
        if opened.mode not in ("L", "P", "1") or opened.format in ("JPEG", "MPO"):
            raise DataError(
                f"{_WHAT} {name} is {opened.format} of the mode {opened.mode}, but must be png, gray or with "
                "a palette, whose values are the ids of categories"
            )
        labels = upright(np.asarray(opened).astype(np.uint8), opened)
    if labels.shape != (image["height"], image["width"]):
        raise DataError(
            f"{_WHAT} {name} has {labels.shape[1]} x {labels.shape[0]} pixels, but its image "
            f"{image['width']} x {image['height']}"
        )
    strays = sorted(set(np.unique(labels).tolist()) - known - set(_UNLABELLED))
    if strays:
        raise DataError(f"{_WHAT} {name} has the values {strays[:5]}, which {CATEGORIES} does not list")
    return labels
