from __future__ import annotations

import pytest
import torch

from detr_d2.engine import ModelEma

from .helpers import TinyModel


def perturb(model: TinyModel) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    model.counter += 1


def test_average_equals_a_plain_loop_with_warm_up() -> None:
    model, decay = TinyModel(), 0.3
    ema = ModelEma(model, decay)
    expected = {name: p.detach().clone().double() for name, p in model.named_parameters()}
    for n in range(12):
        perturb(model)
        ema.update()
        d = min(decay, (1 + n) / (10 + n))
        for name, p in model.named_parameters():
            expected[name] = d * expected[name] + (1 - d) * p.detach().double()
    average = ema.average()
    for name, value in expected.items():
        torch.testing.assert_close(average[name].double(), value, rtol=1e-5, atol=1e-6)
    assert average["counter"] == 12  # a counter is not averaged


def test_a_tensor_that_never_changes_is_averaged_to_itself() -> None:
    model = TinyModel()
    frozen = model.backbone.weight.detach().clone()
    ema = ModelEma(model, 0.9997)
    for _ in range(50):
        ema.update()
    assert torch.equal(ema.average()["backbone.weight"], frozen)


def test_applied_swaps_and_restores_bit_for_bit_also_after_an_error() -> None:
    model = TinyModel()
    ema = ModelEma(model, 0.9)
    perturb(model)
    ema.update()
    raw = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average = {name: tensor.clone() for name, tensor in ema.average().items()}

    def evaluate() -> None:
        with ema.applied():
            assert all(torch.equal(tensor, average[name]) for name, tensor in model.state_dict().items())
            assert not torch.equal(model.head.weight, raw["head.weight"])
            raise RuntimeError("evaluation failed")

    with pytest.raises(RuntimeError, match="evaluation failed"):
        evaluate()
    assert all(torch.equal(tensor, raw[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, average[name]) for name, tensor in ema.average().items())


def test_the_average_does_not_share_memory_with_the_model() -> None:
    model = TinyModel()
    ema = ModelEma(model, 0.9)
    before = ema.average()["head.weight"].clone()
    perturb(model)
    assert torch.equal(ema.average()["head.weight"], before)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_senseless_decay_is_refused_with_the_keys_name(decay: float) -> None:
    with pytest.raises(ValueError, match=r"SOLVER\.EMA\.DECAY"):
        ModelEma(TinyModel(), decay)
