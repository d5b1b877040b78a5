"""Repeats a training step that failed, from its file."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import yaml
from detectron2.config import CfgNode
from torch import Tensor

from ..errors import named
from ..modeling.precision import training_dtype
from .failed_step import FailedStep
from .seeding import restore_random_state
from .setup import check_device
from .train_step import TrainStep
from .trainer import DetrTrainer


@dataclass
class Replay:
    """What came of a step this time.

    Attributes:
        losses: (micro-batches, names of losses) on the CPU.
        same_bits: whether they are the recorded ones, bit for bit; one NaN is like another.
        gradient_norm: of this process's gradient.
        broken: of each micro-batch, the images whose predictions were not finite.
    """

    losses: Tensor
    same_bits: bool
    gradient_norm: float
    broken: list[list[str]]


def replay(failed: FailedStep, device: str | None = None) -> Replay:
    """Forward and backward of a step once more: same weights, images, random state and config.

    On the CPU the losses are the same to the last bit. Of several processes it repeats one: statistics that
    NORM "SyncBN" takes over processes are this one's alone, and the gradient is not averaged.

    Args:
        failed: of :func:`~.failed_step.load_failed_step`.
        device: to compute on; by default the config's.

    Raises:
        ConfigError: there is no such device.
        UserError: the config names a part that is not registered here, or the weights are of another model.
    """
    cfg = CfgNode(yaml.safe_load(failed.config))
    cfg.MODEL.DEVICE = device or cfg.MODEL.DEVICE
    check_device(cfg)
    kind = torch.device(cfg.MODEL.DEVICE).type
    # What inference gives is not computed, and would need the data sets.
    cfg.MODEL.DETR.TEST.INSTANCE_ON, cfg.MODEL.DETR.TEST.PANOPTIC_ON = True, False
    if kind != "cuda" and cfg.SOLVER.AMP.DTYPE == "float16":
        cfg.SOLVER.AMP.ENABLED = False  # there is no float16 outside of GPUs
    if kind == "cpu":
        torch.set_num_threads(failed.threads)
    with named("the step's config names a part that detr_d2 and Detectron2 lack", (KeyError,)):
        model = DetrTrainer.build_model(cfg)
    with named("the step's weights are of another model", (RuntimeError,)):
        model.load_state_dict(failed.weights)

    step = failed.step
    train_step = TrainStep(
        model,
        torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0),
        accumulation_steps=len(step.micro_batches),
        amp_dtype=training_dtype(cfg),
    )
    restore_random_state(step.random_state, train_step.device)
    result = train_step.compute(step)
    losses, before = torch.stack(result.rows).cpu(), failed.losses
    return Replay(
        losses=losses,
        same_bits=bool(((losses == before) | (losses.isnan() & before.isnan())).all()),
        gradient_norm=float(train_step.clip()),
        broken=result.broken,
    )
