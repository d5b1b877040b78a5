"""A small panoptic data set with crowds, and predictions for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pycocotools.cocoeval import COCOeval

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import coco_evaluation
from detectron2.utils import logger

from detr_d2.data.preflight import run
from detr_d2.evaluation import coco
from detr_d2.shapes import ShapesConfig, ShapesSize, register_shapes, write_shapes


@pytest.fixture(scope="session")
def _written_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluation") / "shapes"
    write_shapes(root, ShapesConfig(height=48, width=64, max_half_width=16, crowd=True), ShapesSize(1, 8))
    return root


@pytest.fixture
def shapes(_written_shapes: Path) -> Iterator[Path]:
    """The folder of eight 48 x 64 images, registered as evaluated_val and evaluated_val_panoptic."""
    register_shapes(_written_shapes, prefix="evaluated")
    yield _written_shapes
    for name in ("train", "val", "train_panoptic", "val_panoptic"):
        DatasetCatalog.remove(f"evaluated_{name}")
        MetadataCatalog.pop(f"evaluated_{name}", None)


@pytest.fixture(params=["faster-coco-eval", "pycocotools"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Average precision by the one or the other."""
    if request.param == "pycocotools":
        monkeypatch.setattr(coco, "COCOeval_faster", None)
        monkeypatch.setattr(coco_evaluation, "COCOeval_opt", COCOeval)
    elif coco.COCOeval_faster is None:
        pytest.skip("faster-coco-eval is not installed")


@pytest.fixture
def nothing_was_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at and logged once for a process is so anew."""
    monkeypatch.setattr(run, "_EXAMINED", {})
    monkeypatch.setattr(logger, "_LOG_COUNTER", Counter())
