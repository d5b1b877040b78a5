"""Trains by a config file, and kills itself with SIGKILL in the middle of an iteration."""

from __future__ import annotations

import os
import signal
import sys

import torch

from .helpers import load_written_config

# isort: split
from detr_d2.engine import DetrTrainer


def main(config_file: str, iteration: int) -> None:
    torch.manual_seed(0)
    trainer = DetrTrainer(load_written_config(config_file))
    trainer.resume_or_load(resume=False)

    def die(*_: object) -> None:
        if trainer.iter == iteration:
            os.kill(os.getpid(), signal.SIGKILL)

    # While the gradients are computed: the weights are not updated yet.
    trainer.model.backbone.stem.conv1.weight.register_hook(die)
    trainer.train()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], int(sys.argv[2]))
