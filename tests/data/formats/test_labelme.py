"""labelme's shapes: which are objects, which are parts of one, and which are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detr_d2.data.formats import Split, read_data_set


def shape(label: str, points: list[list[float]], kind: str = "polygon", group: int | None = None) -> Any:
    return {"label": label, "points": points, "shape_type": kind, "group_id": group}


def read(folder: Path, *shapes: Any) -> Split:
    Image.new("RGB", (60, 40)).save(folder / "a.png")
    (folder / "a.json").write_text(json.dumps({"shapes": shapes, "imagePath": "a.png"}))
    (split,) = read_data_set(str(folder)).splits
    return split


TRIANGLE = [[1.25, 2.5], [10, 2], [5, 9]]


def test_polygons_have_masks_and_rectangles_boxes_alone(tmp_path: Path) -> None:
    split = read(tmp_path, shape("cup", TRIANGLE), shape("jug", [[30, 20], [10, 5]], "rectangle"))
    first, second = split.content["annotations"]
    assert first["segmentation"] == [[1.25, 2.5, 10, 2, 5, 9]]
    assert first["bbox"] == [1.25, 2, 8.75, 7]
    assert second["bbox"] == [10, 5, 20, 15]
    assert "segmentation" not in second


def test_a_circle_has_its_box(tmp_path: Path) -> None:
    (entry,) = read(tmp_path, shape("cup", [[20, 20], [23, 24]], "circle")).content["annotations"]
    assert entry["bbox"] == pytest.approx([15, 15, 10, 10])


def test_shapes_of_a_group_are_one_object_where_they_have_one_label(tmp_path: Path) -> None:
    other = [[30, 30], [40, 30], [35, 39]]
    split = read(
        tmp_path,
        shape("cup", TRIANGLE, group=1),
        shape("jug", TRIANGLE, group=1),
        shape("cup", other, group=1),
        shape("cup", other, group=2),
    )
    parts = [len(entry["segmentation"]) for entry in split.content["annotations"]]
    assert parts == [2, 1, 1]
    assert split.content["annotations"][0]["bbox"] == [1.25, 2, 38.75, 37]


def test_shapes_without_area_are_counted(tmp_path: Path) -> None:
    split = read(tmp_path, shape("cup", [[1, 2]], "point"), shape("cup", [[1, 2], [3, 4]], "line"))
    finding = split.report.found("shape-left-out")
    assert finding is not None
    assert (finding.count, split.content["annotations"]) == (2, [])
    assert "a.json, shape 1" in finding.first


@pytest.mark.parametrize(
    "wrong",
    [3, {}, {"label": "cup"}, shape("cup", [[1, 2, 3]] * 3), shape("", TRIANGLE),
     shape("cup", [["a", 1]] * 3), shape("cup", [[float("nan"), 1]] * 3), {"label": "cup", "points": 4}],
)  # fmt: skip
def test_a_shape_that_cannot_be_used_is_named(wrong: Any, tmp_path: Path) -> None:
    split = read(tmp_path, wrong, shape("cup", TRIANGLE))
    (finding,) = split.report.errors
    assert f"{tmp_path / 'a.json'}, shape 1" in finding.first
    assert len(split.content["annotations"]) == 1


@pytest.mark.parametrize("text", ['{"shapes": []}', '{"shapes": 3, "imagePath": "a.png"}', '{"shapes": ['])
def test_a_file_that_cannot_be_used_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(text)
    (finding,) = read(tmp_path, shape("cup", TRIANGLE)).report.errors
    assert str(tmp_path / "b.json") in finding.first


def test_images_without_a_file_are_counted(tmp_path: Path) -> None:
    for name in ("b", "c"):
        Image.new("RGB", (6, 4)).save(tmp_path / f"{name}.png")
    split = read(tmp_path, shape("cup", TRIANGLE))
    (finding,) = split.report.findings
    assert (finding.kind, finding.count) == ("unannotated-image", 2)
    assert finding.first.endswith("b.png")
