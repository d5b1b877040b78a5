"""Frames of video files and webcams, and videos of pictures, by OpenCV."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from ..errors import DataError, UserError, named
from ..visualization import Picture

# What a video is written with, by its file's ending; others are read, and written as .mp4.
CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
_READ_ALONE = {".3gp", ".asf", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".ogv", ".wmv"}
VIDEO_SUFFIXES = frozenset(CODECS) | _READ_ALONE

# Frames a second where a camera does not tell.
_FPS = 30.0


class Video:
    """The frames of a video, each (H, W, 3) RGB; can be gone through once.

    Attributes:
        fps: frames a second.
        count: how many there are, as far as the file tells; None where it does not.
    """

    def __init__(self, capture: Any) -> None:
        self._capture = capture
        fps, count = (float(capture.get(key)) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.fps = fps if math.isfinite(fps) and fps > 0 else _FPS
        self.count = int(count) if math.isfinite(count) and count > 0 else None

    def __iter__(self) -> Iterator[Picture]:
        while True:
            there, frame = self._capture.read()
            if not there:
                return
            yield np.ascontiguousarray(frame[..., ::-1])


@contextmanager
def open_video(source: str | int, name: str) -> Iterator[Video]:
    """Open a video file, or the webcam of a number.

    Args:
        source: path or number.
        name: of it, for messages.

    Raises:
        DataError: it cannot be opened.
    """
    # A number alone would be the camera's.
    capture = cv2.VideoCapture(source if isinstance(source, int) else str(Path(source).absolute()))
    try:
        if not capture.isOpened():
            why = "no such camera is free" if isinstance(source, int) else "it is no video, or damaged"
            raise DataError(f"{name} cannot be opened: {why}")
        yield Video(capture)
    finally:
        capture.release()


class VideoFile:
    """Writes pictures as the frames of a video; the file is begun with the first one.

    Args:
        file: its ending, one of ``CODECS``, decides the format.
        fps: frames a second.
    """

    def __init__(self, file: Path, fps: float) -> None:
        self._file, self._fps = file, fps
        self._writer: Any = None
        self._size = 0, 0

    def write(self, picture: Picture) -> None:
        """Add a frame.

        Args:
            picture: (H, W, 3) RGB, all of one size. OpenCV leaves out the last row or column of odd ones.

        Raises:
            UserError: the file cannot be written.
        """
        height, width = picture.shape[:2]
        if self._writer is None:
            with named(f"--output {self._file}"):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                open(self._file, "wb").close()  # OpenCV does not say why it cannot
            code = cv2.VideoWriter.fourcc(*CODECS[self._file.suffix.lower()])
            self._size = width, height
            self._writer = cv2.VideoWriter(str(self._file), code, self._fps, self._size)
            if not self._writer.isOpened():
                raise UserError(
                    f"--output {self._file}: OpenCV cannot write such a video of {width} x {height} pixels "
                    f"and {self._fps:g} frames a second: try another ending ({', '.join(CODECS)})"
                )
        if (width, height) != self._size:
            picture = cv2.resize(picture, self._size)
        self._writer.write(np.ascontiguousarray(picture[..., ::-1]))

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()
