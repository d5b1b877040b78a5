"""What the processes of test_batch_norm.py do; they import it by name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from detr_d2.engine import DetrTrainer, setup
from detr_d2.engine.batch_norm import average_statistics, use_sync_batch_norm_of_cpu

MOMENTUM = 0.1


def inputs(rank: int) -> Tensor:
    """Other numbers, and another size, for each process."""
    torch.manual_seed(rank)
    return torch.randn(2, 3, 4 + rank, 5) * (1 + rank) + rank


def layers() -> tuple[nn.Sequential, nn.BatchNorm2d]:
    """A model with a layer that learns and one that is frozen, which is returned too."""
    frozen = nn.BatchNorm2d(3, momentum=MOMENTUM).eval()
    model = nn.Sequential(nn.BatchNorm2d(3, momentum=MOMENTUM), frozen)
    return model, frozen


def averaged(rank: int) -> list[dict[str, Tensor]]:
    """States of the model after each of two batches."""
    model, frozen = layers()
    frozen.running_mean += rank + 1 / 3  # would be changed if it took part
    states = []
    for _ in range(2):
        model(inputs(rank))
        average_statistics(model)
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    return states


def synchronized(x: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Output, gradient of the input and state of a SyncBN layer for this process's share of a batch."""
    model = nn.Sequential(nn.SyncBatchNorm(3))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    use_sync_batch_norm_of_cpu(model)
    share = x.chunk(comm.get_world_size())[comm.get_rank()].clone().requires_grad_()
    wrapped = DistributedDataParallel(model) if comm.get_world_size() > 1 else model
    output = wrapped(share)
    output.pow(3).sum().backward()
    assert share.grad is not None
    return output.detach(), share.grad, model.state_dict()


def train(cfg: CfgNode, folder: str, max_iter: int, resume: bool = False) -> DetrTrainer:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = f"{cfg.OUTPUT_DIR}/{folder}"
    cfg.SOLVER.MAX_ITER = max_iter
    torch.manual_seed(0)
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


def main(args: argparse.Namespace) -> None:
    cfg = setup(args)
    rank, folder = comm.get_rank(), Path(cfg.OUTPUT_DIR)
    torch.manual_seed(0)
    results: dict[str, Any] = {
        "averaged": averaged(rank),
        "synchronized": synchronized(torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(5))),
    }
    trainer = train(cfg, "whole", 4)
    results["trained"] = trainer.checkpointer.model.state_dict()
    results["average"] = trainer.ema.average() if trainer.ema else {}
    train(cfg, "resumed", 2)
    train(cfg, "resumed", 4, resume=True)
    torch.save(results, folder / f"rank{rank}.pth")
