"""Counting what autograd keeps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.training_memory import kept_for_backward, main, model_bytes
from tests.conftest import make_tiny_config


def test_a_storage_is_counted_once_and_weights_are_not() -> None:
    x = torch.rand(10, 100)
    weight = torch.rand(50, 100, requires_grad=True)

    def forward() -> torch.Tensor:
        y = (x @ weight.T).exp()  # keeps x, and its own result of 10 x 50
        return y.sum() + y.square().sum()  # the same result again

    assert kept_for_backward(forward, [weight]) == 4 * (10 * 100 + 10 * 50)
    assert kept_for_backward(forward, [weight, x]) == 4 * 10 * 50


def test_a_frozen_weight_has_no_gradient_and_no_averages() -> None:
    cfg = make_tiny_config()
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 5, bias=False))
    model[0].requires_grad_(False)
    assert model_bytes(cfg, model) == 4 * (3 * 4 + 4 * 4 * 5)


def test_two_images_keep_about_twice_as_much_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    kept = []
    for images in ("1", "2"):
        arguments = ["--config", "Shapes-Detection/detr_tiny.yaml", "--size", "256", "256"]
        assert main([*arguments, "--images", images]) == 0
        kept.append(float(capsys.readouterr().out.split()[-2]))
    assert 1.7 < kept[1] / kept[0] < 2.3
