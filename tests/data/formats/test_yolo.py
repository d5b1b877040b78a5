"""YOLO's labels: hand-worked numbers, the places of files, and lines that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from detr_d2.data.formats import Split, read_data_set
from detr_d2.data.formats.yolo import label_file
from detr_d2.errors import DataError, MissingFileError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """data.yaml, images/train/a.png of 200 x 100 pixels, and its labels: a box, and a triangle."""
    for name in ("images/train", "labels/train"):
        (tmp_path / name).mkdir(parents=True)
    Image.new("RGB", (200, 100)).save(tmp_path / "images/train/a.png")
    write(tmp_path, "0 0.5 0.5 0.2 0.4\n1 0.1 0.2 0.3 0.2 0.3 0.6\n")
    (tmp_path / "data.yaml").write_text("train: images/train\nnames: [cup, jug]\n")
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "labels/train/a.txt").write_text(text)


def read(folder: Path) -> Split:
    return read_data_set(str(folder)).splits[0]


def test_boxes_and_polygons_in_pixels(folder: Path) -> None:
    first, second = read(folder).content["annotations"]
    assert first["bbox"] == pytest.approx([80, 30, 40, 40])
    assert "segmentation" not in first
    assert second["segmentation"] == [pytest.approx([20, 20, 60, 20, 60, 60])]
    assert second["bbox"] == pytest.approx([20, 20, 40, 40])
    assert (first["category_id"], second["category_id"]) == (1, 2)


@pytest.mark.parametrize(
    "line",
    ["2 .5 .5 .1 .1", "-1 .5 .5 .1 .1", "0.5 .5 .5 .1 .1", "cup .5 .5 .1 .1", "0 .5 .5 .1", "0",
     "0 .5 .5 .1 .1 .9", "0 nan .5 .1 .1", "0 inf .5 .1 .1", "0 100 50 20 20", "0 .1 .1 .2 .2 .3 .3 .4"],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_named(line: str, folder: Path) -> None:
    write(folder, f"0 .5 .5 .1 .1\n\n{line}\n")
    split = read(folder)
    (finding,) = split.report.errors
    assert finding.count == 1
    assert f"{folder / 'labels/train/a.txt'}, line 3" in finding.first
    assert len(split.content["annotations"]) == 1


def test_images_of_folders_below_are_read_with_their_labels(folder: Path) -> None:
    for name in ("images/train/more", "labels/train/more"):
        (folder / name).mkdir()
    Image.new("RGB", (20, 10)).save(folder / "images/train/more/b.png")
    (folder / "labels/train/more/b.txt").write_text("1 0.5 0.5 1 1\n")
    content = read(folder).content
    assert [Path(image["file_name"]).name for image in content["images"]] == ["a.png", "b.png"]
    assert content["annotations"][-1]["bbox"] == pytest.approx([0, 0, 20, 10])


def test_an_image_without_labels_has_no_object_and_is_counted(folder: Path) -> None:
    Image.new("RGB", (20, 10)).save(folder / "images/train/b.png")
    split = read(folder)
    finding = split.report.found("no-label-file")
    assert finding is not None
    assert (finding.count, len(split.content["images"])) == (1, 2)
    assert not split.report.errors


def test_no_labels_at_all_is_an_error_that_names_where_they_belong(folder: Path) -> None:
    (folder / "labels/train/a.txt").rename(folder / "a.txt")
    (finding,) = read(folder).report.errors
    assert str(folder / "labels/train/a.txt") in finding.first


def test_an_image_that_cannot_be_read_is_named_and_the_others_are_read(folder: Path) -> None:
    (folder / "images/train/b.png").write_bytes(b"")
    split = read(folder)
    (finding,) = split.report.errors
    assert str(folder / "images/train/b.png") in finding.first
    assert len(split.content["annotations"]) == 2


def test_labels_follow_the_orientation_of_exif(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100)).save(folder / "images/train/a.png", exif=exif)
    split = read(folder)
    (image,) = split.content["images"]
    assert (image["width"], image["height"]) == (100, 200)
    assert split.content["annotations"][0]["bbox"] == pytest.approx([40, 60, 20, 80])


@pytest.mark.parametrize(
    "yaml",
    [
        "train: images/train\nnames: {0: cup, 1: jug}",
        "path: .\ntrain: [images/train]\nnames: [cup, jug]",
        "train: ../images/train\nnames: [cup, jug]",  # Roboflow's, which starts from nowhere
        "train: list.txt\nnames: [cup, jug]",
        "path: /nowhere\ntrain: images/train\nnames: [cup, jug]",
    ],
)
def test_forms_of_the_yaml(yaml: str, folder: Path) -> None:
    (folder / "list.txt").write_text("./images/train/a.png\n\n")
    (folder / "data.yaml").write_text(yaml)
    for path in (folder, folder / "data.yaml"):
        content = read(path).content
        assert [category["name"] for category in content["categories"]] == ["cup", "jug"]
        assert len(content["annotations"]) == 2


@pytest.mark.parametrize(
    "yaml",
    ["train: images/train\nnames: []", "names: 3", "names: [a, a]\ntrain: images/train", "- names:",
     "names: [", "train: 3\nnames: [a]", "names: {a: b}", "!!python/object:os.system\nnames: x"],
)  # fmt: skip
def test_a_yaml_that_cannot_be_used_is_one_line_that_names_it(yaml: str, folder: Path) -> None:
    (folder / "data.yaml").write_text(yaml)
    with pytest.raises((DataError, MissingFileError)) as error:
        read(folder)
    assert str(folder / "data.yaml") in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_without_names_of_classes_are_an_error(folder: Path) -> None:
    (folder / "data.yaml").unlink()
    with pytest.raises(DataError, match=r"data\.yaml"):
        read(folder)


def test_a_split_that_is_not_there_is_said_where_another_is(folder: Path) -> None:
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cup, jug]")
    data = read_data_set(str(folder))
    assert [split.name for split in data.splits] == ["train"]
    finding = data.splits[0].report.found("split-elsewhere")
    assert finding is not None
    assert "images/val" in finding.first
    (folder / "data.yaml").write_text("train: images/absent\nnames: [cup, jug]")
    with pytest.raises(MissingFileError, match="images/absent"):
        read_data_set(str(folder))


@pytest.mark.parametrize(
    ("image", "labels"),
    [("d/images/train/a.jpg", "d/labels/train/a.txt"), ("images/images/a.b.png", "images/labels/a.b.txt"),
     ("d/pictures/images.jpg", "d/pictures/images.txt")],
)  # fmt: skip
def test_where_the_labels_of_an_image_are(image: str, labels: str) -> None:
    assert label_file(Path(image)) == Path(labels)
