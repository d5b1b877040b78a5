from __future__ import annotations

from pathlib import Path

import pytest

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode

from .helpers import load_written_config, write_dataset


@pytest.fixture(autouse=True)
def _logs_stay_with_pytest(caplog: pytest.LogCaptureFixture) -> None:
    """A trainer that finds its loggers set up adds no handlers of its own."""
    for name in ("detectron2", "detr_d2"):
        caplog.set_level("INFO", logger=name)


@pytest.fixture
def training_config(tmp_path: Path) -> CfgNode:
    """The tiny model on a data set of its own, which is registered; 8 iterations without evaluation."""
    cfg = write_dataset(tmp_path)
    file = tmp_path / "config.yaml"
    file.write_text(cfg.dump())
    return load_written_config(str(file))
