"""Optimizer, gradient clipping and learning-rate schedule from the keys of ``cfg.SOLVER``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_lr_scheduler as build_detectron2_lr_scheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from ..errors import ConfigError, require

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase, nn.LocalResponseNorm)

# Clips the gradients of the parameters in place; returns their joint norm, as it was before.
GradientClipper = Callable[[Sequence[nn.Parameter]], Tensor]


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW or SGD over the trainable parameters, in the groups of :func:`parameter_groups`.

    AdamW runs fused. On two CPU cores that took a third of the time of the default, and gave the same bits
    in every run and with any number of threads.

    Raises:
        ConfigError: an unknown SOLVER.OPTIMIZER, or a model without trainable parameters.
    """
    solver = cfg.SOLVER
    _require_one_of("SOLVER.OPTIMIZER", solver.OPTIMIZER, ("ADAMW", "SGD"))
    groups = parameter_groups(cfg, model)
    if not groups:
        raise ConfigError("the model has no trainable parameter: see MODEL.BACKBONE.FREEZE_AT")
    if solver.OPTIMIZER == "SGD":
        return torch.optim.SGD(groups, lr=solver.BASE_LR, momentum=solver.MOMENTUM, nesterov=solver.NESTEROV)
    return torch.optim.AdamW(groups, lr=solver.BASE_LR, fused=True)


def parameter_groups(cfg: CfgNode, model: nn.Module) -> list[dict[str, Any]]:
    """Split the trainable parameters by learning rate and weight decay.

    Everything decays with SOLVER.WEIGHT_DECAY, as in the published recipe; where
    SOLVER.WEIGHT_DECAY_NORM or SOLVER.WEIGHT_DECAY_BIAS is not None, normalization layers or the
    biases of other layers have a group of their own. ``model.backbone`` learns at BASE_LR times
    SOLVER.BACKBONE_MULTIPLIER, biases at SOLVER.BIAS_LR_FACTOR times what the other parameters do.

    Detectron2's ``get_default_optimizer_params`` knows neither the backbone nor names of groups.

    Returns:
        groups for a PyTorch optimizer. Their ``name`` ("transformer", "backbone", "backbone_norm", ...)
        is what their learning rate is logged under.
    """
    solver = cfg.SOLVER
    decays = {"_norm": solver.WEIGHT_DECAY_NORM, "_bias": solver.WEIGHT_DECAY_BIAS}
    backbone = {id(p) for p in getattr(model, "backbone", nn.Module()).parameters()}
    groups: dict[str, dict[str, Any]] = {}
    seen: set[int] = set()
    for module in model.modules():
        is_norm = isinstance(module, _NORMS)
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            is_bias, in_backbone = name.endswith("bias"), id(parameter) in backbone
            factor = solver.BIAS_LR_FACTOR if is_bias else 1.0
            kind = "_norm" if is_norm else "_bias" if is_bias else ""
            decay = decays.get(kind)
            if factor != 1:
                kind = "_norm_bias" if is_norm else "_bias"
            elif decay in (None, solver.WEIGHT_DECAY):
                kind = ""
            group_name = ("backbone" if in_backbone else "transformer") + kind
            group = groups.setdefault(
                group_name,
                {
                    "name": group_name,
                    "params": [],
                    "lr": solver.BASE_LR * factor * (solver.BACKBONE_MULTIPLIER if in_backbone else 1.0),
                    "weight_decay": solver.WEIGHT_DECAY if decay is None else decay,
                },
            )
            group["params"].append(parameter)
    return sorted(groups.values(), key=lambda group: group["name"], reverse=True)


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
    types = ("full_model", "value", "norm")
    _require_one_of("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", clip.CLIP_TYPE, types)
    limit, norm_type, clip_type = float(clip.CLIP_VALUE), float(clip.NORM_TYPE), clip.CLIP_TYPE
    require(limit > 0, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", limit, "positive")

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
    require(value in allowed, key, value, f"one of {', '.join(allowed)}")
