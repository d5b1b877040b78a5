"""Segmentation maps made of what is not one: of instances' masks, or of maps of classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import label as connected

from .segment_map import VOID

Json = dict[str, Any]


def paint_objects(
    objects: Sequence[Json], masks: Iterable[np.ndarray], height: int, width: int
) -> tuple[np.ndarray, list[Json]]:
    """Let every pixel have one object: where several cover it, the one of the smallest mask.

    Args:
        objects: COCO's annotations of an image.
        masks: (height, width) bool of each, in their order.

    Returns:
        (height, width) uint32 ids from 1 on, 0 where there is no object, and COCO's segments of the objects
        that have pixels left, in the order of their ids.
    """
    masks = list(masks)
    ids = np.full((height, width), VOID, dtype=np.uint32)
    for index in sorted(range(len(masks)), key=lambda index: -np.count_nonzero(masks[index])):
        ids[masks[index]] = index + 1
    found, areas = np.unique(ids, return_counts=True)
    number_of = np.zeros(len(masks) + 1, dtype=np.uint32)
    segments: list[Json] = []
    for number, area in zip(found.tolist(), areas.tolist(), strict=True):
        if number != VOID:
            number_of[number] = len(segments) + 1
            entry = objects[number - 1]
            segments.append(
                {
                    "id": len(segments) + 1,
                    "category_id": entry["category_id"],
                    "iscrowd": int(entry.get("iscrowd") or 0),
                    "area": area,
                }
            )
    return number_of[ids], segments


def divide_classes(labels: np.ndarray, categories: Sequence[Json]) -> tuple[np.ndarray, list[Json]]:
    """Divide a map of classes into segments: stuff of a class is one, things are its connected parts.

    Pixels are connected over corners too. Things that touch become one segment.

    Args:
        labels: (H, W) integers, the pixels' category ids; those that are not listed have no segment.
        categories: COCO's, with ``isthing``.

    Returns:
        (H, W) uint32 ids from 1 on, 0 where there is no segment, and COCO's segments in their order.
    """
    ids = np.full(labels.shape, VOID, dtype=np.uint32)
    segments: list[Json] = []
    for category in categories:
        mask = labels == category["id"]
        parts, number = connected(mask, np.ones((3, 3))) if category["isthing"] else (mask, int(mask.any()))
        ids[mask] = parts[mask] + len(segments)
        areas = np.bincount(parts[mask], minlength=number + 1)[1:]
        segments += [
            {"id": len(segments) + i, "category_id": category["id"], "iscrowd": 0, "area": int(area)}
            for i, area in enumerate(areas, start=1)
        ]
    return ids, segments
