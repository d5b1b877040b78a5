"""Trainings in several processes in which something goes wrong; test_ending.py starts them as a program.

``python -m tests.engine.processes_failing CASE FOLDER [arguments of train_net.py]``
"""

from __future__ import annotations

import argparse
import functools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

import detr_d2  # noqa: F401  comes before detectron2, which v0.6 needs

# isort: split
from detectron2.utils import comm

from detr_d2.engine import DetrTrainer, argument_parser, launch, setup

FAILS_AT = 3


class Trainer(DetrTrainer):
    """Rank 1 fails in one way or another; notes when."""

    case: str
    folder: Path

    def run_step(self) -> None:
        if comm.get_rank() == 1 and self.iter == FAILS_AT:
            (self.folder / "failed").touch()
            if "exception" in self.case:
                raise RuntimeError("rank 1 has had enough")
            if self.case == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
        super().run_step()


def main(case: str, folder: str, args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    Trainer.case, Trainer.folder = case, Path(folder)
    cfg = setup(args)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    rank = comm.get_rank()
    if case.startswith("nan"):
        _spoil_images(trainer, rank == 1, in_gradient=case == "nan in gradient")
        if rank == 0:
            _save_slowly(trainer)
    trainer.train()


def _spoil_images(trainer: Trainer, here: bool, in_gradient: bool) -> None:
    bare = trainer.checkpointer.model
    forward = bare.forward

    def spoiled(batch: list[dict[str, Any]], **options: Any) -> Any:
        fails = here and trainer.iter == FAILS_AT
        if fails and not in_gradient:
            batch[1]["image"] = batch[1]["image"].float()
            batch[1]["image"][0, 3, 3] = float("nan")
        losses = forward(batch, **options)
        if fails and in_gradient:
            losses["loss_bbox"] = losses["loss_bbox"] + (losses["loss_bbox"] * 0).sqrt()
        return losses

    bare.forward = spoiled


def _save_slowly(trainer: Trainer) -> None:
    save = trainer.checkpointer.save

    def slow(*args: Any, **kwargs: Any) -> None:
        time.sleep(1.5)
        save(*args, **kwargs)

    trainer.checkpointer.save = slow


if __name__ == "__main__":
    try:
        launch(functools.partial(main, *sys.argv[1:3]), argument_parser().parse_args(sys.argv[3:]))
    finally:  # a busy machine takes its time to end a program that has nothing left to do
        Path(sys.argv[2], "ended").touch()
