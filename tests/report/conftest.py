"""The OUTPUT_DIR of a training on the set that is worked by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from detr_d2.engine.setup import make_ready

from ..conftest import make_tiny_config
from ..evaluation.error_cases import hand_worked

NAMES = ["<script>alert(1)</script>", "$x_{", "a \"b\" & 'c'"]


@dataclass(frozen=True)
class Output:
    """A run's folder, and its config, whose data set is registered."""

    folder: Path
    cfg: CfgNode


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    truth, predictions = hand_worked()
    images = []
    for number in (1, 2, 3):
        name = f"{number}.png"
        Image.new("RGB", (520, 200), (40 * number, 120, 90)).save(tmp_path / name)
        images.append({"id": number, "file_name": name, "width": 520, "height": 200})
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES, start=1)]
    data = {"images": images, "categories": categories, "annotations": truth}
    (tmp_path / "data.json").write_text(json.dumps(data))
    folder = tmp_path / "run"
    (folder / "inference").mkdir(parents=True)
    (folder / "inference" / "coco_instances_results.json").write_text(json.dumps(predictions))
    lines = [{"iteration": n, "total_loss": 9 - n / 100, "lr": 1e-4} for n in range(19, 400, 20)]
    (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    cfg = make_tiny_config()
    name = f"report_{tmp_path.name}"
    cfg.DATASETS.COCO_JSON = ((name, str(tmp_path / "data.json"), str(tmp_path)),)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (name,)
    (folder / "config.yaml").write_text(cfg.dump())
    make_ready(cfg)
    yield Output(folder, cfg)
    DatasetCatalog.remove(name)
    MetadataCatalog.pop(name, None)
