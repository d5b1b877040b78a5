"""The one form that every format is read into: COCO's, a part for each split."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..preflight.findings import Report

Json = dict[str, Any]

TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")

# What people and programs call the splits; a year may follow.
_CALLED = {
    TRAIN: ("train", "training"),
    VAL: ("val", "valid", "validation", "dev"),
    TEST: ("test", "testing"),
}
_SPLIT_OF = {word: split for split, words in _CALLED.items() for word in words}


@dataclass
class Split:
    """A part of a data set: what is trained on, or what it is evaluated on.

    Attributes:
        name: "train", "val" or "test".
        report: what was found while it was read; its ``source`` is the file or folder of the annotations.
        content: COCO's lists "images", "annotations" and "categories", or whatever the file holds in their
            place; None where it cannot be read, and the report says why. Categories are the same in all
            splits of a data set.
        image_root: folder that the images' ``file_name`` starts from.
        maps_root: the same of the segmentation maps of panoptic annotations; "" where they are of instances.
        json_file: the file that has just this content, or "" where it was converted.
    """

    name: str
    report: Report
    content: Any
    image_root: str
    maps_root: str = ""
    json_file: str = ""

    @property
    def is_panoptic(self) -> bool:
        return bool(self.maps_root)


def split_of(name: str) -> str:
    """The split that the name of a file or folder speaks of, or "": "instances_train2017" is of "train"."""
    found = {_SPLIT_OF.get(word, "") for word in re.findall(r"[a-z]+", name.lower())} - {""}
    return found.pop() if len(found) == 1 else ""


def in_order(splits: list[Split]) -> list[Split]:
    """What is trained on comes first: it numbers the model's classes."""
    return sorted(splits, key=lambda split: SPLITS.index(split.name))
