"""Data sets that are registered in Python are looked at as records."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.structures import BoxMode

from detr_d2.data.preflight import Report
from detr_d2.data.preflight.records import look_at_records

SQUARE = [[12, 6, 20, 6, 20, 10, 12, 10]]


def kinds(records: list[Any], masks: bool = False) -> dict[str, int]:
    report = Report("x")
    look_at_records(report, records, masks)
    return {finding.kind: finding.count for finding in report.findings}


def test_sound_records_have_no_finding(record: dict[str, Any]) -> None:
    assert kinds([record]) == {}
    report = Report("x")
    columns = look_at_records(report, [record], masks=False)
    assert columns is not None
    assert columns.boxes.tolist() == [[10, 5, 30, 20]]
    assert columns.sizes.tolist() == [[60, 40]]
    assert "wide.png" in columns.where(0)


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ({"bbox": [1, 2, 3]}, "bad-box"),
        ({"bbox": [math.nan, 2, 3, 4]}, "bad-box"),
        ({"bbox": None}, "bad-box"),
        ({"bbox_mode": "XYWH"}, "bad-box"),
        ({"bbox_mode": 99}, "bad-box"),
        ({"bbox_mode": BoxMode.XYXY_REL}, "bad-box"),
        ({"iscrowd": "0"}, "bad-crowd"),
        ({"ignore": 1}, "ignore"),
        ({"category_id": "cup"}, "unlisted-category"),
        ({"category_id": -1}, "unlisted-category"),
        ({"segmentation": {"size": [60, 40], "counts": "x"}}, "bad-segmentation"),
        ({"segmentation": [[1, 2, 3, 4]]}, "no-good-polygon"),
    ],
)
def test_bad_annotations_are_named_by_file(
    entries: dict[str, Any], kind: str, record: dict[str, Any], annotation: Any
) -> None:
    record["annotations"].append({**annotation([1, 1, 5, 5]), **entries})
    report = Report("x")
    look_at_records(report, [record], masks=False)
    (finding,) = report.findings
    assert finding.kind == kind
    assert "annotation 1" in finding.first
    assert "wide.png" in finding.first


def test_records_that_are_none_are_errors(record: dict[str, Any]) -> None:
    assert kinds([]) == {"no-images": 1}
    assert kinds([record, None, {"image_id": 3}]) == {"record": 2}
    assert kinds([dict(record, annotations=[{"bbox": [1, 2, 3, 4]}, 7])]) == {"record": 2}


def test_image_ids_have_to_be_unique(record: dict[str, Any]) -> None:
    assert kinds([record, dict(record)]) == {"repeated-image-id": 1}
    assert kinds([record, dict(record, image_id=[2])]) == {"bad-id": 1}
    assert kinds([record, dict(record, image_id="two")]) == {}


def test_masks_are_asked_for_only_where_they_are_trained_on(record: dict[str, Any], annotation: Any) -> None:
    record["annotations"] = [
        annotation([1, 1, 5, 5], iscrowd=1),
        annotation([1, 1, 5, 5], segmentation=SQUARE),
        annotation([1, 1, 5, 5]),
    ]
    assert kinds([record]) == {}
    assert kinds([record], masks=True) == {"no-mask": 1}
    del record["annotations"][1]
    assert kinds([record], masks=True) == {"no-mask": 1, "no-masks": 2}


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.update(annotations=None),
        lambda r: r.update(annotations="none"),
        lambda r: (r.pop("annotations"), r.update(segments_info=[{"id": 1}])),
    ],
)
def test_lists_that_are_none_are_errors(record: dict[str, Any], change: Any) -> None:
    change(record)
    assert "record" in kinds([record])


def test_numbers_of_numpy_and_paths_are_sound(record: dict[str, Any]) -> None:
    record.update(width=np.int64(60), height=np.int32(40), image_id=np.int64(3))
    record["file_name"] = Path(record["file_name"])
    record["annotations"][0].update(category_id=np.int64(0), segmentation=None)
    assert kinds([record]) == {}
