"""What the processes of test_distributed_masks.py do; they import it by name."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import Tensor

from detr_d2.engine import DetrTrainer, setup

from ..conftest import make_mask_input
from .processes import Batch, gradients, in_double_precision, in_single_precision

# Objects of eight images of one size, four for each process.
COUNTS = (0, 2, 0, 1, 4, 2, 12, 3)
# What is computed in each precision; a frozen detector leaves only the mask head's gradients.
CASES = ("joint", "joint frozen", "accumulated", "no objects on one", "no objects")


def images(counts: tuple[int, ...] = COUNTS) -> Batch:
    """The same images in every process."""
    torch.manual_seed(1)
    return [make_mask_input(64, 96, count) for count in counts]


def case_of(cfg: CfgNode, case: str) -> tuple[CfgNode, Batch]:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DETR.FROZEN_WEIGHTS = "any.pth" if "frozen" in case else ""
    counts = {"no objects on one": (0,) * 4 + COUNTS[4:], "no objects": (0,) * 8}.get(case, COUNTS)
    return cfg, images(counts)


def gradients_of(cfg: CfgNode, case: str, parts: int, part: int) -> dict[str, Tensor]:
    """Of one of ``parts`` equal shares of a case's images."""
    cfg, batch = case_of(cfg, case)
    share = len(batch) // parts
    mine = batch[part * share : part * share + share]
    half = len(mine) // 2
    return gradients(cfg, [mine[:half], mine[half:]] if case == "accumulated" and parts > 1 else [mine])


def main(args: argparse.Namespace) -> None:
    """Write this rank's gradients, then train on a frozen detector in mixed precision."""
    cfg = setup(args)
    folder, rank = Path(cfg.OUTPUT_DIR), comm.get_rank()
    results = {f"{case} float32": gradients_of(cfg, case, 2, rank) for case in CASES}
    in_double_precision()
    results.update({f"{case} float64": gradients_of(cfg, case, 2, rank) for case in CASES})
    in_single_precision()
    torch.save(results, folder / f"rank{rank}.pth")

    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    torch.save(trainer.checkpointer.model.state_dict(), folder / f"trained{rank}.pth")
