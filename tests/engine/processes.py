"""What the processes of test_distributed.py do; they import it by name."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from detr_d2.engine import DetrTrainer, setup
from detr_d2.engine.train_step import TrainStep

from ..conftest import make_input

Batch = list[dict[str, Any]]

# Objects of eight images, four for each process, two for each micro-batch, and their sizes: every
# micro-batch is padded to the same one.
COUNTS = (0, 0, 0, 1, 4, 2, 12, 3)
SIZES = ((64, 96), (48, 80), (40, 96), (64, 50), (64, 96), (64, 96), (33, 47), (64, 96))


def images(counts: Sequence[int] = COUNTS) -> Batch:
    """The same images in every process."""
    torch.manual_seed(1)
    batch = [make_input(*size, count) for size, count in zip(SIZES, counts, strict=True)]
    for number, x in enumerate(batch):
        x["file_name"] = f"image{number}.png"
    return batch


def gradients(cfg: CfgNode, micro_batches: list[Batch]) -> dict[str, Tensor]:
    """Gradients of the sum of the losses of the micro-batches, over all processes."""
    torch.manual_seed(0)
    model: nn.Module = build_model(cfg).to(torch.get_default_dtype())
    model.position_encoding.register_forward_hook(lambda *x: x[2].to(torch.get_default_dtype()))
    if comm.get_world_size() > 1:
        model = DistributedDataParallel(model)
    step = TrainStep(
        model, torch.optim.SGD(model.parameters(), lr=0.0), accumulation_steps=len(micro_batches)
    )
    step.read_from(itertools.cycle(micro_batches))
    with EventStorage():
        step.run_step()
    return {
        name.removeprefix("module."): p.grad for name, p in model.named_parameters() if p.grad is not None
    }


def in_double_precision() -> None:
    """Let this process compute in float64, also where the model asks for float32."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]


def in_single_precision() -> None:
    torch.set_default_dtype(torch.float32)
    del torch.Tensor.float


def main(args: argparse.Namespace) -> None:
    """Write this rank's gradients, its report of a NaN, and train."""
    cfg = setup(args)
    folder, rank = Path(cfg.OUTPUT_DIR), comm.get_rank()
    mine = images()[rank * 4 : rank * 4 + 4]
    results: dict[str, Any] = {"local_rank": comm.get_local_rank(), "local_size": comm.get_local_size()}

    model_cfg = cfg.clone()
    model_cfg.defrost()
    for mode in ("joint", "per_process"):
        model_cfg.MODEL.DETR.LOSS_NORMALIZATION = mode
        results[f"{mode} float32"] = gradients(model_cfg, [mine])
    model_cfg.MODEL.DETR.LOSS_NORMALIZATION = "joint"
    results["accumulated float32"] = gradients(model_cfg, [mine[:2], mine[2:]])
    in_double_precision()
    results["joint float64"] = gradients(model_cfg, [mine])
    results["accumulated float64"] = gradients(model_cfg, [mine[:2], mine[2:]])
    in_single_precision()

    results["error"] = _loss_of_nan(rank)
    torch.save(results, folder / f"rank{rank}.pth")

    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    trainer.train()
    torch.save(trainer.checkpointer.model.state_dict(), folder / f"trained{rank}.pth")


class _NanOnOneRank(nn.Module):
    """Its loss is NaN on rank 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss_x": self.weight.sum() * (float("nan") if comm.get_rank() == 1 else 1.0)}


def _loss_of_nan(rank: int) -> str:
    model = DistributedDataParallel(_NanOnOneRank())
    step = TrainStep(model, torch.optim.SGD(model.parameters(), lr=0.1))
    step.read_from(itertools.repeat([{"file_name": f"of_rank{rank}.png"}]))
    with EventStorage():
        try:
            step.run_step()
        except FloatingPointError as error:
            return str(error)
    return ""
