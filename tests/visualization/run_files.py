"""Folders as trainings leave them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml


def write_run(
    folder: Path,
    lines: Mapping[int, Mapping[str, float]],
    batch_size: int = 16,
    max_iter: int = 1000,
    tests: tuple[str, ...] = ("val",),
) -> Path:
    """metrics.json with a line for each of ``lines``, and the parts of config.yaml that are read."""
    folder.mkdir(parents=True)
    text = "".join(json.dumps({"iteration": step, **line}) + "\n" for step, line in lines.items())
    (folder / "metrics.json").write_text(text)
    solver = {"IMS_PER_BATCH": batch_size, "MAX_ITER": max_iter}
    (folder / "config.yaml").write_text(yaml.safe_dump({"SOLVER": solver, "DATASETS": {"TEST": list(tests)}}))
    return folder
