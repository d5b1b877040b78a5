"""A look at all splits together: what is named, in one table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from detr_d2.data.formats import DataSet, read_data_set
from detr_d2.data.own import look_at_data_set, statistics, table
from detr_d2.data.preflight import Needs, Report

from ..formats.layouts import WRITERS, sample, write_coco, write_yolo
from .faults import FAULTS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "written")


def look(folder: Path) -> tuple[DataSet, Report]:
    data = read_data_set(str(folder))
    return data, look_at_data_set(data, Needs())


def kinds(folder: Path) -> set[tuple[str, str]]:
    data, between = look(folder)
    reports = [*((split.name, split.report) for split in data.splits), ("between", between)]
    return {(name, finding.kind) for name, report in reports for finding in report.findings}


@pytest.mark.parametrize("layout", WRITERS)
def test_a_sound_set_has_nothing_but_classes_without_objects(layout: str, tmp_path: Path) -> None:
    root = WRITERS[layout](sample(tmp_path), tmp_path / "images", tmp_path / "written")
    # Only the validation split has plates, and it has no jugs.
    assert kinds(root) == {(split, "class-without-objects") for split in ("train", "val", "test")}


def test_images_in_two_splits_are_an_error_and_like_ones_a_warning(folder: Path) -> None:
    shutil.copy(folder / "images/train1.png", folder / "images/val1.png")  # of one size
    with Image.open(folder / "images/train2.png") as image:
        image.point(lambda value: value * 0.9).save(folder / "images/val2.png")
    _, between = look(folder)
    shared, like = between.found("shared-image"), between.found("shared-like-image")
    assert shared is not None
    assert like is not None
    assert (shared.severity.value, shared.count) == ("error", 1)
    assert (like.severity.value, like.count) == ("warning", 1)
    assert "train1.png (train)" in shared.first
    assert "val1.png (val)" in shared.first
    assert "train2.png (train)" in like.first


def test_the_same_file_in_two_splits_is_an_error(folder: Path) -> None:
    shutil.copy(folder / "train.json", folder / "val.json")
    _, between = look(folder)
    shared = between.found("shared-image")
    assert shared is not None
    assert shared.count == 5


def test_copies_within_a_split_are_a_warning_and_like_ones_a_note(folder: Path) -> None:
    shutil.copy(folder / "images/train1.png", folder / "images/train4.png")
    with Image.open(folder / "images/train2.png") as image:
        image.point(lambda value: value * 0.9).save(folder / "images/train5.png")
    assert {("between", "copied-image"), ("between", "like-image")} <= kinds(folder)


def test_every_split_is_looked_at_whatever_is_wrong_with_another(folder: Path) -> None:
    (folder / "val.json").write_text("")
    (folder / "images/train2.png").write_bytes(b"no image")
    (folder / "images/test1.png").unlink()
    assert {("val", "no-annotation-file"), ("train", "unreadable-image"), ("test", "missing-image")} <= kinds(
        folder
    )


def test_images_that_lie_elsewhere_are_an_error_of_all(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "images", tmp_path / "elsewhere")
    data, _ = look(folder)
    counts = [finding.count for split in data.splits for finding in split.report.errors]
    assert counts == [5, 3, 2]


def test_what_reading_found_is_kept(tmp_path: Path) -> None:
    root = write_yolo(sample(tmp_path), tmp_path / "images", tmp_path / "written")
    (root / "labels/val/val1.txt").write_text("no label")
    (root / "images/val/val2.png").write_bytes(b"")
    assert {("val", "bad-label"), ("val", "unreadable-image")} <= kinds(root)


def test_the_table_has_a_row_for_every_finding(folder: Path) -> None:
    (folder / "val.json").write_text("[]")
    data, between = look(folder)
    lines = table(data, between).splitlines()
    assert str(folder) in lines[0]
    assert [line.split()[:3] for line in lines if line.startswith(("error", "note"))] == [
        ["note", "train", "1"],
        ["error", "val", "1"],
        ["note", "test", "1"],
    ]


def test_statistics_are_counts_by_split_and_class(folder: Path) -> None:
    data, _ = look(folder)
    rows = {line.split()[0]: line.split()[1:] for line in statistics(data.splits).splitlines()[2:]}
    expected: dict[str, list[str]] = {"images": [], "objects": [], "cup": [], "jug": [], "plate": []}
    for split in ("train", "val", "test"):
        content = json.loads((folder / f"{split}.json").read_text())
        expected["images"].append(str(len(content["images"])))
        expected["objects"].append(str(len(content["annotations"])))
        for number, name in enumerate(("cup", "jug", "plate"), start=1):
            count = sum(entry["category_id"] == number for entry in content["annotations"])
            expected[name].append(str(count))
    assert rows == expected


def test_every_planted_fault_is_named_by_its_kind(tmp_path: Path) -> None:
    """One at a time: errors of the records' form keep the rest from being looked at."""
    for number, (name, (change, _, _)) in enumerate(FAULTS.items()):
        sets = sample(tmp_path / str(number), polygons=True, splits=(3,))
        root = write_coco(sets, tmp_path / str(number) / "images", tmp_path / str(number) / "written")
        image, entry = sets["train"]["images"][0], sets["train"]["annotations"][1]
        assert entry["image_id"] == image["id"]
        change(image, entry, root / "images" / image["file_name"])
        (root / "train.json").write_text(json.dumps(sets["train"]))
        (split,) = look(root)[0].splits
        finding = split.report.found(name.split()[0])
        assert finding is not None, name
        assert image["file_name"] in finding.first or str(entry["id"]) in finding.first, name
