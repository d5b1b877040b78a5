"""The written files, read by pycocotools and by plain loops over pixels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_util
from pycocotools.coco import COCO

from detr_d2.errors import UserError
from detr_d2.shapes.drawing import MIN_VISIBLE, ShapesConfig, draw
from detr_d2.shapes.files import ShapesSize, read_arguments, write_shapes

SPLITS = {"train": 40, "val": 25}


def read_json(root: Path, kind: str, split: str) -> dict:
    return json.loads((root / "annotations" / f"{kind}_{split}.json").read_text())


def segment_ids(root: Path, split: str, file_name: str) -> np.ndarray:
    """(H, W) ids of a panoptic map, R + 256 G + 256^2 B."""
    colors = np.asarray(Image.open(root / f"panoptic_{split}" / file_name)).astype(np.int64)
    return colors @ np.array([1, 256, 256**2])


@pytest.fixture(params=["without crowds", "with crowds"])
def root(request, shapes_folder, crowd_folder) -> Path:
    return shapes_folder if request.param == "without crowds" else crowd_folder


def test_pycocotools_reads_the_instances(root):
    for split, count in SPLITS.items():
        coco = COCO(root / "annotations" / f"instances_{split}.json")
        assert len(coco.getImgIds()) == count
        assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == [
            "circle",
            "square",
            "triangle",
        ]
        for image in coco.loadImgs(coco.getImgIds()):
            picture = Image.open(root / split / image["file_name"])
            assert picture.size == (image["width"], image["height"]) == (128, 128)
            assert picture.format == "JPEG"


def test_masks_boxes_and_areas_agree_with_the_panoptic_map(root):
    for split in SPLITS:
        coco = COCO(root / "annotations" / f"instances_{split}.json")
        panoptic = read_json(root, "panoptic", split)
        things = {category["id"] for category in panoptic["categories"] if category["isthing"]}
        for annotation in panoptic["annotations"]:
            ids = segment_ids(root, split, annotation["file_name"])
            described = {segment["id"]: segment for segment in annotation["segments_info"]}
            assert set(np.unique(ids)) == set(described)
            assert 0 not in described
            instances = coco.loadAnns(coco.getAnnIds(annotation["image_id"], iscrowd=None))
            of_things = [segment for segment in described.values() if segment["category_id"] in things]
            assert len(instances) == len(of_things)
            for segment in described.values():
                check_record(segment, ids == segment["id"])
            for instance, segment in zip(instances, of_things, strict=True):
                mask = coco.annToMask(instance)
                np.testing.assert_array_equal(mask, ids == segment["id"])
                check_record(instance, mask)
                assert mask_util.area(instance["segmentation"]) == instance["area"]
                assert instance["category_id"] == segment["category_id"]
                assert instance["iscrowd"] == segment["iscrowd"]


def check_record(record: dict, mask: np.ndarray) -> None:
    """Area and box, by running along the edges of the mask."""
    rows, columns = mask.any(1).tolist(), mask.any(0).tolist()
    top, left = rows.index(True), columns.index(True)
    bottom = len(rows) - rows[::-1].index(True)
    right = len(columns) - columns[::-1].index(True)
    assert record["bbox"] == [left, top, right - left, bottom - top]
    assert record["area"] == mask.sum()


def test_ids_are_unique(root):
    for split in SPLITS:
        instances = read_json(root, "instances", split)
        for records in (instances["images"], instances["annotations"], instances["categories"]):
            assert len({record["id"] for record in records}) == len(records)
        panoptic = read_json(root, "panoptic", split)
        assert panoptic["images"] == instances["images"]
        assert [a["image_id"] for a in panoptic["annotations"]] == [i["id"] for i in instances["images"]]


def test_crowds_are_written_in_the_variant_only(shapes_folder, crowd_folder):
    for root, expected in ((shapes_folder, False), (crowd_folder, True)):
        instances = read_json(root, "instances", "train")["annotations"]
        assert any(annotation["iscrowd"] for annotation in instances) == expected
        images = {a["image_id"] for a in instances if not a["iscrowd"]}
        assert len(images) == SPLITS["train"], "every image has a thing that is no crowd"


def test_no_file_is_there_twice(shapes_folder):
    files = [file for split in SPLITS for file in (shapes_folder / split).iterdir()]
    assert len({hashlib.sha256(file.read_bytes()).digest() for file in files}) == len(files) == 65


def test_jpeg_keeps_what_was_drawn(shapes_folder):
    image, _ = draw(ShapesConfig(), "val", 3)
    read = np.asarray(Image.open(shapes_folder / "val" / f"{4:012d}.jpg")).astype(int)
    difference = np.abs(read - image)
    assert difference.mean() < 8


def test_written_again_only_when_the_arguments_change(tmp_path):
    root, config = tmp_path / "shapes", ShapesConfig(height=32, width=32, min_half_width=4, max_half_width=8)
    assert write_shapes(root, config, ShapesSize(3, 2))
    first = (root / "train" / f"{2:012d}.jpg").read_bytes()
    assert not write_shapes(root, config, ShapesSize(3, 2))
    assert write_shapes(root, config, ShapesSize(2, 2))
    assert len(list((root / "train").iterdir())) == 2, "the old, larger data set is gone"
    assert (root / "train" / f"{2:012d}.jpg").read_bytes() == first, "an image does not depend on the count"
    assert read_arguments(root)["train"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"], "nothing is left beside it"


def test_several_processes_write_the_same_files(tmp_path):
    config = ShapesConfig(height=32, width=32, min_half_width=4, max_half_width=8, crowd=True)
    contents = []
    for processes in (1, 2):
        root = tmp_path / str(processes)
        write_shapes(root, config, ShapesSize(70, 2), processes)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        contents.append({path.relative_to(root): path.read_bytes() for path in files})
    assert contents[0] == contents[1]


def test_a_folder_of_something_else_is_never_deleted(tmp_path):
    (tmp_path / "precious.txt").write_text("keep")
    with pytest.raises(UserError, match="not empty"):
        write_shapes(tmp_path, ShapesConfig(), ShapesSize(1, 1))
    assert (tmp_path / "precious.txt").read_text() == "keep"


def test_an_interrupted_run_leaves_the_old_data_set(tmp_path, monkeypatch):
    root, config = tmp_path / "shapes", ShapesConfig(height=32, width=32, min_half_width=4, max_half_width=8)
    write_shapes(root, config, ShapesSize(2, 1))

    def fail(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("detr_d2.shapes.files.draw", fail)
    with pytest.raises(KeyboardInterrupt):
        write_shapes(root, config, ShapesSize(5, 1))
    assert read_arguments(root)["train"] == 2
    assert len(list((root / "train").iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]


def test_a_split_without_images_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="at least one image"):
        write_shapes(tmp_path / "shapes", ShapesConfig(), ShapesSize(5, 0))


def test_a_third_is_the_limit():
    assert pytest.approx(1 / 3) == MIN_VISIBLE
