"""Rows of the class head: numbered by the category ids of a data set, or contiguously as in Detectron2."""

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
COCO_HEADS: dict[int, list[dict[str, Any]]] = {92: _THINGS, 251: COCO_CATEGORIES}


def coco_numbers(rows: int) -> dict[int, int]:
    """From COCO's category ids to class numbers, for a head of 92 or 251 rows; empty for others."""
    return {category["id"]: number for number, category in enumerate(COCO_HEADS.get(rows, ()))}


def coco_names(rows: int) -> list[str]:
    """The names of the classes of a published head of 92 or 251 rows; empty for others."""
    return [category["name"] for category in COCO_HEADS.get(rows, ())]


def coco_metadata(rows: int) -> dict[str, Any]:
    """The same as Detectron2's metadata has them: with stuff among the classes, both lists hold all."""
    names = coco_names(rows)
    has_stuff = any(not category["isthing"] for category in COCO_HEADS.get(rows, ()))
    return {"thing_classes": names, **({"stuff_classes": list(names)} if has_stuff else {})}


def gather_rows(state: dict[str, Tensor], ids: Sequence[int]) -> list[int]:
    """Keep the rows of some category ids in their order, and no-object after them, in place.

    Args:
        state: weights under our names, with a head whose last row is no-object.
        ids: below the head's last row.

    Returns:
        the rows that were left out.
    """
    last = len(state[HEAD[0]]) - 1
    for name in HEAD:
        state[name] = state[name][[*ids, last]]
    return sorted(set(range(last)) - set(ids))


def spread_rows(state: dict[str, Tensor], ids: Sequence[int], size: int) -> int:
    """Undo :func:`gather_rows`, in place.

    Rows that no category uses get zero weights and a bias of -10,000, so that the softmax over all rows
    is the one over the rows in use.

    Args:
        state: weights under our names, with a head of ``len(ids)`` classes and no-object.
        ids: of the classes, below ``size - 1``.
        size: rows of the new head.

    Returns:
        how many rows were added.
    """
    rows = [*ids, size - 1]
    for name, unused in zip(HEAD, (0.0, _NEVER), strict=True):
        filled = torch.full((size, *state[name].shape[1:]), unused, dtype=state[name].dtype)
        filled[rows] = state[name]
        state[name] = filled
    return size - len(rows)


def class_list(metadata: Mapping[str, Any], num_classes: int) -> list[str] | None:
    """The names of a head's classes in the order of its rows, or None where metadata has no such list."""
    lists = (metadata.get(key) for key in ("thing_classes", "stuff_classes"))
    things, stuff = (list(names) if isinstance(names, (list, tuple)) else [] for names in lists)
    for names in (things, stuff, things + stuff):
        if names and len(names) == num_classes:
            return [str(name) for name in names]
    return None
