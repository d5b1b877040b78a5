"""``detr-d2 predict`` on many images: from where they come, in batches, and good ones among bad ones."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.checkpoint.file_server import serve

from .conftest import GROUNDS, Project
from .predicting import predict, read


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_good_images_are_done_and_bad_ones_named_at_the_end(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing, no image, cut off in the middle of the pixels, and a folder without images."""
    good = Path(project.images[0]).read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:5000])
    (tmp_path / "text.png").write_bytes(b"no image")
    (tmp_path / "good.png").write_bytes(good)
    (tmp_path / "folder").mkdir()
    bad = ["none.png", "cut.png", "text.png", "folder"]
    inputs = [tmp_path / name for name in (*bad, "good.png")]
    status = predict(project, "--input", *inputs, project.images[1], "--output", tmp_path / "out",
                     "--json", tmp_path / "found.json", "--confidence", 0, "--batch", 2)  # fmt: skip
    assert status == 2
    error = error_of(capsys)
    assert all(str(tmp_path / name) in error for name in bad)
    assert "good.png" not in error
    assert "4 of 6" in error
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["good.png", "image_1.png"]
    names = {entry["file_name"] for entry in read(tmp_path / "found.json")}
    assert names == {str(tmp_path / "good.png"), project.images[1]}


def test_where_all_are_missing_the_model_is_not_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = Project("none.yaml", "none.pth", "none", [])
    assert predict(absent, "--input", tmp_path / "a.png", tmp_path / "b.png", "--output", tmp_path) == 2
    error = error_of(capsys)
    assert "a.png" in error
    assert "b.png" in error
    assert "none.yaml" not in error


def test_a_folder_and_an_address_are_drawn_as_their_files_are(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for file in project.images[:2]:
        shutil.copy(file, folder)
    with serve() as server:
        server.files["/a%20b/image_5.png"] = Path(project.images[5]).read_bytes()
        address = f"{server.url}/a%20b/image_5.png?size=large"
        server.files["/a%20b/image_5.png?size=large"] = server.files["/a%20b/image_5.png"]
        inputs = ("--input", folder, address)
        assert predict(project, *inputs, "--output", tmp_path / "out", "--confidence", 1) == 0
    written = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in written] == ["image_0.png", "image_1.png", "image_5.png"]
    for file, index in zip(written, (0, 1, 5), strict=True):
        assert (np.asarray(Image.open(file)) == GROUNDS[index]).all()


def test_what_an_address_has_not_or_is_no_image_is_named_by_the_address(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve() as server:
        server.files |= {"/text.png": b"no image", "/good.png": Path(project.images[0]).read_bytes()}
        inputs = [f"{server.url}/{name}.png" for name in ("text", "none", "good")]
        assert predict(project, "--input", *inputs, "--output", tmp_path / "out") == 2
    error = error_of(capsys)
    assert inputs[0] in error
    assert inputs[1] in error
    assert "/tmp" not in error.replace(str(tmp_path), "")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["good.png"]


def test_batches_find_what_single_images_do(project: Project, tmp_path: Path) -> None:
    """Five images of one size and two of another, mixed."""
    inputs = []
    for index, file in enumerate(project.images):
        image = Image.open(file)
        inputs.append(tmp_path / f"{index}.png")
        (image.crop((0, 0, 40, 48)) if index in (1, 4) else image).save(inputs[-1])
    found = []
    for batch in (1, 3):
        file = tmp_path / f"by_{batch}.json"
        options = ("--json", file, "--confidence", 0, "--batch", batch)
        assert predict(project, "--input", *inputs, *options) == 0
        found.append(read(file))
    assert len(found[0]) == len(found[1]) == 60
    for one, other in zip(*found, strict=True):
        assert one["image_id"] == other["image_id"]
        assert one["file_name"] == other["file_name"] == str(inputs[one["image_id"] - 1])
    for image_id in range(1, 7):
        scores, others = (
            sorted(entry["score"] for entry in entries if entry["image_id"] == image_id) for entries in found
        )
        np.testing.assert_allclose(scores, others, rtol=1e-4)


def test_slices_of_an_image_find_objects_in_all_of_it(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("supervision")
    noise = np.random.default_rng(0).integers(0, 256, (100, 150, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    options = ("--tile", 64, "--overlap", 16, "--batch", 4, "--confidence", 0, "--json", tmp_path / "a.json")
    assert predict(project, "--input", tmp_path / "large.png", *options, "--output", tmp_path / "a.png") == 0
    boxes = np.array([entry["bbox"] for entry in read(tmp_path / "a.json")])
    assert len(boxes)
    assert boxes.min() >= 0
    assert (boxes[:, :2] + boxes[:, 2:] <= np.array([150, 100]) + 1e-3).all()
    assert Image.open(tmp_path / "a.png").size == (640, 427)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--output"),
        (["--output", "out", "--batch", "0"], "--batch"),
        (["--output", "out", "--frames", "0"], "--frames"),
        (["--output", "out", "--confidence", "1.5"], "--confidence"),
        (["--output", "out", "--tile", "0"], "0"),
        (["--output", "out", "--tile", "64", "--overlap", "64"], "64"),
        (["--output", "out", "--overlap", "64"], "--tile"),
        (["--output", "out", "--image-ids", "a.json"], "--json"),
        (["--json", "found.txt"], "--json"),
        (["--output", "out", "--track"], "--track"),
        (["--json", "a.json", "--attention"], "--attention"),
        (["--output", "out", "--tile", "64", "--attention"], "--tile"),
        (["--output", "out", "--webcam", "0"], "--webcam"),
        (["--json", "a.json", "--image-ids", "none.json"], "none.json"),
    ],
)
def test_arguments_that_cannot_be_used_are_named_in_one_line(
    project: Project,
    arguments: list[str],
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("supervision")
    monkeypatch.chdir(tmp_path)
    assert predict(project, "--input", project.images[0], *arguments) == 2
    assert named in error_of(capsys)
    assert not any(tmp_path.iterdir())


def test_slices_of_a_panoptic_model_and_without_the_package_say_what_to_do(
    panoptic_project: Project,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("supervision")
    options = ("--input", panoptic_project.images[0], "--tile", 32, "--output", tmp_path / "out")
    assert predict(panoptic_project, *options) == 2
    assert "MODEL.DETR.TEST.PANOPTIC_ON" in error_of(capsys)
    monkeypatch.setitem(sys.modules, "supervision", None)
    assert predict(panoptic_project, *options) == 2
    assert "pip install 'supervision'" in error_of(capsys)
