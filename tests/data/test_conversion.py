"""Detection annotations made of panoptic ones: the function, and ``detr-d2 make-coco`` of a panoptic set."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from PIL import Image

from detr_d2.data import (
    DetrDatasetMapper,
    DetrPanopticDatasetMapper,
    load_dataset,
    panoptic_to_detection,
    register_configured,
)
from detr_d2.shapes import ShapesConfig, ShapesSize, register_shapes, write_shapes
from detr_d2.tools.make_coco import main


@pytest.fixture
def panoptic(tmp_path):
    """A panoptic json and a map of 4 x 3 pixels: 1 is four pixels of a thing, 258 a row of stuff."""
    image = Image.new("RGB", (4, 3))
    for x, y in ((1, 0), (2, 0), (1, 1), (2, 1)):
        image.putpixel((x, y), (1, 0, 0))
    for x in range(4):
        image.putpixel((x, 2), (2, 1, 0))
    (tmp_path / "maps").mkdir()
    image.save(tmp_path / "maps" / "a.png")
    content = {
        "info": {"year": 2017},
        "images": [{"id": 8, "file_name": "a.jpg", "width": 4, "height": 3}],
        "categories": [{"id": 3, "name": "cup", "isthing": 1}, {"id": 5, "name": "table", "isthing": 0}],
        "annotations": [
            {
                "image_id": 8,
                "file_name": "a.png",
                "segments_info": [
                    {"id": 258, "category_id": 5, "iscrowd": 0},
                    {"id": 1, "category_id": 3, "iscrowd": 1},
                ],
            }
        ],
    }
    (tmp_path / "panoptic.json").write_text(json.dumps(content))
    return tmp_path


def test_every_segment_becomes_an_annotation(panoptic):
    content = panoptic_to_detection(str(panoptic / "panoptic.json"), str(panoptic / "maps"))
    stuff, thing = content.pop("annotations")
    assert stuff == {
        "id": 1,
        "image_id": 8,
        "category_id": 5,
        "iscrowd": 0,
        "bbox": [0, 2, 3, 0],
        "area": 4,
        "segment_id": 258,
        "segmentation": stuff["segmentation"],
    }
    assert (thing["id"], thing["category_id"], thing["iscrowd"], thing["segment_id"]) == (2, 3, 1, 1)
    assert (thing["bbox"], thing["area"]) == ([1, 0, 1, 1], 4)
    source = json.loads((panoptic / "panoptic.json").read_text())
    assert content == {key: source[key] for key in ("info", "images", "categories")}


def test_the_command_writes_a_data_set_with_the_targets_of_the_panoptic_one(
    tmp_path, tiny_config, capsys, monkeypatch
):
    write_shapes(tmp_path / "shapes", ShapesConfig(), ShapesSize(8, 1))
    register_shapes(tmp_path / "shapes", prefix="converted")
    source = str(tmp_path / "shapes" / "annotations" / "panoptic_train.json")
    output = tmp_path / "new" / "train.json"
    assert main([source, "--output", str(output.parent)]) == 0
    assert str(output) in capsys.readouterr().out
    entry = ["converted_things_and_stuff", str(output), str(output.parent)]
    tiny_config.DATASETS.COCO_JSON = [entry]
    register_configured(tiny_config)
    tiny_config.MODEL.MASK_ON = True
    tiny_config.INPUT.MIN_SIZE_TRAIN = (96, 128)
    panoptic_records = load_dataset("converted_train_panoptic")
    for ours, theirs in zip(load_dataset(entry[0]), panoptic_records, strict=True):
        results = []
        for mapper, record in ((DetrDatasetMapper, ours), (DetrPanopticDatasetMapper, theirs)):
            np.random.seed(3)
            results.append(mapper(tiny_config, is_train=True)(record)["instances"])
        first, second = results
        assert len(first) >= 3
        assert torch.equal(first.gt_classes, second.gt_classes)
        assert torch.equal(first.gt_boxes.tensor, second.gt_boxes.tensor)
        assert torch.equal(first.gt_masks.tensor, second.gt_masks.tensor)
    for name in [name for name in DatasetCatalog.list() if name.startswith("converted_")]:
        DatasetCatalog.remove(name)


def test_boxes_alone_can_be_written(panoptic):
    Image.new("RGB", (4, 3)).save(panoptic / "a.jpg")
    assert main([str(panoptic / "panoptic.json"), "--output", str(panoptic / "out"), "--boxes"]) == 0
    annotations = json.loads((panoptic / "out" / "train.json").read_text())["annotations"]
    assert len(annotations) == 2
    assert not any("segmentation" in annotation for annotation in annotations)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda folder: (folder / "panoptic.json").unlink(), "panoptic.json"),
        (lambda folder: (folder / "panoptic.json").write_text("{"), "panoptic.json"),
        (lambda folder: (folder / "maps" / "a.png").unlink(), "a.png"),
        (
            lambda folder: Image.new("RGB", (4, 3)).save(folder / "maps" / "a.png"),
            "a.png",
        ),
    ],
)
def test_files_that_cannot_be_used_are_named(panoptic, edit, message, capsys):
    Image.new("RGB", (4, 3)).save(panoptic / "a.jpg")
    edit(panoptic)
    assert main([str(panoptic / "panoptic.json"), "--output", str(panoptic / "out")]) == 2
    output = capsys.readouterr()
    assert message in output.out + output.err
    assert not (panoptic / "out").exists()
