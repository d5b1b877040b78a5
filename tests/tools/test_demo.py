"""The demo on image files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from detr_d2.modeling import inference
from detr_d2.tools.demo import main
from detr_d2.visualization.labels import LabelVisualizer
from tests.image_files import write_png

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


# Without a data set, and with data sets that nobody has registered.
NO_DATA = [
    ["DATASETS.TRAIN", "()", "DATASETS.TEST", "()"],
    ["DATASETS.TRAIN", "('gone_train',)", "DATASETS.TEST", "('gone_val',)"],
]


def named_weights(project: Project, file: Path, **metadata: Any) -> str:
    """The weights of a panoptic project with names that no data set has, stuff first."""
    names = ["sky", "cat", "sea", "road", "dog", "snow"]
    checkpoint = torch.load(project.weights)
    torch.save({**checkpoint, "metadata": {"thing_classes": names, "stuff_classes": names, **metadata}}, file)
    return str(file)


@pytest.mark.parametrize("no_data", NO_DATA)
def test_things_and_stuff_have_their_names_from_the_checkpoint(
    panoptic_project: Project, tmp_path: Path, no_data: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = named_weights(panoptic_project, tmp_path / "named.pth", things=[1, 4])
    labels, segments = [], []
    monkeypatch.setattr(LabelVisualizer, "draw_label", lambda self, text, *_, **__: labels.append(text))
    merge = inference.merge_panoptic

    def remembered(*args: Any) -> Any:
        ids, found = merge(*args)
        segments.extend(found)
        return ids, found

    monkeypatch.setattr(inference, "merge_panoptic", remembered)
    options = ["--config-file", panoptic_project.config, "--weights", weights]
    options += ["--input", *panoptic_project.images, "--output", str(tmp_path / "out"), "--opts", *no_data]
    assert main(options) == 0
    names = {0: "sky", 1: "cat", 2: "sea", 3: "road", 4: "dog", 5: "snow"}
    assert sorted(label.split()[0] for label in labels) == sorted(names[s["category_id"]] for s in segments)
    assert {s["isthing"] for s in segments if s["category_id"] in (1, 4)} <= {True}
    assert {s["isthing"] for s in segments if s["category_id"] not in (1, 4)} == {False}


def test_weights_that_do_not_tell_things_from_stuff_need_a_data_set_that_does(
    panoptic_project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = named_weights(panoptic_project, tmp_path / "named.pth")
    options = ["--config-file", panoptic_project.config, "--weights", weights]
    options += ["--input", panoptic_project.images[0], "--output", str(tmp_path / "out")]
    assert main([*options, "--opts", *NO_DATA[0]]) == 2
    assert "MODEL.DETR.TEST.PANOPTIC_ON" in capsys.readouterr().err
    assert main(options) == 0


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


def test_the_demo_draws_on_the_image_as_the_model_reads_it(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 12-bit image with the key that says so; too large with the key that limits it."""
    image = write_png(tmp_path / "deep.png", np.full((480, 640), 2048, dtype=np.uint16))
    options = ["--config-file", project.config, "--weights", project.weights, "--input", str(image)]
    options += ["--output", str(tmp_path / "out"), "--confidence", "1"]
    assert main([*options, "--opts", "INPUT.WHITE_LEVEL", "4095"]) == 0
    assert (np.asarray(Image.open(tmp_path / "out" / "deep.png")) == 128).all()
    assert main([*options, "--opts", "INPUT.MAX_IMAGE_PIXELS", "1000"]) == 2
    said = capsys.readouterr().err
    assert str(image) in said
    assert "INPUT.MAX_IMAGE_PIXELS" in said


def predict(project: Project, output: Path, *more: str) -> int:
    options = ["--config-file", project.config, "--weights", project.weights, "--input", project.images[0]]
    return main([*options, "--output", str(output), *more])


@pytest.mark.parametrize("kind", ["project", "panoptic_project"])
def test_attention_is_drawn_in_place_of_what_is_found(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own: Project = request.getfixturevalue(kind)
    assert predict(own, tmp_path / "best.png", "--attention", "--confidence", "0") == 0
    number = {"project": 5, "panoptic_project": 4}[kind]  # four queries of the latter are things
    assert f"attention of {number} detections" in capsys.readouterr().out
    picture = Image.open(tmp_path / "best.png")
    assert picture.width > 2 * 640  # decoder and encoder
    drawn = set()
    for more in ([], ["--layer", "1"], ["--points", "3,4", "30.5,20"]):
        assert predict(own, tmp_path / "some.png", "--attention", "2", "4", *more) == 0
        assert "attention of 2 detections" in capsys.readouterr().out
        drawn.add((tmp_path / "some.png").read_bytes())
    assert len(drawn) == 3
    assert predict(own, tmp_path / "none.png", "--attention", "--confidence", "1") == 0


@pytest.mark.parametrize(
    "more", [["99"], ["0"], ["1", "--layer", "0"], ["1", "--layer", "9"], ["1", "--points", "64,3"],
             ["1", "--points", "3"], ["1", "--points", "a,b"], ["x"]]
)  # fmt: skip
def test_attention_that_there_is_none_of_is_said_in_one_line(
    project: Project, tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(project, tmp_path / "a.png", "--attention", *more) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "a.png").exists()
