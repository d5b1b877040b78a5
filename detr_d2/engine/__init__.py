"""Training and evaluation: trainer, optimizer, hooks, launch."""

from .ema import ModelEma
from .launch import launch
from .optimizer import build_lr_scheduler, build_optimizer
from .setup import argument_parser, setup
from .trainer import DetrTrainer
from .weights import load_for_evaluation

__all__ = [
    "DetrTrainer",
    "ModelEma",
    "argument_parser",
    "build_lr_scheduler",
    "build_optimizer",
    "launch",
    "load_for_evaluation",
    "setup",
]
