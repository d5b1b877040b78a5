"""A file for the mask of each object: names, pixels, and files that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_util

from detr_d2.data.formats import Split, read_data_set


def ring() -> np.ndarray:
    y, x = np.mgrid[:40, :60]
    distance = np.hypot(x - 30, y - 20)
    return (distance < 15) & (distance > 6)


def write(folder: Path, *names: str, mask: np.ndarray | None = None) -> None:
    """Write masks, beside images a and a_b of 60 x 40 pixels."""
    for name in ("a.png", "a_b.png"):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(folder / "images" / name)
    for name in names:
        file = folder / "masks" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((ring() if mask is None else mask).astype(np.uint8) * 255).save(file)


def read(folder: Path) -> Split:
    (split,) = read_data_set(str(folder)).splits
    return split


def objects(split: Split) -> list[tuple[str, str]]:
    names = {category["id"]: category["name"] for category in split.content["categories"]}
    files = {image["id"]: Path(image["file_name"]).name for image in split.content["images"]}
    return sorted((files[x["image_id"]], names[x["category_id"]]) for x in split.content["annotations"])


def test_names_say_image_and_class(tmp_path: Path) -> None:
    write(
        tmp_path, "a_cup_1", "a_cup_2", "a_b_cup_1", "a_soup_plate_10", "a_b/jug_3", "a/jug", "a/soup_plate"
    )
    assert objects(read(tmp_path)) == [
        ("a.png", "cup"),
        ("a.png", "cup"),
        ("a.png", "jug"),
        ("a.png", "soup_plate"),
        ("a.png", "soup_plate"),
        ("a_b.png", "cup"),
        ("a_b.png", "jug"),
    ]


@pytest.mark.parametrize("mode", ["L", "1", "P", "I;16", "RGB", "RGBA"])
def test_pixels_are_kept_with_holes(mode: str, tmp_path: Path) -> None:
    write(tmp_path, "a_cup_1")
    mask = ring()
    image = Image.fromarray(mask.astype(np.uint16 if mode == "I;16" else np.uint8))
    if mode == "RGB":  # of one channel alone
        image = Image.fromarray(np.stack([mask * 0, mask * 7, mask * 0], -1).astype(np.uint8))
    elif mode == "RGBA":
        image = Image.fromarray(np.stack([mask * 9, mask * 0, mask * 0, mask | True], -1).astype(np.uint8))
    elif mode == "P":
        image = Image.fromarray(mask.astype(np.uint8), "L").convert("P")
        image.putpalette([0, 0, 0] * 256)
    elif mode == "1":
        image = Image.fromarray(mask)
    image.save(tmp_path / "masks" / "a_cup_1.png")
    (entry,) = read(tmp_path).content["annotations"]
    np.testing.assert_array_equal(mask_util.decode(entry["segmentation"]), mask)
    rows, columns = np.nonzero(mask)
    assert entry["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]


def test_splits_have_folders(tmp_path: Path) -> None:
    write(tmp_path / "train", "a_jug_1")
    write(tmp_path / "val", "a_cup_1")
    train, val = read_data_set(str(tmp_path)).splits
    assert (train.name, val.name) == ("train", "val")
    assert train.content["categories"] == val.content["categories"]
    for split in (train, val):
        for image in split.content["images"]:
            assert Path(split.image_root, image["file_name"]).is_file()


@pytest.mark.parametrize("name", ["a_1", "c_cup_1", "a_cup", "c/cup_1"])
def test_a_file_that_belongs_to_nothing_is_named(name: str, tmp_path: Path) -> None:
    write(tmp_path, "a_jug_1", name)
    split = read(tmp_path)
    (finding,) = split.report.errors
    assert f"{name}.png" in finding.first
    assert objects(split) == [("a.png", "jug")]


def test_files_of_no_use_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    write(tmp_path, "a_jug_1")
    write(tmp_path, "a_small_1", mask=np.ones((4, 6)))
    write(tmp_path, "a_empty_1", mask=np.zeros((40, 60)))
    (tmp_path / "masks" / "a_damaged_1.png").write_bytes(b"")
    split = read(tmp_path)
    bad, empty = split.report.found("bad-mask-file"), split.report.found("empty-mask-file")
    assert bad is not None
    assert empty is not None
    assert (bad.count, empty.count) == (2, 1)
    assert "a_empty_1.png" in empty.first
    assert objects(split) == [("a.png", "jug")]


def test_two_images_of_one_name_are_an_error(tmp_path: Path) -> None:
    for folder, file in (("images", "a.png"), ("images", "a.bmp"), ("masks", "a_cup_1.png")):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", (6, 4), (9, 9, 9)).save(tmp_path / folder / file)
    (split,) = read_data_set(str(tmp_path)).splits
    (finding,) = split.report.errors
    assert finding.kind == "same-stem"
    assert "a.bmp" in finding.first
    assert "a.png" in finding.first
