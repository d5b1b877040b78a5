"""What the boxes and numbers of objects tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detr_d2.data.preflight import Report
from detr_d2.data.preflight.columns import Columns, look_at_boxes, look_at_counts, look_at_repeated_files


def columns(
    boxes: list[list[float]], crowd: tuple[int, ...] = (), images: int = 1, **entries: Any
) -> Columns:
    """Objects as x, y, width and height on images of 60 x 40, by default all on the first one."""
    xywh = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    values: dict[str, Any] = {
        "files": [f"{i}.png" for i in range(images)],
        "sizes": np.full((images, 2), [60.0, 40.0]),
        "boxes": np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        "owners": np.zeros(len(xywh), dtype=np.int64),
        "classes": np.zeros(len(xywh), dtype=np.int64),
        "crowd": np.isin(np.arange(len(xywh)), crowd),
        "where": lambda position: f"object {position}",
    }
    return Columns(**{**values, **entries})


def found(report: Report) -> dict[str, tuple[int, str]]:
    return {finding.kind: (finding.count, finding.first) for finding in report.findings}


def test_unusable_boxes_are_counted_by_kind() -> None:
    report = Report("x")
    boxes = [
        [10, 5, 20, 15],
        [5, 5, 0, 10],  # no area
        [5, 5, 10, -4],  # no area
        [60, 5, 10, 10],  # outside: begins where the image ends
        [-10, -10, 10, 30],  # outside
        [10, -8, 10, 8],  # outside
        [50, 5, 12, 10],  # beyond by 2
        [50, 5, 10.5, 10],  # beyond by half a pixel: rounding
        [0, 0, 60, 40],  # just the image
        [5, 5, 0, 0],  # a crowd, which is not looked at
    ]
    look_at_boxes(report, columns(boxes, crowd=(9,)))
    assert found(report) == {
        "no-area": (2, "object 1: x 5 to 5, y 5 to 15"),
        "outside": (3, "object 3: x 60 to 70, y 5 to 15"),
        "beyond": (1, "object 6: x 50 to 62, y 5 to 15"),
    }


def test_shares_of_the_image_are_suspected() -> None:
    report = Report("x")
    look_at_boxes(report, columns([[0.1, 0.2, 0.3, 0.4], [0.9, 0.5, 0.1, 0.5]]))
    assert found(report)["box-shares"][0] == 2


def test_small_boxes_beside_large_ones_are_no_shares() -> None:
    report = Report("x")
    look_at_boxes(report, columns([[0.1, 0.2, 0.3, 0.4], [30, 20, 10, 10]]))
    assert found(report) == {}


def test_corners_are_suspected_where_all_boxes_would_fit_as_such() -> None:
    report = Report("x")
    corners = [[4, 10, 18, 24], [24, 10, 38, 24], [44, 10, 58, 24]]  # x0, y0, x1, y1
    look_at_boxes(report, columns(corners))
    assert set(found(report)) == {"beyond", "box-corners"}
    assert found(report)["box-corners"][0] == 3


def test_one_sound_box_that_is_no_corners_ends_the_suspicion() -> None:
    report = Report("x")
    look_at_boxes(report, columns([[4, 10, 18, 24], [44, 10, 58, 24], [40, 20, 10, 10]]))
    assert set(found(report)) == {"beyond"}


def test_images_with_more_objects_than_a_limit_are_counted_without_crowds() -> None:
    owners = np.array([0, 0, 0, 1, 1, 2])
    boxes = [[1, 1, 5, 5]] * 6
    report = Report("x", classes=["a"])
    look_at_counts(report, columns(boxes, crowd=(4,), images=4, owners=owners), 2, 1)
    assert found(report) == {"more-than-queries": (1, "0.png"), "more-than-detections": (1, "0.png")}
    assert "up to 3" in report.findings[0].what
    assert (report.images, report.objects) == (4, 6)
    roomy = Report("x", classes=["a"])
    look_at_counts(roomy, columns(boxes, crowd=(4,), images=4, owners=owners), 3, 3)
    assert roomy.findings == []


def test_crowds_are_said_where_they_are_many_and_an_error_where_all_are() -> None:
    boxes = [[1, 1, 5, 5]] * 10
    for crowd, kind in (((0, 1), None), ((0, 1, 2), "many-crowds"), (tuple(range(10)), "all-crowd")):
        report = Report("x", classes=["a"])
        look_at_counts(report, columns(boxes, crowd=crowd), None, None)
        assert found(report) == ({} if kind is None else {kind: (len(crowd), "object 0")})


def test_no_object_at_all_is_said() -> None:
    report = Report("x", classes=["a"])
    look_at_counts(report, columns([], images=3), None, None)
    assert found(report) == {"no-objects": (3, "0.png")}


def test_classes_without_objects_are_named() -> None:
    report = Report("x", classes=["a", "b", "c"])
    look_at_counts(report, columns([[1, 1, 5, 5]], classes=np.array([1])), None, None)
    assert found(report) == {"class-without-objects": (2, "'a', 'c'")}


@pytest.mark.parametrize(("files", "count"), [(["a", "b"], 0), (["a", "b", "a", "a"], 2)])
def test_images_of_one_file_are_said(files: list[str], count: int) -> None:
    report = Report("x")
    look_at_repeated_files(report, files)
    assert found(report) == ({"repeated-file": (count, "a")} if count else {})
