"""COCO's panoptic annotation files: sizes of the images, and what is wrong with a file."""

from typing import Any

from detectron2.utils.file_io import PathManager
from PIL import Image

from ..errors import DataError
from .coco_json import find_in_lists, read_json, unlisted

Records = list[dict[str, Any]]


def with_image_sizes(records: Records, json_file: str) -> Records:
    """Records with the entries ``width`` and ``height``, which Detectron2 leaves out of panoptic data sets.

    Args:
        records: of a data set. Those that have their sizes stay as they are.
        json_file: the panoptic annotations, whose list of images has the sizes; "" where there are none.

    Returns:
        The same records, or copies with sizes: from the annotations, or else from the image file's header.

    Raises:
        DataError: an image of which the annotations give no size is missing or cannot be decoded.
    """
    if all("width" in record and "height" in record for record in records):
        return records
    sizes: dict[Any, tuple[int, int]] = {}
    if json_file and PathManager.isfile(json_file):
        sizes = {
            image["id"]: (image["width"], image["height"])
            for image in read_json(json_file).get("images", ())
            if image.keys() >= {"id", "width", "height"}
        }
    sized = []
    for record in records:
        if "width" not in record or "height" not in record:
            width, height = sizes.get(record["image_id"]) or _size_in_header(record["file_name"])
            record = {**record, "width": width, "height": height}
        sized.append(record)
    return sized


def _size_in_header(file_name: str) -> tuple[int, int]:
    """Width and height of an image file, turned as its EXIF entry says, without decoding it."""
    try:
        with PathManager.open(file_name, "rb") as file, Image.open(file) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            return (image.height, image.width) if turned else (image.width, image.height)
    except FileNotFoundError as error:
        raise DataError(f"Image file {file_name} does not exist.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"Image file {file_name} cannot be decoded ({error}). Replace it.") from error


def read_panoptic_json(json_file: str) -> dict[str, Any]:
    """A COCO panoptic annotation file, checked.

    Raises:
        DataError: it is damaged, lacks an entry, or has an annotation that points to an image or category
            that is not listed; the message names the file, the record and what to do.
        OSError: it cannot be opened.
    """
    content = read_json(json_file)
    problem = find_in_lists(
        content,
        categories=("id", "name"),
        images=("id", "file_name", "height", "width"),
        annotations=("image_id", "file_name", "segments_info"),
    ) or _find_in_annotations(content)
    if problem:
        raise DataError(f"{json_file}: {problem}")
    return dict(content)


def _find_in_annotations(content: dict[str, Any]) -> str:
    """The first annotation that points to something that is not listed or lacks an entry, or ""."""
    categories = {category["id"] for category in content["categories"]}
    images = {image["id"] for image in content["images"]}
    annotated: set[int] = set()
    if not content["annotations"]:
        return "its list 'annotations' is empty. It needs an entry for each image."
    for annotation in content["annotations"]:
        where = f"the annotation of image {annotation['image_id']} ({annotation['file_name']})"
        if annotation["image_id"] not in images:
            return f"{where} names an image that is not listed in 'images'. Remove it, or list the image."
        if annotation["image_id"] in annotated:
            return f"{where} is not the only one of this image. Remove the others."
        annotated.add(annotation["image_id"])
        for segment in annotation["segments_info"]:
            lacking = [key for key in ("id", "category_id") if key not in segment]
            if lacking:
                return f"a segment of {where} has no {' and no '.join(map(repr, lacking))}."
            if segment["category_id"] not in categories:
                category = segment["category_id"]
                return f"segment {segment['id']} of {where} has category {category}, {unlisted(categories)}"
    return ""
