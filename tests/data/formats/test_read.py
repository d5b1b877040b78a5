"""Every format gives the same data set; what cannot be told apart is one line that names it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detr_d2.data.formats import find_format, read_data_set
from detr_d2.errors import DataError, MissingFileError

from .layouts import WRITERS, sample, targets, write_coco, write_voc, write_yolo

# Pascal VOC and labelme name the classes that have objects alone.
ONLY_USED = {"Pascal VOC", "labelme"}


@pytest.mark.parametrize("layout", WRITERS)
def test_every_format_gives_the_same_targets(layout: str, tmp_path: Path) -> None:
    sets = sample(tmp_path)
    data = read_data_set(str(WRITERS[layout](sets, tmp_path / "images", tmp_path / "written")))
    assert [split.name for split in data.splits] == ["train", "val", "test"]
    found, wanted = targets({split.name: split.content for split in data.splits}), targets(sets)
    assert found.keys() == wanted.keys()
    for key, objects in wanted.items():
        assert [name for name, _ in found[key]] == [name for name, _ in objects]
        np.testing.assert_allclose([b for _, b in found[key]], [b for _, b in objects], atol=0.01)
    for split in data.splits:
        assert not split.report.errors
        assert [category["name"] for category in split.content["categories"]] == ["cup", "jug", "plate"]
        for image in split.content["images"]:
            assert Path(split.image_root, image["file_name"]).is_file()


@pytest.mark.parametrize("layout", ["YOLO", "labelme"])
def test_polygons_keep_their_vertices(layout: str, tmp_path: Path) -> None:
    sets = sample(tmp_path, polygons=True)
    data = read_data_set(str(WRITERS[layout](sets, tmp_path / "images", tmp_path / "written")))
    train = data.splits[0].content
    for wanted, found in zip(sets["train"]["annotations"], train["annotations"], strict=True):
        np.testing.assert_allclose(found["segmentation"], wanted["segmentation"], atol=1e-3)


def test_a_file_of_a_split_is_a_data_set_of_it_alone(tmp_path: Path) -> None:
    root = write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "written")
    (split,) = read_data_set(str(root / "val.json")).splits
    assert (split.name, split.json_file, split.image_root) == (
        "val",
        str(root / "val.json"),
        str(root / "images"),
    )


def test_coco_s_kinds_are_told_apart_by_what_is_meant(tmp_path: Path) -> None:
    root = write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "written")
    (root / "panoptic_train.json").write_text('{"annotations": [{"segments_info": []}]}')
    assert find_format(str(root)).NAME == "COCO"
    assert find_format(str(root), panoptic=True).NAME == "COCO panoptic"


def test_two_formats_at_one_path_are_named(tmp_path: Path) -> None:
    sets = sample(tmp_path)
    for write in (write_yolo, write_voc):
        write(sets, tmp_path / "images", tmp_path / "written")
    with pytest.raises(DataError, match="YOLO and Pascal VOC"):
        find_format(str(tmp_path / "written"))


@pytest.mark.parametrize("name", ["", "a.txt"])
def test_nothing_that_is_known_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("nothing")
    with pytest.raises(DataError) as error:
        read_data_set(str(tmp_path / name))
    assert str(tmp_path / name).rstrip("/") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="absent"):
        read_data_set(str(tmp_path / "absent"))


def test_two_files_for_one_split_are_named(tmp_path: Path) -> None:
    root = write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "written")
    (root / "train_2.json").write_text((root / "train.json").read_text())
    with pytest.raises(DataError) as error:
        read_data_set(str(root))
    assert "train.json" in str(error.value)
    assert "train_2.json" in str(error.value)


def test_two_folders_for_one_split_are_named(tmp_path: Path) -> None:
    root = write_voc(sample(tmp_path), tmp_path / "images", tmp_path / "written")
    (root / "training").mkdir()
    (root / "training" / "a.xml").write_text("<annotation/>")
    with pytest.raises(DataError, match="'train'"):
        read_data_set(str(root))


def test_a_file_by_itself_needs_no_split_in_its_name(tmp_path: Path) -> None:
    """As CVAT writes it: annotations/instances_default.json and images/."""
    sets = sample(tmp_path)
    (tmp_path / "annotations").mkdir()
    file = tmp_path / "annotations" / "instances_default.json"
    file.write_text(json.dumps(sets["train"]))
    for path in (tmp_path, file):
        (split,) = read_data_set(str(path)).splits
        assert (split.name, split.image_root) == ("train", str(tmp_path / "images"))
