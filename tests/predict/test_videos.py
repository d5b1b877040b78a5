"""Reading and writing videos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detr_d2.errors import DataError, UserError
from detr_d2.predict.videos import CODECS, VideoFile, open_video

RED, BLUE = (200, 30, 40), (20, 60, 220)


def plain(color: tuple[int, int, int], height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


@pytest.mark.parametrize("suffix", sorted(CODECS))
def test_frames_come_back_in_order_and_color(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / "folder" / f"video{suffix}"
    with VideoFile(file, 12.5) as output:
        for color in (RED, BLUE, RED):
            output.write(plain(color))
    with open_video(str(file), "the video") as video:
        frames = list(video)
        assert video.fps == pytest.approx(12.5, rel=0.01)
    assert len(frames) == 3
    for frame, color in zip(frames, (RED, BLUE, RED), strict=True):
        assert frame.shape == (48, 64, 3)
        assert np.abs(frame.mean((0, 1)) - color).max() < 12  # the codecs are not exact


def test_what_opencv_says_of_a_video_may_be_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Capture:
        def __init__(self, source: int) -> None:
            self.source, self.released = source, False

        def isOpened(self) -> bool:
            return True

        def get(self, key: int) -> float:
            return {cv2.CAP_PROP_FPS: float("nan"), cv2.CAP_PROP_FRAME_COUNT: -1.0}[key]

        def release(self) -> None:
            self.released = True

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    with open_video(3, "webcam-3") as video:
        assert (video.fps, video.count) == (30.0, None)
        capture = video._capture
        assert capture.source == 3
    assert capture.released


def test_a_file_named_as_a_number_is_no_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with VideoFile(tmp_path / "0.mp4", 10) as output:
        output.write(plain(RED))
    (tmp_path / "0.mp4").rename("0")
    with open_video("0", "0") as video:
        assert len(list(video)) == 1


@pytest.mark.parametrize("content", [b"", b"no video", b"\0" * 5000])
def test_what_is_no_video_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(content)
    with pytest.raises(DataError, match="clip"), open_video(str(tmp_path / "bad.mp4"), "clip"):
        pass


def test_a_camera_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="webcam-97"), open_video(97, "webcam-97"):
        pass


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file" / "a.mp4", tmp_path):
        with pytest.raises(UserError, match=str(target)), VideoFile(target, 10) as output:
            output.write(plain(RED))


def test_without_a_frame_nothing_is_written(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "a.mp4", 10):
        pass
    assert not any(tmp_path.iterdir())
