"""``detr-d2 train --data PATH``: a data set of one's own by its path alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from detr_d2.config_file import read_config
from detr_d2.tools.train import main

from ..data.conftest import sound_panoptic
from ..data.formats.layouts import sample, write_yolo
from ..data.formats.test_coco import write_panoptic

pytestmark = pytest.mark.usefixtures("catalog")

SHORT = ["SOLVER.IMS_PER_BATCH", "2", "DATALOADER.NUM_WORKERS", "0", "SOLVER.AMP.ENABLED", "False"]
SHORT += ["TEST.EVAL_PERIOD", "0"]


def train(folder: Path, iterations: int, *words: str) -> int:
    keys = ["OUTPUT_DIR", str(folder.parent / "output"), "SOLVER.MAX_ITER", str(iterations), *SHORT]
    return main(["--data", str(folder), "--device", "cpu", *words, *keys])


def test_a_folder_alone_is_trained_on_resumed_and_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = sample(tmp_path, splits=(6,))
    folder = write_yolo(sets, tmp_path / "images", tmp_path / "dishes")
    output = tmp_path / "output"
    assert train(folder, 2) == 0
    names = torch.load(output / "model_final.pth")["metadata"]["thing_classes"]
    assert names == ["cup", "jug", "plate"]
    cut = {file.name: file.read_bytes() for file in (output / "data").iterdir()}
    assert set(cut) == {"summary.json", "dishes-train.json", "dishes-val.json"}
    assert len(json.loads(cut["dishes-val.json"])["images"]) == 1
    assert "dishes-val" in capsys.readouterr().out

    assert train(folder, 3, "--resume", "--config-file", str(output / "config.yaml")) == 0
    assert train(folder, 3, "--eval-only", "--weights", str(output / "model_final.pth")) == 0
    assert {file.name: file.read_bytes() for file in (output / "data").iterdir()} == cut


def test_a_panoptic_folder_alone_gets_its_panoptic_quality(tmp_path: Path) -> None:
    folder = tmp_path / "dishes"
    folder.mkdir()
    for split in ("train", "val"):
        write_panoptic(folder, split, sound_panoptic(), f"images/{split}", f"maps/{split}")
    assert train(folder, 1) == 0
    last = json.loads((tmp_path / "output" / "metrics.json").read_text().splitlines()[-1])
    assert "panoptic_seg/PQ" in last


def test_a_path_that_is_no_data_set_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        assert main(["--data", str(path)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert str(path) in error


def test_a_folder_alone_is_trained_by_the_recipe(tmp_path: Path) -> None:
    folder = write_yolo(sample(tmp_path, splits=(6,)), tmp_path / "images", tmp_path / "dishes")
    output = tmp_path / "output"
    keys = [
        "OUTPUT_DIR",
        str(output),
        "SOLVER.EPOCHS",
        "2",
        "SOLVER.MIN_ITER",
        "0",
        "DATALOADER.NUM_WORKERS",
        "0",
    ]
    assert main(["--data", str(folder), "--device", "cpu", "--batch", "2", *keys]) == 0
    cfg = read_config(str(output / "config.yaml"))
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH) == (5, 2)  # 5 images twice
    assert pytest.approx(0.0003 / 2) == cfg.SOLVER.BASE_LR
    lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
    assert {"bbox/AP", "val/total_loss"} <= lines[-1].keys()
    assert (output / "report.html").exists()


@pytest.mark.parametrize("batch", ["auto", "0", "-3", "many"])
def test_a_batch_that_cannot_be_is_one_line(
    tmp_path: Path, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_yolo(sample(tmp_path, splits=(6,)), tmp_path / "images", tmp_path / "dishes")
    with pytest.raises(SystemExit) as end:
        sys.exit(main(["--data", str(folder), "--device", "cpu", f"--batch={batch}"]))
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--batch" in error
