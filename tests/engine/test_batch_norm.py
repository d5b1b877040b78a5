"""Batch norm in two gloo processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from torch import nn

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.engine import DetrTrainer, argument_parser, launch
from detr_d2.engine.batch_norm import use_sync_batch_norm_of_cpu

from .helpers import load_written_config, write_dataset
from .kill import assert_same_bits
from .processes_batch_norm import MOMENTUM, inputs, main


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[CfgNode, list[dict[str, Any]]]:
    """Config and results of two processes."""
    cfg = write_dataset(tmp_path_factory.mktemp("batch_norm"))
    assert cfg.MODEL.RESNETS.NORM == "BN"
    cfg.SOLVER.EMA.ENABLED = True
    cfg.SOLVER.CHECKPOINT_PERIOD = 2
    folder = Path(cfg.OUTPUT_DIR)
    folder.mkdir()
    file = folder / "test.yaml"
    file.write_text(cfg.dump())
    launch(main, argument_parser().parse_args(["--config-file", str(file), "--num-processes", "2"]))
    results = [torch.load(folder / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)]
    return load_written_config(str(file)), results


@pytest.mark.slow
class TestTwoProcesses:
    def test_running_statistics_are_the_mean_of_those_of_all(self, ranks: Any) -> None:
        mean, var = torch.zeros(3), torch.ones(3)
        for number in range(2):
            batches = [inputs(rank).transpose(0, 1).flatten(1) for rank in (0, 1)]
            means = torch.stack([x.mean(1) for x in batches]).mean(0)
            variances = torch.stack([x.var(1) for x in batches]).mean(0)
            mean = (1 - MOMENTUM) * mean + MOMENTUM * means
            var = (1 - MOMENTUM) * var + MOMENTUM * variances
            first, second = (result["averaged"][number] for result in ranks[1])
            assert torch.equal(first["0.running_mean"], second["0.running_mean"])
            assert torch.equal(first["0.running_var"], second["0.running_var"])
            torch.testing.assert_close(first["0.running_mean"], mean)
            torch.testing.assert_close(first["0.running_var"], var)

    def test_frozen_statistics_stay_what_they_are(self, ranks: Any) -> None:
        for rank, result in enumerate(ranks[1]):
            assert torch.equal(result["averaged"][1]["1.running_mean"], torch.zeros(3) + (rank + 1 / 3))

    def test_sync_batch_norm_normalizes_the_joint_batch_of_equal_sizes(self, ranks: Any) -> None:
        x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(5)).requires_grad_()
        joint = nn.BatchNorm2d(3)
        with torch.no_grad():
            joint.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        output = joint(x)
        output.pow(3).sum().backward()
        outputs, gradients, states = zip(*(result["synchronized"] for result in ranks[1]), strict=True)
        torch.testing.assert_close(torch.cat(outputs), output.detach())
        torch.testing.assert_close(torch.cat(gradients), x.grad, atol=1e-4, rtol=1e-4)
        for state in states:
            torch.testing.assert_close(state["0.running_mean"], joint.running_mean)

    @pytest.mark.parametrize("weights", ["trained", "average"])
    def test_every_rank_has_the_weights_and_statistics_of_the_checkpoint(
        self, ranks: Any, weights: str
    ) -> None:
        cfg, results = ranks
        checkpoint = torch.load(Path(cfg.OUTPUT_DIR) / "whole" / "model_final.pth")
        saved = checkpoint["model"] if weights == "average" else checkpoint["trainer"]["ema"]["raw_model"]
        for result in results:
            assert_same_bits(result[weights], saved)
        moved = saved["backbone.stem.conv1.norm.running_mean"]
        assert moved.abs().max() > 0

    def test_two_processes_evaluate_as_one_does_with_the_checkpoint(self, ranks: Any) -> None:
        cfg = ranks[0].clone()
        whole = Path(cfg.OUTPUT_DIR) / "whole"
        file = Path("inference") / "coco_instances_results.json"
        of_two = json.loads((whole / file).read_text())
        lines = [json.loads(line) for line in (whole / "metrics.json").read_text().splitlines()]
        ap_of_two = {k: v for line in lines for k, v in line.items() if k.startswith("bbox/")}

        cfg.OUTPUT_DIR = str(whole / "again")
        model = DetrTrainer.build_model(cfg)
        DetrCheckpointer(model).load(str(whole / "model_final.pth"), checkpointables=[])
        of_one = DetrTrainer.test(cfg, model)["bbox"]
        assert json.loads((whole / "again" / file).read_text()) == of_two
        assert {f"bbox/{k}": v for k, v in of_one.items() if v == v} == {
            k: v for k, v in ap_of_two.items() if v == v
        }

    def test_resuming_gives_the_same_bits(self, ranks: Any) -> None:
        folder = Path(ranks[0].OUTPUT_DIR)
        whole, resumed = (torch.load(folder / name / "model_final.pth") for name in ("whole", "resumed"))
        assert_same_bits(resumed, whole)


def test_sync_batch_norm_of_the_cpu_is_replaced_with_its_weights() -> None:
    model = nn.Sequential(nn.Sequential(nn.SyncBatchNorm(3, eps=0.1, momentum=0.3)), nn.BatchNorm2d(3))
    weight, names = model[0][0].weight, set(model.state_dict())
    weight.requires_grad = False
    use_sync_batch_norm_of_cpu(model)
    assert model[0][0].weight is weight
    assert set(model.state_dict()) == names
    assert (model[0][0].eps, model[0][0].momentum) == (0.1, 0.3)
    model(torch.randn(2, 3, 4, 4))
    assert type(model[1]) is nn.BatchNorm2d
