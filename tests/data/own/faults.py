"""A data set with one fault of each kind, each on a record of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from ..formats.layouts import Json, Sets, sample, write_coco

Plant = Callable[[Json, Json, Path], object]

EXIF_ORIENTATION = 0x0112


def _resize(file: Path, width: int, height: int) -> None:
    with Image.open(file) as image:
        image.resize((width, height)).save(file)


def _turn(file: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    with Image.open(file) as image:
        image.save(file, exif=exif)


def _put(**entries: Any) -> Plant:
    """Other entries of the object."""
    return lambda image, entry, file: entry.update(entries)


def _swap(image: Json) -> None:
    image["width"], image["height"] = image["height"], image["width"]


# What is done to an image, its first object, and its file; whether image and object are left after mending.
# Each name begins with the kind of the preflight's finding.
FAULTS: dict[str, tuple[Plant, bool, bool]] = {
    "missing-image": (lambda image, entry, file: file.unlink(), False, False),
    "unreadable-image": (lambda image, entry, file: file.write_bytes(b"\x89PNG"), False, False),
    "unreadable-image empty": (lambda image, entry, file: file.write_bytes(b""), False, False),
    "other-size": (lambda image, entry, file: _resize(file, 30, 90), False, False),
    "other-size exchanged": (lambda image, entry, file: _swap(image), True, True),
    "exif-size": (lambda image, entry, file: _turn(file), False, False),
    "bad-size": (lambda image, entry, file: image.update(width=-1), True, True),
    "record": (lambda image, entry, file: image.pop("height"), True, True),
    "record of an object": (lambda image, entry, file: entry.pop("category_id"), True, False),
    "mixed-ids": (lambda image, entry, file: entry.update(image_id=str(image["id"])), True, True),
    "unlisted-image": (_put(image_id=10**6), True, False),
    "unlisted-category": (_put(category_id=77), True, False),
    "repeated-annotation-id": (_put(id=1), True, True),
    "bad-id": (_put(image_id=[1]), True, False),
    "bad-box": (_put(bbox=[1, 2, None, 4], segmentation=[]), True, False),
    "bad-box short": (_put(bbox=[1, 2, 3]), True, True),
    "bad-crowd": (_put(iscrowd="no"), True, True),
    "ignore": (_put(ignore=1), True, True),
    "bad-keypoints": (_put(keypoints="none"), True, True),
    "bad-segmentation": (_put(segmentation=[1, 2, 3, 4, 5]), True, True),
    "useless-mask": (_put(segmentation={"size": [1, 1], "counts": "x"}), True, True),
    "bad-polygon": (lambda image, entry, file: entry["segmentation"].append([1, 2]), True, True),
    "no-good-polygon": (_put(segmentation=[[1e30] * 6]), True, True),
    "no-area": (lambda image, entry, file: entry["bbox"].__setitem__(2, 0), True, False),
    "outside": (lambda image, entry, file: entry["bbox"].__setitem__(0, 500), True, False),
    "beyond": (lambda image, entry, file: entry["bbox"].__setitem__(2, 500), True, True),
}


def plant(folder: Path) -> tuple[Path, Sets]:
    """Write a data set to a folder, each fault on the image of its number; and one of the clean records.

    Returns:
        the folder of the data set, and its records without faults.
    """
    clean = sample(folder, polygons=True, splits=(len(FAULTS) + 8, 4, 2))
    root = write_coco(clean, folder / "images", folder / "written")
    sets = json.loads(json.dumps(clean))
    train = sets["train"]
    for position, (change, _, _) in enumerate(FAULTS.values()):
        image = train["images"][position + 4]
        first = next(entry for entry in train["annotations"] if entry["image_id"] == image["id"])
        change(image, first, root / "images" / image["file_name"])
    # Between records, and between splits.
    train["images"].append({**train["images"][0]})
    train["categories"].append({"id": 9, "name": " Cup "})
    train["annotations"][0]["category_id"] = 9
    shutil.copy(root / "images/train4.png", root / "images/val1.png")
    (root / "train.json").write_text(json.dumps(train))
    return root, clean
