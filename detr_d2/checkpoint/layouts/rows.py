"""Rows of the class head: numbered by COCO's category ids, or contiguously as in Detectron2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES
from torch import Tensor

HEAD = ("class_embed.weight", "class_embed.bias")

# The logit of a class that must never be predicted: its softmax is 0, in half precision too.
_NEVER = -1e4

_THINGS = [category for category in COCO_CATEGORIES if category["isthing"]]

# Rows of a published head -> the categories that its rows are numbered by (id, the last row is no-object).
_COCO_HEADS: dict[int, list[dict[str, Any]]] = {92: _THINGS, 251: COCO_CATEGORIES}


def to_contiguous(state: dict[str, Tensor]) -> dict[str, Any]:
    """Drop the rows that no category uses from a head of 92 or 251 rows, in place.

    Published models number classes by COCO's category ids: 0 to 90 with 80 in use for detection, 0 to
    249 with 133 in use for panoptic segmentation, and no-object after them. Heads of other sizes are left
    as they are.

    Args:
        state: weights under our names.

    Returns:
        metadata with the classes' names, empty where they are unknown.
    """
    categories = _COCO_HEADS.get(len(state[HEAD[0]]))
    if categories is None:
        return {}
    rows = [category["id"] for category in categories]
    for name in HEAD:
        state[name] = state[name][[*rows, len(state[name]) - 1]]
    return coco_metadata(categories)


def to_category_ids(state: dict[str, Tensor], metadata: Mapping[str, Any]) -> int:
    """Put the rows of a COCO head back to its category ids, in place.

    Rows that no category uses get zero weights and a bias of -10,000, so that the softmax over all rows
    is the one over the rows in use.

    Args:
        state: weights under our names. Only heads of 80 or 133 classes are changed.
        metadata: names of the classes; another list than COCO's leaves the head as it is.

    Returns:
        how many rows were added.
    """
    num_classes = len(state[HEAD[0]]) - 1
    known = class_list(metadata, num_classes)
    for size, categories in _COCO_HEADS.items():
        if len(categories) != num_classes or known not in (None, [c["name"] for c in categories]):
            continue
        rows = [*(category["id"] for category in categories), size - 1]
        for name, unused in zip(HEAD, (0.0, _NEVER), strict=True):
            filled = torch.full((size, *state[name].shape[1:]), unused, dtype=state[name].dtype)
            filled[rows] = state[name]
            state[name] = filled
        return size - num_classes - 1
    return 0


def coco_metadata(categories: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Names as Detectron2's metadata has them: with stuff among the classes, both lists hold all."""
    names = [category["name"] for category in categories]
    has_stuff = any(not category["isthing"] for category in categories)
    return {"thing_classes": names, **({"stuff_classes": list(names)} if has_stuff else {})}


def class_list(metadata: Mapping[str, Any], num_classes: int) -> list[str] | None:
    """The names of a head's classes in the order of its rows, or None where metadata has no such list."""
    things, stuff = (list(metadata.get(key) or ()) for key in ("thing_classes", "stuff_classes"))
    for names in (things, stuff, things + stuff):
        if names and len(names) == num_classes:
            return names
    return None
