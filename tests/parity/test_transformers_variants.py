"""Hugging Face's Conditional DETR and DAB-DETR with random weights predict what ours do with the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor, nn

from detr_d2.checkpoint import DetrCheckpointer
from detr_d2.modeling import Detr, Part
from detr_d2.tools.convert_checkpoint import convert_file

from ..conftest import make_input
from ..modeling.steps import steps
from .test_transformers import our_config

transformers = pytest.importorskip("transformers", reason="transformers (test extra) is not installed")

CLASSES, QUERIES, DIM, HEADS = 5, 7, 128, 8
WIDTHS = {
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
}


def resnet_18() -> Any:
    return transformers.ResNetConfig(
        embedding_size=64,
        hidden_sizes=[64, 128, 256, 512],
        depths=[2, 2, 2, 2],
        layer_type="basic",
        out_features=["stage4"],
    )


class TheirFeatures(nn.Module):
    """Their backbone as ours: its rounding is not ours, and large random weights make much of it."""

    size_divisibility, padding_constraints = 0, {}

    def __init__(self, theirs: nn.Module):
        super().__init__()
        self.theirs = theirs

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"res5": self.theirs(images).feature_maps[-1]}


def compare(theirs: nn.Module, backbone: nn.Module, cfg: CfgNode, folder: Path) -> None:
    """Load their file and state dict into our model, and compare predictions and losses on a padded batch."""
    for name, value in theirs.named_parameters():
        if "backbone" not in name:
            fan_in = value[0].numel() if value.dim() > 1 and "embeddings" not in name else 1
            value.data += (2 if value.dim() > 1 else 0.2) / fan_in**0.5 * torch.randn_like(value)
    for name, value in theirs.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(value, std=0.1)
    theirs.eval().save_pretrained(folder)
    torch.save(theirs.state_dict(), folder / "pytorch_model.bin")
    for file in ("pytorch_model.bin", "model.safetensors"):
        ours: Detr = build_model(cfg).eval()
        checkpointer = DetrCheckpointer(ours)
        checkpointer.load(str(folder / file))
        assert checkpointer.loaded == ours.state_dict().keys()

    batch = [make_input(96, 128, 3, CLASSES), make_input(120, 80, 1, CLASSES)]
    images = ours.preprocess(batch)
    own, theirs_ = ours.backbone, TheirFeatures(backbone)
    with torch.no_grad():
        torch.testing.assert_close(own(images.tensor), theirs_(images.tensor), rtol=1e-3, atol=1e-3)
    ours.backbone = theirs_  # type: ignore[assignment]
    valid = torch.zeros(images.tensor.shape[0], *images.tensor.shape[-2:])
    for mask, (height, width) in zip(valid, images.image_sizes, strict=True):
        mask[:height, :width] = 1
    with torch.no_grad():
        targets = ours.targets(batch, images)
        labels = [
            {"class_labels": of_image[:n], "boxes": boxes[:n]}
            for of_image, boxes, n in zip(targets.labels, targets.boxes, targets.counts, strict=True)
        ]
        expected: Any = theirs(pixel_values=images.tensor, pixel_mask=valid, labels=labels)
        decoded = steps(ours, batch).decoded
        predictions = ours.predictions(decoded, [Part(slice(0, QUERIES))])
        losses, _ = ours.criterion(predictions, targets)
        logits, boxes = predictions[0].logits[-1], predictions[0].boxes[-1]
    assert float(logits.std(1).mean()) > 0.01, "queries see the same"
    assert float(boxes.std(1).mean()) > 0.01
    print(f"largest difference: logits {(logits - expected.logits).abs().max():.1e}", end="")
    print(f", boxes {(boxes - expected.pred_boxes).abs().max():.1e}")
    torch.testing.assert_close(logits, expected.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(boxes, expected.pred_boxes, rtol=0, atol=1e-5)
    compared = {name: loss for name, loss in expected.loss_dict.items() if name.startswith("loss")}
    assert {"loss_ce", "loss_bbox", "loss_giou"} <= set(compared)
    for name, loss in compared.items():
        torch.testing.assert_close(losses[name], loss, rtol=1e-5, atol=1e-5)


def variant(decoder: str) -> CfgNode:
    cfg = our_config(masks=False, bottleneck=False)
    cfg.MODEL.DETR.DECODER, cfg.MODEL.DETR.DEC_LAYERS = decoder, WIDTHS["decoder_layers"]
    cfg.MODEL.DETR.CLASS_LOSS, cfg.MODEL.DETR.COST_CLASS = "focal", 2.0
    cfg.MODEL.DETR.L1_WEIGHT = cfg.MODEL.DETR.GIOU_WEIGHT = 1.0  # theirs are weighted later
    return cfg


def test_conditional_detr(tmp_path: Path) -> None:
    config = transformers.ConditionalDetrConfig(
        backbone_config=resnet_18(), d_model=DIM, num_queries=QUERIES, num_labels=CLASSES, **WIDTHS
    )
    theirs = transformers.ConditionalDetrForObjectDetection(config)  # its auxiliary loss changes its decoder
    compare(theirs, theirs.model.backbone.model, variant("conditional"), tmp_path)


def test_dab_detr(tmp_path: Path) -> None:
    config = transformers.DabDetrConfig(
        backbone_config=resnet_18(),
        hidden_size=DIM,
        num_queries=QUERIES,
        num_labels=CLASSES,
        auxiliary_loss=True,
        **WIDTHS,
    )
    theirs = transformers.DabDetrForObjectDetection(config)
    cfg = variant("dab")
    cfg.MODEL.DETR.POSITION_TEMPERATURE = 20.0
    compare(theirs, theirs.model.backbone.conv_encoder.model, cfg, tmp_path)


@pytest.mark.parametrize("decoder", ["conditional", "dab"])
def test_the_way_back(tmp_path: Path, decoder: str) -> None:
    """Weights of ours, converted by the command, are loaded by its own from_pretrained()."""
    dab = decoder == "dab"
    kind = transformers.DabDetrConfig if dab else transformers.ConditionalDetrConfig
    width = {"hidden_size" if dab else "d_model": DIM}
    config = kind(backbone_config=resnet_18(), num_queries=QUERIES, num_labels=CLASSES, **width, **WIDTHS)
    config.save_pretrained(tmp_path)
    torch.save({"model": build_model(variant(decoder)).state_dict()}, tmp_path / "ours.pth")
    layout = f"huggingface-resnet-{decoder}"
    convert_file(str(tmp_path / "ours.pth"), str(tmp_path / "model.safetensors"), layout)
    model = transformers.DabDetrForObjectDetection if dab else transformers.ConditionalDetrForObjectDetection
    _, report = model.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
