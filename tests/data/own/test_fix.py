"""Mending a data set: nothing is wrong afterwards, and what was sound is as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detr_d2.data.formats import DataSet, read_data_set
from detr_d2.data.image_file import MAX_PIXELS
from detr_d2.data.own import fix_data_set, look_at_data_set
from detr_d2.data.own.fix_objects import key_of
from detr_d2.data.preflight import Needs
from detr_d2.errors import DataError

from ..conftest import sound_panoptic
from ..formats.layouts import sample, targets, write_coco, write_yolo
from ..formats.test_coco import write_panoptic
from .faults import FAULTS, plant


def grave(data: DataSet) -> set[str]:
    between = look_at_data_set(data, Needs())
    reports = [*(split.report for split in data.splits), between]
    return {x.kind for report in reports for x in report.findings if x.severity.value != "note"}


def test_a_data_set_with_all_faults_is_mended(tmp_path: Path) -> None:
    root, clean = plant(tmp_path)
    data = read_data_set(str(root))
    assert grave(data)
    mended, changes = fix_data_set(data, MAX_PIXELS)
    assert grave(mended) == set()

    found = targets({split.name: split.content for split in mended.splits})
    wanted = targets(clean)
    # Its bytes are those of an image of the validation split.
    del wanted["train", "train4.png"]
    for position, (kind, (_, image_left, object_left)) in enumerate(FAULTS.items()):
        name = f"train{position + 5}.png"
        said = [change for change in changes if name in change.record or f"({name})" in change.record]
        if not image_left:
            assert said, kind
            del wanted["train", name]
            continue
        first = next(x for x in clean["train"]["annotations"] if x["image_id"] == position + 5)
        if not object_left:
            assert any(f"annotation {first['id']} " in change.record for change in changes), kind
        have, want = found["train", name], wanted.pop(("train", name))
        assert len(have) == len(want) - (not object_left), kind
        if kind not in ("beyond", "bad-box short"):  # whose boxes are others then
            assert set(have) <= set(want), kind
        del found["train", name]
    assert found == wanted


def test_only_what_is_faulty_is_changed(tmp_path: Path) -> None:
    root = write_coco(sample(tmp_path, polygons=True), tmp_path / "images", tmp_path / "written")
    data = read_data_set(str(root))
    mended, changes = fix_data_set(data, MAX_PIXELS)
    assert changes == []
    for before, after in zip(data.splits, mended.splits, strict=True):
        assert after.content["annotations"] == before.content["annotations"]
        assert after.content["categories"] == before.content["categories"]


def mend_one(tmp_path: Path, **changed: Any) -> tuple[list[Any], list[str]]:
    """The objects that are left where the first one's entries are changed, and what was done."""
    root = write_coco(sample(tmp_path, splits=(2,)), tmp_path / "images", tmp_path / "written")
    content = json.loads((root / "train.json").read_text())
    content["annotations"][0].update(changed)
    (root / "train.json").write_text(json.dumps(content))
    mended, changes = fix_data_set(read_data_set(str(root)), MAX_PIXELS)
    return mended.splits[0].content["annotations"], [change.what for change in changes]


def test_a_box_is_clipped_to_its_image(tmp_path: Path) -> None:
    # The first image has 40 x 60 pixels.
    objects, changes = mend_one(tmp_path, bbox=[-5, 50, 30, 40])
    assert objects[0]["bbox"] == [0, 50, 25, 10]
    assert len(changes) == 1


def test_less_than_a_pixel_beyond_the_image_is_left(tmp_path: Path) -> None:
    objects, changes = mend_one(tmp_path, bbox=[-0.5, 50, 30, 10.6])
    assert objects[0]["bbox"] == [-0.5, 50, 30, 10.6]
    assert changes == []


def test_a_bad_box_is_that_of_the_polygons_where_there_are_some(tmp_path: Path) -> None:
    objects, _ = mend_one(tmp_path, bbox=None, segmentation=[[3, 4, 10, 4, 10, 20]])
    assert objects[0]["bbox"] == [3, 4, 7, 16]


def test_good_polygons_are_kept_beside_bad_ones(tmp_path: Path) -> None:
    good = [3, 4, 10, 4, 10, 20]
    objects, _ = mend_one(tmp_path, segmentation=[good, [1, 2], "x"])
    assert objects[0]["segmentation"] == [good]


def test_all_crowds_are_none(tmp_path: Path) -> None:
    root = write_coco(sample(tmp_path, splits=(2,)), tmp_path / "images", tmp_path / "written")
    content = json.loads((root / "train.json").read_text())
    for entry in content["annotations"]:
        entry["iscrowd"] = 1
    (root / "train.json").write_text(json.dumps(content))
    mended, changes = fix_data_set(read_data_set(str(root)), MAX_PIXELS)
    assert {entry["iscrowd"] for entry in mended.splits[0].content["annotations"]} == {0}
    assert len(changes) == 1


def test_images_of_one_id_are_left_out_with_their_objects(tmp_path: Path) -> None:
    root = write_coco(sample(tmp_path, splits=(4,)), tmp_path / "images", tmp_path / "written")
    content = json.loads((root / "train.json").read_text())
    content["images"][3]["id"] = 1
    (root / "train.json").write_text(json.dumps(content))
    mended, changes = fix_data_set(read_data_set(str(root)), MAX_PIXELS)
    left = mended.splits[0].content
    assert [image["id"] for image in left["images"]] == [2, 3]
    assert {entry["image_id"] for entry in left["annotations"]} == {2, 3}
    # And those whose image is not listed any more.
    assert sum("left out with its objects" in change.what for change in changes) == 2


def test_what_could_not_be_read_of_another_format_is_listed(tmp_path: Path) -> None:
    root = write_yolo(sample(tmp_path), tmp_path / "images", tmp_path / "written")
    (root / "labels/val/val1.txt").write_text("no label")
    data = read_data_set(str(root))
    mended, changes = fix_data_set(data, MAX_PIXELS)
    assert grave(mended) == set()
    assert [change.split for change in changes] == ["val"]
    assert "val1.txt" in changes[0].record


@pytest.mark.parametrize("text", ["", "[]", '{"images": 3}'])
def test_what_is_no_annotation_file_cannot_be_mended(text: str, tmp_path: Path) -> None:
    root = write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "written")
    (root / "val.json").write_text(text)
    with pytest.raises(DataError, match=r"val\.json"):
        fix_data_set(read_data_set(str(root)), MAX_PIXELS)


def test_panoptic_sets_are_not_mended(tmp_path: Path) -> None:
    write_panoptic(tmp_path, "train", sound_panoptic(), "images", "maps")
    with pytest.raises(DataError, match="panoptic"):
        fix_data_set(read_data_set(str(tmp_path)), MAX_PIXELS)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (1, 1),
        (1.0, 1),
        ("1", 1),
        (" a ", "a"),
        ("", None),
        (None, None),
        (True, None),
        (1.5, None),
        ([1], None),
    ],
)
def test_ids_are_compared_as_numbers_where_they_are_numbers(value: Any, key: Any) -> None:
    assert key_of(value) == key
