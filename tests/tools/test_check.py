"""The command that looks at a data set: its table, its one line, its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from detr_d2.tools.check import main


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
