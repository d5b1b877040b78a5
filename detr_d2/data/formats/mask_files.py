"""An image file for the mask of each object: ``images/`` and ``masks/``, in the folder or in its splits.

The file of an object is named for its image and class: ``masks/a_cup_1.png`` or ``masks/a/cup_1.png`` is a
cup of ``images/a.jpg``. The number tells objects apart; in a folder for each image it may be left out. Pixels
that are not 0 (black) belong to the object. Masks become compressed RLE, whose pixels are those of the files.
Classes are numbered by the alphabet, over all splits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError, UserError
from ..image_file import MAX_PIXELS, load, open_header
from ..images import upright
from ..masks import encode
from ..preflight.files import in_threads
from ..preflight.findings import Report
from .builder import Box, SplitBuilder, sizes_of
from .folders import by_stem, images_in, split_folders
from .split import Json, Split

NAME = "mask files"
LOOKED_FOR = "images/ and masks/ with a file for each object, masks/IMAGE_CLASS_NUMBER.png"

_WHAT = "Mask"
_FOLDERS = ("images", "masks")
_FLAT = re.compile(r"_(?P<name>.+)_\d+$")
_NESTED = re.compile(r"^(?P<name>.+?)(_\d+)?$")
# A decoded mask is held by each thread.
_THREADS = 4


class _Mask(NamedTuple):
    """The file of an object."""

    file: Path
    image: Path
    name: str


class _Pixels(NamedTuple):
    """An object's pixels: compressed RLE of (height, width), and the box around them."""

    rle: Json
    box: Box


def lies_at(path: Path) -> bool:
    """Whether ``path`` is a folder with such files, or its splits are."""
    if not path.is_dir():
        return False
    return any(next(_masks(folder, Report("")), None) for _, folder in split_folders(path, _FOLDERS))


def read(path: Path) -> list[Split]:
    """The splits by their folders; else one, of all images."""
    found = []
    for name, folder in split_folders(path, _FOLDERS):
        report = Report(os.fspath(folder / "masks"))
        found.append((name, report, folder, list(_masks(folder, report))))
    classes = sorted({mask.name for _, _, _, masks in found for mask in masks})
    return [_read(SplitBuilder(name, folder, path, classes), report, folder, masks)
            for name, report, folder, masks in found]  # fmt: skip


def _masks(folder: Path, report: Report) -> Iterator[_Mask]:
    """The files of masks by name; those that belong to no image are findings."""
    images = by_stem(images_in(folder / "images"), report)
    for file in images_in(folder / "masks"):
        # The longest name that fits: there may be images a and a_b.
        stems = [file.stem[: end.start()] for end in re.finditer("_", file.stem)]
        image = next((images[stem] for stem in reversed(stems) if stem in images), None)
        match = _FLAT.match(file.stem, len(image.stem)) if image else None
        if image is None or match is None:
            report.add("bad-mask-file", f"{file} is not named IMAGE_CLASS_NUMBER for one of the images")
        else:
            yield _Mask(file, image, match["name"])
    for below in sorted(path for path in (folder / "masks").iterdir() if path.is_dir()):
        for file in images_in(below):
            match = _NESTED.match(file.stem)
            if below.name in images and match is not None:
                yield _Mask(file, images[below.name], match["name"])
            else:
                report.add("bad-mask-file", f"{file}: there is no image {below.name} in {folder / 'images'}")


def _read(builder: SplitBuilder, report: Report, folder: Path, masks: list[_Mask]) -> Split:
    builder.report = report
    sizes = sizes_of(report, images_in(folder / "images"))
    numbers = {image: builder.add_image(image, size) for image, size in sizes.items()}
    known = [mask for mask in masks if mask.image in numbers]  # the others' images are findings already

    def pixels(mask: _Mask) -> _Pixels | None:
        return _pixels(mask.file, *sizes[mask.image])

    for mask, found in zip(known, in_threads(pixels, known, _THREADS), strict=True):
        if isinstance(found, UserError):
            report.add("bad-mask-file", str(found))
        elif found is None:
            report.add("empty-mask-file", os.fspath(mask.file))
        else:
            builder.add_object(numbers[mask.image], mask.name, found.box, found.rle)
    return builder.split()


def _pixels(file: Path, width: int, height: int) -> _Pixels | None:
    """What a file marks, or None where that is nothing.

    Raises:
        UserError: it cannot be read, or has another size.
    """
    name = os.fspath(file)
    with open_header(name, _WHAT, MAX_PIXELS) as image:
        load(image, name, _WHAT, MAX_PIXELS)
        if image.mode in ("LA", "PA", "RGBA"):  # how opaque it is says nothing
            image = image.convert("RGB")
        values = upright(np.asarray(image), image)
    mask: np.ndarray = (values != 0).reshape(*values.shape[:2], -1).any(axis=2)
    if mask.shape != (height, width):
        raise DataError(
            f"{_WHAT} {name} has {mask.shape[1]} x {mask.shape[0]} pixels, but its image {width} x {height}"
        )
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    x0, y0, x1, y1 = (int(value) for value in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return _Pixels(encode(mask, height, width), (x0, y0, x1, y1))
