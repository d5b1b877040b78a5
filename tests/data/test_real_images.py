"""Real photographs, where DETECTRON2_DATASETS names a folder of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from detectron2.data import MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.data.datasets.builtin_meta import _get_builtin_metadata
from PIL import Image

from detr_d2.data import build_detr_test_loader, build_detr_train_loader, load_dataset, register_configured
from detr_d2.data.augmentation import truncated_size

ROOT = os.environ.get("DETECTRON2_DATASETS", "")


def root_with(*parts: str) -> Path:
    """The folder of data sets, if it holds something, or a skip."""
    if not ROOT or not Path(ROOT, *parts).exists():
        pytest.skip(f"no {'/'.join(parts)} in DETECTRON2_DATASETS")
    return Path(ROOT)


def test_images_of_coco_are_resized_as_published(data_config, catalog):
    root = root_with("coco", "annotations", "instances_val2017.json") / "coco"
    # What Detectron2 registers as coco_2017_val, wherever the data sets were when it was imported.
    metadata = _get_builtin_metadata("coco")
    json_file = root / "annotations" / "instances_val2017.json"
    register_coco_instances("coco_real_val", metadata, str(json_file), str(root / "val2017"))
    data_config.INPUT.MIN_SIZE_TEST = 800
    count = 0
    for (sample,) in build_detr_test_loader(data_config, "coco_real_val"):
        expected = truncated_size(sample["height"], sample["width"], 800, 1333)
        assert sample["image"].shape == (3, *expected)
        assert sample["image"].float().std() > 5
        count += 1
    assert count == len(load_dataset("coco_real_val")) > 0


@pytest.mark.parametrize("split", ["train", "val"])
def test_panoptic_coco_is_loaded_by_name(data_config, split):
    name = f"coco_2017_{split}_panoptic"
    if not Path(MetadataCatalog.get(name).panoptic_json).is_file():
        pytest.skip(f"no {name} in DETECTRON2_DATASETS")
    data_config.INPUT.DATASET_MAPPER_NAME = "DetrPanopticDatasetMapper"
    data_config.MODEL.DETR.NUM_CLASSES = 133
    data_config.MODEL.MASK_ON = True
    data_config.DATASETS.TRAIN = (name,)
    data_config.DATALOADER.ASPECT_RATIO_GROUPING = True
    for sample in next(iter(build_detr_train_loader(data_config))):
        instances = sample["instances"]
        assert instances.gt_masks.tensor.shape == (len(instances), *sample["image"].shape[1:])
    evaluated = [sample for (sample,) in build_detr_test_loader(data_config, name)]
    for sample in evaluated:
        with Image.open(sample["file_name"]) as image:
            assert (sample["width"], sample["height"]) == image.size
        assert sample["segments_info"]
    assert len(evaluated) >= 10


def test_blood_cells_are_read_from_their_own_json(data_config, catalog):
    root = root_with("bccd", "train.json") / "bccd"
    data_config.DATASETS.COCO_JSON = [["cells", str(root / "train.json"), str(root / "images")]]
    register_configured(data_config)
    assert {a["category_id"] for record in load_dataset("cells") for a in record["annotations"]} == {0, 1, 2}
    data_config.DATASETS.TRAIN = ("cells",)
    batch = next(iter(build_detr_train_loader(data_config)))
    assert len(batch) == 4
    for sample in batch:
        boxes, (height, width) = sample["instances"].gt_boxes.tensor, sample["instances"].image_size
        assert sample["image"].shape[1:] == (height, width)
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes >= 0).all()
        assert (boxes[:, 2] <= width).all()
        assert (boxes[:, 3] <= height).all()
