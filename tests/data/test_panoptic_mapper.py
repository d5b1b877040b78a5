"""From panoptic records to the model's input."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.data import transforms as T
from fvcore.transforms.transform import CropTransform, HFlipTransform
from PIL import Image

from detr_d2.data import (
    DataError,
    DetrPanopticDatasetMapper,
    build_detr_test_loader,
    build_detr_train_loader,
)


def mapper_of(*transforms, masks: bool = True, is_train: bool = True) -> DetrPanopticDatasetMapper:
    return DetrPanopticDatasetMapper(
        is_train, augmentations=list(transforms), image_format="RGB", masks=masks
    )


def write_map(record, ids: np.ndarray) -> None:
    colors = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], axis=-1)
    Image.fromarray(colors.astype(np.uint8)).save(record["pan_seg_file_name"])


def test_things_and_stuff_become_objects_and_a_single_column_does_not(panoptic_record):
    instances = mapper_of()(panoptic_record)["instances"]
    # 5 covers x 3..24, y 2..19; 300 is one pixel wide; 70000 covers x 0..59, y 30..39.
    assert instances.gt_boxes.tensor.tolist() == [[3, 2, 24, 19], [0, 30, 59, 39]]
    assert instances.gt_classes.tolist() == [0, 1]
    expected = np.zeros((2, 40, 60), dtype=bool)
    expected[0, 2:20, 3:25] = True
    expected[1, 30:40] = True
    assert np.array_equal(instances.gt_masks.tensor.numpy(), expected)
    assert instances.gt_masks.tensor.dtype == torch.bool


def test_boxes_and_masks_follow_a_flip_a_crop_and_a_resize(panoptic_record):
    transforms = HFlipTransform(60), CropTransform(30, 0, 30, 40), T.ResizeTransform(40, 30, 80, 60)
    instances = mapper_of(*transforms)(panoptic_record)["instances"]
    # Flipped, the box of 5 has x 36..57, in the crop 6..27, twice as large 12..54.
    assert instances.gt_boxes.tensor.tolist() == [[12, 4, 54, 38], [0, 60, 60, 78]]
    expected = np.zeros((2, 80, 60), dtype=bool)
    expected[0, 4:40, 10:54] = True  # pixels 3..24 become 35..56, in the crop 5..26
    expected[1, 60:80] = True
    assert np.array_equal(instances.gt_masks.tensor.numpy(), expected)


@pytest.mark.parametrize("masks", [False, True])
def test_a_segment_without_pixels_in_the_crop_is_left_out_with_its_box(panoptic_record, masks):
    ids = np.zeros((40, 60), dtype=np.int64)
    ids[:3, :3] = ids[37:, 57:] = 5  # two corners: the box is the whole image
    ids[10:30, 10:50] = 300
    ids[35:, :3] = 70000
    write_map(panoptic_record, ids)
    instances = mapper_of(CropTransform(10, 10, 40, 20), masks=masks)(panoptic_record)["instances"]
    assert instances.gt_boxes.tensor.tolist() == [[0, 0, 39, 19]]


def test_a_detector_can_be_trained_on_the_boxes_alone(panoptic_record):
    with_masks = mapper_of()(panoptic_record)["instances"]
    without = mapper_of(masks=False)(panoptic_record)["instances"]
    assert set(without.get_fields()) == {"gt_boxes", "gt_classes"}
    assert torch.equal(without.gt_boxes.tensor, with_masks.gt_boxes.tensor)
    assert torch.equal(without.gt_classes, with_masks.gt_classes)


def test_crowd_segments_are_kept(panoptic_record):
    panoptic_record["segments_info"][0]["iscrowd"] = 1
    assert mapper_of()(panoptic_record)["instances"].gt_classes.tolist() == [0, 1]


@pytest.mark.parametrize("case", ["void everywhere", "only a column"])
def test_an_image_without_objects_has_empty_masks_of_its_size(panoptic_record, case):
    ids = np.zeros((40, 60), dtype=np.int64)
    if case == "only a column":
        ids[5:30, 7] = 300
    write_map(panoptic_record, ids)
    panoptic_record["segments_info"] = panoptic_record["segments_info"][1:2] if ids.any() else []
    instances = mapper_of(T.ResizeTransform(40, 60, 80, 90))(panoptic_record)["instances"]
    assert len(instances) == 0
    assert instances.gt_boxes.tensor.shape == (0, 4)
    assert instances.gt_masks.tensor.shape == (0, 80, 90)
    assert instances.gt_masks.tensor.dtype == torch.bool
    assert instances.gt_classes.dtype == torch.int64


def test_evaluation_keeps_what_evaluators_need_and_reads_no_map(panoptic_record):
    (before := copy.deepcopy(panoptic_record)).update(pan_seg_file_name="not/there.png")
    sample = mapper_of(is_train=False)(before)
    assert "instances" not in sample
    for key in ("file_name", "image_id", "pan_seg_file_name", "segments_info", "height", "width"):
        assert sample[key] == before[key]


def test_the_record_is_left_as_it_is(panoptic_record, data_config):
    before = copy.deepcopy(panoptic_record)
    DetrPanopticDatasetMapper(data_config, is_train=True)(panoptic_record)
    assert panoptic_record == before


@pytest.mark.parametrize("entry", ["segments_info", "pan_seg_file_name"])
def test_records_of_other_data_sets_name_the_image_and_the_key(panoptic_record, entry):
    del panoptic_record[entry]
    with pytest.raises(DataError, match=r"one\.jpg has no 'segments_info'.*INPUT\.DATASET_MAPPER_NAME"):
        mapper_of()(panoptic_record)


def test_data_sets_that_number_things_and_stuff_apart_are_refused(panoptic_record):
    panoptic_record["sem_seg_file_name"] = "stuff.png"
    with pytest.raises(DataError, match=r"one\.jpg is of .*'separated'.*DATASETS\.TRAIN"):
        mapper_of()(panoptic_record)


def test_a_map_that_does_not_fit_the_annotations_is_named(panoptic_record):
    panoptic_record["segments_info"].pop()
    with pytest.raises(DataError, match=r"maps/one\.png has pixels of segment 70000"):
        mapper_of()(panoptic_record)


def test_a_map_of_another_size_than_the_image_is_named(panoptic_record):
    write_map(panoptic_record, np.zeros((41, 60), dtype=np.int64))
    with pytest.raises(DataError, match=r"maps/one\.png is 60 x 41 pixels, but its image is 60 x 40"):
        mapper_of()(panoptic_record)


@pytest.fixture
def panoptic_config(data_config, shapes_folder):
    data_config.INPUT.DATASET_MAPPER_NAME = "DetrPanopticDatasetMapper"
    data_config.DATASETS.TRAIN = ("small_train_panoptic",)
    data_config.MODEL.MASK_ON = True
    return data_config


@pytest.mark.parametrize("workers", [0, 1])
def test_panoptic_sets_train_by_name_with_images_grouped_by_shape(panoptic_config, workers):
    panoptic_config.DATALOADER.ASPECT_RATIO_GROUPING = True
    panoptic_config.DATALOADER.NUM_WORKERS = workers
    batch = next(iter(build_detr_train_loader(panoptic_config)))
    assert len(batch) == 4
    for sample in batch:
        instances = sample["instances"]
        assert instances.gt_masks.tensor.shape == (len(instances), *sample["image"].shape[1:])
        assert instances.gt_masks.tensor.flatten(1).any(1).all()
        assert (instances.gt_masks.tensor.sum(0) <= 1).all()
        # Masks lie in their boxes, which flips move by a pixel.
        tight = instances.gt_masks.get_bounding_boxes().tensor
        scale = max(sample["image"].shape[1:]) / 100
        assert (instances.gt_boxes.tensor[:, :2] <= tight[:, :2] + 2 + scale).all()
        assert (instances.gt_boxes.tensor[:, 2:] >= tight[:, 2:] - 3 - scale).all()
        assert (instances.gt_classes < 6).all()
    assert {c for sample in batch for c in sample["instances"].gt_classes.tolist()} > {3, 4}


def test_panoptic_sets_are_evaluated_by_name(panoptic_config):
    (sample,) = next(iter(build_detr_test_loader(panoptic_config, "small_val_panoptic")))
    record = DatasetCatalog.get("small_val_panoptic")[0]
    assert {key: sample[key] for key in record} == record
    assert (sample["height"], sample["width"]) == (128, 128)


def test_crowds_train_in_panoptic_sets_and_not_in_detection_sets(data_config, crowd_folder):
    data_config.INPUT.CROP.ENABLED = False
    counts = []
    for name, mapper in (("crowded_train", "Detr"), ("crowded_train_panoptic", "DetrPanoptic")):
        data_config.INPUT.DATASET_MAPPER_NAME = f"{mapper}DatasetMapper"
        data_config.DATASETS.TRAIN = (name,)
        data_config.SOLVER.IMS_PER_BATCH = 40
        batch = next(iter(build_detr_train_loader(data_config)))
        counts.append(sum(int((sample["instances"].gt_classes < 3).sum()) for sample in batch))
    content = json.loads((crowd_folder / "annotations" / "instances_train.json").read_text())
    crowds = sum(annotation["iscrowd"] for annotation in content["annotations"])
    assert crowds > 5
    assert counts == [len(content["annotations"]) - crowds, len(content["annotations"])]


def test_images_without_segments_are_filtered_where_the_config_says_so(panoptic_config, catalog):
    records = DatasetCatalog.get("small_train_panoptic")
    for record in records[:30]:
        record["segments_info"] = []
        record["pan_seg_file_name"] = records[0]["pan_seg_file_name"]
    DatasetCatalog.register("mostly_void", lambda: records)
    panoptic_config.DATASETS.TRAIN = ("mostly_void",)
    panoptic_config.DATALOADER.FILTER_EMPTY_ANNOTATIONS = True
    loader = build_detr_train_loader(panoptic_config)
    assert len(loader.dataset) == 10
    assert all(len(sample["instances"]) for sample in next(iter(loader)))


def test_rare_classes_can_be_repeated(panoptic_config):
    panoptic_config.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    panoptic_config.DATALOADER.REPEAT_THRESHOLD = 2.0
    loader = build_detr_train_loader(panoptic_config)
    order = loader.batch_sampler.epoch_order(np.random.default_rng(0))
    assert len(order) > 40
