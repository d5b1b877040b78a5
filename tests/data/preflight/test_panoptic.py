"""What a look at panoptic annotations and their maps finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from PIL import Image

from detr_d2.data.preflight import maps
from detr_d2.data.preflight.columns import look_at_boxes, look_at_counts
from detr_d2.data.preflight.findings import Report
from detr_d2.data.preflight.panoptic import look_at_panoptic


@pytest.fixture
def content(panoptic_folder) -> dict[str, Any]:
    return json.loads((panoptic_folder / "panoptic.json").read_text())


def look(content: Any, folder: Path, metadata: dict[str, Any] | None = None):
    report = Report("own", "panoptic.json")
    columns = look_at_panoptic(report, content, str(folder / "images"), str(folder / "maps"), metadata)
    return report, columns


def kinds(report: Report) -> dict[str, int]:
    return {finding.kind: finding.count for finding in report.findings}


def segments(content: dict[str, Any]) -> list[dict[str, Any]]:
    return content["annotations"][0]["segments_info"]


def test_sound_annotations_give_their_segments_as_columns(content, panoptic_folder):
    report, columns = look(content, panoptic_folder)
    assert kinds(report) == {}
    assert report.classes == ["cup", "table"]
    assert columns.files == [str(panoptic_folder / "images" / "one.jpg")]
    assert columns.sizes.tolist() == [[60, 40]]
    assert columns.owners.tolist() == [0, 0, 0]
    assert columns.classes.tolist() == [0, 0, 1]
    assert not columns.crowd.any()
    assert [word in columns.where(2) for word in ("70000", "31", "one.png")] == [True] * 3


def test_the_columns_count_objects_and_have_no_boxes_to_complain_of(content, panoptic_folder):
    report, columns = look(content, panoptic_folder)
    look_at_boxes(report, columns)
    look_at_counts(report, columns, num_queries=2, num_detections=None)
    assert kinds(report) == {"more-than-queries": 1}
    assert (report.images, report.objects) == (1, 3)


# What is changed, the kind of finding, and what names the record.
WRONG = {
    "no object": (lambda c: c.clear(), "outline", "categories"),
    "no annotation": (lambda c: c["annotations"].clear(), "outline", "annotations"),
    "no image": (lambda c: c["images"].clear(), "no-images", "images"),
    "no height": (lambda c: c["images"][0].pop("height"), "record", "entry 0 of 'images'"),
    "annotation is null": (lambda c: c["annotations"].append(None), "record", "entry 1 of 'annotations'"),
    "repeated image id": (lambda c: c["images"].append(c["images"][0]), "repeated-image-id", "31"),
    "repeated category": (
        lambda c: c["categories"].append(c["categories"][0]),
        "repeated-category-id",
        "7",
    ),
    "mixed category ids": (lambda c: c["categories"][0].update(id="7"), "mixed-ids", "'7'"),
    "nameless category": (lambda c: c["categories"][0].update(name=None), "bad-name", "7"),
    "impossible size": (lambda c: c["images"][0].update(width=1e30), "bad-size", "one.jpg"),
    "unlisted image": (lambda c: c["annotations"][0].update(image_id=4), "unlisted-image", "image 4"),
    "image id as text": (lambda c: c["annotations"][0].update(image_id="31"), "mixed-ids", "'31'"),
    "image id as list": (lambda c: c["annotations"][0].update(image_id=[31]), "bad-id", "[31]"),
    "two annotations": (
        lambda c: c["annotations"].append({**c["annotations"][0], "file_name": "two.png"}),
        "repeated-annotation",
        "two.png",
    ),
    "map's name is a number": (lambda c: c["annotations"][0].update(file_name=5), "record", "image 31"),
    "map has no name": (lambda c: c["annotations"][0].update(file_name=""), "record", "image 31"),
    "segments are text": (lambda c: c["annotations"][0].update(segments_info="5"), "record", "image 31"),
    "segment is a number": (lambda c: segments(c).append(5), "record", "segment 3 of"),
    "segment without id": (lambda c: segments(c)[1].pop("id"), "record", "segment 1 of"),
    "segment without category": (lambda c: segments(c)[1].pop("category_id"), "record", "segment 1 of"),
    "segment id 0": (lambda c: segments(c)[1].update(id=0), "bad-segment-id", "segment 1 of"),
    "segment id too large": (lambda c: segments(c)[1].update(id=256**3), "bad-segment-id", "16777216"),
    "segment id as text": (lambda c: segments(c)[1].update(id="300"), "bad-segment-id", "'300'"),
    "segment id is a share": (lambda c: segments(c)[1].update(id=0.5), "bad-segment-id", "0.5"),
    "segment id true": (lambda c: segments(c)[1].update(id=True), "bad-segment-id", "True"),
    "segment id twice": (lambda c: segments(c)[1].update(id=5.0), "repeated-segment-id", "image 31"),
    "unlisted category": (lambda c: segments(c)[1].update(category_id=8), "unlisted-category", "300"),
    "category as text": (lambda c: segments(c)[1].update(category_id="7"), "mixed-ids", "segment 300"),
    "category is nothing": (lambda c: segments(c)[1].update(category_id=None), "bad-id", "segment 300"),
    "crowd as text": (lambda c: segments(c)[1].update(iscrowd="no"), "bad-crowd", "segment 300"),
    "thing or not": (lambda c: c["categories"][1].pop("isthing"), "bad-isthing", "'table'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_keeps_annotations_from_being_read_is_an_error(case, content, panoptic_folder):
    change, kind, record = WRONG[case]
    change(content)
    report, columns = look(content, panoptic_folder)
    assert columns is None
    assert kind in {finding.kind for finding in report.errors}
    assert record in next(finding.first for finding in report.errors if finding.kind == kind)


@pytest.mark.parametrize("content", [None, [], "text", 5, {"images": {}}])
def test_what_is_no_annotation_file_is_an_error(content, tmp_path):
    report, columns = look(content, tmp_path)
    assert columns is None
    assert kinds(report).keys() == {"outline"}


def test_ids_may_be_text_throughout(content, panoptic_folder):
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = "a"
    for record in content["categories"]:
        record["id"] = f"class {record['id']}"
    for segment in segments(content):
        segment["category_id"] = f"class {segment['category_id']}"
    report, columns = look(content, panoptic_folder)
    assert kinds(report) == {}
    assert columns.classes.tolist() == [0, 0, 1]


def test_what_is_odd_but_can_be_read_is_a_warning(content, panoptic_folder):
    content["images"].append({**content["images"][0], "id": 2})
    content["images"].append({**content["images"][0], "id": 3})
    content["annotations"].append({**content["annotations"][0], "image_id": 3})
    for segment in segments(content):
        segment["iscrowd"] = 1
    report, columns = look(content, panoptic_folder)
    assert kinds(report) == {
        "image-without-annotation": 1,
        "repeated-map": 1,
        "several-crowds": 2,
        "all-crowd-segments": 6,
    }
    assert not report.errors
    assert len(columns.files) == 2


class TestNumbersOfTheMetadata:
    def test_count_where_there_are_any(self, content, panoptic_folder):
        metadata = {
            "thing_classes": ["table", "cup"],
            "stuff_classes": ["table", "cup"],
            "thing_dataset_id_to_contiguous_id": {7: 1},
            "stuff_dataset_id_to_contiguous_id": {9: 0},
        }
        report, columns = look(content, panoptic_folder, metadata)
        assert report.classes == ["table", "cup"]
        assert columns.classes.tolist() == [1, 1, 0]

    def test_may_lack_categories_without_segments_alone(self, content, panoptic_folder):
        metadata = {"thing_dataset_id_to_contiguous_id": {7: 0}, "stuff_dataset_id_to_contiguous_id": {9: 1}}
        content["categories"].append({"id": 8, "name": "spoon"})
        assert kinds(look(content, panoptic_folder, metadata)[0]) == {}
        segments(content)[0]["category_id"] = 8
        report, columns = look(content, panoptic_folder, metadata)
        assert columns is None
        assert kinds(report) == {"unnumbered-category": 1}

    def test_must_not_be_of_a_thing_and_of_stuff(self, content, panoptic_folder):
        metadata = {"thing_dataset_id_to_contiguous_id": {7: 0}, "stuff_dataset_id_to_contiguous_id": {9: 0}}
        report, columns = look(content, panoptic_folder, metadata)
        assert columns is None
        assert kinds(report) == {"shared-class-numbers": 1}

    def test_of_detectron2s_own_data_sets_are_told_apart_by_that(self):
        found = []
        for name in ("coco_2017_val_panoptic", "coco_2017_val_panoptic_separated"):
            metadata = MetadataCatalog.get(name).as_dict()
            things, stuff = (metadata[f"{k}_dataset_id_to_contiguous_id"] for k in ("thing", "stuff"))
            categories = [{"id": i, "name": str(i)} for i in sorted({*things, *stuff})]
            image = {"id": 1, "file_name": "a.jpg", "height": 2, "width": 2}
            annotation = {"image_id": 1, "file_name": "a.png", "segments_info": []}
            content = {"images": [image], "annotations": [annotation], "categories": categories}
            found.append(
                look(content, Path("nowhere"), metadata)[0].found("shared-class-numbers") is not None
            )
        assert found == [False, True]


class TestMaps:
    def sets_of(self, content, folder, number):
        """Repeat the image, with a map of its own each."""
        for position in range(1, number):
            image_id, name = 100 + position, f"map{position}.png"
            content["images"].append({**content["images"][0], "id": image_id})
            content["annotations"].append(
                {**content["annotations"][0], "image_id": image_id, "file_name": name}
            )
            (folder / "maps" / name).write_bytes((folder / "maps" / "one.png").read_bytes())

    def test_that_do_not_exist_are_counted(self, content, panoptic_folder):
        self.sets_of(content, panoptic_folder, 5)
        for name in ("map2.png", "map3.png"):
            (panoptic_folder / "maps" / name).unlink()
        report, columns = look(content, panoptic_folder)
        assert kinds(report)["missing-map"] == 2
        assert report.errors[0].first.endswith("maps/map2.png")
        assert len(columns.files) == 5

    def test_of_another_size_are_counted(self, content, panoptic_folder):
        Image.new("RGB", (40, 60)).save(panoptic_folder / "maps" / "one.png")
        report, _ = look(content, panoptic_folder)
        assert kinds(report) == {"map-size": 1}
        assert "one.png is 40 x 60" in report.errors[0].first

    @pytest.mark.parametrize("data", [b"", b"no image", None])
    def test_that_cannot_be_read_are_named(self, content, panoptic_folder, data):
        file = panoptic_folder / "maps" / "one.png"
        file.unlink()
        file.mkdir() if data is None else file.write_bytes(data)
        report, _ = look(content, panoptic_folder)
        assert kinds(report) == {"bad-map": 1}
        assert "maps/one.png" in report.errors[0].first

    def test_of_a_whole_set_that_are_wrong_alike_are_found_with_their_cause(self, content, panoptic_folder):
        self.sets_of(content, panoptic_folder, 6)
        for file in (panoptic_folder / "maps").iterdir():
            colors = np.asarray(Image.open(file))
            Image.fromarray(colors[..., ::-1].copy()).save(file)
        report, _ = look(content, panoptic_folder)
        assert kinds(report) == {"map-ids": 6}
        assert "OpenCV" in report.errors[0].first

    def test_of_a_large_set_are_sampled_and_it_says_so(self, content, panoptic_folder, monkeypatch):
        monkeypatch.setattr(maps, "MOST_MAPS", 4)
        read = []
        whole = maps.read_listed_ids
        monkeypatch.setattr(maps, "read_listed_ids", lambda *a: (read.append(Path(a[0]).name), whole(*a)))
        self.sets_of(content, panoptic_folder, 8)
        report, _ = look(content, panoptic_folder)
        assert sorted(read) == ["map2.png", "map4.png", "map6.png", "one.png"]
        assert kinds(report) == {"maps-sampled": 4}

    @pytest.mark.parametrize("name", ["../maps/one.png", "/maps/one.png", "a/../one.png"])
    def test_lie_in_their_folder(self, content, panoptic_folder, name):
        content["annotations"][0]["file_name"] = name
        report, _ = look(content, panoptic_folder)
        assert report.found("map-elsewhere")
