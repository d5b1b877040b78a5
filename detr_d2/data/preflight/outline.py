"""What every kind of COCO's annotation files has: lists of records, ids, names, sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .findings import Report

# No image is larger; beyond it coordinates are no pixels.
MOST_PIXELS = 1e9

# What to call an object, or another record, by its position.
Where = Callable[[int], str]

_KINDS = {"images": "image", "categories": "category", "annotations": "annotation"}


def look_at_outline(report: Report, content: Any, needed: dict[str, tuple[str, ...]]) -> bool:
    """Whether a parsed file has its lists, and their records are objects that have the needed entries.

    Args:
        report: gets the findings.
        content: of the file.
        needed: entries of the records of each list.
    """
    if not isinstance(content, dict):
        report.add("outline", f"the top level is a {type(content).__name__}")
        return False
    for key in needed:
        if not isinstance(content.get(key), list):
            report.add("outline", f"no list {key!r}")
    if report.errors:
        return False
    if not content["images"]:
        report.add("no-images", "the list 'images' is empty")
    if not content["categories"]:
        report.add("outline", "the list 'categories' is empty")
    for key, entries in needed.items():
        records, wanted = content[key], set(entries)
        if set(map(type, records)) <= {dict} and all(wanted <= record.keys() for record in records):
            continue
        for number, record in enumerate(records):
            lacking = [entry for entry in entries if not isinstance(record, dict) or entry not in record]
            if lacking:
                report.add(
                    "record", f"entry {number} of {key!r} has no {' and no '.join(lacking)}: {record!r:.60}"
                )
    return not report.errors


def id_type(value: Any) -> str:
    """ "number" (a float only where it is integral) or "text"; "" for what cannot be an id."""
    if type(value) is int or (type(value) is float and value.is_integer()):
        return "number"
    return "text" if type(value) is str else ""


def look_at_ids(report: Report, records: list[dict[str, Any]], key: str) -> dict[Any, int]:
    """The records' positions by their ids; what cannot be an id, and ids that are not unique, are errors."""
    ids = [record["id"] for record in records]
    positions: dict[Any, int] = {}
    if set(map(type, ids)) in ({int}, {str}):
        positions.update(zip(ids, range(len(ids)), strict=True))
        if len(positions) == len(ids):
            return positions
        positions.clear()
    types: dict[str, Any] = {}
    for position, number in enumerate(ids):
        this = id_type(number)
        # Those of annotations only have to differ: nothing refers to them.
        if not this and (key != "annotations" or isinstance(number, list | dict)):
            report.add("bad-id", f"entry {position} of {key!r} has the id {number!r:.40}")
            continue
        types.setdefault(this, number)
        if number in positions:
            file = records[position].get("file_name")
            report.add(
                f"repeated-{_KINDS[key]}-id", f"id {number!r:.40} of {key!r}" + (f" ({file})" if file else "")
            )
        positions[number] = position
    if len(types) > 1 and key != "annotations":
        both = " and ".join(f"{value!r:.40}" for value in types.values())
        report.add("mixed-ids", f"{key!r} have the ids {both}")
    return positions


def look_at_references(
    report: Report, values: Sequence[Any], key: str, known: Mapping[Any, int], where: Where
) -> np.ndarray:
    """What records name has to be listed.

    Args:
        values: the ids that they name.
        key: "image_id" or "category_id".
        known: numbers of what is listed, by its id.
        where: what to call the records.

    Returns:
        (N,) int64 numbers; -1 where nothing is named that is listed.
    """
    listed = id_type(next(iter(known)))
    if set(map(type, values)) == {int} and listed == "number" and max(values) < 2**63 > -min(values):
        # Each id is looked up once: the table is larger than a processor's cache.
        ids, places = np.unique(np.fromiter(values, dtype=np.int64), return_inverse=True)
        numbers = np.array([known.get(value, -1) for value in ids.tolist()], dtype=np.int64)[places]
    else:
        numbers = np.array(
            [known.get(value, -1) if id_type(value) == listed else -1 for value in values], dtype=np.int64
        )
    some = ", ".join(repr(number) for number in list(known)[:5])
    for position in np.flatnonzero(numbers < 0).tolist():
        value = values[position]
        words = f"{where(position)} has the {key} {value!r:.40}"
        kind = id_type(value)
        if not kind:
            report.add("bad-id", words)
        elif kind != listed:
            report.add("mixed-ids", f"{words}; listed are {some:.80}")
        else:
            report.add(f"unlisted-{key.removesuffix('_id')}", f"{words}; listed are {some:.80}")
    return numbers


def look_at_names(report: Report, categories: list[dict[str, Any]]) -> None:
    """Names have to be text; two of one name cannot be told apart."""
    seen: set[str] = set()
    for category in categories:
        name = category["name"]
        if not isinstance(name, str) or not name.strip():
            report.add("bad-name", f"category {category['id']!r:.40}: {name!r:.60}")
        elif name.strip().casefold() in seen:
            report.add("repeated-name", f"category {category['id']!r:.40}: {name!r:.60}")
        else:
            seen.add(name.strip().casefold())


def look_at_sizes(report: Report, images: list[dict[str, Any]]) -> np.ndarray:
    """(M, 2) float64 width and height of the images; file names have to be text."""
    sizes = np.full((len(images), 2), np.inf)
    for position, image in enumerate(images):
        width, height = image["width"], image["height"]
        if not (is_length(width) and is_length(height)):
            report.add("bad-size", f"{image['file_name']!r:.60}: width {width!r:.20}, height {height!r:.20}")
        else:
            sizes[position] = width, height
        if not isinstance(image["file_name"], str) or not image["file_name"]:
            report.add("record", f"image {image['id']!r:.40}: 'file_name' is {image['file_name']!r:.40}")
    return sizes


def is_length(value: Any) -> bool:
    """Whether a value is a width or height in pixels."""
    return id_type(value) == "number" and 1 <= value <= MOST_PIXELS
