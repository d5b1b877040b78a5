"""Putting a split together from files that are not COCO's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ...errors import UserError
from ..images import image_header
from ..preflight.files import in_threads
from ..preflight.findings import Report
from .split import Json, Split

Box = tuple[float, float, float, float]
Size = tuple[int, int]
Mask = Sequence[Sequence[float]] | Json


class SplitBuilder:
    """Gathers the images and objects of a split.

    Args:
        name: of the split.
        source: what it is read from, for messages.
        root: folder of the data set; images are named by their path from there.
        classes: names of all classes of the data set, in the order of their numbers.
    """

    def __init__(self, name: str, source: Path, root: Path, classes: Sequence[str]) -> None:
        self.name, self.root = name, root
        self.report = Report(os.fspath(source))
        self._images: list[Json] = []
        self._annotations: list[Json] = []
        self._ids = {name: number for number, name in enumerate(classes, start=1)}

    def add_image(self, file: Path, size: Size) -> int:
        """Add an image of this width and height, and return its id."""
        name = os.path.relpath(file, self.root).replace(os.sep, "/")
        number = len(self._images) + 1
        self._images.append({"id": number, "file_name": name, "width": size[0], "height": size[1]})
        return number

    def add_object(self, image: int, name: str, box: Box, mask: Mask = ()) -> None:
        """Add an object to an image.

        Args:
            image: its id.
            name: of the class.
            box: x0, y0, x1, y1 in pixels, from the upper left corner of the image.
            mask: polygons [x0, y0, x1, y1, ...], likewise, or compressed RLE; empty where there is none.
        """
        x0, y0, x1, y1 = box
        entry: Json = {"id": len(self._annotations) + 1, "image_id": image, "category_id": self._ids[name]}
        entry.update(bbox=[x0, y0, x1 - x0, y1 - y0], iscrowd=0)
        if mask:
            entry["segmentation"] = mask if isinstance(mask, dict) else [list(polygon) for polygon in mask]
        self._annotations.append(entry)

    def split(self) -> Split:
        """What was gathered."""
        categories = [{"id": number, "name": name} for name, number in self._ids.items()]
        content = {"images": self._images, "annotations": self._annotations, "categories": categories}
        return Split(self.name, self.report, content, os.fspath(self.root))


def sizes_of(report: Report, files: Sequence[Path]) -> dict[Path, Size]:
    """Width and height of image files, turned as EXIF says; those that cannot be read are findings."""
    sizes = {}
    for file, header in zip(files, in_threads(image_header, list(map(os.fspath, files))), strict=True):
        if isinstance(header, UserError):
            report.add("unreadable-image", str(header))
        else:
            sizes[file] = header.width, header.height
    return sizes


def bounds(points: Sequence[float]) -> Box:
    """The box around the points x0, y0, x1, y1, ..."""
    xs, ys = points[::2], points[1::2]
    return min(xs), min(ys), max(xs), max(ys)
