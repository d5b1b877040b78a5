"""What is wrong with instance annotations is found by kind, counted, and named by its first record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detr_d2.data.preflight import Needs, Report, check_instances

Content = dict[str, Any]
SQUARE = [[12, 6, 20, 6, 20, 10, 12, 10]]


def add(content: Content, **entries: Any) -> None:
    """One more object, on the second image."""
    number = 100 + len(content["annotations"])
    content["annotations"].append({**content["annotations"][1], "id": number, **entries})


@pytest.fixture
def look(coco_folder: Path) -> Callable[..., Report]:
    """Change the sound train.json and look at it."""

    def change_and_look(edit: Callable[[Content], object] = lambda c: None, **needs: Any) -> Report:
        content = json.loads((coco_folder / "train.json").read_text())
        edit(content)
        file = coco_folder / "changed.json"
        file.write_text(json.dumps(content))
        return check_instances(Report(str(file)), str(coco_folder / "images"), Needs(**needs))

    return change_and_look


def kinds(report: Report) -> dict[str, int]:
    return {finding.kind: finding.count for finding in report.findings}


def test_a_sound_file_has_no_finding_and_is_told_in_numbers(look: Callable[..., Report]) -> None:
    report = look(num_classes=2, num_queries=1, num_detections=1)
    assert report.findings == []
    assert (report.images, report.objects, report.headers, report.classes) == (2, 2, 2, ["cup", "jug"])


ERRORS: dict[str, tuple[str, Callable[[Content], object], str]] = {
    "no categories": ("outline", lambda c: c.pop("categories"), "categories"),
    "categories as an object": ("outline", lambda c: c.update(categories={"1": "x"}), "categories"),
    "empty categories": ("outline", lambda c: c["categories"].clear(), "categories"),
    "no images": ("outline", lambda c: c.pop("images"), "images"),
    "empty images": ("no-images", lambda c: c["images"].clear(), "images"),
    "image that is a list": ("record", lambda c: c["images"].append([1]), "entry 2 of 'images'"),
    "image without height": ("record", lambda c: c["images"][0].pop("height"), "height"),
    "image without file name": ("record", lambda c: c["images"][1].pop("file_name"), "entry 1 of 'images'"),
    "file name that is a number": ("record", lambda c: c["images"][1].update(file_name=7), "image 2"),
    "annotation without box": ("record", lambda c: c["annotations"][0].pop("bbox"), "bbox"),
    "annotation that is null": ("record", lambda c: c["annotations"].append(None), "entry 2"),
    "repeated image": ("repeated-image-id", lambda c: c["images"][1].update(id=1), "id 1"),
    "repeated image as a float": ("repeated-image-id", lambda c: c["images"][1].update(id=1.0), "high.png"),
    "repeated annotation": (
        "repeated-annotation-id",
        lambda c: c["annotations"][1].update(id=11),
        "id 11",
    ),
    "repeated category": ("repeated-category-id", lambda c: c["categories"][1].update(id=5), "id 5"),
    "image with a list as id": ("bad-id", lambda c: c["images"][0].update(id=[1]), "[1]"),
    "image with true as id": ("bad-id", lambda c: c["images"][0].update(id=True), "True"),
    "category with half an id": ("bad-id", lambda c: c["categories"][0].update(id=1.5), "1.5"),
    "text and numbers as ids": ("mixed-ids", lambda c: c["images"][0].update(id="1"), "'1'"),
    "text in the annotations only": (
        "mixed-ids",
        lambda c: c["annotations"][1].update(image_id="2"),
        "annotation 12",
    ),
    "category as text": ("mixed-ids", lambda c: c["annotations"][1].update(category_id="9"), "'9'"),
    "category that is null": ("bad-id", lambda c: c["annotations"][1].update(category_id=None), "None"),
    "image id that is an object": ("bad-id", lambda c: c["annotations"][1].update(image_id={}), "{}"),
    "unlisted image": ("unlisted-image", lambda c: c["annotations"][1].update(image_id=404), "404"),
    "unlisted category": (
        "unlisted-category",
        lambda c: c["annotations"][1].update(category_id=77),
        "annotation 12",
    ),
    "name that is a number": ("bad-name", lambda c: c["categories"][0].update(name=3), "category 5"),
    "no name": ("bad-name", lambda c: c["categories"][0].update(name=" "), "category 5"),
    "width -1": ("bad-size", lambda c: c["images"][0].update(width=-1), "wide.png"),
    "height 0": ("bad-size", lambda c: c["images"][0].update(height=0), "wide.png"),
    "width as text": ("bad-size", lambda c: c["images"][0].update(width="60"), "wide.png"),
    "width of 2**70": ("bad-size", lambda c: c["images"][0].update(width=2**70), "wide.png"),
    "no box": ("bad-box", lambda c: c["annotations"][0].update(bbox=[]), "annotation 11"),
    "box that is null": ("bad-box", lambda c: c["annotations"][0].update(bbox=None), "annotation 11"),
    "box with text": ("bad-box", lambda c: c["annotations"][0].update(bbox=[1, 2, "3", 4]), "wide.png"),
    "box with NaN": ("bad-box", lambda c: c["annotations"][0].update(bbox=[1, 2, math.nan, 4]), "nan"),
    "box with infinity": ("bad-box", lambda c: c["annotations"][0].update(bbox=[1, 2, math.inf, 4]), "inf"),
    "box of 1e30": ("bad-box", lambda c: c["annotations"][0].update(bbox=[1, 2, 1e30, 4]), "1e+30"),
    "box of lists": ("bad-box", lambda c: c["annotations"][0].update(bbox=[[1], 2, 3, 4]), "annotation 11"),
    "crowd as text": ("bad-crowd", lambda c: c["annotations"][0].update(iscrowd="0"), "'0'"),
    "crowd 2": ("bad-crowd", lambda c: c["annotations"][0].update(iscrowd=2), "annotation 11"),
    "ignored": ("ignore", lambda c: c["annotations"][0].update(ignore=1), "annotation 11"),
    "keypoints as text": ("bad-keypoints", lambda c: c["annotations"][0].update(keypoints="x"), "11"),
    "keypoints of text": ("bad-keypoints", lambda c: c["annotations"][0].update(keypoints=["x"]), "11"),
    "every object a crowd": (
        "all-crowd",
        lambda c: [x.update(iscrowd=1) for x in c["annotations"]],
        "annotation 11",
    ),
    "segmentation as text": (
        "bad-segmentation",
        lambda c: c["annotations"][0].update(segmentation="x"),
        "annotation 11",
    ),
    "flat polygon": (
        "bad-segmentation",
        lambda c: c["annotations"][0].update(segmentation=SQUARE[0]),
        "annotation 11",
    ),
    "RLE of floats": (
        "bad-segmentation",
        lambda c: c["annotations"][0].update(segmentation={"size": [40, 60], "counts": [5.5, 2394.5]}),
        "annotation 11",
    ),
    "RLE without size": (
        "bad-segmentation",
        lambda c: c["annotations"][0].update(segmentation={"counts": [5, 2395]}),
        "annotation 11",
    ),
    "RLE of another size": (
        "bad-segmentation",
        lambda c: c["annotations"][0].update(segmentation={"size": [60, 40], "counts": [5, 2395]}),
        "annotation 11",
    ),
    "RLE of an impossible size": (
        "bad-segmentation",
        lambda c: c["annotations"][0].update(segmentation={"size": [2**40, 2**40], "counts": [5, 2395]}),
        "annotation 11",
    ),
    "counts that are no run lengths": (
        "bad-segmentation",
        lambda c: c["annotations"][0].update(segmentation={"size": [40, 60], "counts": [-5, 2405]}),
        "annotation 11",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_found_by_kind_with_their_first_record(case: str, look: Callable[..., Report]) -> None:
    kind, edit, first = ERRORS[case]
    report = look(edit)
    assert [finding.kind for finding in report.errors] == [kind]
    assert first in report.errors[0].first


def test_all_kinds_are_found_in_one_look_and_counted(look: Callable[..., Report]) -> None:
    def edit(content: Content) -> None:
        for _ in range(3):
            add(content, bbox=[1, 2])
        add(content, category_id=3)
        add(content, image_id=9)
        add(content, iscrowd="no")
        content["images"].append({"id": 3, "file_name": "gone.png", "width": 9, "height": 9})

    assert kinds(look(edit)) == {
        "bad-box": 3,
        "unlisted-category": 1,
        "unlisted-image": 1,
        "bad-crowd": 1,
        "missing-image": 1,
    }


VALID: dict[str, Callable[[Content], object]] = {
    "ids from 0": lambda c: [x.update(id=number) for number, x in enumerate(c["annotations"])],
    "text as ids everywhere": lambda c: (
        [x.update(id=f"i{x['id']}") for x in c["images"]],
        [x.update(id=f"c{x['id']}") for x in c["categories"]],
        [
            x.update(image_id=f"i{x['image_id']}", category_id=f"c{x['category_id']}")
            for x in c["annotations"]
        ],
    ),
    "1.0 beside 1": lambda c: c["annotations"][0].update(image_id=1.0, category_id=5.0),
    "no area and no iscrowd": lambda c: [(x.pop("area"), x.pop("iscrowd")) for x in c["annotations"]],
    "iscrowd null and false": lambda c: [
        x.update(iscrowd=value) for x, value in zip(c["annotations"], (None, False), strict=True)
    ],
    "empty segmentation": lambda c: [
        x.update(segmentation=value) for x, value in zip(c["annotations"], ([], None), strict=True)
    ],
    "extra keys": lambda c: (c.update(info={}, licenses=3), c["images"][0].update(license="x")),
    "another order": lambda c: (c["images"].reverse(), c["categories"].reverse(), c["annotations"].reverse()),
    "annotation ids of several types": lambda c: c["annotations"][0].update(id="eleven"),
    "a width as a float": lambda c: c["images"][0].update(width=60.0),
}


@pytest.mark.parametrize("case", VALID)
def test_unusual_but_sound_files_have_no_finding(case: str, look: Callable[..., Report]) -> None:
    report = look(VALID[case])
    assert report.findings == []
    assert report.objects == 2


def test_polygons_are_counted_and_an_object_without_a_good_one_is_left_out(
    look: Callable[..., Report],
) -> None:
    def edit(content: Content) -> None:
        content["annotations"][0]["segmentation"] = SQUARE
        add(content, segmentation=[*SQUARE, [1, 2, 3, 4]])
        add(content, segmentation=[[1, 2, 3, 4]])

    report = look(edit, masks=True)
    assert kinds(report) == {"bad-polygon": 1, "no-good-polygon": 1, "no-mask": 1}
    assert report.errors == []
    assert report.objects == 3, "Detectron2 leaves out the last one"


def test_a_mask_of_no_use_is_an_error_where_masks_are_trained_on(look: Callable[..., Report]) -> None:
    def edit(content: Content) -> None:
        content["annotations"][0]["segmentation"] = SQUARE
        content["annotations"][1]["segmentation"] = {"size": [60, 40], "counts": [5, 9]}  # of too few pixels

    assert kinds(look(edit)) == {"useless-mask": 1}
    assert kinds(look(edit, masks=True)) == {"bad-segmentation": 1, "class-without-objects": 1}


def test_masks_are_asked_for_only_where_they_are_trained_on(look: Callable[..., Report]) -> None:
    assert kinds(look(masks=True)) == {"no-mask": 2, "no-masks": 2}
    assert kinds(look(masks=False)) == {}


def test_more_classes_than_the_model_has_name_those_without_objects(look: Callable[..., Report]) -> None:
    def edit(content: Content) -> None:
        content["categories"].insert(0, {"id": 0, "name": "cells", "supercategory": "none"})

    report = look(edit, num_classes=2)
    assert kinds(report) == {"too-many-classes": 3, "class-without-objects": 1}
    (error,) = report.errors
    assert "cells" in error.remedy
    assert "NUM_CLASSES to 3" in error.remedy
    assert look(edit, num_classes=3).errors == []


def test_a_repeated_name_is_said(look: Callable[..., Report]) -> None:
    assert kinds(look(lambda c: c["categories"][1].update(name="Cup "))) == {"repeated-name": 1}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"text"', "{}" * 2, "[" * 100_000, '{"a": ' + "9" * 5000 + "}"]
)
def test_what_is_no_annotation_file_is_an_error(text: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.json"
    file.write_text(text)
    (error,) = check_instances(Report(str(file)), "", Needs()).errors
    assert error.kind in ("no-annotation-file", "outline")


def test_a_binary_file_and_none_at_all_are_errors(tmp_path: Path) -> None:
    (tmp_path / "binary.json").write_bytes(b"\x89PNG\xff\xfe")
    for name in ("binary.json", "absent.json", "."):
        (error,) = check_instances(Report(str(tmp_path / name)), "", Needs()).errors
        assert error.kind == "no-annotation-file"
        assert name.strip(".") in error.first


SHUFFLED: dict[str, Callable[[Content], object]] = {
    "images first": lambda c: c.update({key: c.pop(key) for key in ("images", "annotations", "categories")}),
    "annotations first": lambda c: c.update({key: c.pop(key) for key in ("annotations", "images")}),
}


@pytest.mark.parametrize("order", SHUFFLED)
def test_masks_are_looked_at_wherever_the_images_are_listed(order: str, look: Callable[..., Report]) -> None:
    def edit(content: Content) -> None:
        content["annotations"].clear()
        for polygons in (SQUARE, [*SQUARE, [1, 2, 3, 4]], [[1, 2, 3, 1e30, 5, 6]], SQUARE[0]):
            content["annotations"].append(
                {"id": len(content["annotations"]), "image_id": 1, "category_id": 5, "bbox": [1, 1, 9, 9]}
            )
            content["annotations"][-1]["segmentation"] = polygons
        SHUFFLED[order](content)

    assert kinds(look(edit, masks=True)) == {
        "bad-polygon": 1,
        "no-good-polygon": 1,
        "bad-segmentation": 1,
        "class-without-objects": 1,
    }
