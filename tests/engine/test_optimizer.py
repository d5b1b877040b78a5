from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn

import detr_d2  # noqa: F401  comes before detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from detr_d2.engine.optimizer import build_gradient_clipper, build_lr_scheduler, build_optimizer

from .helpers import TinyModel


def names_by_group(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, set[str]]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {group["name"]: {names[id(p)] for p in group["params"]} for group in optimizer.param_groups}


def test_two_groups_hold_every_trainable_parameter_and_the_backbone_learns_slower(
    tiny_config: CfgNode,
) -> None:
    tiny_config.MODEL.BACKBONE.FREEZE_AT = 1
    tiny_config.SOLVER.BASE_LR, tiny_config.SOLVER.BACKBONE_MULTIPLIER = 2e-4, 0.25
    tiny_config.SOLVER.WEIGHT_DECAY = 1e-3
    model = build_model(tiny_config)
    optimizer = build_optimizer(tiny_config, model)

    groups = names_by_group(model, optimizer)
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable < {name for name, _ in model.named_parameters()}
    assert groups.keys() == {"transformer", "backbone"}
    assert groups["backbone"] == {name for name in trainable if name.startswith("backbone.")}
    assert groups["transformer"] == {name for name in trainable if not name.startswith("backbone.")}
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates == {"transformer": 2e-4, "backbone": 5e-5}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {1e-3}
    assert isinstance(optimizer, torch.optim.AdamW)


def test_norms_and_biases_have_their_own_decay_only_where_asked_for(tiny_config: CfgNode) -> None:
    model = TinyModel()
    tiny_config.SOLVER.WEIGHT_DECAY = 0.1
    tiny_config.SOLVER.WEIGHT_DECAY_NORM, tiny_config.SOLVER.WEIGHT_DECAY_BIAS = 0.0, 0.2
    optimizer = build_optimizer(tiny_config, model)
    assert names_by_group(model, optimizer) == {
        "transformer": {"head.weight"},
        "transformer_norm": {"norm.weight", "norm.bias"},
        "transformer_bias": {"head.bias"},
        "backbone": {"backbone.weight"},
        "backbone_bias": {"backbone.bias"},
    }
    decays = {group["name"]: group["weight_decay"] for group in optimizer.param_groups}
    assert decays["transformer_norm"] == 0.0
    assert decays["backbone_bias"] == 0.2
    assert decays["backbone"] == 0.1


def test_biases_learn_at_their_own_rate_where_asked_for(tiny_config: CfgNode) -> None:
    model = TinyModel()
    tiny_config.SOLVER.BASE_LR, tiny_config.SOLVER.BACKBONE_MULTIPLIER = 0.01, 0.5
    tiny_config.SOLVER.WEIGHT_DECAY_NORM, tiny_config.SOLVER.BIAS_LR_FACTOR = 0.0, 2.0
    optimizer = build_optimizer(tiny_config, model)
    names = {id(p): name for name, p in model.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates == pytest.approx(
        {
            "backbone.weight": 0.005,
            "backbone.bias": 0.01,
            "norm.weight": 0.01,
            "norm.bias": 0.02,
            "head.weight": 0.01,
            "head.bias": 0.02,
        }
    )
    decays = {
        names[id(p)]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert (decays["norm.bias"], decays["head.bias"]) == (0.0, tiny_config.SOLVER.WEIGHT_DECAY)


def test_fused_adamw_takes_the_same_step_as_the_formula(tiny_config: CfgNode) -> None:
    model = nn.Linear(3, 2)
    before = [p.detach().clone() for p in model.parameters()]
    tiny_config.SOLVER.BASE_LR, tiny_config.SOLVER.WEIGHT_DECAY = 0.01, 0.1
    optimizer = build_optimizer(tiny_config, model)
    assert optimizer.param_groups[0]["fused"]
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    optimizer.step()
    for p, old in zip(model.parameters(), before, strict=True):
        # Of the first step the bias-corrected moments are g and g².
        expected = old * (1 - 0.01 * 0.1) - 0.01 * p.grad / (p.grad.abs() + 1e-8)
        torch.testing.assert_close(p.detach(), expected)


def test_sgd_has_detectron2s_momentum(tiny_config: CfgNode) -> None:
    tiny_config.SOLVER.OPTIMIZER, tiny_config.SOLVER.MOMENTUM, tiny_config.SOLVER.NESTEROV = "SGD", 0.8, True
    optimizer = build_optimizer(tiny_config, TinyModel())
    assert isinstance(optimizer, torch.optim.SGD)
    assert {(group["momentum"], group["nesterov"]) for group in optimizer.param_groups} == {(0.8, True)}


def test_a_model_with_nothing_to_train_is_refused(tiny_config: CfgNode) -> None:
    with pytest.raises(ValueError, match="no trainable parameter"):
        build_optimizer(tiny_config, TinyModel().requires_grad_(False))


def clip(
    cfg: CfgNode, clip_type: str, limit: float, norm_type: float
) -> tuple[list[nn.Parameter], float | None]:
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = clip_type
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE, cfg.SOLVER.CLIP_GRADIENTS.NORM_TYPE = limit, norm_type
    parameters = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, -4.0]), torch.tensor([12.0])
    clipper = build_gradient_clipper(cfg)
    assert clipper is not None
    norm = clipper(parameters)
    return parameters, None if norm is None else float(norm)


@pytest.mark.parametrize(("norm_type", "norm"), [(2.0, 13.0), (1.0, 19.0), (math.inf, 12.0)])
def test_full_model_scales_all_gradients_by_their_joint_norm(
    tiny_config: CfgNode, norm_type: float, norm: float
) -> None:
    parameters, returned = clip(tiny_config, "full_model", 0.5, norm_type)
    assert returned == pytest.approx(norm)
    torch.testing.assert_close(parameters[0].grad, torch.tensor([3.0, -4.0]) * 0.5 / norm)
    torch.testing.assert_close(parameters[1].grad, torch.tensor([12.0]) * 0.5 / norm)


def test_full_model_leaves_small_gradients_alone(tiny_config: CfgNode) -> None:
    parameters, _ = clip(tiny_config, "full_model", 14.0, 2.0)
    torch.testing.assert_close(parameters[1].grad, torch.tensor([12.0]), rtol=0, atol=0)


def test_value_and_norm_clip_as_detectron2_does(tiny_config: CfgNode) -> None:
    parameters, _ = clip(tiny_config, "value", 3.5, 2.0)
    assert parameters[0].grad.tolist() == [3.0, -3.5]
    assert parameters[1].grad.tolist() == [3.5]
    parameters, _ = clip(tiny_config, "norm", 6.0, 2.0)
    assert parameters[0].grad.tolist() == [3.0, -4.0]  # its own norm is 5
    torch.testing.assert_close(parameters[1].grad, torch.tensor([6.0]))


@pytest.mark.parametrize("clip_type", [None, "value", "norm", "full_model"])
def test_the_joint_norm_is_measured_before_clipping_and_without(
    tiny_config: CfgNode, clip_type: str | None
) -> None:
    parameters = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))]
    parameters[0].grad, parameters[1].grad = torch.tensor([2.0, 3.0]), torch.tensor([6.0])
    clip = tiny_config.SOLVER.CLIP_GRADIENTS
    clip.ENABLED, clip.CLIP_VALUE = clip_type is not None, 1.0
    clip.CLIP_TYPE = clip_type or clip.CLIP_TYPE
    assert float(build_gradient_clipper(tiny_config)(parameters)) == pytest.approx(7.0)
    clipped = torch.cat([p.grad for p in parameters if p.grad is not None])
    assert (clipped.tolist() == [2.0, 3.0, 6.0]) is (clip_type is None)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("SOLVER.OPTIMIZER", "ADAM", "ADAMW, SGD"),
        ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "global", "full_model, value, norm"),
        ("SOLVER.LR_SCHEDULER_NAME", "Cosine", "WarmupMultiStepLR, WarmupCosineLR"),
        ("SOLVER.WARMUP_METHOD", "quadratic", "linear, constant"),
        ("SOLVER.STEPS", (20, 10), "must increase"),
        ("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", -1.0, "must be positive"),
    ],
)
def test_unknown_values_are_refused_with_the_keys_name(
    tiny_config: CfgNode, key: str, value: object, allowed: str
) -> None:
    tiny_config.SOLVER.CLIP_GRADIENTS.ENABLED = True
    tiny_config.merge_from_list([key, value])

    def build() -> None:
        build_gradient_clipper(tiny_config)
        build_lr_scheduler(tiny_config, build_optimizer(tiny_config, TinyModel()))

    with pytest.raises(ValueError, match=re.escape(key)) as error:
        build()
    assert allowed in str(error.value)


def rates(cfg: CfgNode) -> list[float]:
    """The head's learning rate at each iteration."""
    optimizer = build_optimizer(cfg, TinyModel())
    scheduler = build_lr_scheduler(cfg, optimizer)
    seen = []
    for _ in range(cfg.SOLVER.MAX_ITER):
        seen.append(optimizer.param_groups[0]["lr"])
        backbone = optimizer.param_groups[1]["lr"]
        assert backbone == pytest.approx(seen[-1] * cfg.SOLVER.BACKBONE_MULTIPLIER)
        optimizer.step()
        scheduler.step()
    return seen


def test_step_schedule_warms_up_and_drops(tiny_config: CfgNode) -> None:
    solver = tiny_config.SOLVER
    solver.BASE_LR, solver.MAX_ITER, solver.STEPS, solver.GAMMA = 1.0, 10, (6, 8), 0.1
    solver.WARMUP_ITERS, solver.WARMUP_FACTOR, solver.WARMUP_METHOD = 4, 0.2, "linear"
    assert rates(tiny_config) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_schedule_warms_up_and_falls(tiny_config: CfgNode) -> None:
    solver = tiny_config.SOLVER
    solver.LR_SCHEDULER_NAME = "WarmupCosineLR"
    solver.BASE_LR, solver.MAX_ITER, solver.WARMUP_ITERS = 2.0, 20, 3
    seen = rates(tiny_config)
    expected = [2.0 * 0.5 * (1 + math.cos(math.pi * i / 20)) for i in range(20)]
    assert seen[3:] == pytest.approx(expected[3:])
    assert seen[0] < seen[1] < seen[2] < seen[3]
