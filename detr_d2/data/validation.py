"""Checks of data sets when they are loaded: clear errors, and warnings that count what is passed over."""

import difflib
import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import log_first_n

from ..errors import DataError
from .coco_json import captured_warnings, find_coco_errors, find_short_polygon
from .masks import segmentation_problem
from .panoptic_json import read_panoptic_json, with_image_sizes

Records = list[dict[str, Any]]

# Boxes are said to leave the image only beyond this many pixels: files round coordinates.
_BORDER_TOLERANCE = 1.0


def load_dataset(name: str) -> Records:
    """The records of a registered data set; those of panoptic data sets get ``width`` and ``height`` too.

    Raises:
        DataError: no such data set, a missing or invalid annotation file, or no image in it.
    """
    if name not in DatasetCatalog.list():
        known = sorted(DatasetCatalog.list())
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise DataError(
            f"There is no data set {name!r}. {hint}Data sets are named in DATASETS.TRAIN and DATASETS.TEST; "
            "register your own with DATASETS.COCO_JSON or detectron2.data.DatasetCatalog.register."
        )
    with captured_warnings("detectron2.data.datasets.coco") as warnings:
        try:
            records = DatasetCatalog.get(name)
        except Exception as error:
            raise _explained(name, error) from error
    # Detectron2 only counts annotations of unknown images, and objects that it leaves out because they have
    # no polygon of three points.
    if any("match to images" in text or "without valid segmentation" in text for text in warnings):
        problem = find_coco_errors(_annotation_file(name))
        if problem:
            raise DataError(f"Data set {name!r}: {problem}")
    if not len(records):
        raise DataError(f"Data set {name!r} holds no image: {_annotation_file(name)}")
    if "pan_seg_file_name" in records[0]:
        records = with_image_sizes(records, MetadataCatalog.get(name).get("panoptic_json", None) or "")
    return records


def objects_of(record: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """What a record is trained on: its annotations or, in panoptic data sets, its segments."""
    return record["annotations"] if "annotations" in record else record.get("segments_info", ())


def count_objects(record: dict[str, Any]) -> int:
    """How many objects of a record are trained on: crowds are in panoptic data sets alone."""
    if "annotations" not in record:
        return len(objects_of(record))
    return sum(not annotation.get("iscrowd", 0) for annotation in record["annotations"])


def _annotation_file(name: str) -> str:
    """The json file that a data set is loaded from, or "" where its metadata name none."""
    metadata = MetadataCatalog.get(name)
    return metadata.get("panoptic_json", None) or metadata.get("json_file", None) or ""


def _explained(name: str, error: Exception) -> DataError:
    """What to tell the user about an exception of a data set's own loading function."""
    json_file = _annotation_file(name)
    if isinstance(error, DataError):
        return error
    if isinstance(error, FileNotFoundError) and "generate_shapes" in str(error):
        return DataError(str(error))
    if json_file and "://" not in json_file and not os.path.isfile(json_file):
        root = os.environ.get("DETECTRON2_DATASETS", "datasets (the default)")
        return DataError(
            f"Data set {name!r} needs {json_file}, which does not exist. Built-in data sets lie below the "
            f"folder that the environment variable DETECTRON2_DATASETS names; it is {root}."
        )
    problem = _find_errors(name, json_file) if json_file else ""
    if problem:
        return DataError(f"Data set {name!r}: {problem}")
    if isinstance(error, AssertionError) and MetadataCatalog.get(name).get("panoptic_json", None):
        # Detectron2 looks for the first image and its segmentation map.
        return DataError(
            f"Data set {name!r}: {error} does not exist, which {json_file} names. Check the folders of "
            "images and of segmentation maps."
        )
    where = f" from {json_file}" if json_file else ""
    return DataError(f"Data set {name!r} cannot be loaded{where}: {type(error).__name__}: {error}")


def _find_errors(name: str, json_file: str) -> str:
    """What is wrong with a data set's annotation file, or ""."""
    metadata = MetadataCatalog.get(name)
    if not metadata.get("panoptic_json", None):
        return find_coco_errors(json_file)
    try:
        content = read_panoptic_json(json_file)
    except DataError as error:
        return str(error)
    known = {
        *metadata.get("thing_dataset_id_to_contiguous_id", {}),
        *metadata.get("stuff_dataset_id_to_contiguous_id", {}),
    }
    strays = {category["id"] for category in content["categories"]} - known
    if strays:
        return (
            f"{json_file} lists the category {min(strays)}, which the data set's metadata do not number (in "
            "thing_dataset_id_to_contiguous_id or stuff_dataset_id_to_contiguous_id)."
        )
    return ""


def check_dataset(
    name: str,
    records: Sequence[dict[str, Any]],
    num_classes: int,
    num_queries: int,
    masks: bool = False,
) -> None:
    """Check the records of one data set against the files and the model; warn, with counts, once.

    Args:
        name: of the data set.
        records: in Detectron2's format.
        num_classes: classes of the model, ``MODEL.DETR.NUM_CLASSES``.
        num_queries: ``MODEL.DETR.NUM_OBJECT_QUERIES``.
        masks: whether the annotated masks are trained on.

    Raises:
        DataError: the data set has more classes, an image or segmentation map is missing, a box is not four
            finite numbers, or a mask that is trained on is not there, not of its image or has a polygon of
            fewer than three points.
    """
    _check_classes(name, records, num_classes)
    _check_files(name, records, "file_name", "image files")
    _check_files(name, records, "pan_seg_file_name", "segmentation maps")
    _check_boxes(name, records)
    if masks:
        _check_masks(name, records)
    _check_counts(name, records, num_queries)


def _check_classes(name: str, records: Sequence[dict[str, Any]], num_classes: int) -> None:
    """Every class of the data set needs an output of the model."""
    metadata = MetadataCatalog.get(name)
    listed = max(
        len(metadata.get("thing_classes", None) or ()), len(metadata.get("stuff_classes", None) or ())
    )
    used = -1
    for record in records:
        for annotation in objects_of(record):
            used = max(used, annotation["category_id"])
    needed = max(listed, used + 1)
    if needed > num_classes:
        raise DataError(
            f"Data set {name!r} has {needed} classes, but MODEL.DETR.NUM_CLASSES is {num_classes}: set it to "
            f"at least {needed}."
        )


def _check_files(name: str, records: Sequence[dict[str, Any]], key: str, what: str) -> None:
    """The files that the records name under ``key`` must be there: one listing for each folder, not one
    request for each file."""
    wanted: dict[str, list[str]] = {}
    for record in records:
        if key in record:
            folder, file_name = os.path.split(record[key])
            wanted.setdefault(folder, []).append(file_name)
    missing: list[str] = []
    for folder, file_names in wanted.items():
        if "://" in folder:
            continue
        try:
            present = set(os.listdir(folder or "."))
        except OSError:
            present = set()
        missing.extend(
            os.path.join(folder, file_name) for file_name in file_names if file_name not in present
        )
    if missing:
        source = _annotation_file(name) or "its records"
        raise DataError(
            f"Data set {name!r}: {len(missing)} of {len(records)} {what} named by {source} do not exist, the "
            f"first one {missing[0]}. Check their folder, or remove these images from the annotations."
        )


def corners(annotation: dict[str, Any]) -> tuple[float, float, float, float]:
    """An annotation's box as absolute (x0, y0, x1, y1)."""
    if annotation["bbox_mode"] == BoxMode.XYWH_ABS:  # COCO's, and far quicker than by way of tensors
        x, y, width, height = annotation["bbox"]
        return x, y, x + width, y + height
    return BoxMode.convert(tuple(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYXY_ABS)


def has_area(annotation: dict[str, Any]) -> bool:
    """Whether an annotation's box has a positive width and height."""
    x0, y0, x1, y1 = corners(annotation)
    return x1 > x0 and y1 > y0


def _check_boxes(name: str, records: Sequence[dict[str, Any]]) -> None:
    """Count boxes without area, outside the image, and reaching beyond it. Crowds are not looked at."""
    boxes, owners = [], []
    for index, record in enumerate(records):
        for annotation in record.get("annotations", ()):
            if annotation.get("iscrowd", 0):
                continue
            box = annotation.get("bbox")
            if box is None or len(box) != 4 or not all(math.isfinite(value) for value in box):
                raise DataError(
                    f"Data set {name!r}, image {record['file_name']}: an annotation's box must be four "
                    f"finite numbers, got {box}"
                )
            boxes.append(corners(annotation))
            owners.append(index)
    if not boxes:
        return
    array = np.asarray(boxes, dtype=np.float64)  # (N, 4) x0, y0, x1, y1
    sizes = np.array([(r.get("width", np.inf), r.get("height", np.inf)) for r in records])[owners]
    no_area = (array[:, 2:] <= array[:, :2]).any(1)
    outside = ~no_area & ((array[:, :2] >= sizes) | (array[:, 2:] <= 0)).any(1)
    reaching = (array[:, :2] < -_BORDER_TOLERANCE) | (array[:, 2:] > sizes + _BORDER_TOLERANCE)
    beyond = ~no_area & ~outside & reaching.any(1)
    for mask, what in (
        (no_area, "boxes have no area and are skipped"),
        (outside, "boxes lie outside their image and are skipped"),
        (beyond, "boxes reach beyond their image and are clipped"),
    ):
        if mask.any():
            first = int(np.argmax(mask))
            _warn_once(
                f"Data set {name!r}: {int(mask.sum())} of {len(boxes)} {what}; the first one is "
                f"(x0, y0, x1, y1) = {tuple(round(v, 2) for v in array[first].tolist())} in "
                f"{records[owners[first]]['file_name']}"
            )


def _check_masks(name: str, records: Sequence[dict[str, Any]]) -> None:
    """Every object needs a segmentation whose form fits its image. Crowds are not looked at.

    The json file is read again: Detectron2 loads objects that have one good polygon without their bad ones.
    """
    for record in records:
        if "height" not in record or "width" not in record:
            continue  # the mapper, which knows the image, looks again
        for number, annotation in enumerate(record.get("annotations", ())):
            if annotation.get("iscrowd", 0):
                continue
            problem = "it has no 'segmentation', which MODEL.MASK_ON needs"
            if "segmentation" in annotation:
                size = record["height"], record["width"]
                problem = segmentation_problem(annotation["segmentation"], *size)
            if problem:
                raise DataError(
                    f"Data set {name!r}, image {record['file_name']}, annotation {number} (counted from 0): "
                    f"{problem}. Correct the annotation, or remove it."
                )
    json_file = MetadataCatalog.get(name).get("json_file", None) or ""
    if records and "annotations" in records[0] and json_file and PathManager.isfile(json_file):
        problem = find_short_polygon(json_file)
        if problem:
            raise DataError(f"Data set {name!r}: {problem}")


def _check_counts(name: str, records: Sequence[dict[str, Any]], num_queries: int) -> None:
    """Say where no image has an object; count images with more objects than the model can find."""
    counts = [count_objects(record) for record in records]
    if records and records[0].keys() & {"annotations", "segments_info"} and not any(counts):
        _warn_once(f"Data set {name!r}: none of the {len(records)} images has an object.")
    over = [index for index, count in enumerate(counts) if count > num_queries]
    if over:
        _warn_once(
            f"Data set {name!r}: {len(over)} of {len(records)} images have more objects (up to "
            f"{max(counts)}) than MODEL.DETR.NUM_OBJECT_QUERIES ({num_queries}), so the model cannot "
            f"find all of them; the first one is {records[over[0]]['file_name']}. They are used nevertheless."
        )


def _warn_once(message: str) -> None:
    log_first_n(logging.WARNING, message, n=1, key="message", name=__name__)
