"""Optimizer, gradient clipping and learning-rate schedule from the keys of ``cfg.SOLVER``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_lr_scheduler as build_detectron2_lr_scheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from ..errors import ConfigError

OPTIMIZERS = ("ADAMW", "SGD")
CLIP_TYPES = ("full_model", "value", "norm")

# Clips the gradients of the parameters in place; returns their joint norm, as it was before.
GradientClipper = Callable[[Sequence[nn.Parameter]], Tensor]


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW or SGD over the trainable parameters, in the groups of :func:`parameter_groups`.

    AdamW runs fused where PyTorch can. On two CPU cores that took a third of the time of the default,
    and gave the same bits in every run and with any number of threads.

    Raises:
        ConfigError: an unknown SOLVER.OPTIMIZER, or a model without trainable parameters.
    """
    solver = cfg.SOLVER
    _require_one_of("SOLVER.OPTIMIZER", solver.OPTIMIZER, OPTIMIZERS)
    groups = parameter_groups(cfg, model)
    if not groups:
        raise ConfigError("the model has no trainable parameter: see MODEL.BACKBONE.FREEZE_AT")
    if solver.OPTIMIZER == "SGD":
        return torch.optim.SGD(groups, lr=solver.BASE_LR, momentum=solver.MOMENTUM, nesterov=solver.NESTEROV)
    parameters = [parameter for group in groups for parameter in group["params"]]
    return torch.optim.AdamW(groups, lr=solver.BASE_LR, fused=_can_fuse(parameters))


def parameter_groups(cfg: CfgNode, model: nn.Module) -> list[dict[str, Any]]:
    """Split the trainable parameters by learning rate and weight decay.

    Everything decays with SOLVER.WEIGHT_DECAY, as in the published recipe; where
    SOLVER.WEIGHT_DECAY_NORM or SOLVER.WEIGHT_DECAY_BIAS is not None, normalisation layers or the
    biases of other layers have a group of their own. ``model.backbone`` learns at BASE_LR times
    SOLVER.BACKBONE_MULTIPLIER, biases at SOLVER.BIAS_LR_FACTOR times what the other parameters do.

    Returns:
        groups for a PyTorch optimizer. Their ``name`` ("transformer", "backbone", "backbone_norm", ...)
        is what their learning rate is logged under.
    """
    solver = cfg.SOLVER
    decays = {
        "": solver.WEIGHT_DECAY,
        "_norm": solver.WEIGHT_DECAY if solver.WEIGHT_DECAY_NORM is None else solver.WEIGHT_DECAY_NORM,
        "_bias": solver.WEIGHT_DECAY if solver.WEIGHT_DECAY_BIAS is None else solver.WEIGHT_DECAY_BIAS,
    }
    backbone_module = getattr(model, "backbone", None)
    backbone = {id(p) for p in backbone_module.parameters()} if backbone_module is not None else set()
    groups: dict[str, dict[str, Any]] = {}
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            is_bias = name.endswith("bias")
            kind = "_norm" if _is_norm(module) else "_bias" if is_bias else ""
            decay = decays[kind]
            if decay == solver.WEIGHT_DECAY:
                kind = ""
            factor = solver.BIAS_LR_FACTOR if is_bias else 1.0
            if factor != 1:
                kind = "_norm_bias" if _is_norm(module) else "_bias"
            in_backbone = id(parameter) in backbone
            group_name = ("backbone" if in_backbone else "transformer") + kind
            group = groups.setdefault(
                group_name,
                {
                    "name": group_name,
                    "params": [],
                    "lr": solver.BASE_LR * factor * (solver.BACKBONE_MULTIPLIER if in_backbone else 1.0),
                    "weight_decay": decay,
                },
            )
            group["params"].append(parameter)
    return sorted(groups.values(), key=lambda group: group["name"], reverse=True)


def _is_norm(module: nn.Module) -> bool:
    normalises = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase, nn.LocalResponseNorm)
    return isinstance(module, normalises)


def _can_fuse(parameters: Sequence[nn.Parameter]) -> bool:
    """Whether PyTorch has a fused AdamW for these parameters' devices and types."""
    try:
        torch.optim.AdamW([parameters[0].detach()], fused=True)
        devices = {parameter.device.type for parameter in parameters}
        floating = all(torch.is_floating_point(parameter) for parameter in parameters)
    except (RuntimeError, TypeError):
        return False
    return floating and len(devices) == 1


def gradient_norm(parameters: Sequence[nn.Parameter], norm_type: float = 2.0) -> Tensor:
    """The joint norm of all gradients; NaN or infinite where one of their elements is."""
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], norm_type)


def build_gradient_clipper(cfg: CfgNode) -> GradientClipper:
    """What SOLVER.CLIP_GRADIENTS asks for; where it is not enabled, the norm is computed and nothing clipped.

    CLIP_TYPE "full_model" scales all gradients together so that their joint norm (NORM_TYPE) is at most
    CLIP_VALUE. "value" and "norm" are Detectron2's own: each element, each parameter's norm.

    Raises:
        ConfigError: an unknown SOLVER.CLIP_GRADIENTS.CLIP_TYPE, or a CLIP_VALUE that is not positive.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    if not clip.ENABLED:
        return gradient_norm
    _require_one_of("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", clip.CLIP_TYPE, CLIP_TYPES)
    limit, norm_type, clip_type = float(clip.CLIP_VALUE), float(clip.NORM_TYPE), clip.CLIP_TYPE
    if limit <= 0:
        raise ConfigError(f"SOLVER.CLIP_GRADIENTS.CLIP_VALUE is {limit}, but must be positive")

    def clip_gradients(parameters: Sequence[nn.Parameter]) -> Tensor:
        if clip_type == "full_model":
            return nn.utils.clip_grad_norm_(parameters, limit, norm_type)
        norm = gradient_norm(parameters, norm_type)
        if clip_type == "value":
            nn.utils.clip_grad_value_(parameters, limit)
        else:
            for parameter in parameters:
                nn.utils.clip_grad_norm_([parameter], limit, norm_type)
        return norm

    return clip_gradients


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
    """Detectron2's schedule of that name, with its warm-up.

    Raises:
        ConfigError: an unknown SOLVER.LR_SCHEDULER_NAME or SOLVER.WARMUP_METHOD, or SOLVER.STEPS that do
            not increase.
    """
    solver = cfg.SOLVER
    names = ["WarmupMultiStepLR", "WarmupCosineLR"]
    if "NUM_DECAYS" in solver:  # only Detectron2 main has this schedule and its key
        names.append("WarmupStepWithFixedGammaLR")
    _require_one_of("SOLVER.LR_SCHEDULER_NAME", solver.LR_SCHEDULER_NAME, names)
    _require_one_of("SOLVER.WARMUP_METHOD", solver.WARMUP_METHOD, ("linear", "constant"))
    steps = list(solver.STEPS)
    if solver.LR_SCHEDULER_NAME == "WarmupMultiStepLR" and steps != sorted(set(steps)):
        raise ConfigError(f"SOLVER.STEPS is {tuple(steps)}, but must increase from step to step")
    return build_detectron2_lr_scheduler(cfg, optimizer)


def _require_one_of(key: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{key} is {value!r}, but must be one of {', '.join(allowed)}")
