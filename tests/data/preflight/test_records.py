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


@pytest.mark.parametrize(
    ("box", "mode"),
    [
        ([np.int64(10), np.float32(5), np.int64(30), 20], BoxMode.XYXY_ABS),
        (np.array([10, 5, 20, 15]), BoxMode.XYWH_ABS),
        ((10, 5, 20.0, 15), BoxMode.XYWH_ABS),
    ],
)
def test_boxes_may_be_of_numpys_numbers_and_of_both_modes(
    record: dict[str, Any], box: Any, mode: Any
) -> None:
    record["annotations"][0].update(bbox=box, bbox_mode=mode)
    report = Report("x")
    columns = look_at_records(report, [record], masks=False)
    assert report.findings == []
    assert columns is not None
    assert columns.boxes.tolist() == [[10, 5, 30, 20]]


def test_segments_are_objects_without_boxes(panoptic_record: dict[str, Any]) -> None:
    report = Report("x")
    panoptic_record["segments_info"][1].update(iscrowd=1, bbox=[0, 0, 0, 0])  # as COCO's have
    columns = look_at_records(report, [panoptic_record], masks=True)
    assert report.findings == []
    assert columns is not None
    assert columns.classes.tolist() == [0, 0, 1]
    assert np.isnan(columns.boxes).all()
    assert not columns.crowd.any()


def test_a_file_name_that_is_none_and_a_class_that_is_none_are_errors(
    panoptic_record: dict[str, Any],
) -> None:
    assert kinds([dict(panoptic_record, file_name=7)]) == {"record": 1}
    panoptic_record["segments_info"][0]["category_id"] = None
    assert kinds([panoptic_record]) == {"unlisted-category": 1}
