"""Finding what is wrong with a COCO annotation file that Detectron2 could not load."""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from detectron2.utils.file_io import PathManager


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


def find_coco_errors(json_file: str) -> str:
    """Look for the first error of a COCO instance annotation file.

    This reads the whole file once more, so it is for files that are known to be bad.

    Returns:
        A sentence that names the file, the record and what to do, or "" where nothing was found.
    """
    try:
        with PathManager.open(json_file) as file:
            content = json.load(file)
    except UnicodeDecodeError as error:
        return f"{json_file} is not a text file ({error})."
    except json.JSONDecodeError as error:
        return f"{json_file} is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}."
    problem = _find_in_content(content)
    return f"{json_file}: {problem}" if problem else ""


def _find_in_content(content: Any) -> str:
    """The first error in the parsed file, or ""."""
    if not isinstance(content, dict):
        return "its top level must be an object with the lists 'images', 'annotations' and 'categories'."
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            return f"it has no list {key!r}. COCO's format needs 'images', 'annotations' and 'categories'."
    if not content["categories"]:
        return "its list 'categories' is empty. List every class as {'id': ..., 'name': ...}."
    for key, needed in (
        ("categories", ("id", "name")),
        ("images", ("id", "file_name", "height", "width")),
        ("annotations", ("id", "image_id", "category_id", "bbox")),
    ):
        for number, record in enumerate(content[key]):
            lacking = [entry for entry in needed if not isinstance(record, dict) or entry not in record]
            if lacking:
                listed = " and no ".join(map(repr, lacking))
                return f"entry {number} of {key!r} ({_short(record)}) has no {listed}."
    for key in ("categories", "images", "annotations"):
        (repeated, times), *_ = Counter(record["id"] for record in content[key]).most_common(1) or [(None, 0)]
        if times > 1:
            return f"{times} entries of {key!r} have the id {repeated}. Ids must be unique."
    return _find_in_annotations(content)


def _find_in_annotations(content: dict[str, Any]) -> str:
    """The first annotation that points to something that is not listed, or has no usable box, or ""."""
    categories = {category["id"] for category in content["categories"]}
    images = {image["id"] for image in content["images"]}
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
            listed = ", ".join(map(str, sorted(categories)[:10])) + (", ..." if len(categories) > 10 else "")
            return (
                f"{where} has category {annotation['category_id']}, which 'categories' does not list "
                f"({listed}). Add the category or correct the annotation."
            )
        if not isinstance(annotation["bbox"], list) or len(annotation["bbox"]) != 4:
            return f"{where} needs a 'bbox' of four numbers (x, y, width, height), got {annotation['bbox']}."
        if annotation.get("ignore", 0):
            return (
                f"{where} has 'ignore' set, which Detectron2 does not support. Remove it, or use 'iscrowd'."
            )
    return ""


def _short(record: Any) -> str:
    """The start of a record, for a message."""
    text = json.dumps(record)
    return text if len(text) <= 80 else f"{text[:77]}..."
