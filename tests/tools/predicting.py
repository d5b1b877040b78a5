"""Calls of ``detr-d2 predict`` in the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detr_d2.tools.demo import main

from .conftest import Project


def predict(project: Project, *arguments: object, opts: tuple[str, ...] = ()) -> int:
    """Run the command with a project's model."""
    model = ["--config-file", project.config, "--weights", project.weights, "--device", "cpu"]
    return main([*model, *map(str, arguments), *(["--opts", *opts] if opts else [])])


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def write_video(file: Path, frames: list[np.ndarray], fps: float = 10) -> Path:
    """RGB frames of one size as a video, by OpenCV alone."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return file


def read_video(file: Path) -> tuple[list[np.ndarray], float]:
    """RGB frames, and how many there are a second."""
    capture = cv2.VideoCapture(str(file))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return frames, capture.get(cv2.CAP_PROP_FPS)
