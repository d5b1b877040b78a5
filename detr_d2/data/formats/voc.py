"""Pascal VOC: an xml file for each image.

Boxes are ``xmin, ymin, xmax, ymax`` in whole pixels, counted from 1, both ends part of the box: 1, 1, 10, 10
covers the first ten pixels each way. Here it is 0, 0, 10, 10, as in Detectron2. Where any box of a data set
has a 0 the program that wrote it counted from 0 and meant corners; all its boxes are then taken as they are.

Objects that are ``difficult`` are objects like others, as in Detectron2. Classes are numbered by the
alphabet, over all splits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from ...errors import DataError, named
from ...progress import progress
from ..preflight.findings import Report
from .builder import Box, Size, SplitBuilder, sizes_of
from .folders import images_in
from .split import SPLITS, TRAIN, Split, split_of

NAME = "Pascal VOC"
LOOKED_FOR = "xml files, in Annotations/ or beside the images"

_XML_FOLDERS = ("Annotations", "annotations")
_IMAGE_FOLDERS = ("JPEGImages", "images", "")


# Image files by their names without suffix; there may be several of one.
_Images = dict[str, list[Path]]


@dataclass
class _Picture:
    """What an xml file says; its objects are (class, box)."""

    file: str = ""
    size: Size | None = None
    objects: list[tuple[str, Box]] = field(default_factory=list)


def lies_at(path: Path) -> bool:
    """Whether ``path`` is a folder with xml files in it, in its folder of annotations, or in its splits."""
    return path.is_dir() and any(True for _ in _places(path))


def read(path: Path) -> list[Split]:
    """The splits by their folders, or by ImageSets/Main; else one, of all images.

    Raises:
        DataError: a file of ImageSets lists an image that has no xml file.
    """
    parts = [part for place in _places(path) for part in _parts(*place)]
    reports = [Report(os.fspath(folder)) for _, folder, _, _ in parts]
    pictures = [
        [(xml, _parse(xml, report)) for xml in progress(xmls, "Reading xml files")]
        for (_, _, xmls, _), report in zip(parts, reports, strict=True)
    ]
    every = [picture for part in pictures for _, picture in part if picture is not None]
    classes = sorted({name for picture in every for name, _ in picture.objects})
    from_zero = min((min(box[:2]) for picture in every for _, box in picture.objects), default=1) < 1
    splits = []
    for (name, folder, _, index), part, report in zip(parts, pictures, reports, strict=True):
        builder = SplitBuilder(name, folder, path, classes)
        builder.report = report
        _fill(builder, [(xml, picture) for xml, picture in part if picture], index, 0 if from_zero else 1)
        left = sorted(index.keys() - {xml.stem for xml, _ in part})
        if left and not (folder / "ImageSets" / "Main").is_dir():
            report.add("unannotated-image", os.fspath(index[left[0]][0]), len(left))
        if from_zero:
            report.add("counted-from-0", os.fspath(folder), len(part))
        splits.append(builder.split())
    return splits


def _places(root: Path) -> Iterator[tuple[str, Path, Path]]:
    """The folders that have annotations: name of the split or "", folder, folder of the xml files."""
    folders = [("", root)]
    folders += [(split_of(f.name), f) for f in sorted(root.iterdir()) if f.is_dir() and split_of(f.name)]
    for name, folder in folders:
        for xmls in (*(folder / below for below in _XML_FOLDERS), folder):
            if xmls.is_dir() and next(xmls.glob("*.xml"), None):
                yield name, folder, xmls
                break


def _parts(name: str, folder: Path, xmls: Path) -> list[tuple[str, Path, list[Path], _Images]]:
    """The splits of a folder: name, folder, xml files, and image files by their names without suffix."""
    images: _Images = {}
    for below in _IMAGE_FOLDERS:
        if (folder / below).is_dir():
            for file in images_in(folder / below):
                images.setdefault(file.stem, []).append(file)
    by_stem = {file.stem: file for file in sorted(xmls.glob("*.xml"))}
    lists = {split: folder / "ImageSets" / "Main" / f"{split}.txt" for split in SPLITS}
    lists = {split: file for split, file in lists.items() if file.is_file()}
    if name or not lists:
        return [(name or TRAIN, folder, list(by_stem.values()), images)]
    return [(split, folder, _listed(file, by_stem, xmls), images) for split, file in lists.items()]


def _listed(file: Path, by_stem: dict[str, Path], xmls: Path) -> list[Path]:
    """The xml files of the images that a file of ImageSets lists."""
    with named(os.fspath(file), (OSError, ValueError), DataError):
        stems = [line.split()[0] for line in file.read_text("utf-8").splitlines() if line.strip()]
    absent = [stem for stem in stems if stem not in by_stem]
    if absent:
        raise DataError(f"{file} lists {absent[0]!r}, but there is no {xmls / absent[0]}.xml: correct one.")
    return [by_stem[stem] for stem in stems]


def _parse(file: Path, report: Report) -> _Picture | None:
    """What a file says, or None where it cannot be read; what cannot be used of it is a finding."""
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ValueError, ElementTree.ParseError) as error:
        report.add("bad-label", f"{file}: {error}")
        return None
    width, height = (_number(root, f"size/{side}") for side in ("width", "height"))
    picture = _Picture((root.findtext("filename") or "").strip())
    if width > 0 and height > 0:
        picture.size = int(width), int(height)
    for number, entry in enumerate(root.iter("object"), start=1):
        name = (entry.findtext("name") or "").strip()
        x0, y0, x1, y1 = (_number(entry, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax"))
        if not name or math.isnan(x0 + y0 + x1 + y1):
            report.add("bad-label", f"{file}, object {number} has no name, or no bndbox of four numbers")
        else:
            picture.objects.append((name, (x0, y0, x1, y1)))
    return picture


def _number(element: ElementTree.Element, path: str) -> float:
    """A number below an element; NaN where there is none that pixels can have."""
    try:
        number = float(element.findtext(path) or "")
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _fill(builder: SplitBuilder, pictures: list[tuple[Path, _Picture]], images: _Images, first: int) -> None:
    """Add images and objects. The image of a.xml is the one called a, else the one that it names.

    Args:
        first: what the first pixel is counted as.
    """
    files = {xml: _image_file(xml, picture, images) for xml, picture in pictures}
    sizes = sizes_of(builder.report, [files[xml] for xml, picture in pictures if picture.size is None])
    for xml, picture in pictures:
        size = picture.size or sizes.get(files[xml])
        if size is None:  # a finding already
            continue
        image = builder.add_image(files[xml], size)
        for name, (x0, y0, x1, y1) in picture.objects:
            builder.add_object(image, name, (x0 - first, y0 - first, x1, y1))


def _image_file(xml: Path, picture: _Picture, images: _Images) -> Path:
    """Of several files of one name that which the xml file names, else the first."""
    found = images.get(xml.stem) or images.get(Path(picture.file).stem) or []
    called = [file for file in found if file.name == Path(picture.file).name]
    return next(iter(called or found), xml.parent / (picture.file or xml.stem))
