"""``detr-d2 make-coco``: objects and maps of classes as panoptic annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detr_d2.data.formats import read_data_set
from detr_d2.data.panoptic_json import read_panoptic_json
from detr_d2.data.segment_map import read_segment_ids, read_segment_masks
from detr_d2.errors import DataError
from detr_d2.tools.make_coco import main

from ..data.conftest import segment_ids, sound_panoptic
from ..data.formats.layouts import sample, write_coco
from ..data.formats.test_coco import write_panoptic


def squares(folder: Path) -> Path:
    """A set of one image of 12 x 8: a large cup, a small jug within it, and a crowd of cups beside them."""
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (12, 8), (9, 90, 200)).save(folder / "images" / "a.png")
    annotations = [
        {"bbox": [4, 2, 3, 3], "category_id": 5, "segmentation": [[4, 2, 7, 2, 7, 5, 4, 5]]},
        {"bbox": [1, 1, 8, 6], "category_id": 2, "segmentation": [[1, 1, 9, 1, 9, 7, 1, 7]]},
        {
            "bbox": [10, 0, 2, 8],
            "category_id": 2,
            "iscrowd": 1,
            "segmentation": {"size": [8, 12], "counts": [80, 16]},
        },
    ]
    for number, entry in enumerate(annotations, start=1):
        entry.update(id=number, image_id=1)
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 12, "height": 8}],
        "annotations": annotations,
        "categories": [{"id": 2, "name": "cup"}, {"id": 5, "name": "jug"}],
    }
    (folder / "train.json").write_text(json.dumps(content))
    return folder


def read(folder: Path, split: str = "train") -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
    """The written json, its first annotation and this one's map."""
    content = read_panoptic_json(str(folder / f"panoptic_{split}.json"))
    (annotation, *_) = content["annotations"]
    return content, annotation, read_segment_ids(str(folder / f"panoptic_{split}" / annotation["file_name"]))


def test_where_objects_overlap_the_smallest_is_seen(tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert main([str(squares(tmp_path / "in")), "--output", str(output), "--panoptic"]) == 0
    content, annotation, ids = read(output)
    jug, cup, crowd = annotation["segments_info"]
    expected = np.zeros((8, 12), dtype=int)
    expected[1:7, 1:9] = cup["id"]
    expected[2:5, 4:7] = jug["id"]
    expected[:, 10:] = crowd["id"]
    np.testing.assert_array_equal(ids, expected)
    assert [s["category_id"] for s in (jug, cup, crowd)] == [5, 2, 2]
    assert [s["iscrowd"] for s in (jug, cup, crowd)] == [0, 0, 1]
    assert [category["isthing"] for category in content["categories"]] == [1, 1]
    assert (output / content["images"][0]["file_name"]).resolve().is_file()


def test_an_object_that_others_cover_is_no_segment(tmp_path: Path) -> None:
    folder = squares(tmp_path / "in")
    content = json.loads((folder / "train.json").read_text())
    same = {**content["annotations"][0], "id": 9}
    content["annotations"].append(same)
    (folder / "train.json").write_text(json.dumps(content))
    assert main([str(folder), "--output", str(tmp_path / "out"), "--panoptic"]) == 0
    _, annotation, ids = read(tmp_path / "out")
    assert len(annotation["segments_info"]) == 3
    assert set(np.unique(ids).tolist()) == {0, 1, 2, 3}


def test_segments_become_objects_and_back(tmp_path: Path) -> None:
    write_panoptic(tmp_path / "in", "train", sound_panoptic(), "images", "maps")
    assert main([str(tmp_path / "in"), "--output", str(tmp_path / "objects")]) == 0
    assert main([str(tmp_path / "objects"), "--output", str(tmp_path / "back"), "--panoptic"]) == 0
    content, annotation, _ = read(tmp_path / "back")
    file = str(tmp_path / "back" / "panoptic_train" / annotation["file_name"])
    numbers = [segment["id"] for segment in annotation["segments_info"]]
    masks = read_segment_masks(file, numbers, 40, 60)
    for mask, number in zip(masks, (5, 300, 70000), strict=True):
        np.testing.assert_array_equal(mask, segment_ids() == number)
    assert [segment["category_id"] for segment in annotation["segments_info"]] == [7, 7, 9]


def test_an_object_without_mask_is_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "in")
    assert main([str(root), "--output", str(tmp_path / "out"), "--panoptic"]) == 2
    assert "train.json" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_panoptic_set_is_not_made_panoptic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_panoptic(tmp_path / "in", "train", sound_panoptic(), "images", "maps")
    assert main([str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--panoptic"]) == 2
    assert "--panoptic" in capsys.readouterr().err


CATEGORIES = [{"id": 1, "name": "road", "isthing": 0}, {"id": 7, "name": "car", "isthing": 1}]


def labelled(folder: Path, mode: str = "L") -> np.ndarray:
    """Two splits of an image: a road in two parts, three cars (two touch at a corner), and no class."""
    labels = np.zeros((10, 16), dtype=np.uint8)
    labels[8:, :4] = labels[8:, 12:] = 1
    labels[1:3, 1:4] = labels[3:5, 4:6] = labels[1:4, 10:14] = 7
    labels[0] = 255
    for split in ("train", "val"):
        for below in ("images", "labels"):
            (folder / split / below).mkdir(parents=True)
        Image.new("RGB", (16, 10)).save(folder / split / "images" / "a.jpg")
        picture = Image.fromarray(labels)
        if mode == "P":
            picture.putpalette(list(range(256)) * 3)
        picture.save(folder / split / "labels" / "a.png")
    (folder / "categories.json").write_text(json.dumps(CATEGORIES))
    return labels


@pytest.mark.parametrize("mode", ["L", "P"])
def test_stuff_of_a_class_is_one_segment_and_things_are_their_parts(mode: str, tmp_path: Path) -> None:
    labels = labelled(tmp_path / "in", mode)
    assert main([str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    for split in ("train", "val"):
        content, annotation, ids = read(tmp_path / "out", split)
        road, left, right = annotation["segments_info"]
        assert [s["category_id"] for s in (road, left, right)] == [1, 7, 7]
        np.testing.assert_array_equal(ids == road["id"], labels == 1)
        np.testing.assert_array_equal(ids == left["id"], (labels == 7) & (np.arange(16) < 8))
        np.testing.assert_array_equal(ids == right["id"], (labels == 7) & (np.arange(16) > 8))
        assert (ids == 0).sum() == ((labels == 0) | (labels == 255)).sum()
        assert content["categories"] == CATEGORIES


def wrong_value(folder: Path) -> None:
    Image.new("L", (16, 10), 3).save(folder / "val" / "labels" / "a.png")


def wrong_size(folder: Path) -> None:
    Image.new("L", (10, 16), 1).save(folder / "val" / "labels" / "a.png")


def colored(folder: Path) -> None:
    Image.new("RGB", (16, 10)).save(folder / "val" / "labels" / "a.png")


def no_map(folder: Path) -> None:
    (folder / "val" / "labels" / "a.png").unlink()


def no_thing_or_stuff(folder: Path) -> None:
    (folder / "categories.json").write_text('[{"id": 1, "name": "road"}]')


def no_list(folder: Path) -> None:
    (folder / "categories.json").write_text('{"1": "road"}')


def same_ids(folder: Path) -> None:
    (folder / "categories.json").write_text(json.dumps([CATEGORIES[0], CATEGORIES[0]]))


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (wrong_value, "val/labels/a.png"),
        (wrong_size, "val/labels/a.png"),
        (colored, "val/labels/a.png"),
        (no_map, "val/labels/a.png"),
        (no_thing_or_stuff, "categories.json"),
        (no_list, "categories.json"),
        (same_ids, "categories.json"),
    ],
)
def test_what_cannot_be_used_is_named(
    spoil: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labelled(tmp_path / "in")
    spoil(tmp_path / "in")
    assert main([str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_maps_of_classes_are_no_set_to_train_on(tmp_path: Path) -> None:
    labelled(tmp_path)
    with pytest.raises(DataError, match="make-coco"):
        read_data_set(str(tmp_path))
