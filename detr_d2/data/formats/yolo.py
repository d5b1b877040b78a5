"""YOLO: ``data.yaml`` with the names of the classes, and a text file of labels beside each image.

A line of labels is a class number, counted from 0, and the center, width and height of a box, or the points
of a polygon: all as shares of the image's width and height, as its EXIF entry turns it. The labels of
``.../images/a.jpg`` are ``.../labels/a.txt``, or beside the image where it is in no folder ``images``. An
image without labels has no object.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ...errors import DataError, MissingFileError, named
from .builder import Box, Size, SplitBuilder, bounds, sizes_of
from .folders import images_in
from .split import SPLITS, VAL, Split, split_of

NAME = "YOLO"
LOOKED_FOR = "data.yaml with labels/*.txt"

# Files round: shares may be so far outside 0...1.
_TOLERANCE = 0.01


def lies_at(path: Path) -> bool:
    """Whether ``path`` is a YOLO data set: its yaml, or a folder with one or with text files of labels."""
    if path.is_file():
        return path.suffix in (".yaml", ".yml")
    return bool(_yaml_files(path)) or any(True for _ in _label_folders(path))


def read(path: Path) -> list[Split]:
    """The splits that the yaml names, or whose folders are there.

    Raises:
        DataError: no names of classes, a split that is not there, or labels that belong to no image.
    """
    if path.is_file():
        files, root = [path], path.parent
    else:
        files, root = _yaml_files(path), path
    if not files:
        raise DataError(
            f"{root} has YOLO's labels, but no data.yaml, which has the names of the classes: write one with "
            "'train: images/train', 'val: images/val' and 'names: [first, second, ...]'."
        )
    if len(files) > 1:
        raise DataError(f"{root} has {len(files)} yaml files ({_listed(files)}): name the one to use.")
    content = _content(files[0])
    names = _names(content, files[0])
    base = root / str(content.get("path") or "")
    splits, absent = [], []
    for split in SPLITS:
        entries = [
            content[key] for key in ((split, "valid") if split == VAL else (split,)) if content.get(key)
        ]
        if not entries:
            continue
        try:
            images = _images(entries[0], base if base.is_dir() else root, files[0])
        except MissingFileError as error:
            absent.append(str(error))
            continue
        splits.append(_read_split(split, images, files[0], root, names))
    if not splits:
        raise MissingFileError(absent[0] if absent else f"{files[0]} names no split: write 'train: FOLDER'.")
    for words in absent:
        splits[0].report.add("split-elsewhere", words)
    return splits


def _yaml_files(root: Path) -> list[Path]:
    """Those of a folder's yaml files that have names of classes."""
    files = sorted([*root.glob("*.yaml"), *root.glob("*.yml")])
    named_so = [file for file in files if file.stem in ("data", "dataset")]
    return named_so or [file for file in files if b"names:" in file.read_bytes()]


def _label_folders(root: Path) -> Iterator[Path]:
    for folder in (root, *(below for below in root.iterdir() if below.is_dir() and split_of(below.name))):
        labels = folder / "labels"
        if labels.is_dir() and (folder / "images").is_dir():
            yield labels


def _content(file: Path) -> dict[str, Any]:
    with named(os.fspath(file), (OSError, ValueError, yaml.YAMLError), DataError):
        content = yaml.safe_load(file.read_text("utf-8"))
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no keys with values: write 'train:', 'val:' and 'names:'.")
    return content


def _names(content: dict[str, Any], file: Path) -> list[str]:
    """The classes by their numbers. A number without a name, between others, is its own name."""
    names = content.get("names")
    if isinstance(names, dict) and all(type(number) is int and number >= 0 for number in names):
        names = [names.get(number, str(number)) for number in range(max(names, default=-1) + 1)]
    if not isinstance(names, list) or not names or not all(isinstance(name, str | int) for name in names):
        raise DataError(f"{file}: 'names' must list the names of the classes, but is {names!r:.60}.")
    names = [str(name) for name in names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{file}: 'names' has {twice!r} twice: classes are told apart by name.")
    return names


def _images(entry: Any, base: Path, file: Path) -> list[Path]:
    """The images of a split: of a folder, a text file that lists them, or several of these.

    Raises:
        MissingFileError: there is no such folder or file.
        DataError: the entry is something else.
    """
    if isinstance(entry, list):
        return [image for part in entry for image in _images(part, base, file)]
    if not isinstance(entry, str):
        raise DataError(f"{file}: a split must be a folder of images or a list of these, got {entry!r:.60}.")
    place = base / entry
    if not place.exists():  # Roboflow writes ../train/images, which starts from nowhere
        place = base / entry.removeprefix("../")
    if place.is_dir():
        beneath = place / "images"
        return images_in(beneath if beneath.is_dir() else place, below=True)
    if not place.is_file():
        raise MissingFileError(f"{file} names {entry}, which does not exist below {base}: correct it.")
    with named(os.fspath(place), (OSError, ValueError), DataError):
        lines = place.read_text("utf-8").splitlines()
    return [base / line.strip() for line in lines if line.strip()]


def _read_split(name: str, images: list[Path], source: Path, root: Path, classes: list[str]) -> Split:
    builder = SplitBuilder(name, source, root, classes)
    sizes = sizes_of(builder.report, images)
    without = []
    for image, size in sizes.items():
        labels = label_file(image)
        number = builder.add_image(image, size)
        if not labels.is_file():
            without.append(labels)
            continue
        for where, class_name, box, polygons in _objects(builder, labels, size, classes):
            if class_name:
                builder.add_object(number, class_name, box, polygons)
            else:
                builder.report.add("bad-label", where)
    if without:
        kind = "no-labels" if len(without) == len(images) else "no-label-file"
        builder.report.add(kind, os.fspath(without[0]), len(without))
    return builder.split()


def label_file(image: Path) -> Path:
    """Where the labels of an image are."""
    parts = list(image.parts)
    for position in range(len(parts) - 2, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _objects(
    builder: SplitBuilder, labels: Path, size: Size, classes: list[str]
) -> Iterator[tuple[str, str, Box, list[list[float]]]]:
    """The objects of a file: where each stands, its class ("" where it cannot be used), box and polygons."""
    nothing = (0.0, 0.0, 0.0, 0.0)
    try:
        lines = labels.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        yield f"{labels}: {error}", "", nothing, []
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{labels}, line {number}"
        try:
            first, *rest = (float(word) for word in line.split())
        except ValueError:
            yield f"{where}: {line!r:.60} are no numbers", "", nothing, []
            continue
        if not (first.is_integer() and 0 <= first < len(classes)):
            yield f"{where}: there is no class {first:g}; 'names' has {len(classes)}", "", nothing, []
        elif not (len(rest) == 4 or (len(rest) >= 6 and len(rest) % 2 == 0)):
            yield f"{where}: {len(rest)} numbers are neither a box nor a polygon", "", nothing, []
        elif not all(math.isfinite(share) and -_TOLERANCE <= share <= 1 + _TOLERANCE for share in rest):
            yield f"{where}: coordinates are shares of the image, from 0 to 1", "", nothing, []
        else:
            pixels = [share * size[place % 2] for place, share in enumerate(rest)]
            if len(rest) > 4:
                yield where, classes[int(first)], bounds(pixels), [pixels]
            else:
                x, y, width, height = pixels
                box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                yield where, classes[int(first)], box, []


def _listed(files: list[Path]) -> str:
    return ", ".join(file.name for file in files[:5])
