"""Pictures of a data set: which images are shown, what is counted, what is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.data.formats import DataSet, read_data_set
from detr_d2.data.own import look_at_data_set
from detr_d2.data.preflight import Needs
from detr_d2.report.data_pictures import choose_images, sample_sheet, statistics_plot
from detr_d2.tools.check import main

from ..data.conftest import sound_panoptic
from ..data.formats.layouts import NAMES, sample, write_coco
from ..data.formats.test_coco import write_panoptic


def looked_at(path: Path, panoptic: bool = False) -> DataSet:
    data = read_data_set(str(path))
    look_at_data_set(data, Needs(panoptic=panoptic))
    return data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "written")


def test_images_that_show_other_classes_come_first(root: Path) -> None:
    content = json.loads((root / "train.json").read_text())
    classes = {1: [1], 2: [1], 3: [2], 4: [1, 2], 5: [3]}
    content["annotations"] = [
        {"id": 10 * image + category, "image_id": image, "category_id": category, "bbox": [1, 2, 3, 4]}
        for image, listed in classes.items()
        for category in listed
    ]
    (root / "train.json").write_text(json.dumps(content))
    train = looked_at(root).splits[0]
    for seed in range(5):
        first, second, *others = [image["id"] for image in choose_images(train, 9, seed)]
        assert (first, second) == (4, 5)
        assert sorted(others) == [1, 2, 3]
    assert choose_images(train, 3, 1) == choose_images(train, 3, 1)
    orders = {tuple(image["id"] for image in choose_images(train, 9, seed)) for seed in range(5)}
    assert len(orders) > 1


def test_the_plots_have_the_shares_of_each_split(root: Path) -> None:
    data = looked_at(root)
    figure = statistics_plot(data)
    assert figure is not None
    classes, counts, sides, sizes = figure.axes
    labels = [text.get_text() for text in classes.get_yticklabels()]
    assert sorted(labels) == sorted(NAMES)
    for split, bars in zip(data.splits, classes.containers, strict=True):
        entries = split.content["annotations"]
        names = {category["id"]: category["name"] for category in split.content["categories"]}
        for label, bar in zip(labels, bars, strict=True):
            share = sum(names[entry["category_id"]] == label for entry in entries) / len(entries)
            assert bar.get_width() == pytest.approx(share)
    for axes in (counts, sides):
        for patch in axes.patches:  # an outline for each split, whose heights add up to all of it
            heights = patch.get_xy()[:, 1]
            assert heights[1:-1:2].sum() == pytest.approx(1)
    drawn = [tuple(point) for points in sizes.collections for point in points.get_offsets().tolist()]
    listed = [(i["width"], i["height"]) for split in data.splits for i in split.content["images"]]
    assert sorted(drawn) == sorted(listed)


def test_a_sheet_of_boxes_and_of_segments(root: Path, tmp_path: Path) -> None:
    plain = sample_sheet(looked_at(root), number=1)
    fuller = sample_sheet(looked_at(root), number=5)
    assert plain is not None
    assert fuller is not None
    assert fuller.size > plain.size
    folder = tmp_path / "panoptic"
    write_panoptic(folder, "train", sound_panoptic(), "images", "maps")
    sheet = sample_sheet(looked_at(folder, panoptic=True))
    content = json.loads((folder / "train.json").read_text())
    (folder / "train.json").write_text(json.dumps({**content, "annotations": []}))
    bare = sample_sheet(looked_at(folder, panoptic=True))
    assert sheet is not None
    assert bare is not None
    rows = slice(90, 300)  # of the image, without title and legend
    assert (sheet[rows] != bare[rows]).any(-1).mean() > 0.5


def test_splits_with_errors_are_left_out(root: Path) -> None:
    (root / "val.json").write_text("{")
    figure = statistics_plot(looked_at(root))
    assert figure is not None
    assert len(figure.axes[0].containers) == 2
    for split in ("train", "test"):
        (root / f"{split}.json").write_text("{")
    broken = looked_at(root)
    assert statistics_plot(broken) is None
    assert sample_sheet(broken) is None


def test_a_split_without_objects_is_drawn(root: Path) -> None:
    content = json.loads((root / "test.json").read_text())
    (root / "test.json").write_text(json.dumps({**content, "annotations": []}))
    data = looked_at(root)
    assert statistics_plot(data) is not None
    assert sample_sheet(data) is not None


def test_the_command_writes_both(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), "--pictures", str(tmp_path / "new" / "looked")]) == 0
    for name in ("statistics.png", "samples.png"):
        with Image.open(tmp_path / "new" / "looked" / name) as image:
            assert np.asarray(image.convert("L")).std() > 1
    assert "samples.png" in capsys.readouterr().out


def test_a_json_by_itself_has_no_pictures(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root / "train.json"), str(root / "images"), "--pictures", "out"]) == 2
    assert "--pictures" in capsys.readouterr().err
