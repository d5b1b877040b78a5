"""Training and evaluation: trainer, optimizer, hooks, launch."""

from .classes import category_numbers, class_names, evaluated_class_names
from .ema import ModelEma
from .evaluation import load_for_evaluation
from .launch import launch
from .optimizer import build_lr_scheduler, build_optimizer
from .setup import argument_parser, load_config, read_config, setup
from .trainer import DetrTrainer

__all__ = [
    "DetrTrainer",
    "ModelEma",
    "argument_parser",
    "build_lr_scheduler",
    "build_optimizer",
    "category_numbers",
    "class_names",
    "evaluated_class_names",
    "launch",
    "load_for_evaluation",
    "load_config",
    "read_config",
    "setup",
]
