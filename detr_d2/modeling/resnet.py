"""ResNet variants that Detectron2's own builder does not make."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import ResNet
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, build_resnet_backbone

from ..errors import ConfigError


@BACKBONE_REGISTRY.register()
def build_detr_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """Detectron2's ResNet with the dilation of published DETR-DC5.

    With ``MODEL.RESNETS.RES5_DILATION: 2`` stage 5 keeps stride 16. Detectron2 then dilates the 3x3
    convolutions of all its blocks; published weights were trained with the first one undilated, since
    it reads a feature map whose stride has not been reduced yet. Everything else is the same.
    """
    backbone = build_resnet_backbone(cfg, input_shape)
    if cfg.MODEL.RESNETS.RES5_DILATION > 1:
        first = backbone.res5[0].conv2
        first.dilation = first.padding = (1, 1)
    return backbone


@BACKBONE_REGISTRY.register()
def build_slim_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """ResNet-18 or -34 of any width, for training from scratch on little hardware.

    ``MODEL.RESNETS.STEM_OUT_CHANNELS`` and ``RES2_OUT_CHANNELS`` set the width (64 and 64 are the
    standard networks); each later stage doubles it. Stages after the last of ``OUT_FEATURES`` are not built.

    Raises:
        ConfigError: ``MODEL.RESNETS.DEPTH`` is not 18 or 34, or a key asks for what such blocks do not have.
    """
    resnets = cfg.MODEL.RESNETS
    blocks_per_stage = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}.get(resnets.DEPTH)
    if blocks_per_stage is None:
        raise ConfigError(
            f"MODEL.RESNETS.DEPTH is {resnets.DEPTH}, but build_slim_resnet_backbone makes 18 or 34"
        )
    for key, plain in (("NUM_GROUPS", 1), ("RES5_DILATION", 1), ("DEFORM_ON_PER_STAGE", [False] * 4)):
        if resnets[key] != plain:
            raise ConfigError(
                f"MODEL.RESNETS.{key} is {resnets[key]}, but build_slim_resnet_backbone has only {plain}"
            )
    stem = BasicStem(input_shape.channels, resnets.STEM_OUT_CHANNELS, norm=resnets.NORM)
    in_channels, out_channels = resnets.STEM_OUT_CHANNELS, resnets.RES2_OUT_CHANNELS
    stages = []
    for stage, num_blocks in enumerate(blocks_per_stage):
        stride = 1 if stage == 0 else 2
        stages.append(
            ResNet.make_stage(
                BasicBlock,
                num_blocks,
                stride_per_block=[stride] + [1] * (num_blocks - 1),
                in_channels=in_channels,
                out_channels=out_channels,
                norm=resnets.NORM,
            )
        )
        in_channels, out_channels = out_channels, 2 * out_channels
    return ResNet(stem, stages, out_features=resnets.OUT_FEATURES, freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT)
