"""COCO's files: which are of a split, their classes together, their folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detr_d2.data.formats import Split, read_data_set
from detr_d2.data.formats.split import split_of

from ..conftest import segment_ids, sound_panoptic, write_segment_map
from .layouts import sample, write_coco, write_roboflow


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("instances_train2017", "train"),
        ("Training-set", "train"),
        ("valid", "val"),
        ("VAL_1", "val"),
        ("validation", "val"),
        ("test", "test"),
        ("trainval", ""),
        ("contest", ""),
        ("train_test", ""),
        ("instances_default", ""),
    ],
)
def test_the_split_in_a_name(name: str, split: str) -> None:
    assert split_of(name) == split


def written(tmp_path: Path, **categories: list[tuple[int, str]]) -> list[Split]:
    """A data set of an object of each category in each split."""
    sets = sample(tmp_path, splits=(1, 1))
    for split, listed in categories.items():
        sets[split]["categories"] = [{"id": number, "name": name} for number, name in listed]
        sets[split]["annotations"] = [
            {"id": i, "image_id": 1, "category_id": number, "bbox": [1, 2, 3, 4]}
            for i, (number, _) in enumerate(listed, start=1)
        ]
    return read_data_set(str(write_coco(sets, tmp_path / "images", tmp_path / "written"))).splits


def named_objects(split: Split) -> list[str]:
    names = {category["id"]: category["name"] for category in split.content["categories"]}
    return [names[entry["category_id"]] for entry in split.content["annotations"]]


def test_files_that_agree_are_used_as_they_are(tmp_path: Path) -> None:
    same = [(3, "cup"), (7, "jug")]
    splits = written(tmp_path, train=same, val=same)
    assert [Path(split.json_file).name for split in splits] == ["train.json", "val.json"]
    assert [category["id"] for category in splits[0].content["categories"]] == [3, 7]


def test_files_that_number_differently_are_joined_by_name(tmp_path: Path) -> None:
    train, val = written(
        tmp_path, train=[(3, "cup"), (7, "jug")], val=[(3, "jug"), (4, "plate"), (5, " Cup")]
    )
    for split in (train, val):
        assert [(x["id"], x["name"]) for x in split.content["categories"]] == [
            (1, "cup"),
            (2, "jug"),
            (3, "plate"),
        ]
        assert split.json_file == ""
    assert named_objects(train) == ["cup", "jug"]
    assert named_objects(val) == ["jug", "plate", "cup"]


def test_a_file_that_cannot_be_numbered_is_left_to_the_preflight(tmp_path: Path) -> None:
    splits = written(tmp_path, train=[(3, "cup")], val=[(3, "jug"), (3, "plate")])
    assert [len(split.content["categories"]) for split in splits] == [1, 2]


def test_the_category_that_groups_the_others_is_left_out_unless_it_has_objects(tmp_path: Path) -> None:
    sets = sample(tmp_path)
    root = write_roboflow(sets, tmp_path / "images", tmp_path / "without")
    splits = read_data_set(str(root)).splits
    assert [category["name"] for category in splits[2].content["categories"]] == ["cup", "jug", "plate"]
    sets["test"]["annotations"][0]["category_id"] = 0
    root = write_roboflow(sets, tmp_path / "images", tmp_path / "with")
    splits = read_data_set(str(root)).splits
    names = [category["name"] for category in splits[0].content["categories"]]
    assert names == ["dishes", "cup", "jug", "plate"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"images": 3}', "\x00", '{"annotations": []}']
)
def test_a_file_that_holds_nothing_is_no_traceback(text: str, tmp_path: Path) -> None:
    root = write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "written")
    (root / "val.json").write_text(text)
    splits = read_data_set(str(root)).splits
    assert [split.name for split in splits] == ["train", "val", "test"]


def test_files_of_no_split_are_left_out_and_said(tmp_path: Path) -> None:
    root = write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "written")
    (root / "old.json").write_text((root / "train.json").read_text())
    finding = read_data_set(str(root)).splits[0].report.found("file-left-out")
    assert finding is not None
    assert finding.first == str(root / "old.json")


def write_panoptic(root: Path, split: str, content: dict[str, Any], images: str, maps: str) -> None:
    for folder in (images, maps):
        (root / folder).mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(split)).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(root / images / "one.png")
    write_segment_map(root / maps / "one.png", segment_ids())
    content["images"][0]["file_name"] = "one.png"
    (root / f"{split}.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("images", "maps"),
    [("images/{}", "maps/{}"), ("{}", "panoptic_{}"), ("{}/images", "{}/masks"), ("{}/img", "{}/png")],
)
def test_images_and_maps_of_one_name_are_told_apart(images: str, maps: str, tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_panoptic(tmp_path, split, sound_panoptic(), images.format(split), maps.format(split))
    data = read_data_set(str(tmp_path))
    assert data.is_panoptic
    for split in data.splits:
        assert Path(split.image_root) == tmp_path / images.format(split.name)
        assert Path(split.maps_root) == tmp_path / maps.format(split.name)


def test_classes_of_panoptic_files_are_numbered_together(tmp_path: Path) -> None:
    other = sound_panoptic()
    other["categories"] = [{"id": 7, "name": "table", "isthing": 0}, {"id": 9, "name": "cup", "isthing": 1}]
    write_panoptic(tmp_path, "train", sound_panoptic(), "images/train", "maps/train")
    write_panoptic(tmp_path, "val", other, "images/val", "maps/val")
    train, val = read_data_set(str(tmp_path)).splits
    assert train.content["categories"] == val.content["categories"]
    ids = [segment["category_id"] for segment in val.content["annotations"][0]["segments_info"]]
    assert ids == [2, 2, 1]
