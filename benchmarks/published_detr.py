"""Imports the published DETR from a clone of it, as an oracle and as an opponent in benchmarks."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from detr_d2.modeling import Targets

from .clones import import_from_clone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--published`` and ``--threads``, of the benchmarks beside it."""
    parser.add_argument("--published", required=True, help="clone of github.com/facebookresearch/detr")
    parser.add_argument("--threads", type=int, default=2, help="PyTorch's threads (default: 2)")


def import_published(folder: str, module: str) -> Any:
    """Import ``module``, such as ``models.detr``, of the clone in ``folder``.

    Args:
        folder: a clone of github.com/facebookresearch/detr (29901c5 is what detr_d2 is compared with).

    Raises:
        MissingFileError: ``folder`` holds no clone.
    """
    # Its util.misc reads only three characters of the version, so that 0.29 counts as older than 0.7.
    version, torchvision.__version__ = torchvision.__version__, "0.9"
    try:
        return import_from_clone(folder, "facebookresearch/detr", module, "models/detr.py")
    finally:
        torchvision.__version__ = version


def build_published_criterion(folder: str, num_classes: int) -> Any:
    """Its matcher and set criterion with the published weights; losses come back unweighted."""
    matcher = import_published(folder, "models.matcher").HungarianMatcher(
        cost_class=1, cost_bbox=5, cost_giou=2
    )
    return import_published(folder, "models.detr").SetCriterion(
        num_classes, matcher=matcher, weight_dict={}, eos_coef=0.1, losses=["labels", "boxes"]
    )


def as_published_targets(targets: Targets) -> list[dict[str, Tensor]]:
    """A dict of unpadded labels and boxes for each image."""
    return [
        {"labels": targets.labels[i, :count], "boxes": targets.boxes[i, :count]}
        for i, count in enumerate(targets.counts)
    ]


def as_published_outputs(logits: Tensor, boxes: Tensor) -> dict[str, Any]:
    """(L, B, N, C + 1) logits and (L, B, N, 4) boxes as the dict that its model returns."""
    layers = [{"pred_logits": x, "pred_boxes": y} for x, y in zip(logits, boxes, strict=True)]
    return {**layers[-1], "aux_outputs": layers[:-1]}


def build_published_detector(folder: str, num_classes: int, dilation: bool = False) -> nn.Module:
    """Its DETR with ResNet-50, random weights and random batch-norm statistics; nothing is downloaded.

    Args:
        folder: a clone of github.com/facebookresearch/detr.
        num_classes: no-object not counted.
        dilation: the DC5 variant.
    """
    backbone = import_published(folder, "models.backbone")
    backbone.is_main_process = lambda: False  # it would fetch ImageNet weights
    args = SimpleNamespace(
        backbone="resnet50",
        dilation=dilation,
        lr_backbone=0.0,
        masks=True,  # all stages' features are returned, of which the detector alone reads the last
        position_embedding="sine",
        hidden_dim=256,
        dropout=0.1,
        nheads=8,
        dim_feedforward=2048,
        enc_layers=6,
        dec_layers=6,
        pre_norm=False,
    )
    model = import_published(folder, "models.detr").DETR(
        backbone.build_backbone(args),
        import_published(folder, "models.transformer").build_transformer(args),
        num_classes=num_classes,
        num_queries=100,
        aux_loss=True,
    )
    for name, buffer in model.named_buffers():
        if name.endswith(("bn1.weight", "bn2.weight", "bn3.weight", "running_var", "downsample.1.weight")):
            nn.init.uniform_(buffer, 0.5, 1.0)
        elif "body" in name:
            nn.init.normal_(buffer, std=0.1)
    return model.eval()


def build_published_panoptic(folder: str, num_classes: int, dilation: bool = False) -> nn.Module:
    """Its DETRsegm: :func:`build_published_detector` with a mask head of random weights."""
    detector = build_published_detector(folder, num_classes, dilation)
    return import_published(folder, "models.segmentation").DETRsegm(detector).eval()


def build_published_merging(folder: str, things: Collection[int], num_classes: int) -> nn.Module:
    """Its PostProcessPanoptic with the published threshold.

    It reads and writes colors with panopticapi, which no package registry has; where that cannot be
    imported it is given the two functions that it needs.

    Args:
        folder: a clone of github.com/facebookresearch/detr.
        things: the classes that are things.
        num_classes: no-object not counted.
    """
    segmentation = import_published(folder, "models.segmentation")
    if not hasattr(segmentation, "id2rgb"):
        segmentation.id2rgb = lambda ids: np.stack([ids >> 8 * i & 255 for i in range(3)], -1).astype(
            np.uint8
        )
        segmentation.rgb2id = lambda colors: colors.astype(np.int32) @ np.array([1, 256, 256**2], np.int32)
    is_thing = {number: number in things for number in range(num_classes)}
    return segmentation.PostProcessPanoptic(is_thing, threshold=0.85)


def distinguish_queries(model: Any, images: list[Tensor], logits: Tensor) -> None:
    """Make a model of random weights say and see something else with each query; they are alike otherwise.

    Args:
        model: of :func:`build_published_panoptic`; its cross-attention is sharpened, what reads the queries
            in its class head and attention maps is fitted, and its mask head made to heed the maps.
        images: B normalized images (3, H, W), with B times the model's queries at most their channels.
        logits: (B, N, C + 1) that the queries shall have.
    """
    read: list[Tensor] = []
    with torch.no_grad():
        for layer in model.detr.transformer.decoder.layers:
            queries_and_keys = 2 * layer.multihead_attn.embed_dim
            layer.multihead_attn.in_proj_weight[:queries_and_keys] *= 6
        handle = model.bbox_attention.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
        model(images)
        handle.remove()
        queries = read[0].flatten(0, 1)
        _fit(model.detr.class_embed, queries, logits.flatten(0, 1))
        _fit(model.bbox_attention.q_linear, queries, 10 * torch.randn_like(queries))
        model.mask_head.lay1.weight[:, model.detr.transformer.d_model :] *= 1000


def _fit(linear: nn.Linear, inputs: Tensor, outputs: Tensor) -> None:
    """Let a layer turn ``inputs`` (n, in) into ``outputs`` (n, out); exact up to n = in."""
    weight = torch.linalg.lstsq(inputs.double(), outputs.double(), driver="gelsd").solution.T
    linear.weight.copy_(weight)
    linear.bias.zero_()
