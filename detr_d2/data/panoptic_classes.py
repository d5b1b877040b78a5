"""The one numbering of the things and stuff of a panoptic data set."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import DataError


def says_isthing(category: Mapping[str, Any]) -> bool:
    """Whether a COCO category tells that it is a thing (1) or stuff (0)."""
    return type(category.get("isthing")) in (int, float, bool) and category["isthing"] in (0, 1)


def panoptic_classes(categories: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Names and numbers of classes, as the metadata of Detectron2's "standard" panoptic data sets have them.

    Things and stuff share one numbering from 0 on, in the order of the ids, and both lists of names hold all
    of them.

    Args:
        categories: COCO's, with ``id``, ``name`` and ``isthing`` (1 or 0).

    Raises:
        DataError: a category does not say whether it is a thing.
    """
    categories = sorted(categories, key=lambda category: category["id"])
    numbers: dict[bool, dict[Any, int]] = {True: {}, False: {}}
    for number, category in enumerate(categories):
        if not says_isthing(category):
            raise DataError(
                f"category {category['id']!r} ({category['name']!r:.60}) needs an 'isthing' of 1 (things, "
                f"which can be counted) or 0 (stuff), but has {category.get('isthing', 'none')!r:.40}"
            )
        numbers[bool(category["isthing"])][category["id"]] = number
    names = [category["name"] for category in categories]
    return {
        "thing_classes": names,
        "stuff_classes": list(names),
        "thing_dataset_id_to_contiguous_id": numbers[True],
        "stuff_dataset_id_to_contiguous_id": numbers[False],
    }
