"""What is looked at while a file of instance annotations is parsed is what would be looked at afterwards."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from detr_d2.data.masks import Faults, are_sound_polygons, segmentation_faults
from detr_d2.data.preflight.objects import SOUND, forget_sound_polygons

IMAGE = {"id": 1, "width": 60, "height": 40}


def parsed(*entries: dict[str, Any]) -> list[Any]:
    """The segmentations of entries, after the hook has seen them in this order."""
    objects = json.loads(json.dumps(entries), object_hook=forget_sound_polygons())
    return [entry["segmentation"] for entry in objects if "segmentation" in entry]


def annotation(segmentation: Any, image_id: Any = 1) -> dict[str, Any]:
    return {"image_id": image_id, "segmentation": segmentation}


def test_what_passes_for_surely_sound_has_no_fault() -> None:
    rng = np.random.default_rng(0)
    odd: list[Any] = [math.nan, math.inf, -math.inf, 1e30, 2**70, "1", None, [1], 10**400, -601, 601]
    passed = 0
    for _ in range(3000):
        polygons = []
        for _ in range(rng.integers(1, 4)):
            polygon: list[Any] = rng.uniform(-60, 120, rng.choice([4, 6, 8, 9, 40])).tolist()
            if rng.random() < 0.3:
                polygon[rng.integers(len(polygon))] = odd[rng.integers(len(odd))]
            polygons.append(polygon)
        if are_sound_polygons(polygons, 40, 60):
            passed += 1
            assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)
            assert all(type(x) is float and abs(x) <= 600 for polygon in polygons for x in polygon)
            assert segmentation_faults(polygons, 40, 60) == Faults()
    assert passed > 300


def test_sound_polygons_are_forgotten_and_all_else_is_kept() -> None:
    square = [[12, 6, 20, 6, 20, 10, 12, 10]]
    kept = [square[0], [[1, 2, 3, 4]], [*square, []], [[1, 2, 3, 601, 5, 6]], [], None, "x", {"counts": [5]}]
    assert parsed(IMAGE, annotation(square), *map(annotation, kept)) == [SOUND, *kept]


def test_polygons_are_kept_where_their_image_is_unknown_or_odd() -> None:
    square = [[12, 6, 20, 6, 20, 10, 12, 10]]
    assert parsed(annotation(square), IMAGE) == [square]
    for image_id in (2, None, [1], {"id": 1}):
        assert parsed(IMAGE, annotation(square, image_id)) == [square]
    for size in ("60", -1, None, [60], 1e30):
        assert parsed({**IMAGE, "width": size}, annotation(square)) == [square]
    assert parsed({**IMAGE, "id": [1]}, annotation(square)) == [square]
