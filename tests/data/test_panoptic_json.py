"""Panoptic annotation files: sizes of the images, and what is wrong with a file."""

from __future__ import annotations

import json
import logging

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_panoptic
from PIL import Image

from detr_d2.classes import thing_classes
from detr_d2.data import DataError, load_dataset, read_classes, register_configured
from detr_d2.data.panoptic_json import read_panoptic_json
from detr_d2.data.preflight.findings import Report
from detr_d2.data.preflight.records import look_at_records
from detr_d2.data.preflight.run import Needs, ensure_examined, examine
from detr_d2.data.records import with_image_sizes
from detr_d2.errors import UserError

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
        change_json(panoptic_folder, edit)
        folders = str(panoptic_folder / "images"), str(panoptic_folder / "maps")
        register_coco_panoptic("hand_made", CLASSES, *folders, str(path))
        return load_dataset("hand_made")

    return register_and_load


def test_a_sound_data_set_is_loaded_with_sizes(load, panoptic_record, caplog):
    caplog.set_level(logging.WARNING)
    records = load()
    assert records == [panoptic_record]
    ensure_examined("hand_made", Needs(2, 3, masks=True))
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
    with pytest.raises(UserError, match=rf"one\.jpg {message}"):
        with_image_sizes([panoptic_record], "")


def change_json(folder, edit):
    path = folder / "panoptic.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def first(content):
    return content["annotations"][0]


# What is wrong, and how the record is named.
BAD = {
    "no annotations": (lambda c: c.pop("annotations"), "annotations"),
    "empty annotations": (lambda c: c["annotations"].clear(), "annotations"),
    "no categories": (lambda c: c["categories"].clear(), "categories"),
    "no segments": (lambda c: first(c).pop("segments_info"), "entry 0 of 'annotations'.*segments_info"),
    "no file name": (lambda c: first(c).pop("file_name"), "entry 0 of 'annotations'.*file_name"),
    "unknown image": (lambda c: first(c).update(image_id=4), r"image 4, 'one\.png'"),
    "annotated twice": (lambda c: c["annotations"].append(first(c)), r"image 31, 'one\.png'"),
    "segment without id": (lambda c: first(c)["segments_info"][1].pop("id"), r"image 31, 'one\.png'.*'id'"),
    "unlisted category": (
        lambda c: first(c)["segments_info"][1].update(category_id=8),
        r"segment 300 of .*image 31, 'one\.png'.*\b8\b.*7, 9",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_panoptic_json_is_named(case, panoptic_folder):
    edit, record = BAD[case]
    change_json(panoptic_folder, edit)
    with pytest.raises(DataError, match=rf"panoptic\.json.*{record}"):
        read_panoptic_json(str(panoptic_folder / "panoptic.json"))


@pytest.mark.parametrize("case", ["unlisted category", "no segments", "empty annotations"])
def test_what_keeps_a_data_set_from_being_loaded_is_named(case, load):
    edit, record = BAD[case]
    with pytest.raises(DataError, match=rf"'hand_made'.*panoptic\.json.*{record}"):
        load(edit)


def test_what_is_read_is_in_one_form(panoptic_folder):
    sound = read_panoptic_json(str(panoptic_folder / "panoptic.json"))

    def edit(content):
        content["images"][0].update(width=60.0, height=40.0)
        one, two, three = first(content)["segments_info"]
        one.update(id=5.0, category_id=7.0, area=1e30)
        del two["iscrowd"]
        three.update(iscrowd=None)

    change_json(panoptic_folder, edit)
    content = read_panoptic_json(str(panoptic_folder / "panoptic.json"))
    assert content == sound
    assert all(type(segment["id"]) is int for segment in first(content)["segments_info"])


class TestOwnSets:
    """What DATASETS.COCO_PANOPTIC registers."""

    @pytest.fixture
    def registered(self, data_config, panoptic_folder, catalog):
        files = [str(panoptic_folder / name) for name in ("panoptic.json", "images", "maps")]
        data_config.DATASETS.COCO_PANOPTIC = [["own", *files]]
        data_config.DATASETS.TRAIN = ("own",)
        data_config.DATASETS.TEST = ()
        register_configured(data_config)
        return data_config

    def test_have_the_records_of_detectron2s_loader(self, registered, panoptic_record):
        assert load_dataset("own") == [panoptic_record]

    def test_take_image_and_map_names_from_the_file(self, registered, panoptic_folder):
        def edit(content):
            content["images"][0]["file_name"] = "sub/photo.PNG"
            first(content)["file_name"] = "deep/er/one_panoptic.v2.png"

        change_json(panoptic_folder, edit)
        (record,) = DatasetCatalog.get("own")
        assert record["file_name"] == str(panoptic_folder / "images" / "sub" / "photo.PNG")
        assert record["pan_seg_file_name"] == str(panoptic_folder / "maps/deep/er/one_panoptic.v2.png")

    def test_have_the_annotated_images_in_the_order_of_annotations(self, registered, panoptic_folder):
        def edit(content):
            for number in (8, 9):
                content["images"].append({**content["images"][0], "id": number})
            content["annotations"].insert(0, {**first(content), "image_id": 9, "segments_info": []})

        change_json(panoptic_folder, edit)
        assert [record["image_id"] for record in DatasetCatalog.get("own")] == [9, 31]

    def test_number_classes_by_their_ids_when_they_are_loaded(self, registered, panoptic_folder):
        change_json(panoptic_folder, lambda content: content["categories"].reverse())
        assert "thing_classes" not in MetadataCatalog.get("own").as_dict()
        load_dataset("own")
        assert MetadataCatalog.get("own").as_dict().items() >= CLASSES.items()

    @pytest.mark.parametrize("key", ["TRAIN", "TEST"])
    def test_can_tell_their_classes_before(self, registered, key):
        registered.DATASETS.TRAIN = ()
        registered.DATASETS[key] = ("own", "coco_2017_val_panoptic", "not_registered")
        read_classes(registered)
        assert MetadataCatalog.get("own").as_dict().items() >= CLASSES.items()
        assert "not_registered" not in DatasetCatalog.list()

    def test_let_a_model_know_things_from_stuff(self, registered):
        assert thing_classes(registered) is None
        read_classes(registered)
        assert thing_classes(registered) == [0]

    def test_need_no_file_before_they_are_loaded(self, registered, panoptic_folder):
        (panoptic_folder / "panoptic.json").unlink()
        read_classes(registered)
        with pytest.raises(UserError, match=r"panoptic\.json"):
            load_dataset("own")

    @pytest.mark.parametrize("isthing", [None, "1", 2, [], "absent"])
    def test_name_the_category_that_does_not_tell_whether_it_is_a_thing(
        self, registered, panoptic_folder, isthing
    ):
        def edit(content):
            content["categories"][1]["isthing"] = isthing
            if isthing == "absent":
                del content["categories"][1]["isthing"]

        change_json(panoptic_folder, edit)
        for use in (lambda: load_dataset("own"), lambda: read_classes(registered)):
            with pytest.raises(DataError, match=r"panoptic\.json.*9.*'table'.*isthing"):
                use()

    def test_notice_classes_that_changed_meanwhile(self, registered, panoptic_folder):
        read_classes(registered)
        change_json(panoptic_folder, lambda content: content["categories"][0].update(name="mug"))
        with pytest.raises(DataError, match=r"'own'.*panoptic\.json.*thing_classes"):
            load_dataset("own")


def test_a_category_that_the_metadata_do_not_number_is_named(load):
    def edit(content):
        content["categories"].append({"id": 8, "name": "spoon", "isthing": 1})
        first(content)["segments_info"][0]["category_id"] = 8

    with pytest.raises(DataError, match=r"panoptic\.json.*segment 5.*thing_dataset_id_to_contiguous_id"):
        load(edit)


@pytest.mark.parametrize("gone", ["images/one.jpg", "maps/one.png"])
def test_the_first_missing_file_is_named(load, panoptic_folder, gone):
    (panoptic_folder / gone).unlink()
    with pytest.raises(DataError, match=rf"'hand_made'.*{gone}"):
        load()


def test_missing_maps_are_counted(load, panoptic_record):
    load()
    other = dict(panoptic_record, image_id=32, pan_seg_file_name=panoptic_record["pan_seg_file_name"] + "2")
    report = Report("records")
    look_at_records(report, [panoptic_record, other], masks=False)
    (finding,) = report.findings
    assert (finding.kind, finding.count) == ("missing-map", 1)
    assert "one.png2" in finding.first


def test_segments_are_counted_against_the_queries(load, panoptic_record):
    load()
    (finding,) = examine("hand_made", Needs(num_queries=2)).findings
    assert finding.kind == "more-than-queries"
    assert "up to 3" in finding.what
    report = Report("records")
    columns = look_at_records(report, [panoptic_record], masks=False)
    assert columns.classes.tolist() == [0, 0, 1]
