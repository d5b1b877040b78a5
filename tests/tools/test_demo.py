"""The demo on image files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_d2.errors import UserError
from detr_d2.tools.demo import main, plan_outputs

from .conftest import GROUNDS, Project


def test_every_input_is_written_with_its_name(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(project.images[0]).parent
    status = main(
        ["--config-file", project.config, "--input", project.images[5], str(folder / "image_[01].png")]
        + ["--output", str(tmp_path / "out"), "--confidence", "1"]
        + ["--opts", "MODEL.WEIGHTS", project.weights]
    )
    assert status == 0
    written = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in written] == ["image_0.png", "image_1.png", "image_5.png"]
    for file, index in zip(written, (0, 1, 5), strict=True):
        picture = np.asarray(Image.open(file))
        assert picture.shape == (480, 640, 3)  # 48 x 64, enlarged for the labels
        assert (picture == GROUNDS[index]).all()
    assert capsys.readouterr().out.count(": 0 objects in ") == 3


def test_objects_are_drawn_above_the_confidence(project: Project, tmp_path: Path) -> None:
    output = tmp_path / "one.png"
    options = ["--config-file", project.config, "--weights", project.weights, "--input", project.images[0]]
    assert main([*options, "--output", str(output), "--confidence", "0"]) == 0
    assert not (np.asarray(Image.open(output)) == GROUNDS[0]).all()


def test_segments_of_a_panoptic_model_are_drawn(
    panoptic_project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "one.png"
    options = ["--config-file", panoptic_project.config, "--weights", panoptic_project.weights]
    assert main([*options, "--input", panoptic_project.images[0], "--output", str(output)]) == 0
    assert " segments in " in capsys.readouterr().out
    picture = np.asarray(Image.open(output))
    assert picture.shape == (640, 640, 3)
    assert (picture == 255).all(2).sum() > 100, "borders"


def test_one_input_may_go_to_a_file_and_several_may_not(project: Project, tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    assert plan_outputs(project.images[:1], str(target)) == [(project.images[0], target)]
    with pytest.raises(UserError, match="one file for 2 inputs"):
        plan_outputs(project.images[:2], str(target))


def test_nothing_is_overwritten_by_mistake(project: Project, tmp_path: Path) -> None:
    (tmp_path / "image_0.png").write_bytes(Path(project.images[0]).read_bytes())
    with pytest.raises(UserError, match="several inputs would be written"):
        plan_outputs([project.images[0], str(tmp_path / "image_0.png")], str(tmp_path / "out"))
    with pytest.raises(UserError, match="would be overwritten"):
        plan_outputs(project.images[:1], str(Path(project.images[0]).parent))


def test_missing_and_damaged_inputs_are_named(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "damaged.png").write_bytes(b"no image")
    options = [
        "--config-file",
        project.config,
        "--weights",
        project.weights,
        "--output",
        str(tmp_path / "out"),
    ]
    for name in ("absent.png", "damaged.png"):
        assert main([*options, "--input", str(tmp_path / name)]) == 2
        assert name in capsys.readouterr().err
