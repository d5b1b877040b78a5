"""COCO's panoptic annotation files: their records, their classes, and sizes of the images."""

import os
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

from ..errors import DataError
from .json_file import read_json
from .panoptic_classes import panoptic_classes
from .preflight.findings import Report, stop_at_errors
from .preflight.panoptic import look_at_panoptic_json

Records = list[dict[str, Any]]


def load_panoptic_json(json_file: str, image_root: str, panoptic_root: str, name: str) -> Records:
    """The records of a panoptic data set in Detectron2's "standard" form, with sizes.

    Unlike Detectron2's own loader this takes the images' names from the file, and numbers the classes by
    :func:`~.panoptic_classes.panoptic_classes`.

    Args:
        json_file: panoptic annotations.
        image_root, panoptic_root: folders of the images and of the segmentation maps.
        name: of the registered data set; its metadata get the classes.

    Returns:
        ``file_name``, ``image_id``, ``height``, ``width``, ``pan_seg_file_name`` and ``segments_info`` of
        each image that has an annotation, in the order of these. Segments have ``id``, ``iscrowd``,
        ``isthing`` and the contiguous ``category_id``, and what else the file has of them.

    Raises:
        DataError: the annotations cannot be used.
        MissingFileError: there is no such file.
    """
    content = read_panoptic_json(json_file)
    classes = _enter_classes(name, json_file, content)
    things, stuff = (classes[f"{kind}_dataset_id_to_contiguous_id"] for kind in ("thing", "stuff"))
    numbers = {**things, **stuff}
    images = {image["id"]: image for image in content["images"]}
    records = []
    for annotation in content["annotations"]:
        image = images[annotation["image_id"]]
        for segment in annotation["segments_info"]:
            category = segment["category_id"]
            segment.update(category_id=numbers[category], isthing=category in things)
        records.append(
            {
                "file_name": os.path.join(image_root, image["file_name"]),
                "image_id": image["id"],
                "height": image["height"],
                "width": image["width"],
                "pan_seg_file_name": os.path.join(panoptic_root, annotation["file_name"]),
                "segments_info": annotation["segments_info"],
            }
        )
    return records


def read_panoptic_json(json_file: str) -> dict[str, Any]:
    """A COCO panoptic annotation file, checked and in one form.

    Numbers are integers (files may have 1.0), segments without ``iscrowd`` have 0, and none has ``area``:
    pixels are counted in the maps, so that a wrong one changes nothing.

    Raises:
        DataError: it is damaged, lacks an entry, or has an annotation that points to an image or category
            that is not listed; the message names the file, the record and what to do.
        MissingFileError: there is no such file.
    """
    return in_one_form(read_json(json_file), json_file)


def in_one_form(content: Any, source: str) -> dict[str, Any]:
    """What a panoptic annotation file holds, as :func:`read_panoptic_json` gives it; it is changed in place.

    Args:
        content: parsed.
        source: the file, for messages.

    Raises:
        DataError: as :func:`read_panoptic_json`.
    """
    report = Report(source)
    look_at_panoptic_json(report, content)
    stop_at_errors([report])
    for image in content["images"]:
        for key in ("id", "height", "width"):
            image[key] = _plain(image[key])
    for category in content["categories"]:
        category["id"] = _plain(category["id"])
    for annotation in content["annotations"]:
        annotation["image_id"] = _plain(annotation["image_id"])
        for segment in annotation["segments_info"]:
            segment["id"], segment["category_id"] = _plain(segment["id"]), _plain(segment["category_id"])
            segment["iscrowd"] = int(segment.get("iscrowd") or 0)
            segment.pop("area", None)
    return dict(content)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def read_classes(cfg: CfgNode) -> None:
    """Enter the classes of the panoptic data sets that the config names, where nothing has loaded them yet.

    To be called before a model is built, which has to know things from stuff. A data set whose file is
    missing is passed over: it says so when it is loaded.

    Args:
        cfg: its DATASETS.TRAIN and DATASETS.TEST are looked at.

    Raises:
        DataError: a file of annotations cannot be used.
    """
    for name in dict.fromkeys((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)):
        if name not in DatasetCatalog.list():
            continue
        metadata = MetadataCatalog.get(name)
        json_file = metadata.get("panoptic_json", None)
        if json_file and metadata.get("thing_classes", None) is None and PathManager.isfile(json_file):
            _enter_classes(name, json_file, read_panoptic_json(json_file))


def _enter_classes(name: str, json_file: str, content: dict[str, Any]) -> dict[str, Any]:
    """Set the classes of a registered data set's metadata, and return them."""
    try:
        classes = panoptic_classes(content["categories"])
    except DataError as error:
        raise DataError(f"{json_file}: {error}") from error
    metadata = MetadataCatalog.get(name)
    for key, value in classes.items():
        if metadata.get(key, value) != value:
            raise DataError(
                f"Data set {name!r}: the classes of {json_file} are not those that its metadata have "
                f"({key}): was the file changed meanwhile?"
            )
    metadata.set(**classes)
    return classes
