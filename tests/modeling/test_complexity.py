"""Parameters and multiply-adds against counts by hand and the published figures."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import nn

from detr_d2 import model_zoo
from detr_d2.modeling.complexity import model_complexity

# Map of the tiny model's encoder, for an image of 64 x 96 pixels at stride 16.
CELLS = 4 * 6
IMAGE = (64, 96)


def backbone_products(model: nn.Module) -> int:
    """Multiply-adds of the convolutions, one by one, from the sizes of a real pass."""
    total = 0

    def add(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        total_of_one = layer.weight[0].numel()
        nonlocal total
        total += output.numel() * total_of_one

    assert isinstance(model.backbone, nn.Module)
    for module in model.backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    with torch.no_grad():
        model.backbone(torch.zeros(1, 3, *IMAGE))
    return total


def transformer_products(cfg: CfgNode, channels: int) -> int:
    """Multiply-adds of everything between backbone and boxes, by hand."""
    detr = cfg.MODEL.DETR
    d, hidden, queries = detr.HIDDEN_DIM, detr.DIM_FEEDFORWARD, detr.NUM_OBJECT_QUERIES
    projection = CELLS * channels * d
    encoder = 4 * CELLS * d * d + 2 * CELLS * CELLS * d + 2 * CELLS * d * hidden
    decoder = 4 * queries * d * d + 2 * queries * queries * d  # self-attention
    decoder += 2 * queries * d * d + 2 * CELLS * d * d + 2 * queries * CELLS * d  # cross-attention
    decoder += 2 * queries * d * hidden
    heads = queries * (d * (detr.NUM_CLASSES + 1) + 2 * d * d + 4 * d)  # of every layer's queries
    return projection + detr.ENC_LAYERS * encoder + detr.DEC_LAYERS * (decoder + heads)


def mask_products(cfg: CfgNode, channels: int) -> int:
    """Multiply-adds of a mask head with one finer map, of stride 8 and so many ``channels``, by hand."""
    d, heads, queries = cfg.MODEL.DETR.HIDDEN_DIM, cfg.MODEL.DETR.NHEADS, cfg.MODEL.DETR.NUM_OBJECT_QUERIES
    wide, fine = d + heads, 4 * CELLS
    attention = queries * d * d + CELLS * d * d + queries * CELLS * d
    once = 9 * CELLS * d * wide + fine * channels * d // 2
    coarse = queries * 9 * CELLS * (heads * wide + wide * d // 2)
    finest = queries * 9 * fine * (d // 2 * d // 4 + d // 4)
    return attention + once + coarse + finest


def test_a_detector_is_counted_as_by_hand(tiny_config: CfgNode) -> None:
    model = build_model(tiny_config).eval()
    complexity = model_complexity(tiny_config, IMAGE)
    assert complexity.parameters == sum(p.numel() for p in model.parameters())
    channels = model.backbone.output_shape()["res4"].channels
    assert complexity.multiply_adds == backbone_products(model) + transformer_products(tiny_config, channels)


def test_a_mask_head_is_counted_with_all_queries(tiny_config: CfgNode) -> None:
    tiny_config.MODEL.MASK_ON = True
    tiny_config.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4"]
    tiny_config.MODEL.DETR.MASK_FEATURES = ("res3",)
    tiny_config.MODEL.DETR.NHEADS = 8
    model = build_model(tiny_config).eval()
    shapes = model.backbone.output_shape()
    expected = backbone_products(model) + transformer_products(tiny_config, shapes["res4"].channels)
    expected += mask_products(tiny_config, shapes["res3"].channels)
    complexity = model_complexity(tiny_config, IMAGE)
    assert complexity.multiply_adds == expected
    assert complexity.parameters == sum(p.numel() for p in model.parameters())


def test_resnet_50_has_the_published_size_and_cost() -> None:
    complexity = model_complexity(model_zoo.get_config("COCO-Detection/detr_R_50.yaml"), (800, 1066))
    assert complexity.parameters / 1e6 == pytest.approx(41.52, abs=0.005)
    assert complexity.multiply_adds / 1e9 == pytest.approx(81.3, rel=0.01)


@pytest.mark.parametrize("name", ["detr_R_50_DC5", "detr_panoptic_R_50"])
def test_the_zoo_says_what_the_command_measures(name: str) -> None:
    (model,) = (model for model in model_zoo.zoo_models() if model.name == name)
    assert vars(model_complexity(model_zoo.get_config(model.config))) == dict(model.measured)
