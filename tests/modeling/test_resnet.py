import pytest
import torch
import torchvision
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone

from detr_d2.checkpoint.convert import convert
from detr_d2.errors import ConfigError

from ..conftest import make_tiny_config


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("dilation", [1, 2])
def test_features_equal_torchvisions_with_the_same_weights(depth: int, dilation: int) -> None:
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME = "build_detr_resnet_backbone"
    cfg.MODEL.RESNETS.DEPTH = depth
    cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False
    cfg.MODEL.RESNETS.RES5_DILATION = dilation
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res5"]
    backbone = build_backbone(cfg, ShapeSpec(channels=3)).eval()
    reference = getattr(torchvision.models, f"resnet{depth}")(
        weights=None, replace_stride_with_dilation=[False, False, dilation == 2]
    ).eval()
    for name, buffer in reference.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
    weights = convert(reference.state_dict(), "resnet.pth").weights
    backbone.load_state_dict({name.removeprefix("backbone."): value for name, value in weights.items()})
    body = torch.nn.Sequential(*list(reference.children())[:-2])
    image = torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        features, expected = backbone(image)["res5"], body(image)
    assert features.shape[-2:] == ((6, 8) if dilation == 2 else (3, 4))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def test_slim_resnet_has_the_width_depth_and_stride_that_are_asked_for() -> None:
    cfg = make_tiny_config()
    backbone = build_backbone(cfg, ShapeSpec(channels=3))
    assert backbone.output_shape()["res4"].channels == 32
    assert backbone.output_shape()["res4"].stride == 16
    assert backbone(torch.randn(2, 3, 64, 96))["res4"].shape == (2, 32, 4, 6)
    assert not any(name.startswith("res5") for name, _ in backbone.named_parameters())


def test_slim_resnet_refuses_bottleneck_depths() -> None:
    cfg = make_tiny_config()
    cfg.MODEL.RESNETS.DEPTH = 50
    with pytest.raises(ValueError, match="MODEL.RESNETS.DEPTH is 50"):
        build_backbone(cfg, ShapeSpec(channels=3))


@pytest.mark.parametrize(
    ("key", "value"), [("NUM_GROUPS", 2), ("RES5_DILATION", 2), ("DEFORM_ON_PER_STAGE", [False] * 3 + [True])]
)
def test_a_slim_resnet_refuses_what_its_blocks_do_not_have(
    tiny_config: CfgNode, key: str, value: object
) -> None:
    tiny_config.MODEL.RESNETS[key] = value
    with pytest.raises(ConfigError, match=f"MODEL.RESNETS.{key}"):
        build_backbone(tiny_config)
