"""``detr-d2 plot``."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.tools.plot_training import main


def write_run(folder: Path) -> Path:
    folder.mkdir()
    lines = [{"iteration": step, "total_loss": 9.0, "lr": 1e-4} for step in range(19, 400, 20)]
    lines[-1]["bbox/AP"] = 31.0
    (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_the_picture_is_written_beside_the_metrics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run")
    assert main([str(run)]) == 0
    picture = np.asarray(Image.open(run / "training_curves.png").convert("RGB"))
    assert picture.shape[1] > picture.shape[0] > 500
    assert 0.005 < (picture != 255).any(axis=2).mean() < 0.3
    assert "(400 iterations)" in capsys.readouterr().out


def test_run_and_picture_can_be_files(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    output = tmp_path / "new" / "curves.pdf"
    assert main([str(run / "metrics.json"), "--output", str(output), "--title", "100 % of $x_{"]) == 0
    assert output.read_bytes().startswith(b"%PDF")


def test_a_cut_off_last_line_is_no_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with (run / "metrics.json").open("a") as file:
        file.write('{"iteration": 419, "total')
    assert main([str(run)]) == 0


def test_a_missing_run_and_a_bad_output_are_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "absent")]) == 2
    assert "absent does not exist" in capsys.readouterr().err
    run = write_run(tmp_path / "run")
    assert main([str(run), "--output", str(tmp_path / "curves.docx")]) == 2
    error = capsys.readouterr().err
    assert "docx" in error
    assert error.count("\n") == 1
