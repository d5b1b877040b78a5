"""labelme: a json file for each image, with polygons, rectangles and circles.

Shapes of one label and one ``group_id`` are parts of one object. Points and lines are none, and left out.
Classes are numbered by the alphabet, over all splits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...progress import progress
from ..json_file import read_json
from ..preflight.findings import Report
from .builder import SplitBuilder, bounds, sizes_of
from .folders import images_in
from .split import TRAIN, Json, Split, split_of

NAME = "labelme"
LOOKED_FOR = "json files with 'shapes' beside the images"

# A circle becomes a polygon of so many corners.
_CORNERS = 64
# How far into a file "shapes" is looked for; an image that is stored in it may come before.
_BEGINNING = 4096

# Label, polygons and whether they are a mask: rectangles are boxes alone.
_Object = tuple[str, list[list[float]], bool]


def lies_at(path: Path) -> bool:
    """Whether ``path`` is a folder with labelme's json files in it, or in its splits."""
    return path.is_dir() and any(True for _ in _places(path))


def read(path: Path) -> list[Split]:
    """The splits by their folders; else one, of all images."""
    found = []
    for name, folder in _places(path):
        report = Report(os.fspath(folder))
        names = progress(sorted(folder.glob("*.json")), "Reading json files")
        found.append((name, folder, report, [(file, _content(file, report)) for file in names]))
    objects = {
        file: _objects(file, content, report) if content else []
        for _, _, report, files in found
        for file, content in files
    }
    classes = sorted({label for listed in objects.values() for label, _, _ in listed})
    splits = []
    for name, folder, report, files in found:
        builder = SplitBuilder(name, folder, path, classes)
        builder.report = report
        images = {file: folder / _image_path(content) for file, content in files if content}
        sizes = sizes_of(report, list(images.values()))
        for file, image in images.items():
            if image not in sizes:  # a finding already
                continue
            number = builder.add_image(image, sizes[image])
            for label, polygons, is_mask in objects[file]:
                box = bounds([value for polygon in polygons for value in polygon])
                builder.add_object(number, label, box, polygons if is_mask else ())
        named = {Path(os.path.abspath(image)) for image in images.values()}
        left = [image for image in images_in(folder) if Path(os.path.abspath(image)) not in named]
        if left:
            report.add("unannotated-image", os.fspath(left[0]), len(left))
        splits.append(builder.split())
    return splits


def is_labelme(file: Path) -> bool:
    """Whether a json file looks like one of labelme's."""
    try:
        with open(file, "rb") as stream:
            start = stream.read(_BEGINNING)
    except OSError:
        return False
    return b'"shapes"' in start or b'"imagePath"' in start


def _places(root: Path) -> Iterator[tuple[str, Path]]:
    """The folders that have such files, and their splits."""
    folders = [(TRAIN, root)]
    folders += [(split_of(f.name), f) for f in sorted(root.iterdir()) if f.is_dir() and split_of(f.name)]
    for name, folder in folders:
        if any(is_labelme(file) for file in folder.glob("*.json")):
            yield name, folder


def _content(file: Path, report: Report) -> Json | None:
    """What a file holds, or None where it is not labelme's."""
    try:
        content = read_json(os.fspath(file))
    except UserError as error:
        report.add("bad-label", str(error))
        return None
    sound = isinstance(content, dict) and isinstance(content.get("shapes"), list)
    if not sound or not isinstance(content.get("imagePath"), str):
        report.add("bad-label", f"{file} has no list 'shapes' or no 'imagePath'")
        return None
    return content


def _image_path(content: Json) -> str:
    path: str = content["imagePath"]
    return path.replace("\\", "/")


def _objects(file: Path, content: Json, report: Report) -> list[_Object]:
    objects: list[_Object] = []
    groups: dict[Any, _Object] = {}
    for number, shape in enumerate(content["shapes"], start=1):
        where = f"{file}, shape {number}"
        try:
            label, kind = str(shape["label"]).strip(), shape.get("shape_type") or "polygon"
            points = [[float(value) for value in point] for point in shape["points"]]
            sound = label and all(len(point) == 2 and all(map(math.isfinite, point)) for point in points)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
            sound = False
        if not sound:
            report.add("bad-label", f"{where} has no label, or points that are no pairs of numbers")
            continue
        polygon = _polygon(kind, points)
        if polygon is None:
            report.add("shape-left-out", f"{where} is a {kind} of {len(points)} points")
            continue
        group = shape.get("group_id")
        known = groups.get((label, group)) if isinstance(group, int) else None
        if known is not None and known[2] == (kind != "rectangle"):
            known[1].append(polygon)
            continue
        objects.append((label, [polygon], kind != "rectangle"))
        if isinstance(group, int):
            groups[label, group] = objects[-1]
    return objects


def _polygon(kind: str, points: list[list[float]]) -> list[float] | None:
    """The outline of a shape, or None where it has no area."""
    if kind == "polygon" and len(points) >= 3:
        return [value for point in points for value in point]
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return [x0, y0, x1, y0, x1, y1, x0, y1]
    if kind == "circle" and len(points) == 2:  # center, and a point on it
        (x, y), radius = points[0], math.dist(*points)
        turns = [2 * math.pi * corner / _CORNERS for corner in range(_CORNERS)]
        return [value for t in turns for value in (x + radius * math.cos(t), y + radius * math.sin(t))]
    return None
