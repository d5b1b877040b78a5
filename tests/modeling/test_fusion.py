"""Feature maps of several strides as one: where cells lie, what is refused, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from torch import Tensor

from detr_d2.errors import ConfigError
from detr_d2.modeling.build import build_fusion
from detr_d2.modeling.complexity import model_complexity
from detr_d2.modeling.fusion import AddedFeatures

from ..conftest import make_input, make_mask_input
from .steps import check_every_parameter_learns, steps


def identity(stride: int, wanted: int) -> AddedFeatures:
    added = AddedFeatures(1, 1, stride, wanted)
    with torch.no_grad():
        added.weight.fill_(1.0)
        added.bias.zero_()  # type: ignore[union-attr]
    return added


def coordinates(width: int, stride: int) -> Tensor:
    """(1, 1, 2, cells): in each cell x of its center, in pixels of an image so wide."""
    return ((torch.arange(-(-width // stride)) + 0.5) * stride).expand(1, 1, 2, -1)


@pytest.mark.parametrize("stride", [4, 8, 16, 32, 64])
@pytest.mark.parametrize("width", [128, 136, 120])
def test_cells_stay_where_they_are_in_the_image(stride: int, width: int) -> None:
    """Whether the coarser map ends with the image or goes on beyond it; but for cells at the border, where
    there is nothing to interpolate with.
    """
    wanted = coordinates(width, 16)
    size = (1, wanted.shape[-1])
    moved = identity(stride, 16).forward_to(coordinates(width, stride), size)[0, 0, 0]
    assert len(moved) == wanted.shape[-1]
    border = max(stride // 16 // 2, 0)
    inner = slice(border, (width // stride - 1) * stride // 16)
    torch.testing.assert_close(moved[inner], wanted[0, 0, 0, inner])


def test_finer_cells_are_averaged_and_then_projected() -> None:
    added, features = AddedFeatures(3, 5, 8, 16), torch.randn(2, 3, 5, 6)
    result = added.forward_to(features, (3, 3))
    assert result.shape == (2, 5, 3, 3)
    for row in range(3):
        for column in range(3):
            cells = features[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]  # one row in the last
            expected = cells.mean((2, 3)) @ added.weight[:, :, 0, 0].T + added.bias
            torch.testing.assert_close(result[:, :, row, column], expected)


def fused(cfg: CfgNode, *names: str, **keys: Any) -> CfgNode:
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.RESNETS.NORM = "FrozenBN"
    cfg.MODEL.DETR.FUSE_FEATURES, cfg.MODEL.DETR.DROPOUT = names, 0.0
    for key, value in keys.items():
        cfg.MODEL.DETR[key] = value
    return cfg


def test_the_transformer_reads_the_sum_at_the_stride_of_its_own_map(tiny_config: CfgNode) -> None:
    model = build_model(fused(tiny_config, "res5", "res3")).eval()
    with torch.no_grad():
        features, memory, _ = steps(model, [make_input(72, 104, 0), make_input(64, 64, 0)])
        own = model.input_proj(features["res4"])
        coarse = F.interpolate(model.fuse["res5"](features["res5"]), scale_factor=2.0, mode="bilinear")
        fine = model.fuse["res3"](F.avg_pool2d(features["res3"], 2, ceil_mode=True))
    assert own.shape[2:] == (5, 7) == memory.shapes[0]
    expected = own + coarse[:, :, :5, :7] + fine[:, :, :5, :7]
    torch.testing.assert_close(memory.maps(memory.projected), expected)


def test_the_same_weights_without_it_are_the_plain_model(tiny_config: CfgNode) -> None:
    with_fusion = build_model(fused(tiny_config.clone(), "res3"))
    plain = build_model(fused(tiny_config))
    assert with_fusion.state_dict().keys() - plain.state_dict().keys() == {
        "fuse.res3.weight",
        "fuse.res3.bias",
    }
    assert plain.state_dict().keys() <= with_fusion.state_dict().keys()


@pytest.mark.parametrize("decoder", ["detr", "rpb"])
def test_every_parameter_learns(tiny_config: CfgNode, decoder: str) -> None:
    cfg = fused(tiny_config, "res3", "res5", DECODER=decoder, AUXILIARY=("denoising", "encoder"))
    check_every_parameter_learns(build_model(cfg))


def test_masks_start_from_the_fused_map(mask_config: CfgNode) -> None:
    model = build_model(fused(mask_config, "res5", "res2"))
    losses = model([make_mask_input(70, 90, 2), make_mask_input(64, 64, 0)])
    assert losses["loss_mask"].isfinite()
    with torch.no_grad():
        (result,) = model.eval()([make_mask_input(70, 90, 0)])
    assert result["instances"].pred_masks.shape == (10, 70, 90)


def test_a_backbone_that_asks_for_divisible_sizes_is_fused_too(tiny_config: CfgNode) -> None:
    """As Detectron2's feature pyramid does, whose maps are all of one width."""
    cfg = fused(tiny_config, "p3", "p6", IN_FEATURE="p4")
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.RESNETS.DEPTH = "build_resnet_fpn_backbone", 18
    cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64
    cfg.MODEL.FPN.IN_FEATURES, cfg.MODEL.FPN.OUT_CHANNELS = ["res2", "res3", "res4", "res5"], 8
    model = build_model(cfg)
    assert model.backbone.size_divisibility == 32
    losses = model([make_input(70, 90, 2), make_input(40, 40, 1)])
    assert all(loss.isfinite() for loss in losses.values())


def test_its_multiply_adds_are_counted(tiny_config: CfgNode) -> None:
    size = (64, 96)
    plain = model_complexity(fused(tiny_config.clone()), size)
    cost = model_complexity(fused(tiny_config, "res3", "res5"), size)
    channels = build_model(tiny_config).backbone.output_shape()
    added = 4 * 6 * channels["res3"].channels + 2 * 3 * channels["res5"].channels
    assert cost.multiply_adds - plain.multiply_adds == 32 * added
    assert cost.parameters - plain.parameters == 32 * (
        channels["res3"].channels + channels["res5"].channels + 2
    )


@pytest.mark.parametrize("names", [("res1",), ("res4",), ("res3", "res3"), ("p4",)])
def test_maps_that_cannot_be_added_are_refused_with_the_keys_name(
    tiny_config: CfgNode, names: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError, match=r"MODEL\.DETR\.FUSE_FEATURES is \("):
        build_model(fused(tiny_config, *names))


def test_strides_that_are_no_multiples_are_refused(tiny_config: CfgNode) -> None:
    maps = {"res4": ShapeSpec(channels=8, stride=16), "odd": ShapeSpec(channels=8, stride=24)}
    with pytest.raises(ConfigError, match=r"MODEL\.DETR\.FUSE_FEATURES is \('odd',\)"):
        build_fusion(fused(tiny_config, "odd"), maps)
