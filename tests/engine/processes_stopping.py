"""What the processes of test_early_stopping.py do; they import it by name."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.utils import comm

from detr_d2.engine import setup

from .kill_stopping import Declining


def main(args: argparse.Namespace) -> None:
    """Train until it stops, and go on from there, which stops at once; write what this rank knows."""
    cfg = setup(args)
    known = []
    for resume in (False, True):
        trainer = Declining(cfg)
        trainer.resume_or_load(resume=resume)
        trainer.train()
        known.append((trainer.start_iter, trainer.iter, trainer.max_iter))
    torch.save(known, Path(cfg.OUTPUT_DIR) / f"rank{comm.get_rank()}.pth")
