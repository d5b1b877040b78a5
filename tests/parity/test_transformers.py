"""Hugging Face's DETR with random weights, saved by it and loaded by us, predicts the same.

timm, whose ResNet most of its published files hold, is not needed: torchvision's has the same names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor, nn

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.checkpoint.safe_load import read_checkpoint
from detr_d2.tools.convert_checkpoint import convert_file

from ..conftest import make_input, make_tiny_config
from ..modeling.steps import masks_of, steps

transformers = pytest.importorskip("transformers", reason="transformers (test extra) is not installed")

CLASSES, QUERIES, DIM, HEADS = 5, 7, 128, 8
STAGES = ("res2", "res3", "res4", "res5")


class NamedAsTimm(torchvision.models.ResNet):
    """A ResNet with timm's names that gives the feature maps of its four stages."""

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features


def hugging_face(masks: bool, own_resnet: bool, bottleneck: bool) -> nn.Module:
    """Its model with random weights and batch-norm statistics; nothing is downloaded."""
    backbone = transformers.ResNetConfig(
        embedding_size=64,
        hidden_sizes=[256, 512, 1024, 2048] if bottleneck else [64, 128, 256, 512],
        depths=[3, 4, 6, 3] if bottleneck else [2, 2, 2, 2],
        layer_type="bottleneck" if bottleneck else "basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = transformers.DetrConfig(
        backbone_config=backbone,
        d_model=DIM,
        num_queries=QUERIES,
        num_labels=CLASSES,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
    )
    kind = transformers.DetrForSegmentation if masks else transformers.DetrForObjectDetection
    model = kind(config)
    encoder = (model.detr if masks else model).model.backbone
    if not own_resnet:
        # The basic blocks of a ResNet-18, without the classifier.
        encoder.model = NamedAsTimm(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2])
        del encoder.model.fc
        modeling_detr = transformers.models.detr.modeling_detr
        with torch.no_grad():
            modeling_detr.replace_batch_norm(encoder.model)
    make_layers_matter(model)
    for name, value in encoder.named_buffers():
        if name.endswith(("running_var", "weight")):
            nn.init.uniform_(value, 0.5, 1.0)
        else:
            nn.init.normal_(value, std=0.1)
    return model.eval()


def make_layers_matter(model: nn.Module) -> None:
    """Larger weights than the initial ones, with which all queries see nearly the same."""
    for name, value in model.named_parameters():
        if "backbone" in name or "mask_head" in name:
            continue
        if value.dim() > 1:
            fan_in = value[0].numel() if "quer" not in name else 1
            nn.init.normal_(value, std=1.4 / fan_in**0.5)
        else:
            value.data += 0.1 * torch.randn_like(value)


def our_config(masks: bool, bottleneck: bool) -> CfgNode:
    cfg = make_tiny_config()
    cfg.MODEL.BACKBONE.NAME = "build_detr_resnet_backbone"
    resnets = cfg.MODEL.RESNETS
    resnets.DEPTH, resnets.NORM, resnets.STRIDE_IN_1X1 = 50 if bottleneck else 18, "FrozenBN", False
    resnets.STEM_OUT_CHANNELS, resnets.RES2_OUT_CHANNELS = 64, 256 if bottleneck else 64
    resnets.OUT_FEATURES = list(STAGES) if masks else ["res5"]
    detr = cfg.MODEL.DETR
    detr.IN_FEATURE = "res5"
    detr.NUM_CLASSES, detr.NUM_OBJECT_QUERIES, detr.HIDDEN_DIM, detr.NHEADS = CLASSES, QUERIES, DIM, HEADS
    cfg.MODEL.MASK_ON = masks
    return cfg


def compare(theirs: nn.Module, cfg: CfgNode, file: Path) -> None:
    """Load the file into our model and compare a padded batch's predictions."""
    ours = build_model(cfg).eval()
    checkpointer = DetrCheckpointer(ours)
    checkpointer.load(str(file))
    assert checkpointer.loaded == ours.state_dict().keys()

    batch = [make_input(96, 128, 0), make_input(120, 80, 0)]
    images = ours.preprocess(batch)
    valid = torch.zeros(images.tensor.shape[0], *images.tensor.shape[-2:])
    for mask, (height, width) in zip(valid, images.image_sizes, strict=True):
        mask[:height, :width] = 1
    with torch.no_grad():
        expected: Any = theirs(pixel_values=images.tensor, pixel_mask=valid)
        between = steps(ours, batch)
        logits, boxes = (x[-1] for x in ours.predict(between.decoded.hidden))
        assert float(logits.std(1).mean()) > 0.01, "queries see the same"
        torch.testing.assert_close(logits, expected.logits, rtol=0, atol=1e-4)
        torch.testing.assert_close(boxes, expected.pred_boxes, rtol=0, atol=1e-4)
        print(f"largest difference: logits {(logits - expected.logits).abs().max():.1e}", end="")
        print(f", boxes {(boxes - expected.pred_boxes).abs().max():.1e}")
        if cfg.MODEL.MASK_ON:
            masks = torch.stack(list(masks_of(ours, between, [torch.arange(QUERIES)] * 2)))
            torch.testing.assert_close(masks, expected.pred_masks, rtol=0, atol=1e-4)
            print(f"masks {(masks - expected.pred_masks).abs().max():.1e}")


@pytest.mark.parametrize("masks", [False, True], ids=["detection", "segmentation"])
@pytest.mark.parametrize("own_resnet", [False, True], ids=["timm", "own backbone"])
def test_files_of_both_backbones(tmp_path: Path, masks: bool, own_resnet: bool) -> None:
    """As its files are (older names) and as its state dicts are (names of version 5)."""
    theirs = hugging_face(masks, own_resnet, bottleneck=False)
    theirs.save_pretrained(tmp_path)
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    cfg = our_config(masks, bottleneck=False)
    names = [read_checkpoint(str(tmp_path / name)) for name in ("model.safetensors", "pytorch_model.bin")]
    assert [any(".conv_encoder." in name for name in part) for part in names] == [True, False]
    compare(theirs, cfg, tmp_path / "model.safetensors")
    compare(theirs, cfg, tmp_path / "pytorch_model.bin")


def test_resnet_50_blocks_of_its_own_backbone(tmp_path: Path) -> None:
    theirs = hugging_face(masks=False, own_resnet=True, bottleneck=True)
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    compare(theirs, our_config(False, bottleneck=True), tmp_path / "pytorch_model.bin")


@pytest.mark.parametrize("masks", [False, True], ids=["detection", "segmentation"])
def test_the_way_back(tmp_path: Path, masks: bool) -> None:
    """Weights of ours, converted by the command, are loaded by its own from_pretrained()."""
    ours = build_model(our_config(masks, bottleneck=False))
    make_layers_matter(ours)
    torch.save({"model": ours.state_dict()}, tmp_path / "ours.pth")
    theirs = hugging_face(masks, own_resnet=True, bottleneck=False)
    theirs.config.save_pretrained(tmp_path)
    convert_file(str(tmp_path / "ours.pth"), str(tmp_path / "model.safetensors"), "huggingface-resnet")
    loaded, report = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    compare(loaded.eval(), our_config(masks, bottleneck=False), tmp_path / "ours.pth")
