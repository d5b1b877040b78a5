"""A file of a training step whose losses or gradients are not finite, from which it can be repeated."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils import comm
from torch import Tensor, nn

from ..atomic import write_file
from ..checkpoint.safe_load import read_checkpoint
from ..errors import UserError
from ..modeling import LossNormalizers

Batch = list[dict[str, Any]]

_FORMAT = "detr_d2 step 2"

# What a file holds beside containers, tensors and NumPy's arrays, and is read again.
_PLAIN = (type(None), bool, int, float, str)
_KINDS = (Instances, Boxes, BitMasks, LossNormalizers)


@dataclass
class Step:
    """What a step of one process follows from, besides weights and config.

    Attributes:
        iteration: its number.
        micro_batches: Detectron2's dicts.
        normalizers: what the losses are divided by, if the model does not see to it.
        random_state: of :func:`~.seeding.random_state`, before the first forward pass.
    """

    iteration: int
    micro_batches: list[Batch]
    normalizers: Any
    random_state: dict[str, Any]


@dataclass
class FailedStep:
    """What a file holds.

    Attributes:
        step: as it was.
        weights: the model's state dict; running statistics are those after the step.
        config: as YAML.
        loss_names: k of them.
        losses: (micro-batches, k) float32, as they were.
        rank, world_size: of the process.
        threads: that PyTorch used on the CPU, on which the last bits depend.
    """

    step: Step
    weights: dict[str, Tensor]
    config: str
    loss_names: list[str]
    losses: Tensor
    rank: int
    world_size: int
    threads: int


def save_failed_step(
    cfg: CfgNode, model: nn.Module, step: Step, loss_names: list[str], losses: Tensor
) -> str:
    """Write non_finite_ITERATION[_rankR].pth into OUTPUT_DIR. It holds tensors, plain data and Detectron2's
    structures alone.

    Args:
        cfg: the config.
        model: not wrapped; the weights not updated.
        step: what was computed.
        loss_names, losses: what came of it, (micro-batches, names).

    Returns:
        the file's path.

    Raises:
        OSError: it cannot be written.
    """
    rank, world_size = comm.get_rank(), comm.get_world_size()
    suffix = f"_rank{rank}" if world_size > 1 else ""
    path = os.path.join(cfg.OUTPUT_DIR, f"non_finite_{step.iteration:07d}{suffix}.pth")
    content = {
        "format": _FORMAT,
        "step": storable(vars(step)),
        "weights": model.state_dict(),
        "config": cfg.dump(),
        "loss_names": loss_names,
        "losses": losses.cpu(),
        "rank": rank,
        "world_size": world_size,
        "threads": torch.get_num_threads(),
    }
    write_file(path, lambda file: torch.save(content, file))
    return path


def load_failed_step(path: str) -> FailedStep:
    """Read what :func:`save_failed_step` wrote, without running what is in it.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is damaged, or holds more than tensors and plain data.
        UserError: it is another kind of file.
    """
    with torch.serialization.safe_globals(list(_KINDS)):
        content = read_checkpoint(path)
    if content.pop("format", None) != _FORMAT:
        raise UserError(f"{path} is no step of a training: give a non_finite_*.pth file of its OUTPUT_DIR")
    return FailedStep(step=Step(**content.pop("step")), **content)


def storable(value: Any) -> Any:
    """``value`` as a file can hold it: what is neither plain data nor of a DETR's inputs is its text."""
    match value:
        case dict():
            return {storable(key): storable(item) for key, item in value.items()}
        case list():
            return [storable(item) for item in value]
        case tuple():
            return tuple(storable(item) for item in value)
        case Instances():
            return Instances(value.image_size, **storable(value.get_fields()))
        case np.generic():
            return value.item()
        case np.ndarray() if value.dtype.kind in "biuf":
            return value
        case Tensor():
            return value.detach()
    return value if type(value) in (*_PLAIN, *_KINDS) else str(value)
