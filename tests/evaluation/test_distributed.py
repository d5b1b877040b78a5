"""Two gloo processes that share a data set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.data import DatasetCatalog, MetadataCatalog

from detr_d2.engine import argument_parser, launch
from detr_d2.shapes import ShapesConfig, ShapesSize, write_shapes

from ..conftest import make_tiny_config
from .processes import PREFIX, main


@pytest.mark.slow
def test_two_processes_give_the_results_and_files_of_one(tmp_path: Path) -> None:
    config = ShapesConfig(height=48, width=64, max_half_width=16, crowd=True)
    write_shapes(tmp_path / "shapes", config, ShapesSize(1, 7))
    cfg = make_tiny_config()
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.MODEL.MASK_ON = True
    cfg.MODEL.DETR.TEST.PANOPTIC_ON = True
    (tmp_path / "test.yaml").write_text(cfg.dump())
    parse = argument_parser().parse_args
    command = ["--config-file", str(tmp_path / "test.yaml"), "--num-processes"]
    launch(main, parse([*command, "2"]))
    try:
        launch(main, parse([*command, "1"]))
    finally:
        for name in ("train", "val", "train_panoptic", "val_panoptic"):
            DatasetCatalog.remove(f"{PREFIX}_{name}")
            MetadataCatalog.pop(f"{PREFIX}_{name}", None)

    one, two = tmp_path / "of_1", tmp_path / "of_2"
    results = [json.loads((folder / "results.json").read_text()) for folder in (one, two)]
    assert results[0].keys() == {"bbox", "segm", "panoptic_seg"}
    for task, metrics in results[0].items():
        assert results[1][task] == pytest.approx(metrics, abs=1e-9, nan_ok=True)
        assert 5 < next(iter(metrics.values())) < 95
    assert (one / "predictions.json").read_text() == (two / "predictions.json").read_text()
    maps = sorted(file.name for file in (one / "predictions").iterdir())
    assert len(maps) == 7
    for name in maps:
        assert (one / "predictions" / name).read_bytes() == (two / "predictions" / name).read_bytes()
