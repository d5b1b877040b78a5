"""What is inferred of a data set of one's own, as files in OUTPUT_DIR.

They are in the folder ``data``: annotations that were converted, and ``summary.json``. A training that is
resumed, or evaluated, reads them again, so that its splits and classes stay what they were.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..atomic import write_file
from ..data.formats import DataSet, Split
from ..data.formats.coco_classes import labelled
from ..data.json_file import read_json
from ..errors import ConfigError, DataError, named

_FOLDER = "data"
# Written last: where it is, all is.
_SUMMARY = "summary.json"


@dataclass(frozen=True)
class Part:
    """A split as it is registered.

    Attributes:
        split: "train", "val" or "test".
        name: of the registered data set.
        json_file, image_root, maps_root: what it is registered with; maps of panoptic sets, else "".
        images, objects: their numbers.
    """

    split: str
    name: str
    json_file: str
    image_root: str
    maps_root: str
    images: int
    objects: int


@dataclass(frozen=True)
class OwnData:
    """What was inferred from a data set.

    Attributes:
        path, format: of the data set.
        classes: names, in the order of their numbers.
        parts: its splits, "train" first.
        most_objects: in an image, of any class.
        most_of_a_class: in an image.
        masks: objects that have one.
        cut_seed: by which a validation split was cut off; None where it was there.
    """

    path: str
    format: str
    classes: list[str]
    parts: list[Part]
    most_objects: int
    most_of_a_class: int
    masks: int
    cut_seed: int | None

    @property
    def is_panoptic(self) -> bool:
        return any(part.maps_root for part in self.parts)

    def part(self, split: str) -> Part | None:
        """The split of a name, if there is one."""
        return next((part for part in self.parts if part.split == split), None)


def write(output: str, data: DataSet, splits: Sequence[Split], cut_seed: int | None) -> OwnData:
    """Write the annotations that no file has as they are, and the summary; each file whole or not at all.

    Args:
        output: OUTPUT_DIR.
        data: that was read.
        splits: sound ones, "train" first.
        cut_seed: as of :class:`OwnData`.

    Raises:
        UserError: a file cannot be written.
    """
    folder = os.path.join(os.path.abspath(output), _FOLDER)
    with contextlib.suppress(FileNotFoundError):  # of a training before, whose annotations are replaced
        os.remove(os.path.join(folder, _SUMMARY))
    stem = re.sub(r"[^\w.-]+", "_", os.path.basename(data.root)) or "data"
    parts = []
    for split in splits:
        # With a hyphen: the names of built-in data sets have none.
        name = f"{stem}-{split.name}"
        file = split.json_file or os.path.join(folder, f"{name}.json")
        if not split.json_file:
            _write_json(file, split.content)
        objects = sum(1 for _ in labelled(split.content))
        images = len(split.content["images"])
        parts.append(Part(split.name, name, file, split.image_root, split.maps_root, images, objects))
    categories = sorted(splits[0].content["categories"], key=lambda category: category["id"])
    most, most_of_a_class = _fullest(splits)
    own = OwnData(
        path=data.path,
        format=data.format,
        classes=[category["name"] for category in categories],
        parts=parts,
        most_objects=most,
        most_of_a_class=most_of_a_class,
        masks=sum(bool(x.get("segmentation")) for split in splits for x in labelled(split.content)),
        cut_seed=cut_seed,
    )
    content = asdict(own)
    for part in content["parts"]:  # so that OUTPUT_DIR can be moved
        if os.path.dirname(part["json_file"]) == folder:
            part["json_file"] = os.path.basename(part["json_file"])
    _write_json(os.path.join(folder, _SUMMARY), content)
    return own


def _fullest(splits: Sequence[Split]) -> tuple[int, int]:
    """The most objects of an image, and the most of one class; crowds are not trained on."""
    most = most_of_a_class = 0
    for split in splits:
        in_image: dict[Any, int] = {}
        of_class: dict[Any, int] = {}
        for annotation in split.content.get("annotations", ()):
            for entry in annotation.get("segments_info", (annotation,)):
                if split.is_panoptic or not entry.get("iscrowd"):
                    image, category = annotation["image_id"], entry["category_id"]
                    in_image[image] = in_image.get(image, 0) + 1
                    of_class[image, category] = of_class.get((image, category), 0) + 1
        most = max(most, *in_image.values(), 0)
        most_of_a_class = max(most_of_a_class, *of_class.values(), 0)
    return most, most_of_a_class


def read_again(output: str, path: str) -> OwnData | None:
    """What was inferred before, or None where nothing was.

    Args:
        output: OUTPUT_DIR.
        path: of the data set.

    Raises:
        ConfigError: it is of another data set.
        DataError: the file was damaged.
    """
    file = os.path.join(os.path.abspath(output), _FOLDER, _SUMMARY)
    if not os.path.isfile(file):
        return None
    content = read_json(file)
    with named(f"{file} (remove the folder to infer it anew)", (TypeError, LookupError), DataError):
        parts = [Part(**part) for part in content["parts"]]
        folder = os.path.dirname(file)
        parts = [replace(part, json_file=os.path.join(folder, part.json_file)) for part in parts]
        own = OwnData(**{**content, "parts": parts})
    path = os.path.abspath(os.path.expanduser(path))
    if own.path != path:
        raise ConfigError(
            f"DATASETS.PATH is {path}, but {output} is of a training on {own.path}: name that one, or "
            "another OUTPUT_DIR"
        )
    return own


def _write_json(file: str, content: Any) -> None:
    with named(file):
        write_file(file, lambda stream: stream.write(json.dumps(content).encode()))
