"""What the processes of test_loading.py do; they import it by name."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.utils import comm

from detr_d2.config_file import read_config
from detr_d2.engine import DetrTrainer


def load_on_each_rank(args: argparse.Namespace) -> None:
    """Build a trainer from other random numbers on each rank, load MODEL.WEIGHTS, and save the model."""
    cfg = read_config(args.config_file, args.opts)
    torch.manual_seed(comm.get_rank())
    trainer = DetrTrainer(cfg)
    trainer.resume_or_load(resume=False)
    torch.save(trainer.checkpointer.model.state_dict(), Path(cfg.OUTPUT_DIR) / f"rank{comm.get_rank()}.pth")
