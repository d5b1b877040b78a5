"""Two gloo processes, started by ``launch`` and as torchrun starts them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode

from detr_d2.engine import argument_parser, launch

from .helpers import write_dataset
from .processes import gradients, images, in_double_precision, in_single_precision, main

ROOT = Path(__file__).parents[2]


def relative_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest over the parameters of |difference| / |gradient|, Euclidean norms.

    Softmax does not see what is added to all keys: the gradient of such a bias is rounding alone.
    """
    assert one.keys() == other.keys()
    names = [name for name in one if not name.endswith(("k_content_proj.bias", "k_pos_proj.bias"))]
    pairs = [(one[name], other[name]) for name in names]
    return max(float((x - y).norm() / y.norm()) for x, y in pairs if not torch.equal(x, y))


def config(folder: Path) -> CfgNode:
    cfg = write_dataset(folder)
    cfg.MODEL.DETR.DROPOUT = 0.0
    cfg.MODEL.DETR.AUXILIARY = ("encoder",)
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    cfg.SOLVER.MAX_ITER = 3
    cfg.SOLVER.ACCUMULATION_STEPS = 2
    cfg.SOLVER.EMA.ENABLED = True
    Path(cfg.OUTPUT_DIR).mkdir()
    return cfg


def choose(cfg: CfgNode, decoder: str) -> None:
    """A variant with all that it can learn from, and without chance: other processes draw other noise."""
    detr = cfg.MODEL.DETR
    detr.DECODER, detr.CLASS_LOSS, detr.AUXILIARY = decoder, "focal", ("denoising", "groups", "encoder")
    detr.GROUPS.NUM, detr.DENOISING.LABEL_NOISE, detr.DENOISING.BOX_NOISE = 2, 0.0, 0.0


@pytest.fixture(scope="module", params=["detr", "dab", "rpb"])
def ranks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[CfgNode, Path, list[dict[str, Any]]]:
    """Config, output folder and results of two processes."""
    cfg = config(tmp_path_factory.mktemp("two"))
    if request.param != "detr":
        choose(cfg, request.param)
    file = Path(cfg.OUTPUT_DIR) / "test.yaml"
    file.write_text(cfg.dump())
    launch(main, argument_parser().parse_args(["--config-file", str(file), "--num-processes", "2"]))
    folder = Path(cfg.OUTPUT_DIR)
    return cfg, folder, [torch.load(folder / f"rank{rank}.pth") for rank in (0, 1)]


@pytest.mark.slow
class TestTwoProcesses:
    def test_know_their_places(self, ranks: Any) -> None:
        assert [(r["local_rank"], r["local_size"]) for r in ranks[2]] == [(0, 2), (1, 2)]

    @pytest.mark.parametrize("parts", ["joint", "accumulated"])
    def test_give_the_gradients_of_the_joint_batch(self, ranks: Any, parts: str) -> None:
        """One rank has a single object, so that counts differ; the other more than there are queries."""
        cfg, _, results = ranks
        batch = images()
        in_double_precision()
        try:
            exact = gradients(cfg, [batch])
        finally:
            in_single_precision()
        single = gradients(cfg, [batch])
        figures = [
            (
                relative_difference(r[f"{parts} float64"], exact),
                relative_difference(r[f"{parts} float32"], single),
            )
            for r in results
        ]
        print(f"{parts}: float64, float32 of each rank: {figures}")
        for in_float64, in_float32 in figures:
            assert in_float64 < 1e-6
            assert in_float32 < 5e-6

    def test_per_process_normalization_gives_others_with_cross_entropy(self, ranks: Any) -> None:
        """Its weights alone are summed on each process; numbers of boxes are the mean over all anyway."""
        cfg, _, results = ranks
        difference = relative_difference(results[0]["per_process float32"], gradients(cfg, [images()]))
        if cfg.MODEL.DETR.CLASS_LOSS == "cross_entropy":
            assert difference > 1e-2
        else:
            assert difference < 5e-6

    def test_all_stop_at_a_nan_of_one_and_name_its_images(self, ranks: Any) -> None:
        for result in ranks[2]:
            assert "iteration 0" in result["error"]
            assert "of_rank1.png" in result["error"]
            assert "of_rank0.png" not in result["error"]

    def test_train_to_the_same_weights_and_write_one_set_of_files(self, ranks: Any) -> None:
        cfg, folder, _ = ranks
        first, second = (torch.load(folder / f"trained{rank}.pth") for rank in (0, 1))
        assert all(torch.equal(first[name], second[name]) for name in first)
        lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
        assert [line["bbox/AP"] for line in lines if "bbox/AP" in line]
        facts = torch.load(folder / "model_final.pth")["trainer"]["data"]
        assert facts["number of processes"] == 2


@pytest.mark.slow
def test_torchruns_environment_is_joined(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    file = tmp_path / "test.yaml"
    file.write_text(cfg.dump())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "train_net.py", "--config-file", str(file), "SOLVER.MAX_ITER", "1"]
    processes = []
    for rank in ("0", "1"):
        group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        environment = {**os.environ, **group, **meeting}
        processes.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert "copypaste: AP,AP50" in outputs[0]
    assert "copypaste" not in outputs[1]
    facts = torch.load(Path(cfg.OUTPUT_DIR) / "model_final.pth")["trainer"]["data"]
    assert facts["number of processes"] == 2
