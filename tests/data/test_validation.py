"""Bad data sets: errors that name file and record, and warnings that count."""

from __future__ import annotations

import logging
import math

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from detr_d2.data import (
    DataError,
    build_detr_test_loader,
    build_detr_train_loader,
    check_dataset,
    load_dataset,
)


@pytest.fixture
def load(coco_folder, catalog):
    """Register the folder's train.json under a name and load it."""

    def register_and_load(name: str):
        register_coco_instances(name, {}, str(coco_folder / "train.json"), str(coco_folder / "images"))
        return load_dataset(name)

    return register_and_load


@pytest.fixture
def said(caplog):
    """The warnings of the data layer so far."""
    caplog.set_level(logging.WARNING)
    return lambda: [r.getMessage() for r in caplog.records if r.name == "detr_d2.data.validation"]


def test_a_sound_data_set_is_loaded_and_nothing_is_said(load, said):
    records = load("sound")
    check_dataset("sound", records, num_classes=2, num_queries=1)
    assert len(records) == 2
    assert said() == []


def test_an_unknown_name_lists_near_ones():
    with pytest.raises(DataError, match=r"no data set 'coco_2017_vall'.*coco_2017_val\b.*DATASETS"):
        load_dataset("coco_2017_vall")


def test_a_missing_annotation_file_is_named(coco_folder, load):
    (coco_folder / "train.json").unlink()
    with pytest.raises(DataError, match=r"train\.json, which does not exist.*DETECTRON2_DATASETS"):
        load("gone")


BAD_CONTENT = {
    "no categories": (lambda c: c.pop("categories"), r"train\.json.*no list 'categories'"),
    "empty categories": (lambda c: c["categories"].clear(), r"train\.json.*'categories' is empty"),
    "no images": (lambda c: c.pop("images"), r"train\.json.*no list 'images'"),
    "unlisted category": (
        lambda c: c["annotations"][1].update(category_id=77),
        r"train\.json.*annotation 12 \(image 2\) has category 77.*\(5, 9\)",
    ),
    "unknown image": (
        lambda c: c["annotations"][1].update(image_id=404),
        r"train\.json.*1 annotations.*annotation 12, which names image 404",
    ),
    "image without file name": (
        lambda c: c["images"][1].pop("file_name"),
        r"entry 1 of 'images'.*'file_name'",
    ),
    "image without height": (lambda c: c["images"][0].pop("height"), r"entry 0 of 'images'.*'height'"),
    "annotation without image": (
        lambda c: c["annotations"][0].pop("image_id"),
        r"entry 0 of 'annotations'.*'image_id'",
    ),
    "annotation without category": (
        lambda c: c["annotations"][0].pop("category_id"),
        r"entry 0 of 'annotations'.*'category_id'",
    ),
    "category without name": (lambda c: c["categories"][1].pop("name"), r"entry 1 of 'categories'.*'name'"),
    "repeated annotation": (
        lambda c: c["annotations"][1].update(id=11),
        r"2 entries of 'annotations'.*id 11",
    ),
    "empty box": (lambda c: c["annotations"][0].update(bbox=[]), r"annotation 11.*four numbers"),
    "polygon of two points": (
        lambda c: c["annotations"][1].update(segmentation=[[1, 2, 3, 4]]),
        r"train\.json.*annotation 12 \(image 2\): its polygon \[1, 2, 3, 4\].*three points.*4 numbers",
    ),
    "counts that are no run lengths": (
        lambda c: c["annotations"][0].update(segmentation={"size": [40, 60], "counts": [-5, 2405]}),
        r"train\.json.*annotation 11 \(image 1\): its RLE counts must add up",
    ),
    "RLE without size": (
        lambda c: c["annotations"][0].update(segmentation={"counts": [5, 2395]}),
        r"train\.json.*annotation 11 \(image 1\): its RLE needs",
    ),
    "ignored annotation": (lambda c: c["annotations"][0].update(ignore=1), r"annotation 11.*'ignore'"),
}


@pytest.mark.parametrize("case", BAD_CONTENT)
def test_what_is_wrong_with_a_json_is_named(case, change_coco, load):
    edit, message = BAD_CONTENT[case]
    change_coco(edit)
    with pytest.raises(DataError, match=message):
        load("bad")


@pytest.mark.parametrize(
    ("text", "message"), [('{"images": [\n', r"train\.json is not valid JSON.*line 2"), ("[]", "top level")]
)
def test_a_file_that_is_no_coco_json_is_named(coco_folder, load, text, message):
    (coco_folder / "train.json").write_text(text)
    with pytest.raises(DataError, match=message):
        load("bad")


def test_a_binary_file_is_named(coco_folder, load):
    (coco_folder / "train.json").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(DataError, match=r"train\.json"):
        load("bad")


def test_an_empty_data_set_is_an_error(change_coco, load):
    change_coco(lambda c: (c["images"].clear(), c["annotations"].clear()))
    with pytest.raises(DataError, match=r"'empty' holds no image.*train\.json"):
        load("empty")


def test_errors_of_other_loading_functions_name_the_data_set(catalog):
    def fail():
        raise RuntimeError("disk on fire")

    DatasetCatalog.register("burning", fail)
    with pytest.raises(DataError, match="'burning' cannot be loaded.*disk on fire"):
        load_dataset("burning")


def test_missing_images_are_counted_and_the_first_is_named(coco_folder, load):
    (coco_folder / "images" / "high.png").unlink()
    with pytest.raises(DataError, match=r"1 of 2 image files named by .*train\.json.*images/high\.png"):
        check_dataset("gappy", load("gappy"), 2, 10)


def test_a_missing_image_folder_is_an_error(coco_folder, load):
    records = load("moved")
    (coco_folder / "images").rename(coco_folder / "elsewhere")
    with pytest.raises(DataError, match="2 of 2 image files"):
        check_dataset("moved", records, 2, 10)


def test_too_few_classes_of_the_model_name_the_key(load):
    records = load("two_classes")
    with pytest.raises(DataError, match=r"has 2 classes.*MODEL\.DETR\.NUM_CLASSES is 1.*at least 2"):
        check_dataset("two_classes", records, 1, 10)
    check_dataset("two_classes", records, 2, 10)
    check_dataset("two_classes", records, 91, 10)


def test_classes_are_counted_where_the_metadata_name_none(record, annotation, catalog):
    record["annotations"].append(annotation([1, 1, 5, 5], category_id=6))
    MetadataCatalog.get("nameless")
    with pytest.raises(DataError, match="has 7 classes"):
        check_dataset("nameless", [record], 6, 10)


def test_panoptic_data_sets_need_outputs_for_stuff_too(shapes_folder):
    records = load_dataset("small_val_panoptic")
    with pytest.raises(DataError, match="has 6 classes"):
        check_dataset("small_val_panoptic", records, 3, 100)
    check_dataset("small_val_panoptic", records, 6, 100)


@pytest.mark.parametrize("bbox", [[math.nan, 1, 2, 3], [1, 2, math.inf, 3], [1, 2, 3], None])
def test_a_box_that_is_not_four_finite_numbers_names_the_image(record, annotation, bbox):
    record["annotations"].append(annotation(bbox))
    with pytest.raises(DataError, match=r"wide\.png.*four finite numbers"):
        check_dataset("infinite", [record], 80, 10)


SQUARE = [[12, 6, 20, 6, 20, 10, 12, 10]]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, r"no 'segmentation', which MODEL\.MASK_ON needs"),
        ({"segmentation": [[1, 2, 3, 4]]}, "three points"),
        ({"segmentation": {"size": [60, 40], "counts": "x"}}, r"RLE has the size .*\(60, 40\)"),
    ],
)
def test_masks_that_are_trained_on_are_checked_before(record, annotation, entries, message):
    record["annotations"] = [
        annotation([1, 1, 5, 5], iscrowd=1),
        annotation([1, 1, 5, 5], segmentation=SQUARE),
        annotation([1, 1, 5, 5], **entries),
    ]
    check_dataset("boxes alone", [record], 80, 10)
    with pytest.raises(DataError, match=rf"'masks', image .*wide\.png, annotation 2 .*{message}"):
        check_dataset("masks", [record], 80, 10, masks=True)
    check_dataset("masks", [dict(record, annotations=record["annotations"][:2])], 80, 10, masks=True)


def test_the_train_loader_checks_masks_and_the_test_loader_does_not(data_config, load):
    load("maskless")
    data_config.DATASETS.TRAIN = ("maskless",)
    data_config.MODEL.MASK_ON = True
    with pytest.raises(DataError, match=r"MODEL\.MASK_ON"):
        build_detr_train_loader(data_config)
    assert len(list(build_detr_test_loader(data_config, "maskless"))) == 2


def test_a_bad_polygon_beside_a_good_one_is_named_where_masks_are_trained_on(change_coco, load):
    """Detectron2 would load the object without it."""

    def edit(content):
        crowd = dict(content["annotations"][0], id=10, iscrowd=1, segmentation=[[1, 2, 3, 4], *SQUARE])
        content["annotations"].insert(0, crowd)
        content["annotations"][1]["segmentation"] = SQUARE
        content["annotations"][2]["segmentation"] = [*SQUARE, [1, 2, 3, 4]]

    change_coco(edit)
    records = load("half_good")
    check_dataset("half_good", records, 2, 10)
    with pytest.raises(DataError, match=r"'half_good': .*train\.json: annotation 12 \(image 2\).*4 numbers"):
        check_dataset("half_good", records, 2, 10, masks=True)


def test_unusable_boxes_are_counted_by_kind(record, annotation, said):
    record["annotations"] += [
        annotation([5, 5, 0, 10]),  # no area
        annotation([5, 5, 10, -4]),  # no area
        annotation([60, 5, 10, 10]),  # outside: begins where the image ends
        annotation([-10, -10, 10, 30]),  # outside
        annotation([10, -8, 10, 8]),  # outside
        annotation([50, 5, 12, 10]),  # beyond by 2
        annotation([50, 5, 10.5, 10]),  # beyond by half a pixel: rounding
        annotation([0, 0, 60, 40]),  # just the image
        annotation([5, 5, 0, 0], iscrowd=1),  # crowds are not looked at
    ]
    check_dataset("odd", [record], 80, 10)
    no_area, outside, beyond = said()
    assert "2 of 9 boxes have no area and are skipped" in no_area
    assert "(5.0, 5.0, 5.0, 15.0)" in no_area
    assert "3 of 9 boxes lie outside" in outside
    assert "1 of 9 boxes reach beyond their image and are clipped" in beyond
    assert all("wide.png" in message and "'odd'" in message for message in said())


def test_images_with_more_objects_than_queries_are_counted(record, annotation, said):
    crowded = dict(record, annotations=[annotation([1, 1, 5, 5])] * 5 + [annotation([1, 1, 5, 5], iscrowd=1)])
    check_dataset("full", [record, crowded, record], 80, 4)
    (message,) = said()
    assert "1 of 3 images have more objects (up to 5) than MODEL.DETR.NUM_OBJECT_QUERIES (4)" in message
    check_dataset("roomy", [record, crowded, record], 80, 5)
    assert len(said()) == 1


def test_a_data_set_without_any_object_is_warned_about(record, annotation, said):
    empty = dict(record, annotations=[annotation([1, 1, 5, 5], iscrowd=1)])
    check_dataset("partly_empty", [empty, record], 80, 10)
    assert said() == []
    check_dataset("empty", [empty, dict(record, annotations=[])], 80, 10)
    assert said() == ["Data set 'empty': none of the 2 images has an object."]


def test_a_warning_is_said_once(record, annotation, said):
    record["annotations"].append(annotation([5, 5, 0, 10]))
    for _ in range(3):
        check_dataset("repeated", [record], 80, 10)
    assert len(said()) == 1


def test_images_on_other_storage_are_not_looked_for(record):
    check_dataset("remote", [dict(record, file_name="s3://bucket/a.jpg")], 80, 10)


@pytest.mark.parametrize(
    "build",
    [build_detr_train_loader, lambda cfg: build_detr_test_loader(cfg, "checked")],
    ids=["train", "test"],
)
def test_both_loaders_check(build, data_config, load):
    load("checked")
    data_config.MODEL.DETR.NUM_CLASSES = 1
    data_config.DATASETS.TRAIN = ("checked",)
    with pytest.raises(DataError, match=r"MODEL\.DETR\.NUM_CLASSES"):
        build(data_config)


def test_images_with_unusable_boxes_and_too_many_objects_are_trained_on(data_config, change_coco, load, said):
    def edit(content):
        for number in range(6):
            extra = dict(content["annotations"][0], id=100 + number, bbox=[number, 1, number, 9])
            content["annotations"].append(extra)

    change_coco(edit)
    load("hard")
    data_config.DATASETS.TRAIN = ("hard",)
    data_config.MODEL.DETR.NUM_OBJECT_QUERIES = 3
    data_config.INPUT.CROP.ENABLED = False
    data_config.SOLVER.IMS_PER_BATCH = 2
    data_config.DATALOADER.ASPECT_RATIO_GROUPING = False
    batch = next(iter(build_detr_train_loader(data_config)))
    # 1 + 6 objects, of which the box of width 0 is skipped.
    assert sorted(len(sample["instances"]) for sample in batch) == [1, 6]
    assert len(said()) == 2
