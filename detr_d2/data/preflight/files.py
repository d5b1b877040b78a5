"""The image files of a data set: are they there, can they be read, and have they the annotated size?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TypeVar

import numpy as np
from detectron2.utils.file_io import PathManager

from ...errors import UserError
from ...progress import progress
from ..images import ImageHeader, image_header
from .findings import Report

# Of larger data sets so many images are looked into, evenly spread: some seconds of reading.
MOST_HEADERS = 10_000
# Files that a thread takes at a time: handing each out by itself would take as long as reading it.
_AT_ONCE = 20

Item = TypeVar("Item")
Result = TypeVar("Result")


def missing_files(files: Iterable[str]) -> list[str]:
    """Those of some files that do not exist: one listing for each folder, not one request for each file.

    Of addresses (``scheme://``) the same number as of headers is asked for, evenly spread.
    """
    folders: dict[str, list[str]] = {}
    remote: list[str] = []
    for file in files:
        if "://" in file:
            remote.append(file)
        else:
            folder, name = os.path.split(file)
            folders.setdefault(folder, []).append(name)
    missing: list[str] = []
    for folder, names in folders.items():
        try:
            present = set(os.listdir(folder or "."))
        except (OSError, ValueError):  # ValueError: a character that no path can have
            present = set()
        missing.extend(os.path.join(folder, name) for name in names if name not in present)
    if remote:
        asked = [remote[position] for position in spread(len(remote), MOST_HEADERS)]
        missing.extend(
            f for f, there in zip(asked, in_threads(PathManager.exists, asked), strict=True) if not there
        )
    return missing


def present_files(report: Report, files: Sequence[str], kind: str, root: str) -> list[int]:
    """Positions of the local files that exist; those that do not are a finding of this kind."""
    missing = missing_files(files)
    for file in missing:
        report.add(kind, file, root=root)
    absent = set(missing)
    return [i for i, file in enumerate(files) if file not in absent and "://" not in file]


def look_at_images(
    report: Report,
    files: Sequence[str],
    sizes: np.ndarray,
    max_pixels: int,
    root: str = "the folder of the images",
) -> None:
    """Existence of all files; readability and size of as many local ones as :data:`MOST_HEADERS`.

    Args:
        report: gets the findings, and how many headers were read.
        files: with their folder.
        sizes: (M, 2) annotated width and height; infinite where there is none.
        max_pixels: INPUT.MAX_IMAGE_PIXELS.
        root: what to call the folder.
    """
    local = present_files(report, files, "missing-image", root)
    chosen = [local[position] for position in spread(len(local), MOST_HEADERS)]
    report.headers, report.sampled = len(chosen), len(chosen) < len(local)
    read = partial(image_header, max_pixels=max_pixels)
    for position, header in zip(chosen, in_threads(read, [files[i] for i in chosen]), strict=True):
        _compare(report, files[position], header, *sizes[position].tolist())


def in_threads(
    read: Callable[[Item], Result], items: Sequence[Item], threads: int = 8
) -> list[Result | UserError]:
    """What a function makes of each item, or its UserError."""

    def read_part(part: Sequence[Item]) -> list[Result | UserError]:
        found: list[Result | UserError] = []
        for item in part:
            try:
                found.append(read(item))
            except UserError as error:
                found.append(error)
        return found

    parts = [items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE)]
    with ThreadPoolExecutor(threads) as pool:
        read_parts = progress(pool.map(read_part, parts), "Looking at files", len(parts))
        return list(chain.from_iterable(read_parts))


def _compare(report: Report, file: str, header: ImageHeader | UserError, width: float, height: float) -> None:
    if isinstance(header, UserError):
        report.add("unreadable-image", str(header))
    elif np.isfinite([width, height]).all() and (header.width, header.height) != (width, height):
        exchanged = (header.height, header.width) == (width, height)
        report.add(
            "exif-size" if header.turned and exchanged else "other-size",
            f"{file} is {header.width} x {header.height} pixels, annotated as {width:g} x {height:g}"
            + (" (exchanged)" if exchanged else ""),
        )


def spread(number: int, most: int) -> list[int]:
    """At most ``most`` of the positions 0 to ``number`` - 1, evenly spread."""
    if number <= most:
        return list(range(number))
    return [position * number // most for position in range(most)]
