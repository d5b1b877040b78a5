"""The classes of COCO's files, numbered over all splits together, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...classes import comparable
from .split import Json, Split

_NO_SUPERCATEGORY = ("", "none")


def number_together(splits: Sequence[Split]) -> None:
    """Give all splits the same list of categories, where those of their files differ.

    Classes are those of the same name (:func:`~detr_d2.classes.comparable`). They follow the first split's
    ids, then those of the next, and are numbered from 1 on. Roboflow's first category, which only groups the
    others, is left out. Nothing is changed where the files agree, or where one cannot be used: that is found
    by the preflight.
    """
    lists = [_categories(split.content) for split in splits]
    sound = [listed for listed in lists if listed is not None]
    if len(sound) < len(lists) or not all(map(_all_listed, splits, sound)):
        return
    left_out = _grouping(splits, sound)
    joined: dict[str, Json] = {}
    for listed in sound:
        for category in listed:
            joined.setdefault(_key(category), category)
    for key in left_out:
        joined.pop(key, None)
    if not left_out and all(_same(listed, list(joined.values())) for listed in sound):
        return
    ids = {key: number for number, key in enumerate(joined, start=1)}
    categories = [{**category, "id": ids[key]} for key, category in joined.items()]
    for split, listed in zip(splits, sound, strict=True):
        numbers = {category["id"]: ids.get(_key(category)) for category in listed}
        for entry in labelled(split.content):
            entry["category_id"] = numbers[entry["category_id"]]
        split.content = {**split.content, "categories": [dict(category) for category in categories]}
        split.json_file = ""


def labelled(content: Json) -> Iterator[Json]:
    """Whatever has a ``category_id``: annotations, or the segments of panoptic ones."""
    for annotation in content.get("annotations", ()):
        segments = annotation.get("segments_info")
        if segments is None:
            yield annotation
        else:
            yield from segments


def _key(category: Json) -> str:
    return comparable([category["name"]])[0]


def _same(listed: list[Json], joined: list[Json]) -> bool:
    return [(category["id"], category["name"]) for category in listed] == [
        (category["id"], category["name"]) for category in joined
    ]


def _categories(content: Any) -> list[Json] | None:
    """The categories by their ids, or None where they are not such that they could be numbered anew."""
    categories = content.get("categories") if isinstance(content, dict) else None
    if not isinstance(categories, list) or not categories:
        return None
    for category in categories:
        if not isinstance(category, dict) or not isinstance(category.get("name"), str):
            return None
    ids = [category.get("id") for category in categories]
    names = {_key(category) for category in categories}
    if len(names) < len(ids) or not set(map(type, ids)) <= {int} or len(set(ids)) < len(ids):
        return None
    return sorted(categories, key=lambda category: int(category["id"]))


def _all_listed(split: Split, categories: list[Json]) -> bool:
    """Whether the objects of a split are all of listed categories."""
    known = {category["id"] for category in categories}
    try:
        return all(entry["category_id"] in known for entry in labelled(split.content))
    except (AttributeError, KeyError, TypeError):
        return False


def _grouping(splits: Sequence[Split], lists: Sequence[list[Json]]) -> set[str]:
    """The names of categories without objects that others name as what they are kinds of.

    Roboflow writes one as category 0: {"id": 0, "name": "cells", "supercategory": "none"}.
    """
    used = {
        (number, entry["category_id"])
        for number, split in enumerate(splits)
        for entry in labelled(split.content)
    }
    found: dict[str, bool] = {}
    for number, listed in enumerate(lists):
        above = {comparable([category.get("supercategory") or ""])[0] for category in listed}
        for category in listed:
            groups = (
                category["id"] == 0
                and len(listed) > 1
                and str(category.get("supercategory") or "").lower() in _NO_SUPERCATEGORY
                and _key(category) in above
                and (number, category["id"]) not in used
            )
            found[_key(category)] = found.get(_key(category), True) and groups
    return {name for name, groups in found.items() if groups}
