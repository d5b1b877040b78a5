"""Pascal VOC: pixels that are counted from 1, layouts, and files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from detr_d2.data.formats import Split, read_data_set
from detr_d2.errors import DataError

SIZE = "<size><width>60</width><height>40</height></size>"


def thing(name: str, *corners: object) -> str:
    keys = ("xmin", "ymin", "xmax", "ymax")
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in zip(keys, corners, strict=True))
    return f"<object><name>{name}</name><bndbox>{inner}</bndbox></object>"


def write(folder: Path, stem: str, inside: str, image: str = "JPEGImages", xmls: str = "Annotations") -> None:
    for below in (image, xmls):
        (folder / below).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40)).save(folder / image / f"{stem}.jpg")
    (folder / xmls / f"{stem}.xml").write_text(f"<annotation>{inside}</annotation>")


def boxes(split: Split) -> list[list[float]]:
    return [entry["bbox"] for entry in split.content["annotations"]]


def test_pixels_are_counted_from_1_and_both_ends_belong_to_the_box(tmp_path: Path) -> None:
    write(tmp_path, "a", SIZE + thing("cup", 1, 1, 10, 10) + thing("cup", 5, 7, 60, 40))
    (split,) = read_data_set(str(tmp_path)).splits
    assert boxes(split) == [[0, 0, 10, 10], [4, 6, 56, 34]]


def test_a_0_anywhere_says_that_the_set_is_counted_from_0(tmp_path: Path) -> None:
    write(tmp_path, "a", SIZE + thing("cup", 5, 7, 50, 30), xmls="train", image="train")
    write(tmp_path, "b", SIZE + thing("cup", 3, 0, 10.5, 10), xmls="valid", image="valid")
    train, val = read_data_set(str(tmp_path)).splits
    assert (boxes(train), boxes(val)) == ([[5, 7, 45, 23]], [[3, 0, 7.5, 10]])
    assert train.report.found("counted-from-0") is not None


@pytest.mark.parametrize(
    ("images", "xmls"), [("JPEGImages", "Annotations"), ("images", "annotations"), (".", ".")]
)
def test_layouts(images: str, xmls: str, tmp_path: Path) -> None:
    write(tmp_path, "a", SIZE + thing("cup", 1, 2, 3, 4), images, xmls)
    (split,) = read_data_set(str(tmp_path)).splits
    (image,) = split.content["images"]
    assert split.name == "train"
    assert Path(split.image_root, image["file_name"]) == tmp_path / images / "a.jpg"


def test_the_size_is_the_file_s_where_the_xml_has_none(tmp_path: Path) -> None:
    write(tmp_path, "a", "<size><width>0</width></size>" + thing("cup", 1, 2, 3, 4))
    (split,) = read_data_set(str(tmp_path)).splits
    (image,) = split.content["images"]
    assert (image["width"], image["height"]) == (60, 40)


def test_classes_are_numbered_over_all_splits_together(tmp_path: Path) -> None:
    write(tmp_path, "a", SIZE + thing("jug", 1, 2, 3, 4), xmls="train", image="train")
    write(tmp_path, "b", SIZE + thing("cup", 1, 2, 3, 4), xmls="val", image="val")
    for split in read_data_set(str(tmp_path)).splits:
        assert [category["name"] for category in split.content["categories"]] == ["cup", "jug"]


@pytest.mark.parametrize(
    "inside",
    [
        thing("", 1, 2, 3, 4),
        thing("cup", 1, 2, 3, ""),
        thing("cup", 1, 2, 3, "x"),
        thing("cup", 1, 2, 3, "inf"),
        "<object><name>cup</name></object>",
        "<object>",
    ],
)
def test_what_cannot_be_used_is_named(inside: str, tmp_path: Path) -> None:
    write(tmp_path, "a", SIZE + thing("jug", 1, 2, 3, 4))
    write(tmp_path, "b", SIZE + inside)
    (split,) = read_data_set(str(tmp_path)).splits
    (finding,) = split.report.errors
    assert str(tmp_path / "Annotations" / "b.xml") in finding.first
    assert [category["name"] for category in split.content["categories"]] == ["jug"]


def test_a_list_that_names_no_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a", SIZE)
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\nb\n")
    with pytest.raises(DataError) as error:
        read_data_set(str(tmp_path))
    assert "train.txt" in str(error.value)
    assert "'b'" in str(error.value)


def test_images_without_an_xml_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "a", SIZE + thing("cup", 1, 1, 10, 10))
    for name in "bc":
        Image.new("RGB", (60, 40)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
    (split,) = read_data_set(str(tmp_path)).splits
    finding = split.report.found("unannotated-image")
    assert (finding.count, Path(finding.first).name) == (2, "b.jpg")
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    (split,) = read_data_set(str(tmp_path)).splits
    assert split.report.found("unannotated-image") is None, "who lists images leaves others out"


def test_of_two_images_of_one_name_that_which_the_xml_names(tmp_path: Path) -> None:
    write(tmp_path, "a", "<filename>a.png</filename>" + thing("cup", 1, 1, 10, 10))
    Image.new("RGB", (30, 20)).save(tmp_path / "JPEGImages" / "a.png")
    (split,) = read_data_set(str(tmp_path)).splits
    (image,) = split.content["images"]
    assert (image["file_name"], image["width"]) == ("JPEGImages/a.png", 30)
