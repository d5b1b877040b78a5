"""Mending a data set's annotations: what is wrong with a record is put right, or the record is left out.

Only what can mean one thing is put right; where a fault can mean several, the record goes. Changes are
listed. Images are not touched.
"""

from __future__ import annotations

import copy
import os
from typing import Any, NamedTuple

from ...errors import DataError, UserError
from ..formats import DataSet, Json, Split
from ..images import ImageHeader, image_header
from ..preflight import Report
from ..preflight.files import in_threads
from ..preflight.outline import is_length
from .content import copies
from .fix_objects import Tell, fix_objects, key_of


class Change(NamedTuple):
    """What was done to a record.

    Attributes:
        split: that it is of.
        record: in words that find it.
        what: was done, and why.
    """

    split: str
    record: str
    what: str

    def __str__(self) -> str:
        return f"{self.split}: {self.record}: {self.what}"


def fix_data_set(data: DataSet, max_pixels: int) -> tuple[DataSet, list[Change]]:
    """Mend the annotations of all splits.

    Args:
        data: of instances. It is left as it is.
        max_pixels: largest width times height of an image.

    Returns:
        the mended data set, whose images are named with their folders, and what was changed.

    Raises:
        DataError: the data set is panoptic, or a file is not of COCO's outline at all.
    """
    if data.is_panoptic:
        raise DataError(f"{data.path} has panoptic annotations, which cannot be mended here.")
    changes: list[Change] = []
    splits = []
    for split in data.splits:

        def tell(record: str, what: str, split: Split = split) -> None:
            changes.append(Change(split.name, record, what))

        for finding in split.report.findings:  # of other formats: what could not be read is left out already
            if finding.kind in ("bad-label", "unreadable-image", "shape-left-out") and not split.json_file:
                tell(finding.first, f"left out, with others of its kind ({finding.count} in all)")
        content = _mended(split, tell, max_pixels)
        splits.append(Split(split.name, Report(split.report.source), content, ""))
    _leave_out_copies(splits, changes)
    return DataSet(data.path, data.format, splits), changes


def _mended(split: Split, tell: Tell, max_pixels: int) -> Json:
    """The annotations of a split, mended."""
    content = split.content
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key, []), list) for key in lists):
        raise DataError(f"{split.report.source} is not of COCO's outline, so that it cannot be mended.")
    images, annotations, categories = (copy.deepcopy(content.get(key, [])) for key in lists)
    classes = _fix_categories(categories, tell)
    pictures = _fix_images(images, split.image_root, tell, max_pixels)
    return {
        **content,
        "images": [image for image in pictures.values() if image is not None],
        "annotations": fix_objects(annotations, pictures, classes, tell),
        "categories": list({entry["id"]: entry for entry in classes.values()}.values()),
    }


def _fix_categories(categories: list[Any], tell: Tell) -> dict[Any, Json]:
    """The categories by the keys of their ids; several keys may have one category."""
    classes: dict[Any, Json] = {}
    by_name: dict[str, Json] = {}
    for position, entry in enumerate(categories):
        key = key_of(entry.get("id")) if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if key is None or not isinstance(name, str) or not name.strip():
            tell(f"category {position} (counted from 0)", "left out: it has no id, or no name")
        elif key in classes:
            tell(f"category {key!r} ({name})", f"left out: {classes[key]['name']!r} has this id")
        elif name.strip().casefold() in by_name:
            classes[key] = by_name[name.strip().casefold()]
            tell(f"category {key!r} ({name})", f"joined with category {classes[key]['id']!r} of this name")
        else:
            classes[key] = by_name[name.strip().casefold()] = entry
    _number(list(by_name.values()), tell, "categories")
    return classes


def _fix_images(images: list[Any], root: str, tell: Tell, max_pixels: int) -> dict[Any, Json | None]:
    """The images by the keys of their ids, with their folders and true sizes; None for what is left out."""
    named: list[tuple[Any, Json]] = []
    for position, entry in enumerate(images):
        key = key_of(entry.get("id")) if isinstance(entry, dict) else None
        file = entry.get("file_name") if isinstance(entry, dict) else None
        if key is None or not isinstance(file, str) or not file or "\0" in file:
            tell(f"image {position} (counted from 0)", "left out: it has no id, or no file_name")
        else:
            named.append((key, {**entry, "file_name": os.path.join(root, file)}))
    files_of: dict[Any, set[str]] = {}
    for key, entry in named:
        files_of.setdefault(key, set()).add(entry["file_name"])
    found: dict[Any, Json | None] = {}
    seen: set[str] = set()
    read = in_threads(lambda entry: image_header(entry["file_name"], max_pixels), [x for _, x in named])
    for (key, entry), header in zip(named, read, strict=True):
        record = f"image {key!r} ({entry['file_name']})"
        why = "another image has its id" if len(files_of[key]) > 1 else ""
        if not why and entry["file_name"] in seen:
            tell(record, "left out: it is listed twice")
            found.setdefault(key, None)
            continue
        seen.add(entry["file_name"])
        why = why or _fix_size(entry, header, record, tell)
        found[key] = None if why else entry
        if why:
            tell(record, f"left out with its objects: {why}")
    _number([image for image in found.values() if image is not None], tell, "images")
    return found


def _fix_size(entry: Json, header: ImageHeader | UserError, record: str, tell: Tell) -> str:
    """Correct an image's width and height; returns why it cannot be used, or ""."""
    if isinstance(header, UserError):
        return str(header)
    true, said = (header.width, header.height), (entry.get("width"), entry.get("height"))
    if said == true:
        return ""
    words = f"{said[0]!r:.20} x {said[1]!r:.20} was annotated, its file has {true[0]} x {true[1]} pixels"
    given = is_length(said[0]) and is_length(said[1])
    if given and (said != true[::-1] or header.turned):  # its boxes may be those of another size
        return words
    entry.update(width=true[0], height=true[1])
    tell(record, f"size corrected: {words}")
    return ""


def _number(records: list[Json], tell: Tell, what: str) -> None:
    """Let all ids be integers."""
    keys = [key_of(record["id"]) for record in records]
    if all(type(record["id"]) is int for record in records):
        return
    whole = all(isinstance(key, int) for key in keys)
    for number, (record, key) in enumerate(zip(records, keys, strict=True), start=1):
        record["id"] = key if whole else number
    tell(what, "ids written as integers")


def _leave_out_copies(splits: list[Split], changes: list[Change]) -> None:
    """Of images with equal bytes keep one: that of the last split, because it is evaluated on."""
    places = [(split, image) for split in splits for image in split.content["images"]]
    left_out: dict[str, set[int]] = {}
    for group in copies([image["file_name"] for _, image in places]):
        *others, last = group
        for split, image in (places[position] for position in others):
            left_out.setdefault(split.name, set()).add(image["id"])
            other, kept = places[last]
            why = f"left out with its objects: its bytes are those of {kept['file_name']} ({other.name})"
            changes.append(Change(split.name, f"image {image['id']!r} ({image['file_name']})", why))
    for split in splits:
        ids = left_out.get(split.name, set())
        content = split.content
        content["images"] = [image for image in content["images"] if image["id"] not in ids]
        content["annotations"] = [x for x in content["annotations"] if x["image_id"] not in ids]
