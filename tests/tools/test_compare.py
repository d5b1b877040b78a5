"""``detr-d2 compare``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.tools.compare import main

from ..visualization.run_files import write_run

LINES = {199: {"time": 0.5, "bbox/AP": 20.0}, 399: {"time": 0.5, "bbox/AP": 31.0}}


def test_table_and_picture_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / name / "out", LINES) for name in ("a", "b")]
    output = tmp_path / "new" / "picture.png"
    assert main([str(runs[0]), str(runs[1] / "metrics.json"), "--output", str(output), "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["a/out", "b/out"]
    assert "| 0:03:20 |" in lines[2].replace("  ", " ")
    picture = np.asarray(Image.open(output).convert("RGB"))
    assert picture.shape[1] > picture.shape[0] > 300
    assert 0.005 < (picture != 255).any(axis=2).mean() < 0.3


def test_a_run_or_an_output_that_cannot_be_used_is_one_line_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_run(tmp_path / "good", LINES)
    bad = write_run(tmp_path / "bad", {1: {"total_loss": 1.0}})
    for arguments, name in (
        ([good, bad], bad),
        ([good, tmp_path / "absent"], tmp_path / "absent"),
        ([good, "--output", tmp_path / "curves.docx"], tmp_path / "curves.docx"),
    ):
        assert main([str(argument) for argument in arguments]) == 2
        text = capsys.readouterr()
        assert text.out == ""
        assert str(name) in text.err
        assert text.err.count("\n") == 1
