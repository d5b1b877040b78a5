"""Panoptic annotation files: sizes of the images, and what is wrong with a file."""

from __future__ import annotations

import json
import logging

import pytest
from detectron2.data import DatasetCatalog
from detectron2.data.datasets import register_coco_panoptic
from PIL import Image

from detr_d2.data import DataError, check_dataset, load_dataset
from detr_d2.data.panoptic_json import read_panoptic_json, with_image_sizes

CLASSES = {
    "thing_classes": ["cup", "table"],
    "stuff_classes": ["cup", "table"],
    "thing_dataset_id_to_contiguous_id": {7: 0},
    "stuff_dataset_id_to_contiguous_id": {9: 1},
}


@pytest.fixture
def load(panoptic_folder, catalog):
    """Register the hand-made panoptic data set, after a change to its annotations, and load it."""

    def register_and_load(edit=lambda content: None):
        path = panoptic_folder / "panoptic.json"
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))
        folders = str(panoptic_folder / "images"), str(panoptic_folder / "maps")
        register_coco_panoptic("hand_made", CLASSES, *folders, str(path))
        return load_dataset("hand_made")

    return register_and_load


def test_a_sound_data_set_is_loaded_with_sizes(load, panoptic_record, caplog):
    caplog.set_level(logging.WARNING)
    records = load()
    assert records == [panoptic_record]
    check_dataset("hand_made", records, 2, 3, masks=True)
    assert not [r for r in caplog.records if r.name.startswith("detr_d2")]


def test_sizes_come_from_the_annotations_where_they_tell(load, panoptic_folder):
    load()
    (panoptic_folder / "images" / "one.jpg").write_bytes(b"not looked at")
    record = DatasetCatalog.get("hand_made")[0]
    (sized,) = with_image_sizes([record], str(panoptic_folder / "panoptic.json"))
    assert (sized["width"], sized["height"]) == (60, 40)
    assert "width" not in record


@pytest.mark.parametrize("json_file", ["", "not/there.json"])
@pytest.mark.parametrize("turned", [False, True])
def test_or_else_from_the_header_of_the_image(panoptic_record, json_file, turned):
    image = Image.new("RGB", (70, 50))
    exif = image.getexif()
    exif[0x0112] = 6 if turned else 1
    image.save(panoptic_record["file_name"], exif=exif)
    del panoptic_record["width"], panoptic_record["height"]
    (sized,) = with_image_sizes([panoptic_record], json_file)
    assert (sized["width"], sized["height"]) == ((50, 70) if turned else (70, 50))


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist"), (b"no image", "cannot be decoded")]
)
def test_an_image_without_a_readable_header_is_named(panoptic_record, panoptic_folder, content, message):
    path = panoptic_folder / "images" / "one.jpg"
    path.unlink() if content is None else path.write_bytes(content)
    del panoptic_record["width"]
    with pytest.raises(DataError, match=rf"one\.jpg {message}"):
        with_image_sizes([panoptic_record], "")


def first(content):
    return content["annotations"][0]


BAD = {
    "no annotations": (lambda c: c.pop("annotations"), "no list 'annotations'"),
    "empty annotations": (lambda c: c["annotations"].clear(), "list 'annotations' is empty"),
    "no categories": (lambda c: c["categories"].clear(), "'categories' is empty"),
    "no segments": (lambda c: first(c).pop("segments_info"), "entry 0 of 'annotations'.*'segments_info'"),
    "no file name": (lambda c: first(c).pop("file_name"), "entry 0 of 'annotations'.*'file_name'"),
    "unknown image": (lambda c: first(c).update(image_id=4), r"image 4 \(one\.png\).*not listed in 'images'"),
    "annotated twice": (
        lambda c: c["annotations"].append(first(c)),
        r"image 31 \(one\.png\) is not the only",
    ),
    "segment without id": (lambda c: first(c)["segments_info"][1].pop("id"), r"image 31.*no 'id'"),
    "unlisted category": (
        lambda c: first(c)["segments_info"][1].update(category_id=8),
        r"segment 300 of the annotation of image 31 \(one\.png\) has category 8.*\(7, 9\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_panoptic_json_is_named(case, panoptic_folder):
    edit, message = BAD[case]
    path = panoptic_folder / "panoptic.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"panoptic\.json.*{message}"):
        read_panoptic_json(str(path))


@pytest.mark.parametrize("case", ["unlisted category", "no segments", "empty annotations"])
def test_what_keeps_a_data_set_from_being_loaded_is_named(case, load):
    edit, message = BAD[case]
    with pytest.raises(DataError, match=rf"'hand_made'.*panoptic\.json.*{message}"):
        load(edit)


def test_a_category_that_the_metadata_do_not_number_is_named(load):
    def edit(content):
        content["categories"].append({"id": 8, "name": "spoon", "isthing": 1})
        first(content)["segments_info"][0]["category_id"] = 8

    with pytest.raises(DataError, match=r"panoptic\.json lists the category 8.*metadata"):
        load(edit)


@pytest.mark.parametrize("gone", ["images/one.jpg", "maps/one.png"])
def test_the_first_missing_file_is_named(load, panoptic_folder, gone):
    (panoptic_folder / gone).unlink()
    with pytest.raises(DataError, match=rf"'hand_made'.*{gone} does not exist"):
        load()


def test_missing_maps_are_counted(load, panoptic_record):
    load()
    other = dict(panoptic_record, pan_seg_file_name=panoptic_record["pan_seg_file_name"] + "2")
    with pytest.raises(DataError, match=r"1 of 2 segmentation maps named by .*panoptic\.json.*one\.png2"):
        check_dataset("hand_made", [panoptic_record, other], 2, 3)


def test_segments_are_counted_against_the_queries(load, caplog):
    caplog.set_level(logging.WARNING)
    records = load()
    check_dataset("hand_made", records, 2, 2)
    assert "1 of 1 images have more objects (up to 3)" in caplog.text
    check_dataset("hand_made", [dict(records[0], segments_info=[])], 2, 2)
    assert "none of the 1 images has an object" in caplog.text
