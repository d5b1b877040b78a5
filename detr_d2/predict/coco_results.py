"""What was found, in COCO's result formats: a list of objects, or segments with a map for each image."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from detectron2.data import Metadata
from pycocotools import mask as coco_mask

from ..atomic import write_file
from ..data.json_file import read_json
from ..errors import DataError, MissingFileError, named
from ..evaluation.panoptic_files import write_map
from ..visualization.colors import class_name_and_color

ImageId = int | str
Entry = dict[str, Any]


class CocoResults(Protocol):
    """Gathers what is found, and writes it."""

    def add(self, image_id: ImageId, name: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Note the result of an image.

        Args:
            image_id: of the image.
            name: ``file_name`` of the image or the video and, of the latter, ``frame``, from 0 on.
            result: of :class:`~.finder.Finder`.
        """
        ...

    def write(self) -> None:
        """Write the json file.

        Raises:
            UserError: it cannot be written.
        """
        ...


class ObjectResults:
    """The format of detection: a list of objects, with boxes (x, y, width, height) in pixels.

    Objects of a video's tracks have a ``track_id``. Where there are masks, ``segmentation`` is RLE.
    ``file_name`` (and ``frame``) and ``category_name`` are more than COCO asks for; its tools pass over them.

    Args:
        file: to write.
        ids: category id of each class number.
        metadata: names of the classes.
    """

    def __init__(self, file: str, ids: Mapping[int, Hashable], metadata: Metadata) -> None:
        self._file, self._ids, self._metadata = file, ids, metadata
        self._objects: list[Entry] = []

    def add(self, image_id: ImageId, name: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        instances = result["instances"]
        boxes = instances.pred_boxes.tensor.double().clone()
        boxes[:, 2:] -= boxes[:, :2]
        for row in range(len(instances)):
            number = int(instances.pred_classes[row])
            entry: Entry = {
                "image_id": image_id,
                **name,
                "category_id": self._ids[number],
                "category_name": class_name_and_color(self._metadata, number)[0],
                "bbox": boxes[row].tolist(),
                "score": float(instances.scores[row]),
            }
            if instances.has("pred_masks"):
                mask = np.asarray(instances.pred_masks[row])
                rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
                entry["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
            if instances.has("track_ids") and instances.track_ids[row] >= 0:
                entry["track_id"] = int(instances.track_ids[row])
            self._objects.append(entry)

    def write(self) -> None:
        _write(self._file, _by_image(self._objects))


class SegmentResults:
    """The panoptic format: segments of each image, and a folder of maps, named as the json file.

    A pixel of a map is (id mod 256, id / 256 mod 256, id / 256^2) of its segment, 0 where there is none. The
    names of images and categories are there, too.

    Args:
        file: to write.
        ids: category id of each class number.
        metadata: names of the classes.

    Raises:
        UserError: there is another kind of file in the folder's place.
    """

    def __init__(self, file: str, ids: Mapping[int, Hashable], metadata: Metadata) -> None:
        self._file, self._ids, self._metadata = file, ids, metadata
        self._folder = str(Path(file).with_suffix(""))
        with named(f"--json {self._folder}"):
            Path(self._folder).mkdir(parents=True, exist_ok=True)
        self._images: list[Entry] = []
        self._annotations: list[Entry] = []
        self._categories: dict[Hashable, Entry] = {}

    def add(self, image_id: ImageId, name: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        ids, segments = result["panoptic_seg"]
        height, width = ids.shape
        self._images.append({"id": image_id, **name, "width": width, "height": height})
        map_name = f"{len(self._images):06}.png"
        with named(f"--json {self._folder}"):
            write_map(self._folder, map_name, ids.numpy())
        self._annotations.append(
            {"image_id": image_id, "file_name": map_name, "segments_info": list(map(self._segment, segments))}
        )

    def _segment(self, segment: Mapping[str, Any]) -> Entry:
        number, is_thing = segment["category_id"], bool(segment["isthing"])
        category, kind = self._ids[number], "thing" if is_thing else "stuff"
        named_by = class_name_and_color(self._metadata, number, kind)[0]
        self._categories[category] = {"id": category, "name": named_by, "isthing": int(is_thing)}
        score = {"score": float(segment["score"])} if "score" in segment else {}
        return {"id": int(segment["id"]), "category_id": category, **score}

    def write(self) -> None:
        categories = sorted(self._categories.values(), key=lambda category: str(category["name"]))
        images = sorted(self._images, key=lambda image: _order(image["id"]))
        content = {"images": images, "annotations": _by_image(self._annotations), "categories": categories}
        _write(self._file, content)


class ImageIds:
    """The ids that a json in COCO's format gives to images, by their file names.

    Raises:
        MissingFileError, DataError: the file is not there, or has no such list of images.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        content = read_json(file)
        try:
            self._ids: dict[str, ImageId] = {image["file_name"]: image["id"] for image in content["images"]}
        except (LookupError, TypeError) as error:
            raise DataError(f"{file} needs a list of images, each with file_name and id") from error

    def __getitem__(self, name: str) -> ImageId:
        """The id of an image by its path, of which the json may have the last parts alone.

        Raises:
            MissingFileError: it is not listed.
        """
        parts = Path(name).parts
        for start in range(len(parts)):
            end = "/".join(parts[start:])
            if end in self._ids:
                return self._ids[end]
        raise MissingFileError(f"{name} is not among the images of {self._file}")


def _order(image_id: ImageId) -> tuple[bool, ImageId]:
    """Numbers in their order, then texts."""
    return isinstance(image_id, str), image_id


def _by_image(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: _order(entry["image_id"]))


def _write(file: str, content: Any) -> None:
    with named(f"--json {file}"):
        write_file(file, lambda output: output.write(json.dumps(content).encode()))
