"""A small panoptic data set with crowds, and predictions for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog

from detr_d2.data.builtin import register_shapes
from detr_d2.data.shapes import ShapesConfig
from detr_d2.data.shapes_files import ShapesSize, write_shapes


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
