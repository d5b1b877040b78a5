"""``detr-d2 predict`` on videos and webcams."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.checkpoint.file_server import serve

from .conftest import GROUNDS, Project
from .predicting import predict, read, read_video, write_video


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Six frames of 64 x 48 pixels, each of one color."""
    frames = [np.full((48, 64, 3), color, np.uint8) for color in GROUNDS]
    return write_video(tmp_path / "clip.mp4", frames, fps=12.5)


def test_a_video_is_written_with_its_frames_size_and_speed(
    project: Project, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--output", tmp_path / "out", "--confidence", 1, "--batch", 4)
    assert predict(project, "--input", clip, *options) == 0
    frames, fps = read_video(tmp_path / "out" / "clip.mp4")
    assert fps == pytest.approx(12.5)
    assert len(frames) == 6
    for frame, color in zip(frames, GROUNDS, strict=True):
        assert frame.shape == (48, 64, 3)
        assert np.abs(frame.mean((0, 1)) - color).max() < 12
    assert "0 objects in 6 frames" in capsys.readouterr().out


def test_what_is_found_is_drawn_and_listed_by_frame(project: Project, clip: Path, tmp_path: Path) -> None:
    """Images before the video in the same json have the first ids."""
    file = tmp_path / "found.json"
    inputs = ("--input", clip, *project.images[:2])
    options = ("--json", file, "--output", tmp_path / "out", "--confidence", 0)
    assert predict(project, *inputs, *options) == 0
    frames, _ = read_video(tmp_path / "out" / "clip.mp4")
    assert all(frame.std((0, 1)).max() > 5 for frame in frames)
    of_frames = [entry for entry in read(file) if "frame" in entry]
    assert {entry["file_name"] for entry in of_frames} == {str(clip)}
    assert {(entry["image_id"], entry["frame"]) for entry in of_frames} == {(n + 3, n) for n in range(6)}
    assert {e["image_id"] for e in read(file) if "frame" not in e} == {1, 2}
    assert not any("track_id" in entry for entry in of_frames)


def test_frames_may_be_limited_and_a_json_may_be_all(project: Project, clip: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    options = ("--json", tmp_path / "found.json", "--frames", 2, "--confidence", 0)
    assert predict(project, "--input", clip, *options) == 0
    assert {entry["frame"] for entry in read(tmp_path / "found.json")} == {0, 1}
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "found.json"]


def test_segments_of_a_video_have_a_map_for_each_frame(
    panoptic_project: Project, clip: Path, tmp_path: Path
) -> None:
    options = ("--json", tmp_path / "found.json", "--output", tmp_path / "out.avi", "--frames", 3)
    assert predict(panoptic_project, "--input", clip, *options) == 0
    content = read(tmp_path / "found.json")
    assert [(image["frame"], image["height"]) for image in content["images"]] == [(0, 48), (1, 48), (2, 48)]
    assert len(list((tmp_path / "found").iterdir())) == 3
    assert len(read_video(tmp_path / "out.avi")[0]) == 3


def test_tracked_objects_keep_their_ids_over_frames(project: Project, tmp_path: Path) -> None:
    """A still picture: whatever the model finds stays where it is."""
    pytest.importorskip("trackers")
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    clip = write_video(tmp_path / "still.mp4", [frame] * 4)
    written = ("--json", tmp_path / "found.json", "--output", tmp_path / "out")
    assert predict(project, "--input", clip, "--track", *written, "--confidence", 0.2) == 0
    by_frame: dict[int, set[int]] = {}
    for entry in read(tmp_path / "found.json"):
        if "track_id" in entry:
            by_frame.setdefault(entry["frame"], set()).add(entry["track_id"])
    assert sorted(by_frame) == [1, 2, 3]
    assert by_frame[1] <= by_frame[2] | by_frame[3]
    assert len(read_video(tmp_path / "out" / "still.mp4")[0]) == 4


def test_tracks_of_a_panoptic_model_and_without_the_package_say_what_to_do(
    panoptic_project: Project,
    clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("trackers")
    assert predict(panoptic_project, "--input", clip, "--track", "--output", tmp_path / "out") == 2
    assert "MODEL.DETR.TEST.PANOPTIC_ON" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "trackers", None)
    assert predict(panoptic_project, "--input", clip, "--track", "--output", tmp_path / "out") == 2
    assert "pip install 'trackers'" in capsys.readouterr().err


def test_a_video_that_is_none_is_named_and_the_others_are_done(
    project: Project, clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    inputs = ("--input", tmp_path / "bad.mp4", clip, tmp_path / "none.avi")
    assert predict(project, *inputs, "--output", tmp_path / "out") == 2
    (error,) = (line for line in capfd.readouterr().err.splitlines() if line.startswith("error: "))
    assert str(tmp_path / "bad.mp4") in error
    assert str(tmp_path / "none.avi") in error
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["clip.mp4"]


def test_a_video_of_an_address(project: Project, clip: Path, tmp_path: Path) -> None:
    with serve() as server:
        server.files["/x/clip.mp4"] = clip.read_bytes()
        address = f"{server.url}/x/clip.mp4"
        options = ("--json", tmp_path / "found.json", "--confidence", 0)
        assert predict(project, "--input", address, *options) == 0
    assert {(entry["file_name"], entry["frame"]) for entry in read(tmp_path / "found.json")} == {
        (address, frame) for frame in range(6)
    }


def test_videos_have_neither_attention_nor_listed_ids(
    project: Project, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in (["--attention"], ["--json", tmp_path / "a.json", "--image-ids", tmp_path / "b.json"]):
        assert predict(project, "--input", clip, "--output", tmp_path / "out", *more) == 2
        assert str(clip) in capsys.readouterr().err


def camera(stop: Callable[[int], bool]) -> type:
    """A webcam, number 1, that is interrupted before a frame."""

    class Camera:
        def __init__(self, number: int) -> None:
            self.number, self.frames = number, 0

        def isOpened(self) -> bool:
            return self.number == 1

        def get(self, key: int) -> float:
            return 15.0 if key == cv2.CAP_PROP_FPS else -1.0

        def read(self) -> tuple[bool, Any]:
            if stop(self.frames):
                raise KeyboardInterrupt
            self.frames += 1
            return True, np.full((48, 64, 3), GROUNDS[self.frames % 6][::-1], np.uint8)

        def release(self) -> None:
            pass

    return Camera


@pytest.mark.parametrize(("stop", "limit"), [(lambda n: n == 4, []), (lambda n: n > 50, ["--frames", "4"])])
def test_a_webcam_is_written_until_it_is_stopped(
    project: Project,
    stop: Callable[[int], bool],
    limit: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, found = tmp_path / "out", tmp_path / "found.json"
    read_capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", camera(stop))
    options = ("--output", output, "--json", found, "--confidence", 0, *limit)
    assert predict(project, "--webcam", 1, *options) == 0
    monkeypatch.setattr(cv2, "VideoCapture", read_capture)
    frames, fps = read_video(output / "webcam-1.mp4")
    assert (len(frames), fps) == (4, pytest.approx(15))
    assert {(e["file_name"], e["frame"]) for e in read(found)} == {("webcam-1", n) for n in range(4)}


def test_a_webcam_that_is_not_there_is_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", camera(lambda n: False))
    assert predict(project, "--webcam", 0, "--output", tmp_path / "out") == 2
    assert "webcam-0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
