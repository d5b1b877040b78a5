"""From records to the model's input."""

from __future__ import annotations

import copy
from collections import Counter

import detectron2.utils.logger
import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from detectron2.data.detection_utils import SizeMismatchError
from detectron2.structures import BoxMode
from fvcore.transforms.transform import CropTransform, HFlipTransform
from PIL import Image

from detr_d2.data import MAPPER_REGISTRY, DataError, DetrDatasetMapper
from detr_d2.data.dataset_mapper import build_mapper
from detr_d2.errors import MissingFileError
from tests.image_files import write_png


def mapper_of(*transforms, is_train: bool = True) -> DetrDatasetMapper:
    return DetrDatasetMapper(is_train, augmentations=list(transforms), image_format="RGB")


def test_a_box_follows_a_flip_and_a_resize(record):
    sample = mapper_of(HFlipTransform(60), T.ResizeTransform(40, 60, 80, 90))(record)
    # x 10..30 flipped in 60 is 30..50, times 1.5; y 5..20 times 2.
    assert sample["instances"].gt_boxes.tensor.tolist() == [[45, 10, 75, 40]]
    assert sample["instances"].gt_classes.tolist() == [0]
    assert sample["instances"].image_size == (80, 90)
    assert sample["image"].shape == (3, 80, 90)
    assert sample["image"].dtype == torch.uint8
    assert (sample["height"], sample["width"]) == (40, 60)


def test_channels_are_in_the_order_asked_for(record):
    assert mapper_of()(record)["image"][:, 0, 0].tolist() == [200, 30, 30]
    bgr = DetrDatasetMapper(True, augmentations=[], image_format="BGR")
    assert bgr(record)["image"][:, 0, 0].tolist() == [30, 30, 200]


def masked(*transforms) -> DetrDatasetMapper:
    return DetrDatasetMapper(True, augmentations=list(transforms), image_format="RGB", masks=True)


SQUARE = [[12, 6, 20, 6, 20, 10, 12, 10]]


def test_a_mask_follows_a_flip_and_a_resize_and_the_box_stays_the_annotations(record):
    record["annotations"][0]["segmentation"] = SQUARE
    instances = masked(HFlipTransform(60), T.ResizeTransform(40, 60, 80, 120))(record)["instances"]
    expected = np.zeros((1, 80, 120), dtype=bool)
    expected[0, 12:20, 80:96] = True  # x 12..20 flipped in 60 is 40..48
    assert np.array_equal(instances.gt_masks.tensor.numpy(), expected)
    # x 10..30 flipped is 30..50, y 5..20.
    assert instances.gt_boxes.tensor.tolist() == [[60, 10, 100, 40]]


def test_masks_are_read_only_where_they_are_asked_for(record, data_config):
    record["annotations"][0]["segmentation"] = SQUARE
    data_config.INPUT.CROP.ENABLED = False
    for masks in (False, True):
        data_config.MODEL.MASK_ON = masks
        instances = DetrDatasetMapper(data_config, is_train=True)(record)["instances"]
        assert instances.has("gt_masks") == masks


def test_an_object_without_pixels_in_the_crop_is_left_out_with_its_box(record, annotation):
    record["annotations"] = [
        annotation([10, 5, 20, 15], category_id=1, segmentation=SQUARE),
        annotation([10, 5, 20, 15], category_id=2, segmentation=[[25, 15, 30, 15, 30, 20, 25, 20]]),
    ]
    instances = masked(CropTransform(24, 0, 20, 30))(record)["instances"]
    assert instances.gt_classes.tolist() == [2]
    assert instances.gt_masks.tensor.shape == (1, 30, 20)
    assert instances.gt_boxes.tensor.tolist() == [[0, 5, 6, 20]]


def test_masks_of_crowds_are_not_read(record, annotation):
    record["annotations"] = [
        annotation([1, 1, 9, 9], iscrowd=1, segmentation="whatever"),
        annotation([10, 5, 20, 15], category_id=2, segmentation=SQUARE),
    ]
    assert masked()(record)["instances"].gt_classes.tolist() == [2]


def test_a_mask_without_pixels_is_left_out_and_said_once(record, annotation, caplog, monkeypatch):
    monkeypatch.setattr(detectron2.utils.logger, "_LOG_COUNTER", Counter())
    caplog.set_level("WARNING")
    nothing = annotation([10, 5, 20, 15], segmentation=np.zeros((40, 60), dtype=bool))
    record["annotations"] = [
        nothing,
        annotation([10, 5, 20, 15], category_id=2, segmentation=SQUARE),
        nothing,
    ]
    assert masked()(record)["instances"].gt_classes.tolist() == [2]
    (said,) = caplog.messages
    assert "wide.png, annotation 0" in said


UNUSABLE = {
    "short polygon": {"segmentation": [[1, 2, 3, 4]]},
    "far away": {"segmentation": [[1e30] * 6]},
    "RLE of another size": {"segmentation": {"size": [60, 40], "counts": [2400]}},
    "RLE of too few pixels": {"segmentation": {"size": [40, 60], "counts": [7]}},
    "bitmask of another size": {"segmentation": np.ones((40, 61), dtype=bool)},
    "empty": {"segmentation": []},
    "null": {"segmentation": None},
    "none": {},
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_object_without_a_usable_mask_is_left_out_and_said_once(
    record, annotation, case, caplog, monkeypatch
):
    monkeypatch.setattr(detectron2.utils.logger, "_LOG_COUNTER", Counter())
    caplog.set_level("WARNING")
    bad = annotation([10, 5, 20, 15], category_id=1, **UNUSABLE[case])
    record["annotations"] = [annotation([12, 6, 8, 4], category_id=2, segmentation=SQUARE), bad, bad]
    instances = masked()(record)["instances"]
    assert instances.gt_classes.tolist() == [2]
    assert instances.gt_masks.tensor.sum() == 8 * 4
    (said,) = caplog.messages
    assert "wide.png, annotation 1" in said
    # Its box is as good as any.
    assert mapper_of()(record)["instances"].gt_classes.tolist() == [2, 1, 1]


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_image_without_any_usable_mask_has_no_objects(record, annotation, case):
    record["annotations"] = [annotation([10, 5, 20, 15], **UNUSABLE[case])]
    instances = masked()(record)["instances"]
    assert len(instances) == 0
    assert instances.gt_masks.tensor.shape == (0, 40, 60)


def test_a_bad_polygon_beside_a_good_one_is_left_out_and_said_once(record, annotation, caplog, monkeypatch):
    monkeypatch.setattr(detectron2.utils.logger, "_LOG_COUNTER", Counter())
    caplog.set_level("WARNING")
    record["annotations"] = [
        annotation([12, 6, 8, 4], segmentation=SQUARE),
        annotation([12, 6, 8, 4], segmentation=[[1, 2, 3, 4], *SQUARE, ["1"] * 6]),
    ]
    for _ in range(2):
        first, second = masked()(record)["instances"].gt_masks.tensor
        assert torch.equal(first, second)
    (said,) = caplog.messages
    assert "wide.png, annotation 1" in said


def test_a_panoptic_record_names_the_mapper_that_reads_it(panoptic_record):
    with pytest.raises(DataError, match=r"one\.jpg .*DATASET_MAPPER_NAME to DetrPanopticDatasetMapper"):
        mapper_of()(panoptic_record)


def test_boxes_are_clipped_and_those_outside_the_crop_dropped(record, annotation):
    record["annotations"] = [
        annotation([10, 5, 20, 15], category_id=3),  # reaches into the crop
        annotation([40, 5, 10, 10], category_id=4),  # right of it
        annotation([-10, -10, 25, 30], category_id=5),  # reaches beyond image and crop
    ]
    sample = mapper_of(CropTransform(12, 8, 20, 30))(record)
    assert sample["instances"].gt_boxes.tensor.tolist() == [[0, 0, 18, 12], [0, 0, 3, 12]]
    assert sample["instances"].gt_classes.tolist() == [3, 5]


def test_crowds_are_left_out(record, annotation):
    record["annotations"] = [annotation([1, 1, 30, 30], iscrowd=1), annotation([2, 2, 8, 8], category_id=2)]
    assert mapper_of()(record)["instances"].gt_classes.tolist() == [2]


@pytest.mark.parametrize(
    "bbox",
    [[5, 5, 0, 10], [5, 5, 10, 0], [30, 20, -10, 10], [70, 5, 10, 10], [-30, 5, 20, 10], [5, 5, -3, -3]],
)
@pytest.mark.parametrize("flip", [False, True])
def test_boxes_without_area_or_outside_are_left_out(record, annotation, bbox, flip):
    record["annotations"] = [annotation(bbox, category_id=1), annotation([2, 2, 8, 8], category_id=2)]
    mapper = mapper_of(*([HFlipTransform(60)] if flip else []))
    assert mapper(record)["instances"].gt_classes.tolist() == [2]


@pytest.mark.parametrize("case", ["no annotations", "only a crowd", "only boxes without area"])
def test_an_image_without_objects_has_empty_instances(record, annotation, case):
    record["annotations"] = {
        "no annotations": [],
        "only a crowd": [annotation([1, 1, 9, 9], iscrowd=1)],
        "only boxes without area": [annotation([1, 1, 0, 9])],
    }[case]
    instances = mapper_of()(record)["instances"]
    assert len(instances) == 0
    assert instances.gt_boxes.tensor.shape == (0, 4)
    assert instances.gt_boxes.tensor.dtype == torch.float32
    assert instances.gt_classes.shape == (0,)
    assert instances.gt_classes.dtype == torch.int64
    assert instances.image_size == (40, 60)


def test_other_box_modes_are_read(record, annotation):
    record["annotations"] = [annotation([10, 5, 30, 20], bbox_mode=BoxMode.XYXY_ABS)]
    assert mapper_of()(record)["instances"].gt_boxes.tensor.tolist() == [[10, 5, 30, 20]]


def test_the_record_is_left_as_it_is(record, annotation, data_config):
    record["annotations"] += [annotation([-5, 1, 90, 9]), annotation([1, 1, 0, 9])]
    before = copy.deepcopy(record)
    for is_train in (True, False):
        DetrDatasetMapper(data_config, is_train=is_train)(record)
        assert record == before


def test_evaluation_gives_no_instances_and_needs_no_annotations(record, data_config):
    del record["annotations"]
    sample = DetrDatasetMapper(data_config, is_train=False)(record)
    assert "instances" not in sample
    assert "annotations" not in sample
    assert sample["image"].shape == (3, 128, 192)
    assert (sample["height"], sample["width"], sample["image_id"]) == (40, 60, 1)


def test_training_without_annotations_names_the_image(record):
    del record["annotations"]
    with pytest.raises(DataError, match=r"wide\.png has no 'annotations'"):
        mapper_of()(record)


def test_a_missing_image_is_named(record):
    record["file_name"] = record["file_name"].replace("wide", "gone")
    with pytest.raises(MissingFileError, match=r"gone\.png"):
        mapper_of()(record)


@pytest.mark.parametrize("damage", ["text", "empty", "truncated png", "truncated jpeg", "broken png"])
def test_an_undecodable_image_is_named(record, tmp_path, damage):
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    path = tmp_path / ("damaged.jpg" if "jpeg" in damage else "damaged.png")
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(
        {
            "text": b"not an image",
            "empty": b"",
            "truncated png": content[: len(content) // 2],
            "truncated jpeg": content[: len(content) // 2],
            "broken png": content.replace(b"IDAT", bytes(4)),
        }[damage]
    )
    record["file_name"] = str(path)
    with pytest.raises(DataError, match=r"damaged\.\w+ cannot be decoded"):
        mapper_of()(record)


def test_an_image_of_another_size_is_named(record):
    record["width"] = 61
    with pytest.raises(SizeMismatchError, match=r"wide\.png"):
        mapper_of()(record)


def test_gray_images_are_read_in_color(record, tmp_path):
    Image.new("L", (60, 40), 99).save(tmp_path / "gray.png")
    record["file_name"] = str(tmp_path / "gray.png")
    assert mapper_of()(record)["image"][:, 3, 3].tolist() == [99, 99, 99]


def test_the_config_names_the_mapper(data_config, record):
    assert isinstance(build_mapper(data_config, is_train=True), DetrDatasetMapper)
    data_config.INPUT.DATASET_MAPPER_NAME = "NoSuchMapper"
    with pytest.raises(ValueError, match=r"INPUT\.DATASET_MAPPER_NAME.*NoSuchMapper.*DetrDatasetMapper"):
        build_mapper(data_config, is_train=True)


def test_other_mappers_can_be_registered(data_config):
    @MAPPER_REGISTRY.register()
    class MapperOfATest:
        def __init__(self, cfg, is_train):
            self.is_train = is_train

    data_config.INPUT.DATASET_MAPPER_NAME = "MapperOfATest"
    assert build_mapper(data_config, is_train=False).is_train is False


@pytest.mark.parametrize("is_train", [True, False])
def test_the_limit_and_the_white_level_of_the_config_hold_in_training_and_evaluation(
    data_config, record, tmp_path, is_train
):
    values = np.full((40, 60), 2048, dtype=np.uint16)
    record["file_name"] = str(write_png(tmp_path / "deep.png", values))
    data_config.INPUT.WHITE_LEVEL = 4095
    data_config.INPUT.MAX_IMAGE_PIXELS = 60 * 40
    assert (build_mapper(data_config, is_train)(record)["image"] == 128).all()
    data_config.INPUT.MAX_IMAGE_PIXELS -= 1
    with pytest.raises(DataError, match=r"deep\.png.*60 x 40.*2399.*INPUT\.MAX_IMAGE_PIXELS"):
        build_mapper(data_config, is_train)(record)
