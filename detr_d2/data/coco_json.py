"""Finding what is wrong with a COCO annotation file that Detectron2 could not load."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from detectron2.utils.file_io import PathManager

from ..errors import DataError, named
from .masks import rasterise, segmentation_problem


@contextmanager
def captured_warnings(logger_name: str) -> Iterator[list[str]]:
    """Collect the warnings that a logger gives meanwhile; they are logged as usual too."""
    messages: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    handler, logger = Collect(logging.WARNING), logging.getLogger(logger_name)
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def read_json(json_file: str) -> Any:
    """What a json file holds.

    Raises:
        DataError: it is no text, or no json.
        MissingFileError: there is no such file.
    """
    try:
        with named(json_file), PathManager.open(json_file) as file:
            return json.load(file)
    except UnicodeDecodeError as error:
        raise DataError(f"{json_file} is not a text file ({error}).") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"{json_file} is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from error


def find_coco_errors(json_file: str) -> str:
    """Look for the first error of a COCO instance annotation file.

    This reads the whole file once more, so it is for files that are known to be bad.

    Returns:
        A sentence that names the file, the record and what to do, or "" where nothing was found.
    """
    try:
        content = read_json(json_file)
    except DataError as error:
        return str(error)
    problem = (
        find_in_lists(
            content,
            categories=("id", "name"),
            images=("id", "file_name", "height", "width"),
            annotations=("id", "image_id", "category_id", "bbox"),
        )
        or _find_repeated_ids(content)
        or _find_in_annotations(content)
    )
    return f"{json_file}: {problem}" if problem else ""


def find_short_polygon(json_file: str) -> str:
    """Look for the first polygon of fewer than three points, which Detectron2 would leave out without a word.

    Crowds are not looked at, nor is anything else.

    Returns:
        A sentence that names the file, the annotation and what to do, or "" where there is none.

    Raises:
        DataError, OSError: as :func:`read_json`.
    """
    content = read_json(json_file)
    for annotation in content.get("annotations", ()) if isinstance(content, dict) else ():
        polygons = annotation.get("segmentation")
        if isinstance(polygons, list) and polygons and not annotation.get("iscrowd", 0):
            problem = segmentation_problem(polygons, height=0, width=0)  # polygons have no size
            if problem:
                where = f"annotation {annotation.get('id')} (image {annotation.get('image_id')})"
                return f"{json_file}: {where}: {problem}. Correct its 'segmentation'."
    return ""


def find_in_lists(content: Any, **needed: tuple[str, ...]) -> str:
    """The first error in the outline of a parsed annotation file, or "".

    Args:
        content: of the file.
        needed: the entries that each record of a list must have, by the list's name.
    """
    names = "'images', 'annotations' and 'categories'"
    if not isinstance(content, dict):
        return f"its top level must be an object with the lists {names}."
    for key in needed:
        if not isinstance(content.get(key), list):
            return f"it has no list {key!r}. COCO's format needs {names}."
    if not content["categories"]:
        return "its list 'categories' is empty. List every class as {'id': ..., 'name': ...}."
    for key, entries in needed.items():
        for number, record in enumerate(content[key]):
            lacking = [entry for entry in entries if not isinstance(record, dict) or entry not in record]
            if lacking:
                listed = " and no ".join(map(repr, lacking))
                return f"entry {number} of {key!r} ({_short(record)}) has no {listed}."
    return ""


def _find_repeated_ids(content: dict[str, Any]) -> str:
    """The first id that two records of a list share, or ""."""
    for key in ("categories", "images", "annotations"):
        (repeated, times), *_ = Counter(record["id"] for record in content[key]).most_common(1) or [(None, 0)]
        if times > 1:
            return f"{times} entries of {key!r} have the id {repeated}. Ids must be unique."
    return ""


def _find_in_annotations(content: dict[str, Any]) -> str:
    """The first annotation that points to something that is not listed, or is of no use, or ""."""
    categories = {category["id"] for category in content["categories"]}
    images = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    strays = [annotation for annotation in content["annotations"] if annotation["image_id"] not in images]
    if strays:
        return (
            f"{len(strays)} annotations name an image that is not listed in 'images'; the first one is "
            f"annotation {strays[0]['id']}, which names image {strays[0]['image_id']}. Remove them, or list "
            "the images."
        )
    for annotation in content["annotations"]:
        where = f"annotation {annotation['id']} (image {annotation['image_id']})"
        if annotation["category_id"] not in categories:
            return f"{where} has category {annotation['category_id']}, {unlisted(categories)}"
        if not isinstance(annotation["bbox"], list) or len(annotation["bbox"]) != 4:
            return f"{where} needs a 'bbox' of four numbers (x, y, width, height), got {annotation['bbox']}."
        if annotation.get("ignore", 0):
            return (
                f"{where} has 'ignore' set, which Detectron2 does not support. Remove it, or use 'iscrowd'."
            )
        problem = _segmentation_problem(annotation.get("segmentation"), *images[annotation["image_id"]])
        if problem:
            return f"{where}: {problem}. Correct its 'segmentation', or remove it where boxes are enough."
    return ""


def unlisted(categories: Iterable[int]) -> str:
    """The end of a sentence about an object whose category is none of those listed."""
    listed = sorted(categories)
    some = ", ".join(map(str, listed[:10])) + (", ..." if len(listed) > 10 else "")
    return f"which 'categories' does not list ({some}). Add the category or correct the annotation."


def _segmentation_problem(segmentation: Any, height: int, width: int) -> str:
    """What is wrong with a segmentation as the file has it, or "". An empty one counts as none."""
    if not segmentation:
        return ""
    problem = segmentation_problem(segmentation, height, width)
    # Detectron2 converts the counts of uncompressed RLE when it loads them.
    if not problem and isinstance(segmentation, dict) and isinstance(segmentation["counts"], list):
        try:
            rasterise(segmentation, height, width)
        except ValueError as error:
            return str(error)
    return problem


def _short(record: Any) -> str:
    """The start of a record, for a message."""
    text = json.dumps(record)
    return text if len(text) <= 80 else f"{text[:77]}..."
