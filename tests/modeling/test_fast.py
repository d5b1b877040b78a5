"""The fast path of inference gives what the model gives, whatever happens to the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from detectron2.modeling import build_model
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from detr_d2.engine.ema import ModelEma
from detr_d2.modeling import DECODERS
from detr_d2.modeling.fast import FastInference

from ..conftest import make_input, make_mask_config, make_mask_input

BATCH = [(64, 96), (80, 64)]


def unlike_the_start(model: nn.Module) -> nn.Module:
    """Statistics and weights as after a training, so that folding them matters."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, FrozenBatchNorm2d | _BatchNorm):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 2.0)
                for tensor in (module.bias, module.running_mean):
                    tensor.uniform_(-0.5, 0.5)
    return model


def images() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(3)
    return [{"image": 255 * torch.rand(3, *size, generator=generator)} for size in BATCH]


def check(fast: FastInference, model: nn.Module) -> None:
    batch, training = images(), model.training
    with torch.no_grad():
        expected = model.eval()(batch)
    model.train(training)
    for ours, theirs in zip(fast(batch), expected, strict=True):
        for field, value in theirs["instances"].get_fields().items():
            value, own = (getattr(x, "tensor", x) for x in (value, ours["instances"].get(field)))
            torch.testing.assert_close(own, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("decoder", sorted(DECODERS))
@pytest.mark.parametrize("norm", ["FrozenBN", "BN", "SyncBN", ""])
def test_results_are_those_of_the_model(tiny_config: CfgNode, decoder: str, norm: str) -> None:
    tiny_config.MODEL.DETR.DECODER, tiny_config.MODEL.RESNETS.NORM = decoder, norm
    model = unlike_the_start(build_model(tiny_config))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = FastInference(model)
    check(fast, model)
    left = [m for m in fast.backbone.modules() if isinstance(m, FrozenBatchNorm2d | _BatchNorm)]
    assert not left, "all of them follow a convolution"
    assert model.training
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_other_norms_stay(tiny_config: CfgNode) -> None:
    model = build_model(tiny_config)
    model.backbone.stem.conv1.norm = nn.GroupNorm(4, 8)
    fast = FastInference(model)
    check(fast, model)
    assert sum(isinstance(m, nn.GroupNorm) for m in fast.backbone.modules()) == 1


class Standardized(Conv2d):
    """A convolution with a forward of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        x = nn.functional.conv2d(x, weight, self.bias, self.stride, self.padding)
        return x if self.norm is None else self.norm(x)


def test_convolutions_of_other_kinds_stay(tiny_config: CfgNode) -> None:
    tiny_config.MODEL.RESNETS.NORM = "FrozenBN"
    model = unlike_the_start(build_model(tiny_config))
    stem = model.backbone.stem.conv1
    own = Standardized(3, 8, 7, stride=2, padding=3, bias=False, norm=stem.norm)
    model.backbone.stem.conv1 = own
    check(FastInference(model), model)
    model.backbone.stem.conv1 = nn.utils.parametrizations.weight_norm(stem)
    check(FastInference(model), model)


def test_a_watched_backbone_is_called_itself(tiny_config: CfgNode) -> None:
    model = unlike_the_start(build_model(tiny_config))
    fast = FastInference(model)
    fast(images())
    seen: list[int] = []
    handle = model.backbone.stem.register_forward_hook(lambda *_: seen.append(1))
    fast(images())
    assert seen
    handle.remove()
    check(fast, model)


def test_a_model_that_is_built_without_gradients_of_any_kind_is_called(tiny_config: CfgNode) -> None:
    with torch.inference_mode():
        model = build_model(tiny_config).eval()
        assert len(FastInference(model)(images())) == 2


def test_masks_and_segments_are_those_of_the_model() -> None:
    cfg = make_mask_config()
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    model = unlike_the_start(build_model(cfg)).eval()
    batch = [make_mask_input(64, 64, 2)]
    with torch.no_grad():
        (expected,) = model(batch)
    (found,) = FastInference(model)(batch)
    changed = (found["instances"].pred_masks != expected["instances"].pred_masks).float().mean()
    assert changed < 1e-4, "a pixel at the border may round to the other side"


def test_every_way_to_change_the_weights_is_noticed(tiny_config: CfgNode) -> None:
    model = unlike_the_start(build_model(tiny_config))
    fast = FastInference(model)
    check(fast, model)
    made = fast.backbone
    assert fast.backbone is made, "nothing changed"

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sum(model([make_input(64, 64, 2)]).values()).backward()
    optimizer.step()
    check(fast, model)

    ema = ModelEma(model, 0.5)
    unlike_the_start(model)  # what is averaged is another now
    with ema.applied():
        check(fast, model)
    check(fast, model)

    model.load_state_dict({name: value * 1.01 for name, value in model.state_dict().items()})
    check(fast, model)
    model.double().float()  # other memory
    check(fast, model)
    assert fast.backbone is not made


def test_what_is_set_on_the_model_counts(tiny_config: CfgNode) -> None:
    model = build_model(tiny_config)
    fast = FastInference(model)
    check(fast, model)
    model.inference = replace(model.inference, score_threshold=1.1)
    assert [len(x["instances"]) for x in fast(images())] == [0, 0]


def test_the_wrapper_of_distributed_training_is_looked_through(tiny_config: CfgNode) -> None:
    model = unlike_the_start(build_model(tiny_config))
    wrapped = nn.Module()
    wrapped.module = model
    check(FastInference(wrapped), model)


def test_lower_precision_is_that_of_autocast(tiny_config: CfgNode) -> None:
    model = unlike_the_start(build_model(tiny_config)).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = model(images())
    plain = FastInference(model)(images())
    for ours, theirs, exact in zip(
        FastInference(model, torch.bfloat16)(images()), expected, plain, strict=True
    ):
        ours, theirs, exact = (x["instances"] for x in (ours, theirs, exact))
        assert ours.scores.dtype == ours.pred_boxes.tensor.dtype == torch.float32
        torch.testing.assert_close(ours.scores, theirs.scores, atol=0.02, rtol=0)
        assert not torch.equal(ours.scores, exact.scores)
