"""The command that looks at a data set: its table, its one line, its exit status."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from detr_d2.tools.check import main

from ..data.formats.layouts import sample, write_coco


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "images" / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 20]}],
        "categories": [{"id": 1, "name": "cup"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    return tmp_path


def run(folder: Path, *options: str) -> int:
    return main([str(folder / "a.json"), str(folder / "images"), *options])


def test_a_sound_data_set_has_status_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder) == 0
    output, error = capsys.readouterr()
    assert "a.json: images: 1, objects: 1" in output
    assert error == ""


def test_errors_have_status_2_a_table_and_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "images" / "a.png").unlink()
    assert run(folder, "--masks") == 2
    output, error = capsys.readouterr()
    assert "a.png" in output
    assert "MODEL.MASK_ON" in output
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "status", "word"),
    [
        (["--classes", "0"], 2, "NUM_CLASSES"),
        (["--queries", "0"], 0, "NUM_OBJECT_QUERIES"),
        (["--detections", "0"], 0, "DETECTIONS_PER_IMAGE"),
        (["--max-pixels", "100"], 2, "MAX_IMAGE_PIXELS"),
    ],
)
def test_the_model_s_limits_are_options(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], status: int, word: str
) -> None:
    assert run(folder, *options) == status
    assert word in capsys.readouterr().out


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent.json"), str(tmp_path)]) == 2
    assert "absent.json" in capsys.readouterr().err


@pytest.fixture
def dishes(tmp_path: Path) -> Path:
    return write_coco(sample(tmp_path), tmp_path / "images", tmp_path / "dishes")


def test_a_folder_is_looked_at_with_all_its_splits(dishes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(dishes)]) == 0
    output, error = capsys.readouterr()
    assert error == ""
    for word in ("train", "val", "test", "plate", "(COCO)"):
        assert word in output


def break_image(folder: Path) -> str:
    (folder / "images/val1.png").write_bytes(b"no image")
    return "val1.png"


def break_json(folder: Path) -> str:
    (folder / "val.json").write_text("")
    return "val.json"


def break_place(folder: Path) -> str:
    (folder / "images").rename(folder.parent / "elsewhere")
    return "train1.png"


def break_splits(folder: Path) -> str:
    shutil.copy(folder / "images/train1.png", folder / "images/val1.png")
    return "train1.png"


@pytest.mark.parametrize("fault", [break_image, break_json, break_place, break_splits])
def test_a_folder_with_an_error_has_one_table_one_line_and_status_2(
    fault: Callable[[Path], str], dishes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = fault(dishes)
    before = sorted(dishes.parent.rglob("*"))
    assert main([str(dishes)]) == 2
    output, error = capsys.readouterr()
    assert output.count("what is wrong") == 1
    assert name in output
    assert error.count("\n") == 1
    assert name in error
    assert sorted(dishes.parent.rglob("*")) == before


def test_a_json_alone_is_a_data_set_of_one_split(dishes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(dishes / "val.json")]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert any(row.split() == ["images", "3"] for row in rows)


def test_a_mended_copy_is_written_with_the_list_of_changes(
    dishes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_image(dishes)
    mended = tmp_path / "deep" / "mended"
    assert main([str(dishes), "--fix", str(mended)]) == 0
    assert sorted(file.name for file in mended.iterdir()) == [
        "changes.txt",
        "test.json",
        "train.json",
        "val.json",
    ]
    (line,) = (mended / "changes.txt").read_text().splitlines()
    assert line.startswith("val: ")
    assert "val1.png" in line
    # The copy is a data set, of the images where they are.
    capsys.readouterr()
    assert main([str(mended)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["images", "5", "2", "2"] in rows


def test_nothing_is_written_where_errors_are_left(
    dishes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    break_json(dishes)
    assert main([str(dishes), "--fix", str(tmp_path / "mended")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "mended").exists()


def test_a_folder_with_files_is_not_written_to(dishes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(dishes), "--fix", str(dishes)]) == 2
    assert str(dishes) in capsys.readouterr().err
    assert main([str(dishes / "val.json"), str(dishes / "images"), "--fix", "mended"]) == 2
