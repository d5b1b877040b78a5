"""The command ``detr-d2 shapes``."""

from __future__ import annotations

from detr_d2.shapes.files import read_arguments
from detr_d2.tools.generate_shapes import main

SMALL = ["--train", "2", "--val", "1", "--height", "32", "--width", "40", "--min-half-width", "4"]
SMALL += ["--max-half-width", "8", "--processes", "1"]


def test_writes_below_the_folder_of_all_data_sets(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))
    assert main(SMALL) == 0
    assert "2 + 1 images" in capsys.readouterr().out
    arguments = read_arguments(tmp_path / "data" / "shapes")
    assert (arguments["train"], arguments["val"], arguments["width"]) == (2, 1, 40)
    assert main(SMALL) == 0
    assert "up to date" in capsys.readouterr().out


def test_bad_arguments_are_one_line(tmp_path, capsys):
    assert main([*SMALL, "--output", str(tmp_path / "s"), "--max-half-width", "99"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "half-widths" in error
    assert error.count("\n") == 1
